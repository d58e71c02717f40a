"""What maps hold, as users of the command line and of the daemon's API have it."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import errors, model
from skep.hooks import tracepoint
from skep.rpc.client import Client
from tests import bpf_build, instance

SECONDS = 30.0
ME = tracepoint.TracepointAttachment(group="syscalls", name="sys_enter_getpgid")


@pytest.fixture(scope="module")
def skep() -> Iterator[instance.Instance]:
    with instance.instance("skep-maps") as running, Client(running.layout.socket, timeout=SECONDS) as daemon:
        load = model.Load(
            object=bpf_build.build("contents").read_bytes(),
            source=model.FileSource(path="contents.bpf.o"),
            programs=(model.ProgramSpec(name="on_xdp"), model.ProgramSpec(name="on_tracepoint")),
            global_data={"limit": struct.pack("=I", os.getpid())},
        )
        programs = {one.record.name: one.record.id for one in daemon.run(load).programs}
        daemon.run(model.Attach(program=programs["on_tracepoint"], attachment=ME))
        yield running


def descriptors(skep: instance.Instance) -> list[str]:
    """What BPF the daemon holds open."""
    found = []
    for name in os.listdir(f"/proc/{skep.pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{skep.pid}/fd/{name}"))
        except FileNotFoundError:
            continue
    return [one for one in found if "bpf" in one or "perf" in one]


def test_an_element_from_the_command_line(skep: instance.Instance) -> None:
    key = '{"source": "10.0.0.1", "port": 80, "protocol": 6, "pad": 0}'
    skep.cli("map", "update", "per_cpu_hash", key, "5")
    (line,) = skep.cli("map", "dump", "per_cpu_hash", "-o", "jsonl").stdout.splitlines()
    assert json.loads(line)["key"] == {"source": 16777226, "port": 80, "protocol": 6, "pad": 0}
    assert set(json.loads(line)["values"]) == {5}
    told = json.loads(skep.cli("map", "dump", "per_cpu_hash", "-o", "json").stdout)
    assert told == {"entries": [json.loads(line)]}
    assert skep.cli("map", "delete", "per_cpu_hash", key).stdout == ""
    assert skep.cli("map", "delete", "per_cpu_hash", key, check=False).returncode == 3
    events = skep.cli("events", "--limit", "3", "-o", "jsonl").stdout.splitlines()
    assert [(json.loads(one)["verb"], json.loads(one)["outcome"]) for one in events] == [
        ("map update", "ok"), ("map delete", "ok"), ("map delete", "NotFound"),
    ]  # fmt: skip


def test_a_map_of_many_pages_is_never_held_whole(skep: instance.Instance) -> None:
    """The daemon's memory does not grow by what it hands through."""
    with Client(skep.layout.socket, timeout=SECONDS) as daemon:
        path = daemon.map_shape("large").view.pins[0]
        fill(path, 20_000)
        list(daemon.map_pages(model.MapDump(map="large", limit=1000)))
        before = resident(skep.pid)
        pages = list(daemon.map_pages(model.MapDump(map="large")))
    assert sum(len(page.entries) for page in pages) == 20_000
    assert len(pages) > 10
    assert resident(skep.pid) - before < 8 << 20
    lines = skep.cli("map", "dump", "large", "-o", "jsonl").stdout.splitlines()
    assert len({json.loads(line)["key"] for line in lines}) == 20_000


def fill(path: str, count: int) -> None:
    from skep.kernel import sys

    with sys.held(sys.obj_get(path)) as fd:
        for index in range(count):
            sys.map_update(fd, struct.pack("=I", index), struct.pack("=Q", index))


def resident(pid: int) -> int:
    """Bytes of a process in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.parametrize("name", ["ring", "perf"])
def test_events_stream_until_the_reader_goes(skep: instance.Instance, name: str) -> None:
    process = subprocess.Popen(
        [*instance.command(), "map", "events", name],
        env={**instance.environment(), "SKEP_RUNTIME_DIR": skep.layout.runtime},
        stdout=subprocess.PIPE,
        text=True,
    )
    read = threading.Event()

    def call() -> None:
        """Again and again: the daemon opens a perf buffer on one processor after the other, and we move among them."""
        while not read.wait(0.02):
            os.getpgid(0)

    calling = threading.Thread(target=call)
    try:
        wait(lambda: bool(descriptors(skep)))
        calling.start()
        assert process.stdout is not None
        events = [json.loads(process.stdout.readline()) for _ in range(3)]
    finally:
        read.set()
        process.kill()
        process.wait()
    calling.join()
    assert [one["event"]["name"] for one in events] == ["hello"] * 3
    # Killed, it said no goodbye: the daemon finds out by itself and lets everything go.
    wait(lambda: not descriptors(skep))


def wait(until: object) -> None:
    end = time.monotonic() + SECONDS
    while not until():  # type: ignore[operator]  # a function without arguments
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_stream_ends_with_the_daemon(skep: instance.Instance) -> None:
    with instance.instance("skep-maps-end") as second, Client(second.layout.socket, timeout=SECONDS) as daemon:
        load = model.Load(
            object=bpf_build.build("contents").read_bytes(),
            source=model.FileSource(path="contents.bpf.o"),
            programs=(model.ProgramSpec(name="on_tracepoint"),),
        )
        (program,) = daemon.run(load).programs
        ring = next(str(id) for id in program.status.kernel.map_ids if daemon.map(id).kernel.name == "ring")  # type: ignore[union-attr]
        stream = daemon.map_events(model.MapFollow(map=ring))
        began = time.monotonic()
        second.process.terminate()
        with pytest.raises((StopIteration, errors.Unavailable)):
            next(stream)
        assert second.process.wait(SECONDS) == 0
        assert time.monotonic() - began < 10


def test_other_peoples_maps(skep: instance.Instance) -> None:
    path = f"/sys/fs/bpf/skep-e2e-foreign-{os.getpid()}"
    words = [
        "bpftool",
        "map",
        "create",
        path,
        "type",
        "hash",
        "key",
        "4",
        "value",
        "4",
        "entries",
        "4",
        "name",
        "theirs",
    ]
    subprocess.run(words, check=True)
    try:
        refused = skep.cli("map", "update", path, "hex:00000001", "hex:00000002", check=False)
        assert refused.returncode == 4
        assert "--unsafe-foreign" in refused.stderr
        skep.cli("map", "update", path, "hex:00000001", "hex:00000002", "--unsafe-foreign")
        dumped = subprocess.run(["bpftool", "-j", "map", "dump", "pinned", path], capture_output=True, check=True)
        assert json.loads(dumped.stdout)[0]["value"] == ["0x00", "0x00", "0x00", "0x02"]
    finally:
        os.unlink(path)


def test_without_a_daemon_the_command_does_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [*instance.command(), "--direct", "map", "list", "--all", "-o", "json"],
        env={**instance.environment(), "SKEP_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert isinstance(json.loads(done.stdout)["maps"], list)
