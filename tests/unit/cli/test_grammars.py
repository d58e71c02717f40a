"""Grammars of arguments: label selectors, metadata, programs, global data. Any text gives a value or an error."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from skep import errors, model
from skep.cli import selector, value, when

LABELS = {"app": "web", "level": "4", "bpfman.io/application": "fw", "empty": ""}


@pytest.mark.parametrize(
    "text, expected",
    [
        ("app=web", True), ("app==web", True), ("app=api", False), ("app!=api", True), ("app!=web", False),
        ("missing!=x", True), ("missing=x", False), ("missing", False), ("!missing", True), ("! missing", True),
        ("app", True), ("!app", False), ("app in (web,api)", True), ("app in ( api , web )", True),
        ("app in (api)", False), ("app notin (api)", True), ("missing notin (api)", True), ("level>3", True),
        ("level>4", False), ("level<5", True), ("app>3", False), ("missing>3", False),
        ("app=web,level=4", True), ("app=web, level=5", False), ("bpfman.io/application=fw", True), ("empty=", True),
        ("app in (web),!missing,level<9", True),
    ],
)  # fmt: skip
def test_selectors(text: str, expected: bool) -> None:
    assert selector.matches(selector.parse(text), LABELS) is expected


@pytest.mark.parametrize(
    "text", ["=", "a=b,", ",a", "a in b", "a in (b", "a b", "a>x", "-a", "a-", "a==b==c", "a=b c", "a=(b)", "!", "a,,b"]
)
def test_what_is_no_selector(text: str) -> None:
    with pytest.raises(errors.InvalidRequest, match="label selector"):
        selector.parse(text)


@hypothesis.given(st.text(alphabet="ab=!<>(), in notexists/.-_19", max_size=30))
def test_any_text_is_a_selector_or_refused(text: str) -> None:
    try:
        requirements = selector.parse(text)
    except errors.InvalidRequest:
        return
    assert isinstance(selector.matches(requirements, LABELS), bool)


@pytest.mark.parametrize(
    "texts, expected",
    [
        (["a=1"], {"a": "1"}),
        (["a=1,b=2"], {"a": "1", "b": "2"}),
        (["a=1,2,3"], {"a": "1,2,3"}),
        (["a="], {"a": ""}),
        (["a=b=c"], {"a": "b=c"}),
        (["a=1", "a=2"], {"a": "2"}),
        ([], {}),
    ],
)
def test_metadata(texts: list[str], expected: dict[str, str]) -> None:
    assert value.metadata(texts) == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("x=0f27", {"x": b"\x0f\x27"}), ("x=0x0F27", {"x": b"\x0f\x27"}), ("x=01,y=02", {"x": b"\x01", "y": b"\x02"}),
        ("x:u8=255", {"x": b"\xff"}), ("x:i8=-1", {"x": b"\xff"}), ("x:u16=0x102", {"x": b"\x02\x01"}),
        ("x:u64=1", {"x": b"\x01" + b"\0" * 7}), ("f.static:u8=1", {"f.static": b"\x01"}),
    ],
)  # fmt: skip
def test_global_data(text: str, expected: dict[str, bytes]) -> None:
    assert value.global_data([text]) == expected


@pytest.mark.parametrize("text", ["x", "=01", "x=", "x=0", "x=zz", "x:u8=-1", "x:i8=128", "x:u8=", "x:f32=1", "x:=1"])
def test_what_is_no_global_data(text: str) -> None:
    with pytest.raises(errors.InvalidRequest, match="not global data"):
        value.global_data([text])


def test_programs() -> None:
    assert value.programs(["xdp:a, TC:b", "uprobe:c:target", "d"]) == (
        model.ProgramSpec(name="a", hook=model.HookName("xdp")),
        model.ProgramSpec(name="b", hook=model.HookName("tc")),
        model.ProgramSpec(name="c", hook=model.HookName("uprobe"), attach_func="target"),
        model.ProgramSpec(name="d"),
    )


@hypothesis.given(st.lists(st.text(max_size=20), max_size=3))
def test_any_text_is_a_value_or_refused(texts: list[str]) -> None:
    for parse in (value.metadata, value.programs, value.global_data, value.hook_names):
        try:
            parse(texts)
        except errors.InvalidRequest as error:
            hypothesis.note(str(error))


@pytest.mark.parametrize("text", ["", "a/b", "a b", "a" * 128, ".", "..", "a:1", "é" * 64])
def test_what_is_no_interface(text: str) -> None:
    with pytest.raises(errors.InvalidRequest, match="interface"):
        value.interface(text)


@pytest.mark.parametrize(
    "seconds, text", [(-5, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (48 * 3600, "2d"), (10**7, "115d")]
)
def test_ages(seconds: float, text: str) -> None:
    assert when.age(seconds) == text
