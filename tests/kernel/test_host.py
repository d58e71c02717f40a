"""What the daemon tells of its host's network namespaces, and that it tells when they change and not otherwise."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from skep import model
from skep.kernel import host, netns, routing
from tests import instance

pytestmark = pytest.mark.native  # what it is about is the same in the guest, and slow there

SECONDS = 30.0


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def named(seen: model.HostSeen, path: str) -> model.NamespaceSeen | None:
    return next((each for each in seen.namespaces if each.path == path), None)


def interface(seen: model.NamespaceSeen | None, name: str) -> model.InterfaceSeen | None:
    return next((each for each in seen.interfaces if each.name == name), None) if seen else None


def test_interfaces_addresses_and_the_way_out(network: instance.Network) -> None:
    ip = ("ip", "-n", network.name)
    run(*ip, "addr", "add", "192.0.2.1/24", "dev", network.near)
    run(*ip, "link", "set", network.far, "address", "02:00:5e:00:53:01")
    run(*ip, "link", "add", "spare", "type", "bridge")
    run(*ip, "route", "add", "default", "via", "192.0.2.2", "metric", "100")
    run(*ip, "route", "add", "default", "dev", network.far, "metric", "50")
    run(*ip, "route", "add", "198.51.100.0/24", "via", "192.0.2.2")
    run(*ip, "route", "add", "default", "dev", "lo", "table", "77")
    found = named(host.describe(), network.path)
    assert found is not None
    assert found.inode == os.stat(network.path).st_ino
    assert found.primary == (network.far, network.near)
    assert found.interfaces[0].name == "lo"
    assert [each.ifindex for each in found.interfaces] == sorted(each.ifindex for each in found.interfaces)
    near, far, spare = (interface(found, name) for name in (network.near, network.far, "spare"))
    assert near is not None and far is not None and spare is not None
    assert near.addresses == ("192.0.2.1/24",)
    assert far.mac == "02:00:5e:00:53:01"
    assert (near.up, far.up, spare.up) == (True, True, False)


def test_several_ways_out_of_one_route(network: instance.Network) -> None:
    ip = ("ip", "-n", network.name)
    hops = [word for name in (network.far, network.near) for word in ("nexthop", "dev", name)]
    run(*ip, "route", "add", "default", *hops)
    found = named(host.describe(), network.path)
    assert found is not None
    assert set(found.primary) == {network.near, network.far}


def test_ones_own_namespace_is_the_first_and_each_is_there_once(network: instance.Network) -> None:
    def describe() -> model.HostSeen:
        return host.describe()

    seen = netns.inside(network.path, describe)
    assert seen.namespaces[0].path is None
    assert seen.namespaces[0].inode == os.stat(network.path).st_ino
    assert named(seen, network.path) is None
    assert len({each.inode for each in seen.namespaces}) == len(seen.namespaces)


@contextlib.contextmanager
def watched() -> Iterator[Callable[[Callable[[model.HostSeen], bool]], model.HostSeen]]:
    """What waits for a description of which something is true."""
    told: queue.Queue[model.HostSeen] = queue.Queue()
    with host.Watch() as watch:

        def follow() -> None:
            for seen in watch.seen():
                told.put(seen)

        def until(true: Callable[[model.HostSeen], bool]) -> model.HostSeen:
            end = time.monotonic() + SECONDS
            while not true(seen := told.get(timeout=max(end - time.monotonic(), 0.1))):
                pass
            return seen

        thread = threading.Thread(target=follow)
        thread.start()
        try:
            yield until
        finally:
            watch.end()
            thread.join(SECONDS)
            assert not thread.is_alive()


def test_changes_are_told(network: instance.Network) -> None:
    ip = ("ip", "-n", network.name)
    with watched() as until:
        until(lambda seen: named(seen, network.path) is not None)
        run(*ip, "link", "add", "fresh", "type", "bridge")
        until(lambda seen: interface(named(seen, network.path), "fresh") is not None)
        run(*ip, "addr", "add", "192.0.2.1/24", "dev", network.near)
        until(lambda seen: bool(interface(named(seen, network.path), network.near).addresses))  # type: ignore[union-attr]
        run(*ip, "route", "add", "default", "via", "192.0.2.2")
        until(lambda seen: named(seen, network.path).primary == (network.near,))  # type: ignore[union-attr]
        run(*ip, "link", "del", "fresh")
        until(lambda seen: interface(named(seen, network.path), "fresh") is None)
        # The veth pair goes down, and the route with it; no route is told of then.
        run(*ip, "link", "set", network.near, "down")
        until(lambda seen: named(seen, network.path).primary == ())  # type: ignore[union-attr]


def test_namespaces_come_and_go() -> None:
    name = f"skeptk{os.getpid()}come"
    with watched() as until:
        until(lambda seen: named(seen, f"/run/netns/{name}") is None)
        run("ip", "netns", "add", name)
        try:
            seen = until(lambda seen: named(seen, f"/run/netns/{name}") is not None)
            number = seen.namespaces[[each.path for each in seen.namespaces].index(f"/run/netns/{name}")].inode
            run("ip", "-n", name, "link", "add", "inside", "type", "bridge")
            until(lambda seen: interface(named(seen, f"/run/netns/{name}"), "inside") is not None)
        finally:
            run("ip", "netns", "del", name)
        until(lambda seen: number not in [each.inode for each in seen.namespaces])


def test_changes_come_in_flocks_and_what_does_not_matter_not_at_all(
    network: instance.Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred routes of a routing daemon are not looked at once; twenty interfaces are looked at a few times."""
    looks: list[str | None] = []
    look = host.look

    def counted(inode: model.NetnsInode, path: str | None) -> model.NamespaceSeen | None:
        looks.append(path)
        return look(inode, path)

    monkeypatch.setattr(host, "look", counted)
    ip = ["ip", "-n", network.name]
    run(*ip, "addr", "add", "192.0.2.1/24", "dev", network.near)
    heard = netns.inside(network.path, routing.listener)
    with watched() as until:
        until(lambda seen: named(seen, network.path) is not None)
        before = len(looks)
        batch = "".join(f"route add 198.51.{n}.0/24 via 192.0.2.2\n" for n in range(100))
        subprocess.run([*ip, "-batch", "-"], input=batch, text=True, check=True)
        assert not routing.drain(heard)
        heard.close()
        began = time.monotonic()
        batch = "".join(f"link add many{n} type bridge\n" for n in range(20))
        subprocess.run([*ip, "-batch", "-"], input=batch, text=True, check=True)
        until(lambda seen: interface(named(seen, network.path), "many19") is not None)
        took = time.monotonic() - began
        again = looks[before:]
        assert 1 <= again.count(network.path) <= 2 + took / host.INTERVAL
        assert None not in again, "nothing happened in our own namespace"
