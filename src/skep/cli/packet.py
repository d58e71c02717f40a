"""Packets by name, for ``--data``: one of each usual kind, as an Ethernet frame of at least 60 bytes. Pure.

Addresses are of the ranges for documentation (RFC 5737, RFC 3849), checksums are right.
"""

from __future__ import annotations

import struct

from skep import errors

_TO, _FROM = bytes.fromhex("020000000002"), bytes.fromhex("020000000001")
_IPV4 = (bytes((192, 0, 2, 1)), bytes((198, 51, 100, 2)))
_IPV6 = (bytes.fromhex("20010db8000000000000000000000001"), bytes.fromhex("20010db8000000000000000000000002"))
_SHORTEST = 60
"""ETH_ZLEN (linux/if_ether.h)."""
_ICMP, _TCP, _UDP, _ICMPV6 = 1, 6, 17, 58
KINDS = ("udp4", "tcp4", "icmp4", "udp6", "tcp6", "icmp6", "arp")


def made(kind: str) -> bytes:
    """A packet of a kind: UDP from port 40000 to 53, a TCP SYN to 80, an echo or ARP request. InvalidRequest."""
    match kind:
        case "udp4" | "udp6":
            whole = _ip(kind, _UDP, struct.pack(">HHHH", 40000, 53, 8, 0), at=6)
        case "tcp4" | "tcp6":
            whole = _ip(kind, _TCP, struct.pack(">HHIIBBHHH", 40000, 80, 1, 0, 5 << 4, 0x02, 64240, 0, 0), at=16)
        case "icmp4":
            whole = _ip(kind, _ICMP, struct.pack(">BBHHH", 8, 0, 0, 1, 1), at=2)
        case "icmp6":
            whole = _ip(kind, _ICMPV6, struct.pack(">BBHHH", 128, 0, 0, 1, 1), at=2)
        case "arp":
            asked = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + _FROM + _IPV4[0] + bytes(6) + _IPV4[1]
            whole = b"\xff" * 6 + _FROM + b"\x08\x06" + asked
        case _:
            raise errors.InvalidRequest(
                f"{kind!r} is no kind of packet", why="kinds are " + ", ".join(KINDS), do="or give hex:… or @FILE"
            )
    return whole.ljust(_SHORTEST, b"\0")


def _ip(kind: str, protocol: int, payload: bytes, *, at: int) -> bytes:
    """An IP packet in its frame; the payload's checksum goes to the 16 bits ``at`` bytes into it."""
    ends = _IPV6 if kind.endswith("6") else _IPV4
    pseudo = b"".join(ends) + struct.pack(">II", len(payload), protocol)
    if protocol == _ICMP:
        pseudo = b""  # ICMP of IPv4 covers itself alone (RFC 792)
    payload = payload[:at] + _checksum(pseudo + payload) + payload[at + 2 :]
    if ends is _IPV6:
        header = struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + b"".join(ends)
        return _TO + _FROM + b"\x86\xdd" + header + payload
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0x4000, 64, protocol, 0) + b"".join(ends)
    header = header[:10] + _checksum(header) + header[12:]
    return _TO + _FROM + b"\x08\x00" + header + payload


def _checksum(data: bytes) -> bytes:
    """RFC 1071. What comes out as 0 stays 0: no kind here does."""
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">H", ~total & 0xFFFF)
