from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep import errors
from skep.chain import codes, verdict
from skep.chain.codes import TC, XDP, Mask


@pytest.mark.parametrize(
    ("hook", "mask"),
    [pytest.param(XDP, 0x80000004, id="XDP"), pytest.param(TC, 0x80000010, id="TC")],
)
def test_default_masks_are_bpfmans(hook: codes.Hook, mask: int) -> None:
    assert verdict.default(hook) == mask
    assert verdict.parse_names(hook, []) == mask
    assert verdict.parse_codes(hook, []) == mask


@pytest.mark.parametrize(
    ("hook", "names", "mask"),
    [
        (XDP, ["aborted"], 1),
        (XDP, ["drop", "pass"], 6),
        (XDP, ["3", "Redirect"], 0x18),
        (XDP, ["dispatcher-return"], 1 << 31),
        (TC, ["unspec"], 1),
        (TC, ["-1", "ok"], 3),
        (TC, ["trap"], 1 << 9),
        (TC, ["dispatcher_return"], 1 << 31),
    ],
)
def test_names_and_codes_become_bits(hook: codes.Hook, names: list[str], mask: int) -> None:
    assert verdict.parse_names(hook, names) == mask


@pytest.mark.parametrize("hook", [XDP, TC], ids=lambda hook: hook.name)
@given(data=st.data())
def test_masks_and_names_are_inverse(hook: codes.Hook, data: st.DataObject) -> None:
    wanted = data.draw(st.sets(st.sampled_from(sorted(hook.codes)), min_size=1))
    mask = verdict.parse_names(hook, wanted)
    assert set(verdict.names(hook, mask)) == wanted
    assert verdict.parse_codes(hook, verdict.codes(hook, mask)) == mask


@pytest.mark.parametrize(("name", "near"), [("dorp", "drop"), ("passs", "pass"), ("dispatcher", "dispatcher_return")])
def test_an_unknown_verdict_is_refused_with_near_misses(name: str, near: str) -> None:
    with pytest.raises(errors.InvalidRequest) as refused:
        verdict.parse_names(XDP, [name])
    assert f"did you mean {near}" in refused.value.do


@pytest.mark.parametrize("code", [-1, 5, 30, 32, 99])
def test_an_unknown_code_is_refused_with_the_list(code: int) -> None:
    with pytest.raises(errors.InvalidRequest, match="redirect \\(4\\)"):
        verdict.parse_codes(XDP, [code])


PASS, DROP = Mask(1 << 2), Mask(1 << 1)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        pytest.param([(PASS, 2)], (2, 1), id="hands on and falls off"),
        pytest.param([(PASS, 1)], (1, 1), id="ends the chain"),
        pytest.param([(DROP, 1)], (2, 1), id="a drop that is handed on becomes a pass"),
        pytest.param([(PASS, 34), (PASS, 2)], (0, 1), id="unknown code aborts"),
        pytest.param([(PASS, 31), (PASS, 2)], (0, 1), id="dispatcher_return that is not handed on aborts"),
        pytest.param([(PASS, 2), (PASS, 3), (PASS, 2)], (3, 2), id="the second ends it"),
        pytest.param([], (2, 0), id="nobody"),
    ],
)
def test_meaning_of_a_chain(members: list[tuple[Mask, int]], expected: tuple[int, int]) -> None:
    assert verdict.run(XDP, members) == expected


def test_reach_stops_at_a_wall_and_says_so() -> None:
    found = verdict.reach(XDP, [("a", PASS), ("b", Mask(0)), ("c", PASS)])
    assert found.reachable == (True, True, False)
    assert found.warnings == ("c never runs: b before it hands no verdict on",)


def test_a_last_member_that_proceeds_on_drop_is_warned_about() -> None:
    found = verdict.reach(XDP, [("a", PASS), ("b", Mask(DROP | PASS))])
    assert found.reachable == (True, True)
    assert len(found.warnings) == 1
    assert "turns a drop into a pass" in found.warnings[0]


@pytest.mark.parametrize("hook", [XDP, TC], ids=lambda hook: hook.name)
def test_defaults_warn_about_nothing(hook: codes.Hook) -> None:
    assert verdict.reach(hook, [("a", verdict.default(hook)), ("b", verdict.default(hook))]).warnings == ()


def test_names_of_codes() -> None:
    assert [verdict.name_of(XDP, code) for code in (0, 4, 5, 31, 77)] == [
        "aborted",
        "redirect",
        "other",
        "dispatcher_return",
        "77",
    ]
