"""The part of HPACK (RFC 7541) that gRPC over a socket of our own needs: literals, no table, no Huffman coding.

A peer is told to keep no table (SETTINGS_HEADER_TABLE_SIZE 0) and gRPC's C core codes no string; what another peer
codes all the same is read past and told as "".
"""

from __future__ import annotations

from collections.abc import Iterable

METHOD_POST = b"\x83"
SCHEME_HTTP = b"\x86"
STATUS_200 = b"\x88"
"""Whole fields of the static table (appendix A): entries 3, 6 and 8."""
_NAMES = {b":authority": 1, b":path": 4, b"content-type": 31}
"""Names in the static table that are sent often."""
_STATIC = {8: (b":status", b"200"), 31: (b"content-type", b""), 12: (b":status", b"400"), 13: (b":status", b"404")}
_HUFFMAN = 0x80


def field(name: bytes, value: bytes) -> bytes:
    """One header, as a literal that is not remembered (section 6.2.2)."""
    known = _NAMES.get(name)
    head = b"\x00" + _string(name) if known is None else _integer(known, 4)
    return head + _string(value)


def fields(block: bytes) -> Iterable[tuple[bytes, bytes]]:
    """The headers of a block. ``ValueError`` when it is cut short."""
    at = 0
    while at < len(block):
        first = block[at]
        if first & 0x80:  # a whole field of a table
            index, at = _read_integer(block, at, 7)
            yield _STATIC.get(index, (b"", b""))
            continue
        if first & 0x20 and not first & 0x40:  # the table's new size
            _, at = _read_integer(block, at, 5)
            continue
        index, at = _read_integer(block, at, 6 if first & 0x40 else 4)
        if index:
            name = _STATIC.get(index, (b"", b""))[0]
        else:
            name, at = _read_string(block, at)
        value, at = _read_string(block, at)
        yield name, value


def _integer(value: int, prefix: int) -> bytes:
    """Section 5.1, with zeros in the bits above the prefix."""
    limit = (1 << prefix) - 1
    if value < limit:
        return bytes([value])
    coded = bytearray([limit])
    value -= limit
    while value >= 128:
        coded.append(value & 127 | 128)
        value >>= 7
    coded.append(value)
    return bytes(coded)


def _string(value: bytes) -> bytes:
    return _integer(len(value), 7) + value


def _read_integer(block: bytes, at: int, prefix: int) -> tuple[int, int]:
    limit = (1 << prefix) - 1
    value = _byte(block, at) & limit
    at += 1
    if value < limit:
        return value, at
    shift = 0
    while True:
        byte = _byte(block, at)
        at += 1
        value += (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return value, at
        if shift > 28:
            raise ValueError("a number in a header is too large")


def _read_string(block: bytes, at: int) -> tuple[bytes, int]:
    coded = _byte(block, at) & _HUFFMAN
    length, at = _read_integer(block, at, 7)
    if at + length > len(block):
        raise ValueError("a header is cut short")
    return (b"" if coded else bytes(block[at : at + length])), at + length


def _byte(block: bytes, at: int) -> int:
    if at >= len(block):
        raise ValueError("a header is cut short")
    return block[at]
