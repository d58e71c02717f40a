"""Maps to files and back by the command line, and contents that are in the way of it."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import model
from skep.kernel import sys
from skep.rpc.client import Client
from tests import bpf_build, instance

SECONDS = 60.0
FLOW = {"source": "10.0.0.1", "port": 80, "protocol": 6, "pad": 0}
LARGE = 8 << 20  # bytes of a value, twice what gRPC takes by default


@pytest.fixture(scope="module")
def skep() -> Iterator[instance.Instance]:
    with instance.instance("skep-mapfiles") as running, Client(running.layout.socket, timeout=SECONDS) as daemon:
        daemon.run(
            model.Load(
                object=bpf_build.build("contents").read_bytes(),
                source=model.FileSource(path="contents.bpf.o"),
                programs=(model.ProgramSpec(name="on_xdp"),),
            )
        )
        yield running


def dump(skep: instance.Instance, name: str) -> list[dict[str, object]]:
    found = json.loads(skep.cli("map", "dump", name, "-o", "json").stdout)["entries"]
    return sorted(found, key=lambda one: str(one["key_hex"]))


def empty(skep: instance.Instance, name: str) -> None:
    for one in dump(skep, name):
        skep.cli("map", "delete", name, f"hex:{one['key_hex']}")
    assert dump(skep, name) == []


def update(skep: instance.Instance, name: str, source: str, text: str = "", *more: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [*instance.command(), "map", "update", name, "--from", source, *more], input=text, text=True,
        env={**instance.environment(), "SKEP_RUNTIME_DIR": skep.layout.runtime}, capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


FILLED: dict[str, list[dict[str, object]]] = {
    "flows": [
        {"key": {**FLOW, "port": port}, "value_hex": bytes([port] * 88).hex()} for port in (1, 2, 200)
    ],  # padding, strings that are no UTF-8, numbers outside of their enumeration
    "per_cpu_hash": [{"key": {**FLOW, "port": port}, "value": port} for port in (1, 2)],
    "routes": [{"key": {"length": 8, "address": "10.0.0.0"}, "value": 7}],
    "devices": [{"key": 1, "value": {"ifindex": 1, "bpf_prog": {"id": 0}}}],
}  # fmt: skip


@pytest.mark.parametrize("form", ["json", "jsonl"])
@pytest.mark.parametrize("name", FILLED)
def test_what_is_dumped_can_be_restored(skep: instance.Instance, tmp_path: Path, name: str, form: str) -> None:
    assert dump(skep, name) == []
    rows = FILLED[name]
    if name == "flows":
        shape = json.loads(skep.cli("map", "get", name, "-o", "json").stdout)
        rows = [{**row, "value_hex": str(row["value_hex"])[: 2 * shape["value_size"]]} for row in rows]
    code, said, wrong = update(skep, name, "-", "\n".join(map(json.dumps, rows)))
    assert (code, wrong) == (0, "")
    assert said == f"{len(rows)} element{'s were' if len(rows) > 1 else ' was'} written\n"
    before = dump(skep, name)
    assert len(before) == len(rows)
    file = tmp_path / "elements"
    file.write_text(skep.cli("map", "dump", name, "-o", form).stdout)
    empty(skep, name)
    assert update(skep, name, str(file))[0] == 0
    assert dump(skep, name) == before
    empty(skep, name)


def test_values_of_each_cpu_are_restored(skep: instance.Instance) -> None:
    cpus = json.loads(skep.cli("map", "get", "per_cpu", "-o", "json").stdout)["cpus"]
    before = skep.cli("map", "dump", "per_cpu", "-o", "jsonl").stdout
    mine = {"key": 1, "values": list(range(7, 7 + cpus))}
    assert update(skep, "per_cpu", "-", json.dumps(mine))[0] == 0
    assert dump(skep, "per_cpu")[1]["values"] == mine["values"]
    code, _, said = update(skep, "per_cpu", "-", json.dumps({"key": 1, "values": [1] * (cpus + 1)}))
    assert code == 10
    assert f"{cpus + 1} values are given for {cpus} CPUs" in said
    assert update(skep, "per_cpu", "-", before)[0] == 0
    assert skep.cli("map", "dump", "per_cpu", "-o", "jsonl").stdout == before


def test_an_inner_map_is_restored_by_its_id(skep: instance.Instance) -> None:
    before = skep.cli("map", "dump", "outer", "-o", "jsonl").stdout
    assert json.loads(before)["inner_map_id"] > 0
    skep.cli("map", "delete", "outer", str(json.loads(before)["key"]))
    assert update(skep, "outer", "-", before)[0] == 0
    assert skep.cli("map", "dump", "outer", "-o", "jsonl").stdout == before


def test_the_first_that_is_refused_ends_it_and_is_told(skep: instance.Instance) -> None:
    rows = [{"key": key, "value": 1} for key in range(20_001)]
    code, said, wrong = update(skep, "large", "-", "\n".join(map(json.dumps, rows)))
    assert (code, said) == (9, "")
    assert "standard input, line 20001, key 20000: map " in wrong
    assert "20000 elements were written before it" in wrong
    assert len(dump(skep, "large")) == 20_000
    code, _, wrong = update(skep, "large", "-", json.dumps({"key": 5, "value": 2}), "--new")
    assert code == 11
    assert "line 1, key 5: the key is in map" in wrong
    code, _, wrong = update(skep, "large", "-", '{"key": 5, "value": 3}\n{"key": 6, "value": "x"}\n', "--existing")
    assert code == 10
    assert "line 2, key 6: " in wrong
    assert "1 element was written before it" in wrong
    assert json.loads(skep.cli("map", "lookup", "large", "5", "-o", "json").stdout)["value"] == 3


def test_a_frozen_map_or_another_s_is_refused_as_a_whole(skep: instance.Instance, tmp_path: Path) -> None:
    before = skep.cli("map", "dump", ".rodata", "-o", "json").stdout
    code, _, wrong = update(skep, ".rodata", "-", before)
    assert code == 11, wrong
    assert "frozen" in wrong
    assert "line" not in wrong
    assert update(skep, "never-made", "-", before)[0] == 3
    assert update(skep, "large", str(tmp_path / "never-made"))[0] == 3
    last = json.loads(skep.cli("events", "--limit", "1", "-o", "jsonl").stdout)
    assert (last["verb"], last["outcome"]) == ("map update", "NotFound")


def test_a_value_larger_than_a_message(skep: instance.Instance, tmp_path: Path) -> None:
    path = f"/sys/fs/bpf/skep-large-{os.getpid()}"
    with sys.held(sys.map_create(2, 4, LARGE, 2, name="wide")) as fd:
        sys.obj_pin(path, fd)
    try:
        file = tmp_path / "elements"
        value = struct.pack("=Q", 77) * (LARGE // 8)
        file.write_text(json.dumps({"key": 1, "value_hex": value.hex()}))
        code, _, wrong = update(skep, path, str(file), "", "--unsafe-foreign")
        assert code in (0, 9, 10), wrong
        if code:
            assert "message" in wrong or "large" in wrong
        looked = json.loads(skep.cli("map", "lookup", path, "1", "-o", "json").stdout)
        assert len(looked["value_hex"]) == 2 * LARGE
        assert (looked["value_hex"] == value.hex()) is (code == 0)
        lines = skep.cli("map", "dump", path, "-o", "jsonl").stdout.splitlines()
        assert [len(json.loads(line)["value_hex"]) for line in lines] == [2 * LARGE] * 2
    finally:
        os.unlink(path)
