from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep import model
from skep.chain import codes, counts
from skep.chain.codes import TC, XDP


def test_layout_of_an_xdp_chain() -> None:
    assert counts.stride(XDP) == 8
    assert [counts.slot(XDP, 1, code) for code in (0, 4, 5, 31, -1)] == [8, 12, 13, 13, 13]
    assert counts.fall_off_slot(XDP, 2) == 16
    assert counts.max_entries(XDP, 2) == 17


def test_layout_of_a_tc_chain() -> None:
    assert counts.stride(TC) == 16
    assert [counts.slot(TC, 0, code) for code in (-1, 8, 9, 30)] == [0, 9, 10, 10]


@pytest.mark.parametrize("hook", [XDP, TC], ids=lambda hook: hook.name)
def test_slots_of_members_and_verdicts_never_meet(hook: codes.Hook) -> None:
    known = range(hook.lowest, hook.other + 1)
    slots = [counts.slot(hook, member, code) for member in range(40) for code in known]
    slots.append(counts.fall_off_slot(hook, 40))
    assert len(set(slots)) == len(slots)
    assert max(slots) == counts.max_entries(hook, 40) - 1


def test_runs_follow_by_subtraction() -> None:
    slots = [0] * 17
    slots[1] = 5  # the first member dropped 5
    slots[8 + 3] = 2  # the second sent 2 back
    slots[8 + 5] = 1  # and gave one unknown verdict
    slots[16] = 10  # 10 fell off the end
    assert counts.totals(XDP, 2, slots) == (
        model.Counts(runs=18, proceeded=13, stopped={1: 5}),
        model.Counts(runs=13, proceeded=10, stopped={3: 2, 5: 1}),
    )


def test_a_map_without_packets_counts_nothing() -> None:
    assert counts.totals(XDP, 1, []) == (model.Counts(runs=0, proceeded=0, stopped={}),)


@given(st.lists(st.lists(st.sampled_from([0, 1, 2, 3, 4, 9]), max_size=4), max_size=30))
def test_totals_equal_a_walk_of_every_packet(packets: list[list[int]]) -> None:
    """A packet: how many members hand it on, and the verdict of the one that ends it (2 in the chain's own end)."""
    members = 3
    slots = [0] * counts.max_entries(XDP, members)
    ran = [0] * members
    for packet in packets:
        handed_on, code = min(len(packet), members), packet[-1] if packet else 2
        for member in range(min(handed_on + 1, members)):
            ran[member] += 1
        ended = counts.slot(XDP, handed_on, code) if handed_on < members else counts.fall_off_slot(XDP, members)
        slots[ended] += 1
    assert [one.runs for one in counts.totals(XDP, members, slots)] == ran
