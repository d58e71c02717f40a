"""A store that is lost or damaged costs no pin: the daemon starts, doctor tells, adopt brings everything back."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import paths
from tests import bpf_build, instance
from tests.e2e import kept

KINDS = ("tcx:on_tcx", "tracepoint:on_tracepoint", "uprobe:on_uprobe", "uretprobe:on_uretprobe")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[kept.Home]:
    with kept.home(tmp_path) as made:
        yield made


@pytest.fixture
def network() -> Iterator[instance.Network]:
    with instance.network("lost") as made:
        yield made


def in_kernel(layout: paths.Layout) -> dict[str, str]:
    """Every pin with the id of what it holds; bpftool is asked, not skep."""
    found = {}
    for kind in ("prog", "map", "link"):
        shown = subprocess.run(["bpftool", "-j", "-f", kind, "show"], capture_output=True, check=True).stdout
        for one in json.loads(shown):
            for pin in one.get("pinned", ()):
                if pin.startswith(f"{layout.pins}/") and not os.path.islink(pin):
                    found[pin] = f"{kind} {one['id']}"
    return found


def set_up(home: kept.Home, network: instance.Network) -> list[int]:
    """Two programs in an XDP chain, and one each of the other types, attached."""
    near = (network.near, "-n", network.path, "-p", "50")
    made = []
    for priority in ("10", "20"):
        words = ("program", "load", "file", str(bpf_build.build("count")), "--programs", "xdp:count", "-m", "who=me")
        made.append(home.told(*words)["programs"][0]["record"]["program_id"])
        home.told("link", "attach", "xdp", str(made[-1]), *near[:-1], priority)
    for word in KINDS:
        loading = ("program", "load", "file", str(bpf_build.build("every_type")), "--programs", word)
        made.append(home.told(*loading)["programs"][0]["record"]["program_id"])
        match word.partition(":")[0]:
            case "tcx":
                home.told("link", "attach", "tcx", str(made[-1]), near[0], "ingress", *near[1:])
            case "tracepoint":
                home.told("link", "attach", "tracepoint", str(made[-1]), "syscalls/sys_enter_getppid")
            case _:
                home.told("link", "attach", "uprobe", str(made[-1]), "libc", "-f", "getppid", "--pid", str(os.getpid()))
    return made


def comparable(home: kept.Home) -> object:
    """Programs and links as skep lists them, without what went with the store: files, counts and who loaded."""
    programs = [
        (
            one["program_id"],
            one["type"],
            one["function_name"],
            one["links"],
            one["record"]["meta"],
            one["kernel"]["tag"],
        )
        for one in home.told("program", "list")["programs"]
    ]
    links = sorted(
        (one["id"], one["kind"], one["kernel_link_id"], one["pin_path"], one["state"], str(one["details"]))
        for one in home.told("link", "list")["links"]
    )
    return programs, links


def kinds(home: kept.Home) -> list[str]:
    return [one["kind"] for one in json.loads(home.run("doctor", "-o", "json").stdout)["findings"]]


@pytest.mark.parametrize("damage", ["lost", "corrupt"])
def test_doctor_tells_and_adopt_brings_everything_back(home: kept.Home, network: instance.Network, damage: str) -> None:
    layout = home.layout
    with home.daemon():
        programs = set_up(home, network)
        before, pinned = comparable(home), in_kernel(layout)
    for part in Path(layout.state).iterdir():
        part.unlink()
    if damage != "lost":
        Path(layout.database).write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 20)

    with home.daemon():
        assert in_kernel(layout) == pinned
        assert home.told("program", "list")["programs"] == []
        set_aside = [] if damage == "lost" else ["damaged store"]
        findings = json.loads(home.run("doctor", "-o", "json").stdout)["findings"]
        adoptable = {one["subject"] for one in findings if one["adoptable"]}
        assert {pin for pin in pinned if "/progs/" in pin} <= adoptable
        assert home.run("program", "unload", str(programs[0])).returncode == 3

        assert home.run("adopt", "--all", "--dry-run").returncode == 0
        assert home.told("program", "list")["programs"] == []
        assert home.run("adopt", "--all").returncode == 0
        assert kinds(home) == set_aside
        assert (comparable(home), in_kernel(layout)) == (before, pinned)

        # What is adopted can be used like anything else.
        link = home.told("chain", "get", network.near, "-n", network.path)["members"][1]["link_id"]
        assert home.run("link", "update", str(link), "--priority", "1").returncode == 0
        chain = home.told("chain", "get", network.near, "-n", network.path)["members"]
        assert chain[0]["link_id"] == link
        done = home.run("program", "unload", *map(str, programs))
        assert done.returncode == 0, done.stderr
        assert kinds(home) == set_aside
        assert in_kernel(layout) == {}
