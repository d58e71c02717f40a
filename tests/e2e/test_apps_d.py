"""The directory of applications: brought at every start, followed when told to, and never in the daemon's way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import bpf_build, instance
from tests.e2e import kept
from tests.e2e.test_cli import SEND
from tests.kube.plane import until


class Host:
    """A daemon that may be started again and again, with a network and a directory of applications."""

    def __init__(self, home: kept.Home, network: instance.Network) -> None:
        self.home, self.network = home, network
        self.directory = Path(home.layout.applications)
        self.directory.mkdir(parents=True)

    def write(self, name: str, application: str = "counter", *, interface: str = "near", **spec: object) -> Path:
        link = {"interfaceSelector": {"interfaces": [interface]}, "priority": 50}
        document = {
            "apiVersion": "bpfman.io/v1alpha1",
            "kind": "ClusterBpfApplication",
            "metadata": {"name": application},
            "spec": {
                "nodeSelector": {},
                "byteCode": {"path": str(bpf_build.build("count"))},
                "programs": [{"name": "count", "type": "XDP", "xdp": {"links": [link]}}],
                **spec,
            },
        }
        file = self.directory / name
        file.write_text(yaml.safe_dump(document))
        return file

    def send(self, packets: int) -> None:
        subprocess.run([*self.network.enter, sys.executable, "-c", SEND, self.network.far, str(packets)], check=True)

    def runs(self, interface: str = "near") -> list[int]:
        """How often each program on an interface ran; [] without any."""
        done = self.home.run("chain", "get", interface, "-o", "json")
        members = json.loads(done.stdout)["members"] if done.returncode == 0 else []
        return [member["counts"]["runs"] for member in members]

    def applied(self) -> list[str]:
        """The names of applications that have programs in the kernel."""
        found = self.home.told("program", "list")["programs"]
        return sorted(each["application"] for each in found)

    def findings(self) -> dict[str, str]:
        """What the doctor says of applications: subject and explanation."""
        done = self.home.run("doctor", "-o", "json")
        return {
            each["subject"].removeprefix(f"{self.directory}/"): each["explanation"]
            for each in json.loads(done.stdout)["findings"]
            if each["kind"] == "application not restored"
        }

    def history(self) -> list[tuple[str, str]]:
        """What was restored or not: subject and outcome."""
        events = map(json.loads, self.home.run("events", "-o", "jsonl").stdout.splitlines())
        return [(each["subject"], each["outcome"]) for each in events if each["verb"] == "restore"]

    def log(self) -> str:
        return (self.home.directory / "log").read_text()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with instance.network("appsd") as network, kept.home(tmp_path) as home:
        yield Host(home, network)


def restored(host: Host, times: int = 1) -> bool:
    """Whether the directory was worked off so often."""
    return host.log().count("applications restored") >= times


def test_a_reboot_brings_everything_back(host: Host) -> None:
    host.write("10-counter.yaml")
    with host.home.daemon(*host.network.enter):
        until("it is attached", lambda: host.runs() == [0])
        host.send(5)
        assert host.runs() == [5]
    # As after a reboot: the store is there, and nothing in the kernel.
    instance.remove_pins(host.home.layout.pins)
    os.mkdir(host.home.layout.pins)
    with host.home.daemon(*host.network.enter):
        until("it is attached again", lambda: host.runs() == [0])
        host.send(3)
        assert host.runs() == [3]
        assert (host.applied(), host.findings()) == (["counter"], {})


def test_a_restart_changes_nothing(host: Host) -> None:
    host.write("10-counter.yaml")
    with host.home.daemon(*host.network.enter):
        until("it is attached", lambda: host.runs() == [0])
    host.send(4)
    with host.home.daemon(*host.network.enter):
        until("it was looked at again", lambda: restored(host, 2))
        assert host.runs() == [4], "it went on without the daemon, and is the same program still"


def test_one_bad_file_stops_neither_the_others_nor_the_daemon(host: Host) -> None:
    (host.directory / "10-bad.yaml").write_text("kind: [")
    host.write("20-missing.yaml", "missing", byteCode={"path": "/nowhere/at/all.o"})
    host.write("30-open.yaml", "open").chmod(0o666)
    host.write("40-good.yaml", "good")
    host.write("50-twice.yaml", "good")
    (host.directory / "60-empty.yaml").write_text("")
    host.write("70-elsewhere.yaml", "elsewhere", nodeSelector={"matchLabels": {"kubernetes.io/hostname": "another"}})
    (host.directory / "notes.txt").write_text("kind: [")
    with host.home.daemon(*host.network.enter):
        until("the good one is there", lambda: restored(host))
        assert host.applied() == ["good"]
        found = host.findings()
        assert set(found) == {
            "10-bad.yaml", "20-missing.yaml: ClusterBpfApplication/missing", "30-open.yaml", "50-twice.yaml",
            "60-empty.yaml",
        }  # fmt: skip
        assert "neither YAML nor JSON" in found["10-bad.yaml"]
        assert "others may write to it (mode 0666)" in found["30-open.yaml"]
        assert "is there twice" in found["50-twice.yaml"]
        assert ("10-bad.yaml", "InvalidRequest") in host.history()
        assert ("20-missing.yaml: ClusterBpfApplication/missing", "NotFound") in host.history()
        assert "neither YAML nor JSON" in host.log()


def test_what_was_corrected_is_brought_at_a_reload(host: Host) -> None:
    file = host.write("10-counter.yaml")
    good = file.read_text()
    file.write_text(good.replace("priority: 50", "priority: 5000"))
    with host.home.daemon(*host.network.enter) as daemon:
        until("it is told", lambda: "priority is 5000" in host.findings().get("10-counter.yaml", ""))
        file.write_text(good)
        daemon.send_signal(signal.SIGHUP)
        until("it is attached", lambda: host.runs() == [0])
        until("it is told no more", lambda: host.findings() == {})
        assert host.history()[-2:] == [("10-counter.yaml", "InvalidRequest"), ("10-counter.yaml", "ok")]


def test_an_interface_that_comes_later_is_waited_for(host: Host) -> None:
    host.write("10-later.yaml", "later", interface="later")
    host.write("20-counter.yaml")
    with host.home.daemon(*host.network.enter):
        until("the other is there", lambda: host.runs() == [0])
        until("it is told", lambda: any("later" in text for text in host.findings().values()))
        ip = ["ip", "-n", host.network.name, "link", "add", "later", "type", "veth", "peer", "name", "later-peer"]
        subprocess.run(ip, check=True)
        until("it is attached", lambda: host.runs("later") == [0])
        until("it is told no more", lambda: host.findings() == {})


def test_an_application_goes_with_its_file_and_no_other_does(host: Host) -> None:
    kept_file, gone = host.write("10-kept.yaml", "kept"), host.write("20-gone.yaml", "gone")
    by_hand = host.write("by-hand", "by-hand")
    with host.home.daemon(*host.network.enter) as daemon:
        until("both are there", lambda: restored(host))
        assert host.home.run("apply", "-f", str(by_hand)).returncode == 0
        assert host.applied() == ["by-hand", "gone", "kept"]
        gone.unlink()
        text = kept_file.read_text()
        kept_file.write_text("kind: [")
        daemon.send_signal(signal.SIGHUP)
        until("it was read", lambda: restored(host, 2))
        assert host.applied() == ["by-hand", "gone", "kept"], "who knows what the broken file should say"
        kept_file.write_text(text)
        daemon.send_signal(signal.SIGHUP)
        until("it is gone", lambda: host.applied() == ["by-hand", "kept"])


def test_code_that_the_kernel_refuses_leaves_the_old_and_is_not_tried_for_ever(host: Host) -> None:
    host.write("10-counter.yaml")
    with host.home.daemon(*host.network.enter) as daemon:
        until("it is attached", lambda: host.runs() == [0])
        host.write("10-counter.yaml", byteCode={"path": str(bpf_build.build("count", "ENTRIES=4"))})
        daemon.send_signal(signal.SIGHUP)
        until("it is told", lambda: any("cannot be shared" in text for text in host.findings().values()))
        host.send(2)
        assert host.runs() == [2]
        host.write(
            "10-counter.yaml", byteCode={"path": str(bpf_build.build("count", "ENTRIES=4"))}, mapPolicy="Recreate"
        )
        daemon.send_signal(signal.SIGHUP)
        until("it began anew", lambda: host.runs() == [0])
        until("it is told no more", lambda: host.findings() == {})


def test_without_the_directory_nothing_is_said(host: Host) -> None:
    host.directory.rmdir()
    with host.home.daemon(*host.network.enter) as daemon:
        daemon.send_signal(signal.SIGHUP)
        assert host.findings() == {}
        assert "restored" not in host.log()
        host.directory.mkdir()
        host.write("10-counter.yaml")
        daemon.send_signal(signal.SIGHUP)
        until("it is attached", lambda: host.runs() == [0])


def exported(host: Host) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(host.home.run("export", "counter").stdout)
    return document


def test_what_is_exported_can_stand_in_the_directory(host: Host) -> None:
    file = host.write("10-counter.yaml")
    with host.home.daemon(*host.network.enter) as daemon:
        until("it is attached", lambda: host.runs() == [0])
        host.send(2)
        document = exported(host)
        assert "labels" not in document["metadata"]
        file.write_text(yaml.safe_dump(document))
        daemon.send_signal(signal.SIGHUP)
        until("it was read", lambda: restored(host, 2))
        assert host.runs() == [2], "it is the same application"
