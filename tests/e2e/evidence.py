"""All that an operation could have changed, as one value to compare before and after.

BPF objects live as long as something holds them: a pin, a descriptor, or a hook. So the pins with the ids behind them,
the descriptors of the daemon and its worker, and the hooks of the interfaces show every object that was left behind,
whatever other instances do on this host meanwhile.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from dataclasses import dataclass
from pathlib import Path

from skep.kernel import sys
from tests import instance

Rows = dict[str, list[tuple[object, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Pins (path below the root -> kind and id, or where a symbolic link leads), BPF descriptors, hooks, rows."""

    pins: dict[str, str]
    descriptors: list[str]
    hooks: str
    store: Rows


def taken(daemon: instance.Instance, network: instance.Network) -> Evidence:
    """What is there now."""
    return Evidence(pins=pins(daemon), descriptors=descriptors(daemon), hooks=hooks(network), store=store(daemon))


def pins(daemon: instance.Instance) -> dict[str, str]:
    """Every path below the pins' root, with the kernel's id of what is pinned there."""
    return {name: _pinned(os.path.join(daemon.layout.pins, name)) for name in daemon.pins()}


def _pinned(path: str) -> str:
    if os.path.islink(path):
        return os.readlink(path)
    if os.path.isdir(path):
        return "directory"
    with sys.held(sys.obj_get(path)) as fd:
        lines = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
    # "link_id" stands beside "prog_id" for a link, and only it changes when a link is made again.
    return " ".join(line for line in lines if line.startswith(("prog_id:", "map_id:", "link_id:")))


def descriptors(daemon: instance.Instance) -> list[str]:
    """Descriptors of programs, maps, links and BTF that the daemon or a process below it holds."""
    found: list[str] = []
    todo = [daemon.pid]
    while todo:
        pid = todo.pop()
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = str(descriptor.readlink())
            except OSError:
                continue
            if "bpf" in target and "anon_inode" in target:
                found.append(f"{pid}: {target}")
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            todo += map(int, children.read_text().split())
    return found


def hooks(network: instance.Network) -> str:
    """What the kernel says is attached in the namespace: XDP and TCX, with the ids of programs and links."""
    words = [*network.enter, "bpftool", "-j", "net", "show"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def store(daemon: instance.Instance) -> Rows:
    """Every row of every table but the history and the counters from which new ids are taken."""
    with sqlite3.connect(f"file:{daemon.layout.database}?mode=ro", uri=True) as opened:
        names = [name for (name,) in opened.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        kept = sorted(set(names) - {"meta", "events", "sqlite_sequence"})
        return {name: sorted(opened.execute(f"SELECT * FROM {name}"), key=repr) for name in kept}
