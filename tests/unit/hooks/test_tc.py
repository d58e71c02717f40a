"""tc's own rules: verdicts, the filter's priority, and what is said of other people's filters."""

from __future__ import annotations

import pytest

from skep import errors, model
from skep.hooks import hook, request, tc, tcx

ETH0 = model.InterfaceRef(name="eth0")


def attachment(**fields: object) -> tc.TcAttachment:
    values = {"interface": ETH0, "direction": "egress", "priority": 5, **fields}
    return tc.TcAttachment(**values)  # type: ignore[arg-type]  # a table of fields


def foreign(priority: int) -> model.Filter:
    return model.Filter(
        interface="eth0", ifindex=model.IfIndex(2), direction="egress", priority=priority, handle=1, kind="flower"
    )


def test_plain_words_and_codes_become_values() -> None:
    made = attachment(proceed_on=(3, -1, 3))
    assert made.direction is tcx.Direction.EGRESS
    assert made.proceed_on == (-1, 3)
    assert tc.parse_proceed_on("Pipe, unspec,0,-1") == (-1, 0, 3)


@pytest.mark.parametrize("code", [-2, 9, 29, 31])
def test_codes_that_no_tc_program_returns_are_refused(code: int) -> None:
    with pytest.raises(errors.InvalidRequest, match=r"not a tc verdict: verdicts are unspec -1, ok 0"):
        attachment(proceed_on=(code,))


@pytest.mark.parametrize("word", ["pass", "--1", "3.0", "²", "-"])
def test_words_that_are_no_verdict_are_refused(word: str) -> None:
    with pytest.raises(errors.InvalidRequest, match="not a tc verdict"):
        tc.parse_proceed_on(word)


@pytest.mark.parametrize(
    ("taken", "priority"), [([], 50), ([10, 51], 50), ([50], 51), ([50, 51, 53], 52), ([0xC000], 50)]
)
def test_the_filter_takes_the_first_priority_that_nobody_has(taken: list[int], priority: int) -> None:
    beside = model.LinkPin("/pins/chains/tc-ingress-1-2/filter")
    (wanted,) = tc.requests(attachment(), hook.Placing(taken=frozenset(taken), beside=beside))
    assert wanted.target == request.FilterTarget(interface=ETH0, direction="egress", priority=priority, beside=beside)
    assert wanted.label == f"filter with priority {priority}"


def test_without_a_free_priority_there_is_no_filter() -> None:
    everything = frozenset(range(1, 0x10000))
    with pytest.raises(errors.Exhausted, match="50 to 49151"):
        tc.free_priority(everything)


def test_neighbours_are_told_in_the_order_in_which_they_are_asked() -> None:
    assert tc.neighbours([foreign(60), foreign(10)], own=50) == (
        "a foreign flower filter at priority 10 is asked before the chain: what it decides never comes here",
        "a foreign flower filter at priority 60 is asked only about packets that the chain ends with unspec",
    )


def test_a_filters_name_fits_and_ends_with_its_chain() -> None:
    short = model.PinDir("/sys/fs/bpf/skep/chains/tc-ingress-1-2")
    assert tc.filter_name(short) == short
    long = model.PinDir(f"/{'x' * 300}/tc-ingress-1-2")
    assert tc.filter_name(long).endswith("x/tc-ingress-1-2")
    assert len(tc.filter_name(long)) == tc.MAX_FILTER_NAME
