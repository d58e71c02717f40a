"""A daemon whose whole mount namespace ends takes no program with it: not one packet is lost, and none uncounted."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import bpf_build, instance
from tests.e2e import kept
from tests.e2e.kept import SECONDS

# The sender rests after each burst that fits into the receiver's queue, so that whatever is lost is the chain's fault.
SENDER = """
import signal, socket, sys, time
going = True
def stop(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, stop)
sent = 0
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
    out.bind((sys.argv[1], 0))
    frame = b"\\xff" * 6 + b"\\x02" + bytes(5) + b"\\x88\\xb5" + bytes(50)
    while going:
        for _ in range(32):
            out.send(frame)
            sent += 1
        time.sleep(0.002)
print(sent)
"""
RECEIVER = """
import socket, sys
got = 0
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88b5)) as inward:
    inward.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE, asm-generic/socket.h
    inward.bind((sys.argv[1], 0x88b5))
    print("ready", flush=True)
    while True:
        inward.settimeout(None if not got else 2.0)
        try:
            inward.recv(100)
        except TimeoutError:
            break
        got += 1
print(got)
"""


class Traffic:
    """Frames from the far end, counted where they leave and where they arrive."""

    def __init__(self, network: instance.Network) -> None:
        run = [*network.enter, sys.executable, "-c"]
        self._receiver = subprocess.Popen([*run, RECEIVER, network.near], stdout=subprocess.PIPE, text=True)
        assert self._receiver.stdout is not None
        assert self._receiver.stdout.readline() == "ready\n"
        self._sender = subprocess.Popen([*run, SENDER, network.far], stdout=subprocess.PIPE, text=True)

    def end(self) -> tuple[int, int]:
        """Frames sent and frames that arrived."""
        self._sender.send_signal(signal.SIGTERM)
        sent, _ = self._sender.communicate(timeout=SECONDS)
        arrived, _ = self._receiver.communicate(timeout=SECONDS)
        return int(sent), int(arrived)

    def close(self) -> None:
        for process in (self._sender, self._receiver):
            process.kill()
            process.wait()


def mount_namespace(pid: int | str) -> str:
    return os.readlink(f"/proc/{pid}/ns/mnt")


def members_of(namespace: str) -> list[int]:
    """The processes in a mount namespace."""
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and mount_namespace(entry) == namespace:
                found.append(int(entry))
    return found


@pytest.fixture
def home(tmp_path: Path) -> Iterator[kept.Home]:
    with kept.home(tmp_path) as made:
        yield made


def chain(home: kept.Home, network: instance.Network) -> list[dict[str, int]]:
    members = home.told("chain", "get", network.near, "-n", network.path)["members"]
    return [member["counts"] for member in members]


def own_count(program: dict[str, Any]) -> int:
    """What the program itself counted, summed over the CPUs."""
    (id,) = (one["id"] for one in program["status"]["maps"] if one["name"] == "packets")
    dump = subprocess.run(["bpftool", "-j", "map", "dump", "id", str(id)], capture_output=True, check=True).stdout
    entry = json.loads(dump)[0]["formatted"]
    return sum(one["value"] for one in entry["values"]) if "values" in entry else int(entry["value"])


def test_ending_the_daemons_whole_mount_namespace_under_traffic_loses_no_packet(home: kept.Home) -> None:
    with instance.network("mntns") as network, contextlib.ExitStack() as stack:
        with home.daemon("unshare", "--mount") as first:
            namespace = mount_namespace(first.pid)
            assert namespace != mount_namespace("self")
            object = str(bpf_build.build("count"))
            programs = []
            for priority in (10, 20):
                (program,) = home.told("program", "load", "file", object, "--programs", "xdp:count")["programs"]
                programs.append(program["record"]["program_id"])
                where = (network.near, "-n", network.path, "-p", str(priority))
                home.told("link", "attach", "xdp", str(programs[-1]), *where)
            traffic = stack.enter_context(contextlib.closing(Traffic(network)))
            before = until_it_grows(home, network, 0)
            inside = members_of(namespace)
            assert len(inside) >= 2, "the daemon and its loader"
            for pid in inside:
                os.kill(pid, signal.SIGKILL)
            first.wait()
        deadline = time.monotonic() + SECONDS
        while members_of(namespace):
            assert time.monotonic() < deadline

        with home.daemon() as second:
            assert second.pid not in inside
            assert mount_namespace(second.pid) != namespace
            until_it_grows(home, network, before)
            links = [link["id"] for link in home.told("link", "list")["links"]]
            home.told("link", "update", str(links[1]), "--priority", "1")
            sent, arrived = traffic.end()
            assert sent > 500
            assert arrived == sent
            for counts in chain(home, network):
                assert counts == {"runs": sent, "proceeded": sent, "stopped": {}}
            assert [own_count(home.told("program", "get", str(one))) for one in programs] == [sent, sent]
            for id in programs:
                assert home.run("program", "unload", str(id)).returncode == 0
            assert home.told("doctor")["findings"] == []
            assert home.told("link", "list")["links"] == []


def until_it_grows(home: kept.Home, network: instance.Network, runs: int) -> int:
    """The first member's runs, once they are more than ``runs``."""
    deadline = time.monotonic() + SECONDS
    while (now := chain(home, network)[0]["runs"]) <= runs:
        assert time.monotonic() < deadline
    return now
