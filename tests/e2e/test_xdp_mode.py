"""Where XDP runs is the configuration's choice; a fallback is told, and can be forbidden."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import bpf_build, instance

DRV, SKB = 1, 2
"""XDP_ATTACHED_DRV, XDP_ATTACHED_SKB (linux/if_link.h), as ip shows them."""
SEND = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
    out.bind((sys.argv[1], 0))
    for _ in range(3):
        out.send(b"\\xff" * 6 + b"\\x02" + bytes(5) + b"\\x88\\xb5" + bytes(50))
"""


@pytest.fixture
def network() -> Iterator[instance.Network]:
    with instance.network("mode") as made:
        yield made


def ip(network: instance.Network, *words: str) -> None:
    subprocess.run(["ip", "-n", network.name, *words], check=True)


def attach(skep: instance.Instance, network: instance.Network, interface: str) -> subprocess.CompletedProcess[str]:
    """Load and attach; the answer, whatever it is."""
    words = ("program", "load", "file", str(bpf_build.build("count")), "--programs", "xdp:count", "-o", "json")
    program = str(json.loads(skep.cli(*words).stdout)["programs"][0]["record"]["program_id"])
    where = ("xdp", program, interface, "-n", network.path, "-p", "50")
    return skep.cli("link", "attach", *where, "-o", "json", check=False)


def shown(network: instance.Network, interface: str) -> Any:  # Any: JSON
    words = [*network.enter, "ip", "-d", "-j", "link", "show", interface]
    (one,) = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    return one.get("xdp", {})


def runs(skep: instance.Instance, network: instance.Network, interface: str) -> int:
    done = skep.cli("chain", "get", interface, "-n", network.path, "-o", "json")
    (member,) = json.loads(done.stdout)["members"]
    return int(member["counts"]["runs"])


@pytest.mark.parametrize(
    ("settings", "jumbo", "mode", "told"),
    [
        pytest.param("", False, DRV, "", id="the driver by default"),
        pytest.param("", True, SKB, "ERANGE", id="a driver that refuses gives way, and that is told"),
        pytest.param('[xdp]\nmode = "skb"\n', False, SKB, "", id="the generic path for all"),
        pytest.param('[interfaces.near]\nxdp_mode = "skb"\n', False, SKB, "", id="the generic path for one"),
        pytest.param('[interfaces.other]\nxdp_mode = "skb"\n', False, DRV, "", id="and not for another"),
        pytest.param('[xdp]\nmode = "skb"\n[interfaces.near]\nxdp_mode = "drv"\n', False, DRV, "", id="one goes first"),
        pytest.param("[xdp]\nfallback = false\n", True, None, "MTU of 9000", id="a fallback can be forbidden"),
        pytest.param(
            '[interfaces.near]\nxdp_mode = "hw"\n', False, None, "offloads no programs", id="a card that cannot"
        ),
    ],
)
def test_the_mode_is_the_configurations(
    tmp_path: Path, network: instance.Network, settings: str, jumbo: bool, mode: int | None, told: str
) -> None:
    config = tmp_path / "skep.toml"
    config.write_text(settings)
    if jumbo:
        for end in (network.near, network.far):
            ip(network, "link", "set", end, "mtu", "9000")
    with instance.instance("mode", options=("--config", str(config))) as skep:
        done = attach(skep, network, network.near)
        if mode is None:
            assert done.returncode != 0
            assert told in done.stderr
            assert shown(network, network.near) == {}
            return
        assert done.returncode == 0, done.stderr
        assert shown(network, network.near)["mode"] == mode
        record = json.loads(done.stdout)["record"]
        assert record["mode"] == {DRV: "drv", SKB: "skb"}[mode]
        assert (told in record["fallback"], record["fallback"] == "") == (True, told == "")
        assert (told in done.stderr, done.stderr == "") == (True, told == "")
        subprocess.run([*network.enter, sys.executable, "-c", SEND, network.far], check=True)
        assert runs(skep, network, network.near) == 3


def test_a_driver_without_native_xdp_gives_way_too(network: instance.Network) -> None:
    with instance.instance("mode") as skep:
        done = attach(skep, network, "lo")
        assert done.returncode == 0, done.stderr
        assert shown(network, "lo")["mode"] == SKB
        assert "no native XDP" in json.loads(done.stdout)["record"]["fallback"]
