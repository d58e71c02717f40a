"""What route netlink says about interfaces and default routes, read from bytes as the kernel lays them out."""

from __future__ import annotations

import socket
import struct

from skep import model
from skep.kernel import netlink, routing

V4, V6 = int(socket.AF_INET), int(socket.AF_INET6)
MAIN, LOCAL = 254, 255
UNICAST, UNREACHABLE = 1, 7
NEWLINK, NEWADDR, NEWROUTE, DELROUTE, NEWNEIGH = 16, 20, 24, 25, 28


def link(index: int, name: str, *, up: bool = True, mac: bytes = b"", family: int = 0, loopback: bool = False) -> bytes:
    flags = int(up) | (8 if loopback else 0)
    body = struct.pack("=BxHiII", family, 1, index, flags, 0) + netlink.text(3, name)
    return body + (netlink.attribute(1, mac) if mac else b"")


def address(index: int, text: str, prefix: int, *, peer: str = "") -> bytes:
    family = V6 if ":" in text else V4
    raw = socket.inet_pton(family, text)
    body = struct.pack("=BBBBI", family, prefix, 0, 0, index)
    if family == V6:
        return body + netlink.attribute(1, raw)
    return body + netlink.attribute(1, socket.inet_aton(peer or text)) + netlink.attribute(2, raw)


def route(
    out: int = 0, metric: int = 0, *, family: int = V4, length: int = 0, table: int = MAIN, type: int = UNICAST,
    hops: tuple[int, ...] = (),
) -> bytes:  # fmt: skip
    body = struct.pack("=BBBBBBBBI", family, length, 0, 0, table, 3, 0, type, 0)
    if out:
        body += netlink.number(4, out)
    if metric:
        body += netlink.number(6, metric)
    if hops:
        via = netlink.attribute(5, socket.inet_aton("192.0.2.9"))
        body += netlink.attribute(9, b"".join(struct.pack("=HBBi", 8 + len(via), 0, 0, hop) + via for hop in hops))
    return body


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body + bytes(-len(body) % 4)


def test_interfaces_with_their_addresses() -> None:
    found = routing.interfaces(
        [link(3, "eth0", mac=bytes.fromhex("02005e005301")), link(1, "lo", mac=bytes(6), loopback=True)],
        [
            address(3, "192.0.2.1", 24),
            address(3, "2001:db8::1", 64),
            address(1, "127.0.0.1", 8),
            address(3, "198.51.100.1", 32, peer="198.51.100.2"),
        ],
    )
    assert found == (
        model.InterfaceSeen(name="lo", ifindex=model.IfIndex(1), addresses=("127.0.0.1/8",), up=True),
        model.InterfaceSeen(
            name="eth0",
            ifindex=model.IfIndex(3),
            mac="02:00:5e:00:53:01",
            addresses=("192.0.2.1/24", "198.51.100.1/32", "2001:db8::1/64"),
            up=True,
        ),
    )


def test_an_interface_that_is_down_and_has_nothing() -> None:
    (found,) = routing.interfaces([link(7, "ip6tnl0", up=False, mac=bytes(16))], [])
    assert (found.name, found.mac, found.addresses, found.up) == ("ip6tnl0", "", (), False)


def test_a_bridges_view_of_its_ports_is_left_out() -> None:
    assert routing.interfaces([link(3, "eth0", family=7)], []) == ()


def test_default_routes() -> None:
    assert routing.defaults(route(3, 100)) == (routing.Default(4, 100, 3),)
    assert routing.defaults(route(family=V6, hops=(3, 5))) == (routing.Default(6, 0, 3), routing.Default(6, 0, 5))
    for other in (
        route(3, length=24),
        route(3, table=LOCAL),
        route(3, type=UNREACHABLE),
        route(3, family=28),
    ):
        assert routing.defaults(other) == ()


def test_the_primary_interface_has_the_best_route() -> None:
    seen = routing.interfaces([link(1, "lo"), link(2, "eth0"), link(3, "eth1"), link(4, "eth2")], [])
    routes = [
        routing.Default(6, 1, 4),
        routing.Default(4, 200, 2),
        routing.Default(4, 100, 3),
        routing.Default(6, 0, 2),
        routing.Default(6, 0, 1),
        routing.Default(4, 0, 99),
    ]
    assert routing.primary(seen, routes) == ("eth1", "eth0", "eth2")


def test_what_is_worth_looking_again() -> None:
    quiet = message(NEWROUTE, route(3, length=24)) + message(NEWNEIGH, bytes(12))
    assert not routing.matters(quiet)
    for loud in (
        message(NEWLINK, link(3, "eth0")),
        message(NEWADDR, address(3, "192.0.2.1", 24)),
        message(DELROUTE, route(3)),
    ):
        assert routing.matters(quiet + loud)


def test_half_a_message_is_none() -> None:
    whole = message(NEWLINK, link(3, "eth0"))
    for cut in range(len(whole)):
        assert list(netlink.messages(whole[:cut])) == []
    assert list(netlink.messages(struct.pack("=IHHII", 4, NEWLINK, 0, 0, 0) + whole)) == []
