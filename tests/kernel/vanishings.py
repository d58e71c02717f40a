"""For each kind of place: how one of a test's own goes away with a program attached to it, and what the link is then.

A new kind of place (``hooks.request.Target``) gives its row here; ``test_every_type_vanishing`` says which is missing.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from skep import model
from skep.hooks import request
from tests.kernel.types_rig import Rig

DEFUNCT, PARTIAL = model.LinkState.DEFUNCT, model.LinkState.PARTIAL


@dataclass(frozen=True, kw_only=True)
class Vanishing:
    """``fields``: what the attachment says of a place that is made; ``gone`` takes it away."""

    fields: Callable[[Rig], dict[str, object]]
    gone: Callable[[Rig], None]
    state: model.LinkState
    reason: str
    needs: str = ""
    """A feature of ``skep feature`` without which there is no such place."""


def delete_interface(rig: Rig) -> None:
    subprocess.run(["ip", "-n", rig.network().name, "link", "del", rig.network().near], check=True)


def delete_namespace(rig: Rig) -> None:
    """The rig deletes one of that name in the end: it gets another."""
    subprocess.run(["ip", "netns", "del", rig.network().name], check=True)
    rig.finally_(lambda: subprocess.run(["ip", "netns", "add", rig.network().name], check=True))


def close_socket(rig: Rig) -> None:
    rig.sockets().members[0].close()


def remove_cgroup(rig: Rig) -> None:
    os.rmdir(rig.cgroup())


def near(rig: Rig) -> dict[str, object]:
    return {"interface": {"name": rig.network().near, "netns": rig.network().path}}


def module(rig: Rig) -> dict[str, object]:
    """A function of a module that nothing else uses."""
    subprocess.run(["modprobe", "dummy", "numdummies=0"], check=True)
    return {"fn_name": "dummy_xmit", "offset": 0}


def unload_module(rig: Rig) -> None:
    subprocess.run(["rmmod", "dummy"], check=True)


INTERFACE = (
    Vanishing(fields=near, gone=delete_interface, state=DEFUNCT, reason="interface was deleted"),
    Vanishing(fields=near, gone=delete_namespace, state=DEFUNCT, reason="interface was deleted"),
)
NETNS = Vanishing(
    fields=lambda rig: {"netns": rig.network().path}, gone=delete_namespace, state=DEFUNCT, reason="place was deleted"
)

VANISHINGS: dict[type, tuple[Vanishing, ...]] = {
    request.InterfaceTarget: INTERFACE,
    request.FilterTarget: INTERFACE,
    request.NetnsTarget: (NETNS,),
    request.NetfilterTarget: (
        Vanishing(
            fields=lambda rig: {"netns": rig.network().path}, gone=delete_namespace, state=PARTIAL, reason="was deleted"
        ),
    ),
    request.SocketTarget: (
        Vanishing(
            fields=lambda rig: {"socket": rig.sockets().named(0)}, gone=close_socket, state=DEFUNCT, reason="is closed"
        ),
    ),
    request.CgroupTarget: (
        Vanishing(
            fields=lambda rig: {"path": rig.cgroup()}, gone=remove_cgroup, state=DEFUNCT,
            reason="place was deleted",
        ),
    ),
    request.KprobeTarget: (
        Vanishing(fields=module, gone=unload_module, state=DEFUNCT, reason="place was deleted", needs="kprobe"),
    ),
}  # fmt: skip

HELD: dict[type, str] = {
    request.StructOpsTarget: "a registration holds its map, and that its programs",
    request.HeldMapTarget: "no kernel of the tests lacks the links; what stands for one is in test_held_by_map",
    request.MapTarget: "a link holds its map, also when its pins are removed",
    request.TracepointTarget: "an event holds its module",
    request.RawTracepointTarget: "a link holds its module",
    request.LoadedTarget: "a loaded program holds its module",
    request.IteratorTarget: "kinds of objects stay, a link holds its map and cgroup; processes: see below",
    request.KprobeMultiTarget: "a link holds its modules",
    request.UprobeTarget: "an event holds its file, also when the name is removed; processes: see below",
    request.UsdtTarget: "a link holds its file; processes: see below",
    request.UprobeMultiTarget: "a link holds its file; processes: see below",
    request.PerfEventTarget: "processors and clocks stay; processes: see below",
}
"""Places that cannot go while something is attached there, and why. What is for one process has a ``pid``, and each
type with that field is tried with a process that ends."""


@contextlib.contextmanager
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that works for as long as nobody ends it."""
    child = subprocess.Popen([sys.executable, "-c", "import time\nwhile True: time.sleep(0.01)"])
    try:
        yield child
    finally:
        child.kill()
        child.wait()
