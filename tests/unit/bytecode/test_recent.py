"""What was made of small bytes is made once; large bytes and failures are not remembered."""

from __future__ import annotations

import pytest

from skep.bytecode import recent

KEPT = 3


@pytest.fixture
def made() -> list[tuple[bytes, int]]:
    """What was really made."""
    return []


@pytest.fixture
def double(made):
    """A function that notes its calls and refuses b"bad"."""

    def make(data: bytes, more: int = 0) -> bytes:
        made.append((data, more))
        if data == b"bad":
            raise ValueError("bad")
        return data + data

    return recent.recent(KEPT)(make)


def test_the_same_bytes_are_looked_at_once(double, made):
    first = double(b"some")
    assert double(bytes(bytearray(b"some"))) is first
    assert made == [(b"some", 0)]


def test_other_bytes_and_other_arguments_are_other_results(double, made):
    double(b"some"), double(b"same"), double(b"some", 1)
    assert made == [(b"some", 0), (b"same", 0), (b"some", 1)]


def test_large_bytes_are_not_kept(double, made):
    large = bytes(recent.LARGEST + 1)
    double(large), double(large)
    assert len(made) == 2


def test_the_oldest_is_forgotten(double, made):
    for number in range(KEPT + 1):
        double(bytes([number]))
    double(b"\0")
    assert made[-1] == (b"\0", 0)


def test_a_failure_is_not_remembered(double, made):
    for _ in range(2):
        with pytest.raises(ValueError, match="bad"):
            double(b"bad")
    assert len(made) == 2
