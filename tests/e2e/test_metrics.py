"""The daemon's own numbers: of real packets, and only where they are asked for."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from prometheus_client import parser

from tests import bpf_build, instance
from tests.e2e import kept
from tests.e2e.test_cli import SEND


def page(path: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(kept.SECONDS)
        asking.connect(path)
        asking.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        answer = b""
        while piece := asking.recv(65536):
            answer += piece
    text = answer.partition(b"\r\n\r\n")[2].decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_packets_links_maps_and_failures(tmp_path: Path) -> None:
    with kept.home(tmp_path) as home, instance.network("metrics") as network:
        address = f"{tmp_path}/metrics.sock"
        with home.daemon("env", f"SKEP_METRICS_ADDRESS={address}"):
            object = str(bpf_build.build("count"))
            words = ("program", "load", "file", object, "--programs", "xdp:count", "-a", "shop")
            (program,) = home.told(*words)["programs"]
            id = str(program["record"]["program_id"])
            home.told("link", "attach", "xdp", id, network.near, "-n", network.path, "-p", "10")
            refused = str(bpf_build.build("refused"))
            assert home.run("program", "load", "file", refused, "--programs", "xdp:nothing").returncode != 0
            send = [*network.enter, sys.executable, "-c", SEND, network.far, "25"]
            subprocess.run(send, check=True)
            found = page(address)
        runs = {dict(labels)["interface"]: value for (name, labels), value in found.items() if "member_runs" in name}
        assert runs == {network.near: 25}
        labels = (("application", "shop"), ("name", "count"), ("program", id), ("type", "xdp"))
        assert found["skep_program_memory_bytes", labels] > 0
        assert found["skep_links", (("state", "attached"), ("type", "xdp"))] == 1
        assert [value for (name, _), value in found.items() if name == "skep_map_memory_bytes" and value > 0]
        done = {
            tuple(value for _, value in labels): value
            for (name, labels), value in found.items()
            if "operations" in name
        }
        assert done["ok", "load"] == done["ok", "attach"] == 1
        assert sum(value for (outcome, verb), value in done.items() if verb == "load" and outcome != "ok") == 1
        assert not Path(address).exists()
