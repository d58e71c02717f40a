"""Netlink messages as bytes: attributes there and back, acknowledgements, what is damaged."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as some

from skep.kernel import netlink

TYPES = some.integers(1, 0x3FFF)
PAYLOADS = some.binary(max_size=40)


@given(some.dictionaries(TYPES, PAYLOADS))
def test_attributes_are_read_as_they_were_written(pairs: dict[int, bytes]) -> None:
    data = b"".join(netlink.attribute(type, payload) for type, payload in pairs.items())
    assert len(data) % 4 == 0
    assert netlink.attributes(data) == pairs


@given(some.binary(max_size=200))
def test_any_bytes_at_all_are_read_to_their_end(data: bytes) -> None:
    for payload in netlink.attributes(data).values():
        assert payload in data


def test_text_and_numbers() -> None:
    assert netlink.attributes(netlink.text(7, "clsact")) == {7: b"clsact\0"}
    assert netlink.attributes(netlink.number(6, 5)) == {6: struct.pack("=I", 5)}
    nested = 1 << 15
    assert netlink.attributes(netlink.attribute(2 | nested, b"x")) == {2: b"x"}


def acknowledgement(code: int, text: str = "", *, capped: bool = True, request: bytes = b"") -> tuple[int, bytes]:
    """Flags and body of an NLMSG_ERROR."""
    header = struct.pack("=IHHII", 16 + len(request), 44, 5, 1, 0)
    body = struct.pack("=i", -code) + header + (b"" if capped else request)
    flags = 0x100 if capped else 0
    if text:
        body, flags = body + netlink.text(1, text), flags | 0x200
    return flags, body


def test_success_raises_nothing() -> None:
    netlink.raise_refusal(*acknowledgement(0))
    netlink.raise_refusal(0, b"")


@pytest.mark.parametrize("capped", [True, False])
def test_a_refusal_has_the_kernels_words(capped: bool) -> None:
    flags, body = acknowledgement(errno.ENOENT, "TC classifier not found", capped=capped, request=bytes(24))
    with pytest.raises(netlink.Refusal) as told:
        netlink.raise_refusal(flags, body)
    assert (told.value.errno, told.value.text) == (errno.ENOENT, "TC classifier not found")


def test_a_refusal_may_be_without_words() -> None:
    with pytest.raises(netlink.Refusal) as told:
        netlink.raise_refusal(*acknowledgement(errno.EPERM))
    assert (told.value.errno, told.value.text) == (errno.EPERM, "")
