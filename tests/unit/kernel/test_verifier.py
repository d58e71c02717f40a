"""Verifier logs and possible CPUs: the words that people get to see."""

from __future__ import annotations

import pytest

from skep import errors
from skep.kernel import cpus, verifier

LOG = """\
func#0 @0
0: R1=ctx() R10=fp0
; return *(unsigned char *)(long)ctx->data; @ refused.bpf.c:13
0: (61) r1 = *(u32 *)(r1 +0)          ; R1=pkt(r=0)
1: (71) r0 = *(u8 *)(r1 +0)
invalid access to packet, off=0 size=1, R1(id=0,off=0,r=0)
R1 offset is outside of the packet
verification time 28 usec
stack depth 0
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""


def test_the_reason_is_the_verdict_and_where() -> None:
    assert verifier.reason(LOG) == (
        "1: (71) r0 = *(u8 *)(r1 +0) / invalid access to packet, off=0 size=1, R1(id=0,off=0,r=0)"
        " / R1 offset is outside of the packet"
    )


@pytest.mark.parametrize("log", ["", "\n", "processed 0 insns (limit 1000000)\n"])
def test_an_empty_log_has_no_reason(log: str) -> None:
    assert verifier.reason(log) == ""


@pytest.mark.parametrize(
    ("code", "log", "kind"),
    [
        (13, LOG, errors.Rejected),
        (7, "BPF program is too large. Processed 1000001 insn", errors.Rejected),
        (22, "", errors.Rejected),
        (1, "", errors.Unsupported),
        (12, "", errors.Exhausted),
    ],
)
def test_a_refusal_says_who_must_act(code: int, log: str, kind: type[errors.SkepError]) -> None:
    error = verifier.refusal("p", 28, 0, code, log)
    assert type(error) is kind
    assert (error.errno, error.log) == (code, log)
    assert error.why
    assert "ulimit" not in str(error)


@pytest.mark.parametrize(("ranges", "count"), [("0\n", 1), ("0-1\n", 2), ("0-3,8,10-11\n", 7)])
def test_possible_cpus_are_counted(ranges: str, count: int) -> None:
    assert cpus.count(ranges) == count
