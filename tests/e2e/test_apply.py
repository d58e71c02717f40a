"""Application files on a plain host: applied, changed, compared and deleted, with real packets."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import bpf_build, instance
from tests.e2e.test_cli import SEND


class Host:
    """A daemon in a network of its own, and one application file."""

    def __init__(self, daemon: instance.Instance, network: instance.Network, file: Path) -> None:
        self.daemon, self.network, self.file = daemon, network, file

    def write(self, *links: dict[str, Any], name: str = "counter", **spec: object) -> None:
        document = {
            "apiVersion": "bpfman.io/v1alpha1",
            "kind": "ClusterBpfApplication",
            "metadata": {"name": name},
            "spec": {
                "nodeSelector": {},
                "byteCode": {"path": str(bpf_build.build("count"))},
                "programs": [{"name": "count", "type": "XDP", "xdp": {"links": list(links)}}],
                **spec,
            },
        }
        self.file.write_text(yaml.safe_dump(document))

    def run(self, verb: str, *more: str) -> subprocess.CompletedProcess[str]:
        return self.daemon.cli(verb, "-f", str(self.file), *more, check=False)

    def rows(self, verb: str, *more: str, code: int = 0) -> list[tuple[str, str]]:
        """(what, result) of each line."""
        done = self.run(verb, "-o", "json", *more)
        assert done.returncode == code, done.stderr
        return [(row["what"], row["result"]) for row in json.loads(done.stdout)["actions"]]

    def send(self, packets: int) -> None:
        words = [*self.network.enter, sys.executable, "-c", SEND, self.network.far, str(packets)]
        subprocess.run(words, check=True)

    def chain(self) -> list[dict[str, Any]]:
        done = self.daemon.cli("chain", "get", self.network.near, "-o", "json", check=False)
        members: list[dict[str, Any]] = json.loads(done.stdout)["members"] if done.returncode == 0 else []
        return members

    def loaded(self) -> list[dict[str, Any]]:
        programs: list[dict[str, Any]] = json.loads(self.daemon.cli("program", "list", "-o", "json").stdout)["programs"]
        return programs


@pytest.fixture(scope="module")
def daemon() -> Iterator[tuple[instance.Instance, instance.Network]]:
    with (
        instance.network("apply") as network,
        instance.instance("apply", enter=network.enter) as running,
    ):
        yield running, network


@pytest.fixture
def host(daemon: tuple[instance.Instance, instance.Network], tmp_path: Path) -> Iterator[Host]:
    made = Host(*daemon, tmp_path / "app.yaml")
    yield made
    made.write()
    assert made.run("delete").returncode == 0
    assert made.loaded() == []


NEAR = {"interfaceSelector": {"interfaces": ["near"]}}


def test_apply_counts_packets_and_delete_ends_it(host: Host) -> None:
    host.write(NEAR | {"priority": 50})
    before = host.daemon.pins()
    assert host.rows("apply") == [("program", "created"), ("link", "created")]
    host.send(20)
    (member,) = host.chain()
    assert (member["priority"], member["counts"]["runs"]) == (50, 20)
    assert host.rows("delete") == [("program", "removed")]
    assert (host.loaded(), host.chain(), host.daemon.pins()) == ([], [], before)
    done = host.run("delete")
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing of ClusterBpfApplication/counter is here" in done.stderr


def test_a_second_apply_changes_nothing(host: Host) -> None:
    host.write(NEAR)
    host.rows("apply")
    host.send(5)
    events = host.daemon.cli("events", "-o", "jsonl").stdout
    assert host.rows("apply") == [("program", "unchanged"), ("link", "unchanged")]
    assert host.daemon.cli("events", "-o", "jsonl").stdout == events
    assert host.rows("diff") == []
    assert host.chain()[0]["priority"] == 1000, "the default of Kubernetes' API"


def test_a_changed_priority_updates_the_link_in_place(host: Host) -> None:
    host.write(NEAR | {"priority": 50})
    host.rows("apply")
    host.send(3)
    (before,) = host.chain()
    host.write(NEAR | {"priority": 20, "proceedOn": ["Drop"]})
    assert host.rows("diff", code=1) == [("link", "changed")]
    assert host.chain()[0]["priority"] == 50, "diff changes nothing"
    assert host.rows("apply", "--dry-run") == [("program", "unchanged"), ("link", "changed")]
    assert host.chain()[0]["priority"] == 50, "--dry-run changes nothing"
    assert host.rows("apply") == [("program", "unchanged"), ("link", "changed")]
    (after,) = host.chain()
    assert (after["link_id"], after["priority"], after["counts"]["runs"]) == (before["link_id"], 20, 3)
    assert host.rows("apply") == [("program", "unchanged"), ("link", "unchanged")]


def test_changed_global_data_replaces_the_code_under_the_link(host: Host) -> None:
    host.write(NEAR)
    host.rows("apply")
    (before,) = host.chain()
    host.write(NEAR, globalData={"verdict": [1, 0, 0, 0]})
    assert host.rows("apply") == [("program", "changed"), ("link", "unchanged")]
    host.send(4)
    (after,) = host.chain()
    assert (after["link_id"], after["counts"]["stopped"]) == (before["link_id"], {"drop": 4})
    assert host.rows("apply") == [("program", "unchanged"), ("link", "unchanged")]
    host.write(NEAR)
    assert host.rows("apply") == [("program", "changed"), ("link", "unchanged")]
    assert host.rows("apply") == [("program", "unchanged"), ("link", "unchanged")]


def test_maps_of_another_size_are_refused_unless_they_may_begin_anew(host: Host) -> None:
    host.write(NEAR | {"priority": 50})
    host.rows("apply")
    host.send(3)
    (before,) = host.chain()
    larger: dict[str, Any] = {"byteCode": {"path": str(bpf_build.build("count", "ENTRIES=4"))}}
    host.write(NEAR | {"priority": 50}, **larger)
    refused = host.run("apply")
    assert refused.returncode != 0
    assert "map 'packets' cannot be shared" in refused.stderr and "max entries 4" in refused.stderr
    assert "mapPolicy: Recreate" in refused.stderr
    assert host.chain()[0]["link_id"] == before["link_id"], "the old program goes on"
    host.write(NEAR | {"priority": 50}, **larger, mapPolicy="Recreate")
    done = host.run("apply")
    assert done.returncode == 0 and "map 'packets' cannot be shared" in done.stderr
    host.send(4)
    (after,) = host.chain()
    assert (after["priority"], after["counts"]["runs"]) == (50, 4)
    assert len(host.loaded()) == 1
    assert host.rows("apply") == [("program", "unchanged"), ("link", "unchanged")]


def test_all_begin_anew_when_the_second_of_two_cannot_keep_its_maps(host: Host) -> None:
    programs = [{"name": name, "type": "XDP", "xdp": {"links": [NEAR]}} for name in ("first", "second")]
    wanted: dict[str, Any] = {"programs": programs, "mapPolicy": "Recreate"}
    host.write(byteCode={"path": str(bpf_build.build("separate"))}, **wanted)
    host.rows("apply")
    host.write(byteCode={"path": str(bpf_build.build("separate", "ENTRIES=4"))}, **wanted)
    assert host.rows("apply") == [
        ("program", "created"), ("program", "created"), ("program", "removed"), ("program", "removed"),
        ("link", "created"), ("link", "created"),
    ]  # fmt: skip
    assert len(host.loaded()) == 2
    assert len(host.chain()) == 2
    assert {result for _, result in host.rows("apply")} == {"unchanged"}


def test_maps_that_fit_are_kept_though_they_might_begin_anew(host: Host) -> None:
    host.write(NEAR, mapPolicy="Recreate")
    host.rows("apply")
    host.send(3)
    (before,) = host.chain()
    host.write(NEAR, mapPolicy="Recreate", globalData={"verdict": [1, 0, 0, 0]})
    assert host.rows("apply") == [("program", "changed"), ("link", "unchanged")]
    assert host.chain()[0]["link_id"] == before["link_id"]


def test_selectors_follow_the_daemons_interfaces(host: Host) -> None:
    host.write({"interfaceSelector": {"interfacesDiscoveryConfig": {"interfaceAutoDiscovery": True}}})
    assert host.rows("apply") == [("program", "created"), ("link", "created"), ("link", "created")]
    host.write({"interfaceSelector": {"interfaces": ["ne*"]}})
    assert host.rows("apply") == [("program", "unchanged"), ("link", "removed"), ("link", "unchanged")]
    subprocess.run(["ip", "-n", host.network.name, "route", "add", "default", "dev", "far"], check=True)
    host.write({"interfaceSelector": {"primaryNodeInterface": True}})
    assert host.rows("apply") == [("program", "unchanged"), ("link", "removed"), ("link", "created")]
    assert host.chain() == []
    subprocess.run(["ip", "-n", host.network.name, "route", "del", "default"], check=True)


def test_a_refused_new_version_leaves_the_old_one(host: Host) -> None:
    host.write(NEAR)
    host.rows("apply")
    (before,) = host.chain()
    links = [{"interfaceSelector": {"interfaces": ["far"]}}]
    host.write(programs=[{"name": "no_such", "type": "XDP", "xdp": {"links": links}}])
    assert host.rows("apply", code=3) == [("program", "failed"), ("program", "skipped"), ("link", "skipped")]
    assert "no_such" in host.run("apply").stderr
    host.send(2)
    (after,) = host.chain()
    assert (after["link_id"], after["counts"]["runs"]) == (before["link_id"], 2)


def test_programs_come_and_go(host: Host) -> None:
    """Two programs of one object share its maps, also when the second comes later."""
    first = {"name": "counts", "type": "XDP", "xdp": {"links": [NEAR]}}
    second = {"name": "writes", "type": "XDP", "xdp": {"links": [NEAR | {"priority": 7}]}}
    code = {"path": str(bpf_build.build("capable"))}
    host.write(byteCode=code, programs=[first])
    host.rows("apply")
    host.write(byteCode=code, programs=[first, second])
    assert host.rows("apply") == [
        ("program", "unchanged"), ("program", "created"), ("link", "unchanged"), ("link", "created"),
    ]  # fmt: skip
    assert len(host.chain()) == 2
    host.write(byteCode=code, programs=[second])
    assert host.rows("apply") == [("program", "unchanged"), ("program", "removed"), ("link", "unchanged")]
    assert [member["priority"] for member in host.chain()] == [7]


def test_an_image_is_loaded_and_replaced_by_its_digest(host: Host, tmp_path: Path) -> None:
    """Out of a layout; the daemon pulls, and a new image under the old name is new code."""
    url = f"oci:{tmp_path}/image:v1"
    source = {"image": {"url": url, "imagePullPolicy": "Always"}}
    host.write(NEAR, byteCode=source)
    host.daemon.cli("image", "build", url, str(bpf_build.build("count")))
    assert host.rows("apply") == [("program", "created"), ("link", "created")]
    assert host.rows("apply") == [("program", "unchanged"), ("link", "unchanged")]
    host.daemon.cli("image", "build", url, str(bpf_build.build("count")), "--annotation", "release=2")
    assert host.rows("diff", code=1) == [("program", "changed")]
    assert host.rows("apply") == [("program", "changed"), ("link", "unchanged")]
    assert host.rows("apply") == [("program", "unchanged"), ("link", "unchanged")]
    host.write(NEAR, byteCode={"image": {"url": f"oci:{tmp_path}/image:v2"}})
    done = host.run("apply")
    assert done.returncode == 3, done.stderr
    assert len(host.chain()) == 1, "what ran runs on"


def test_a_map_owner_is_found_by_its_labels(host: Host, tmp_path: Path) -> None:
    host.write()
    other = Host(host.daemon, host.network, tmp_path / "other.yaml")
    other.write(name="reader", mapOwnerSelector={"matchLabels": {"bpfman.io/application": "counter"}})
    refused = other.run("apply")
    assert (refused.returncode, "fits no loaded program" in refused.stderr) == (3, True)
    host.rows("apply")
    assert other.rows("apply") == [("program", "created")]
    assert other.rows("apply") == [("program", "unchanged")]
    ids = [str(each.get("program_id") or each["record"]["program_id"]) for each in host.loaded()]
    shown = json.loads(host.daemon.cli("program", "get", ids[0], "-o", "json").stdout)
    assert sorted(map(str, shown["status"]["map_used_by"])) == sorted(ids)
    assert other.rows("delete") == [("program", "removed")]


def test_what_is_exported_is_what_was_applied(host: Host) -> None:
    host.write(NEAR | {"priority": 50, "proceedOn": ["Drop"], "mode": "skb"}, globalData={"verdict": "AgAAAA=="})
    host.rows("apply")
    for form in ("yaml", "json"):
        host.file.write_text(host.daemon.cli("export", "counter", "-o", form).stdout)
        assert host.rows("diff") == []
    done = host.daemon.cli("export", "countre", check=False)
    assert (done.returncode, "did you mean counter?" in done.stderr) == (3, True)


def test_what_no_object_can_say_is_not_exported(host: Host) -> None:
    """A priority beyond what upstream's schema has."""
    words = ("program", "load", "file", str(bpf_build.build("count")), "--programs", "xdp:count", "-a", "high")
    host.daemon.cli(*words)
    (program,) = host.loaded()
    id = str(program.get("program_id") or program["record"]["program_id"])
    host.daemon.cli("link", "attach", "xdp", id, host.network.near, "-p", "5000")
    done = host.daemon.cli("export", check=False)
    host.daemon.cli("program", "unload", id)
    assert (done.returncode, done.stdout) == (10, "")
    assert "spec.programs[0].xdp.links[0].priority is 5000" in done.stderr


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        ({"priority": 1001}, "spec.programs[0].xdp.links[0].priority is 1001"),
        ({"networkNamespaces": {"pods": {}}}, "networkNamespaces selects pods, and a plain host has none"),
        ({"interfaceSelector": {"interfaces": ["wlan*"]}}, "interfaceSelector selects no interface of this host"),
    ],
)
def test_a_wrong_file_leaves_nothing_behind(host: Host, spoil: dict[str, Any], told: str) -> None:
    pins = host.daemon.pins()
    host.write(NEAR | spoil)
    done = host.run("apply")
    assert done.returncode in (3, 10)
    assert told in done.stderr
    assert (host.loaded(), host.daemon.pins()) == ([], pins)


def test_what_fails_does_not_keep_the_rest(host: Host) -> None:
    host.write({"interfaceSelector": {"interfaces": ["nowhere", "near"]}})
    assert host.rows("apply", code=3) == [("program", "created"), ("link", "failed"), ("link", "created")]
    assert len(host.chain()) == 1
    host.write(NEAR)
    assert host.rows("apply") == [("program", "unchanged"), ("link", "unchanged")]


def test_programs_of_others_are_left_alone(host: Host) -> None:
    words = ("program", "load", "file", str(bpf_build.build("count")), "--programs", "xdp:count", "-a", "counter")
    host.daemon.cli(*words)
    host.write()
    assert host.rows("apply") == [("program", "created")]
    assert host.rows("delete") == [("program", "removed")]
    (other,) = host.loaded()
    host.daemon.cli("program", "unload", str(other.get("program_id") or other["record"]["program_id"]))


def test_not_yaml(host: Host) -> None:
    host.file.write_text("a: [")
    done = host.run("apply")
    assert (done.returncode, "is neither YAML nor JSON" in done.stderr) == (10, True)
    host.file.write_text("")
    assert "holds no object" in host.run("apply").stderr
