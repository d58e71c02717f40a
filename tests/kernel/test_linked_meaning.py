"""A linked chain gives every packet what the chain's meaning says: order, masks, ends, counts, in every form."""

from __future__ import annotations

import pytest

from skep.chain import codes, linked, verdict
from skep.chain.linked import Form, Part
from tests.kernel import bpf_raw
from tests.kernel.linked_rig import ABORTED, DROP, PASS, TX, Rig, members_counts, number

PACKETS = 1000


@pytest.mark.parametrize("form", [Form.INLINE, Form.CALL], ids=lambda form: form.value)
@pytest.mark.parametrize(
    ("verdicts", "masks"),
    [
        pytest.param([PASS], [("pass",)], id="one member hands on and the packet falls off"),
        pytest.param([DROP], [("pass",)], id="one member drops"),
        pytest.param([PASS, PASS, PASS], [()] * 3, id="all pass by default"),
        pytest.param([PASS, DROP, PASS], [()] * 3, id="the second drops, the third never runs"),
        pytest.param([31, TX, PASS], [()] * 3, id="dispatcher_return hands on, tx ends"),
        pytest.param([DROP, DROP], [("drop",), ("drop",)], id="a drop that is handed on to the end becomes a pass"),
        pytest.param([PASS, PASS], [("drop",), ()], id="pass is not in the set, so the first ends the chain"),
        pytest.param([34, PASS], [(), ()], id="34 is not 2: out of range ends as aborted"),
        pytest.param([0xFFFFFFFF, PASS], [("aborted", "drop", "pass"), ()], id="-1 is out of range"),
        pytest.param([5, PASS], [("aborted", "drop", "pass", "tx", "redirect"), ()], id="5 is out of range"),
        pytest.param([31], [("drop",)], id="dispatcher_return not in the set ends as aborted"),
        pytest.param(
            [31, 4, 0, 2, 1],
            [
                ("drop", "tx", "aborted", "dispatcher_return"),
                ("pass", "redirect"),
                ("aborted", "tx"),
                ("aborted", "pass", "redirect", "dispatcher_return", "tx"),
                ("drop", "redirect"),
            ],
            id="mixed sets of every size",
        ),
        pytest.param(
            [34, PASS],
            [("aborted", "pass", "redirect", "dispatcher_return", "tx"), ()],
            id="out of range with a set that is tested by shifting",
        ),
    ],
)
def test_verdict_and_counts_follow_the_meaning(verdicts: list[int], masks: list[tuple[str, ...]], form: Form) -> None:
    with Rig() as rig:
        loaded = [rig.count(code) for code in verdicts]
        parsed = [verdict.parse_names(codes.XDP, names) for names in masks]
        parts = [Part(member=member, proceed=mask, form=form) for (member, _), mask in zip(loaded, parsed, strict=True)]
        chain = rig.open(linked.link(codes.XDP, parts, counter_map="counters", name="chain"))

        returned, _ = bpf_raw.send(chain.fd, repeat=PACKETS)

        expected, ran = verdict.run(codes.XDP, list(zip(parsed, verdicts, strict=True)))
        assert returned == expected
        own = [number(one.plain["packets"]) for _, one in loaded]
        assert own == [PACKETS] * ran + [0] * (len(loaded) - ran)
        seen = members_counts(chain, len(loaded))
        assert [one.runs for one in seen] == own
        assert all(one.runs == one.proceeded + sum(one.stopped.values()) for one in seen)


def test_a_wall_leaves_later_members_out_and_their_counts_are_zero() -> None:
    with Rig() as rig:
        (first, _), (second, own) = rig.count(DROP), rig.count(PASS)
        none = codes.Mask(0)
        parts = [Part(member=first, proceed=none), Part(member=second, proceed=none)]
        whole = linked.link(codes.XDP, parts, counter_map="counters", name="chain")
        chain = rig.open(whole)
        assert whole.forms == (Form.INLINE,)
        assert bpf_raw.send(chain.fd, repeat=7)[0] == DROP
        seen = members_counts(chain, 2)
        assert (seen[0].stopped[DROP], seen[1].runs, number(own.plain["packets"])) == (7, 0, 0)


def test_counts_name_member_and_verdict_that_ended_the_chain() -> None:
    with Rig() as rig:
        members = [rig.count(PASS)[0], rig.count(TX)[0], rig.count(PASS)[0]]
        chain = rig.chain(members)
        bpf_raw.send(chain.fd, repeat=PACKETS)
        first, second, third = members_counts(chain, 3)
        assert (first.runs, first.proceeded) == (PACKETS, PACKETS)
        assert (second.stopped[TX], second.proceeded) == (PACKETS, 0)
        assert third.runs == 0


def test_out_of_range_verdicts_are_counted_as_other() -> None:
    with Rig() as rig:
        chain = rig.chain([rig.count(99)[0]])
        assert bpf_raw.send(chain.fd, repeat=3)[0] == ABORTED
        assert members_counts(chain, 1)[0].stopped == {codes.XDP.other: 3}


def test_32_small_members_run() -> None:
    with Rig() as rig:
        loaded = [rig.count() for _ in range(31)]  # 31 members with two maps each, and the counters: 63 of 64 maps
        bare = rig.load("licences", "GPL_HELPER").members["licensed"]
        chain = rig.chain([*(member for member, _ in loaded), bare])
        assert bpf_raw.send(chain.fd, repeat=PACKETS)[0] == PASS
        assert {number(one.plain["packets"]) for _, one in loaded} == {PACKETS}


@pytest.mark.native  # two minutes of emulation
def test_a_long_chain_repeats_its_end_within_reach_of_jumps() -> None:
    with Rig() as rig:
        loaded = [rig.count() for _ in range(3)]
        long = rig.load("long", only=["long_body"]).members["long_body"]
        members = [loaded[0][0], long, long, loaded[1][0], long, long, loaded[2][0]]
        chain = rig.chain(members)
        assert len(chain.linked.insns) // 8 > 40_000
        assert bpf_raw.send(chain.fd, repeat=10)[0] == PASS
        assert [number(one.plain["packets"]) for _, one in loaded] == [10, 10, 10]
