"""Errors cross the wire whole."""

from __future__ import annotations

import random
import string

import grpc
import pytest

from skep import errors
from skep.rpc import status


def every(kind: type[errors.SkepError]) -> list[type[errors.SkepError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in every(child))]


CLASSES = [kind for kind in every(errors.SkepError) if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_has_a_code_that_grpc_knows(kind):
    assert kind in status.CODES
    assert grpc.StatusCode[status.CODES[kind]] is not grpc.StatusCode.OK


def make(kind: type[errors.SkepError], **more: object) -> errors.SkepError:
    if issubclass(kind, errors.NotFound):
        return kind("what", why="why", do="do", errno=2, near=("nearly", "almost"))
    if issubclass(kind, errors.Unsupported):
        return kind("what", why="why", do="do", errno=95, feature="tcx", first="6.6")
    return kind("what", why="why", do="do", errno=22, **more)  # type: ignore[arg-type]  # "log" only


def over_the_wire(error: errors.SkepError, log_bytes: int | None = status.LOG_BYTES) -> errors.SkepError:
    code, text = status.code(error), status.message(error)
    detail = status.details(error, grpc.StatusCode[code].value[0], text, log_bytes)
    return status.restore(code, text, [(status.DETAILS_KEY, detail)])


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_comes_back_as_it_was_raised(kind):
    error = make(kind, **({"log": "0: R1=ctx()\nR0 !read_ok"} if kind is errors.Rejected else {}))

    restored = over_the_wire(error)

    assert type(restored) is kind
    assert vars(restored) == vars(error)


def test_an_unknown_subclass_comes_back_as_its_parent():
    class Stranger(errors.Conflict):
        pass

    assert type(over_the_wire(Stranger("what"))) is errors.Conflict
    assert status.code(Stranger("what")) == "FAILED_PRECONDITION"


def noise(length: int) -> str:
    """Text that compression does not make small."""
    source = random.Random(7)
    return "".join(source.choices(string.ascii_letters + string.digits + "\n", k=length))


def test_the_whole_log_goes_to_a_client_that_takes_it():
    log = noise(300_000)

    assert over_the_wire(errors.Rejected("what", log=log)).log == log


def test_a_log_that_is_too_long_keeps_its_end_and_says_so():
    log = noise(40_000)

    restored = over_the_wire(errors.Rejected("what", log=log), log_bytes=4096)

    first, _, rest = restored.log.partition("\n")
    assert "too long" in first
    assert log.endswith(rest)
    assert len(rest) > 2000


def test_others_get_no_more_metadata_than_grpc_takes_by_default():
    error = errors.Rejected("w" * 9000, why="y" * 9000, do="d" * 9000, log=noise(100_000))
    text = status.message(error)

    detail = status.details(error, 3, text, None)

    assert len(text.encode()) + len(detail) * 4 / 3 < 16 * 1024
    assert len(detail) < 5 * 1024


def test_the_text_ends_with_the_last_lines_of_the_log():
    log = "\n".join(f"line {number}" for number in range(100))

    text = status.message(errors.Rejected("the verifier refused f", log=log))

    assert text.startswith("the verifier refused f\n")
    assert text.endswith("line 98\nline 99")
    assert "line 50" not in text


CODES = [
    ("NOT_FOUND", errors.NotFound),
    ("DEADLINE_EXCEEDED", errors.Busy),
    ("UNAVAILABLE", errors.Unavailable),
    ("UNIMPLEMENTED", errors.Unsupported),
    ("PERMISSION_DENIED", errors.Denied),
    ("UNKNOWN", errors.Broken),
]


@pytest.mark.parametrize("code, kind", CODES)
def test_a_status_without_detail_still_has_a_class(code, kind):
    restored = status.restore(code, "the text", [])

    assert type(restored) is kind
    assert "the text" in str(restored)


def test_a_detail_that_cannot_be_read_is_ignored():
    restored = status.restore("NOT_FOUND", "the text", [(status.DETAILS_KEY, b"\xff\xff\xff")])

    assert type(restored) is errors.NotFound
