"""Elements in files: every form that ``map dump`` prints is read back, and what is wrong is told with its line."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep import errors, model
from skep.cli import elementfile

ONE = {"key": 1, "value": {"packets": 2}, "key_hex": "01000000", "value_hex": "02000000"}
TWO = {"key": "hex:0a00", "values": [3, "hex:04"], "key_hex": "0a00", "values_hex": ["03", "04"]}
BYTES = {"key_hex": "0b", "values_hex": ["05", "06"]}
PUSHED = {"value": 7}
DUMPED = '{"entries": [' + ",".join("\n  " + json.dumps(one) for one in (ONE, TWO, BYTES, PUSHED)) + "\n]}"


def elements(text: str) -> list[tuple[int, model.MapElement]]:
    return [(one.number, one.element) for one in elementfile.lines(text, "f")]


def datum(value: object, raw: str | None = None) -> model.Datum:
    return model.Datum(json=json.dumps(value), raw=None if raw is None else bytes.fromhex(raw))


FIRST = model.MapElement(key=datum(1, "01000000"), value=datum({"packets": 2}, "02000000"))
SECOND = model.MapElement(key=datum("hex:0a00", "0a00"), values=(datum(3, "03"), datum("hex:04", "04")))
THIRD = model.MapElement(key=model.Datum(raw=b"\x0b"), values=(model.Datum(raw=b"\5"), model.Datum(raw=b"\6")))
FOURTH = model.MapElement(value=datum(7))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("\n".join(map(json.dumps, (ONE, TWO, BYTES, PUSHED))), (1, 2, 3, 4)),
        (json.dumps([ONE, TWO, BYTES, PUSHED]), (1, 1, 1, 1)),
        (json.dumps({"entries": [ONE, TWO, BYTES, PUSHED]}, indent=None), (1, 1, 1, 1)),
        (DUMPED, (2, 3, 4, 5)),
        ("\n\n" + json.dumps(ONE) + "\n\n" + "\n".join(map(json.dumps, (TWO, BYTES, PUSHED))) + "\n", (3, 5, 6, 7)),
    ],
    ids=["lines", "list", "document", "as dump prints it", "blank lines"],
)  # fmt: skip
def test_every_form_is_read(text: str, numbers: tuple[int, ...]) -> None:
    assert elements(text) == list(zip(numbers, (FIRST, SECOND, THIRD, FOURTH), strict=True))


@pytest.mark.parametrize("text", ["", "\n", "[]", '{"entries": []}\n'])
def test_nothing_is_nothing(text: str) -> None:
    assert elements(text) == []


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ('{"key": 1, "value": 2}\n{"key": 1', 2, "Expecting"),
        ('{"key": 1, "value": 2}\n7', 2, "it is 7"),
        ('{"key": 1}', 1, "has no value"),
        ('{"key": 1, "values": 3}', 1, "not a list"),
        ('{"key": 1, "values": []}', 1, "has no value"),
        ('{"key_hex": "0", "value": 1}', 1, "not bytes"),
        ('[{"key": 1, "value": 2}\n{"key": 3, "value": 4}]', 1, "a comma is missing"),
        ('[{"key": 1, "value": 2},\n{"key": 3, "value": 4}', 2, "cut off"),
        ("[" * 100_000, 1, ""),
        ('[{"key": 1, "value": 2},\nNaN7]', 2, ""),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, line: int, why: str) -> None:
    with pytest.raises(errors.InvalidRequest, match=f"f, line {line}: ") as told:
        elements(text)
    assert why in told.value.why
    assert told.value.do


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(errors.InvalidRequest):
        elements(text)


@pytest.mark.parametrize(
    ("content", "kind"), [(b"\xff\xfe", errors.InvalidRequest), (None, errors.NotFound)], ids=["not text", "not there"]
)
def test_a_file_that_cannot_be_read(tmp_path, content, kind) -> None:
    file = tmp_path / "f"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(kind):
        elementfile.read(str(file))
    with pytest.raises(errors.InvalidRequest, match="cannot read"):
        elementfile.read(str(tmp_path))
