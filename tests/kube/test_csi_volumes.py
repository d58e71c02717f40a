"""The CSI driver on a real kernel: what an unprivileged pod can do with a volume, and what outlives what."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest

from skep import model
from skep.kernel import sys
from skep.pb import csi_pb2
from tests.kube import csi_rig
from tests.kube.csi_rig import code, publish, told, unpublish

GROUP = 54321
KERNELS = {"maps.debug", "progs.debug"}
"""What every BPF file system has of its own, for root."""


@pytest.fixture(scope="module")
def world() -> Iterator[csi_rig.World]:
    with csi_rig.world() as made:
        made.attach(made.load("counter"))
        yield made


@pytest.fixture(scope="module")
def running(world: csi_rig.World) -> Iterator[csi_rig.Driver]:
    with world.driver() as made:
        yield made


@pytest.fixture
def driver(world: csi_rig.World, running: csi_rig.Driver) -> Iterator[csi_rig.Driver]:
    """The one driver of these tests; each must leave nothing mounted."""
    yield running
    left = world.mounts()
    for target in left:
        world.run("umount", target)
    assert left == {}


def test_an_unprivileged_pod_reads_a_counter_while_packets_flow(world: csi_rig.World, driver: csi_rig.Driver) -> None:
    target = world.target("reads")
    driver.node.NodePublishVolume(publish("reads", target, group=GROUP))
    with world.pod(target, groups=(GROUP,)) as pod:
        assert pod.ask("rights") == "0000000000000000"
        listed = pod.ask("list")
        assert set(listed) - KERNELS == {"hits"}, "exactly what it names"
        assert {pod.ask("open", name) for name in KERNELS & set(listed)} <= {"EACCES"}
        for _ in range(3):
            before = pod.ask("read", "hits", 3)
            world.send(25)
            assert pod.ask("read", "hits", 3) == before + 25
        assert pod.ask("write", "hits", 1) == "written"
        assert pod.ask("read", "hits", 1) == 1_000_000
    driver.node.NodeUnpublishVolume(unpublish("reads", target))
    assert not Path(target).exists()


def test_only_the_pods_group_gets_at_maps(world: csi_rig.World, driver: csi_rig.Driver) -> None:
    target = world.target("groups")
    driver.node.NodePublishVolume(publish("groups", target, maps="hits, extra", group=GROUP))
    with world.pod(target, groups=(GROUP + 1,)) as stranger:
        assert stranger.ask("list") == "EACCES"
        assert stranger.ask("read", "hits") == "EACCES"
    with world.pod(target, uid=0, gid=0) as root:
        assert set(root.ask("list")) - KERNELS == {"extra", "hits"}
    driver.node.NodeUnpublishVolume(unpublish("groups", target))
    driver.node.NodePublishVolume(publish("groups", target))
    with world.pod(target) as nobody:
        assert nobody.ask("read", "hits") == "EACCES", "without fsGroup maps are root's"
    driver.node.NodeUnpublishVolume(unpublish("groups", target))


@pytest.mark.parametrize("uid", [1000, 0])
def test_a_read_only_volume_cannot_be_written_through(world: csi_rig.World, driver: csi_rig.Driver, uid: int) -> None:
    target = world.target("constant")
    driver.node.NodePublishVolume(publish("constant", target, group=GROUP, read_only=True))
    with world.pod(target, uid=uid, groups=(GROUP,)) as pod:
        before = pod.ask("read", "hits", 3, read_only=True)
        assert pod.ask("write", "hits", 3) == "EROFS"
        assert pod.ask("write", "hits", 3, read_only=True) == "EPERM"
        world.send(5)
        assert pod.ask("read", "hits", 3, read_only=True) == before + 5
    driver.node.NodeUnpublishVolume(unpublish("constant", target))


def test_a_read_only_mount_alone_does_not_stop_writing(world: csi_rig.World, driver: csi_rig.Driver) -> None:
    """Why the file system itself is made read-only, and why `volumeMounts[].readOnly` is not enough."""
    target = world.target("mounted")
    driver.node.NodePublishVolume(publish("mounted", target, group=GROUP))
    world.run("mount", "-o", "remount,bind,ro", target)
    with world.pod(target, groups=(GROUP,)) as pod:
        assert pod.ask("write", "hits", 2) == "written"
    driver.node.NodeUnpublishVolume(unpublish("mounted", target))


DIFFERENT: dict[str, dict[str, Any]] = {
    "another map": {"maps": "extra"},
    "one more map": {"maps": "hits,extra"},
    "read-only": {"read_only": True},
    "another group": {"group": GROUP + 1},
    "another namespace": {"namespace": "other"},
    "another program": {"program": "second"},
    "another volume": {"id": "another"},
}


def test_publishing_again_changes_nothing(world: csi_rig.World, driver: csi_rig.Driver) -> None:
    target = world.target("again")
    request: dict[str, Any] = {"id": "again", "target": target, "group": GROUP}
    driver.node.NodePublishVolume(publish(**request))
    before = world.mounts()
    driver.node.NodePublishVolume(publish(**request))
    for label, difference in DIFFERENT.items():
        assert code(driver.node.NodePublishVolume, publish(**(request | difference))) == "ALREADY_EXISTS", label
    assert world.mounts() == before
    assert code(driver.node.NodeUnpublishVolume, unpublish("another", target)) == "FAILED_PRECONDITION"
    assert world.mounts() == before
    for _ in range(3):
        driver.node.NodeUnpublishVolume(unpublish("again", target))


def test_the_order_of_maps_and_repetitions_do_not_matter(world: csi_rig.World, driver: csi_rig.Driver) -> None:
    target = world.target("order")
    driver.node.NodePublishVolume(publish("order", target, maps="hits,extra"))
    driver.node.NodePublishVolume(publish("order", target, maps=" extra , hits,hits"))
    driver.node.NodeUnpublishVolume(unpublish("order", target))


def test_what_is_not_there_leaves_nothing_behind(world: csi_rig.World, driver: csi_rig.Driver) -> None:
    target = world.target("missing")
    for request, words in (
        (publish("missing", target, program="conter"), "did you mean counter?"),
        (publish("missing", target, maps="hits,hitz"), "did you mean hits?"),
    ):
        assert code(driver.node.NodePublishVolume, request) == "NOT_FOUND"
        assert words in told(driver.node.NodePublishVolume, request)
        assert not Path(target).exists()
    driver.node.NodeUnpublishVolume(unpublish("missing", target))


def test_another_file_system_is_left_alone(world: csi_rig.World, driver: csi_rig.Driver) -> None:
    target = world.target("tmpfs")
    os.mkdir(target)
    world.run("mount", "-t", "tmpfs", "none", target)
    assert code(driver.node.NodePublishVolume, publish("tmpfs", target)) == "FAILED_PRECONDITION"
    assert code(driver.node.NodeUnpublishVolume, unpublish("tmpfs", target)) == "FAILED_PRECONDITION"
    assert [mount.type for mount in world.mounts().values()] == ["tmpfs"]
    world.run("umount", target)
    driver.node.NodeUnpublishVolume(unpublish("tmpfs", target))
    assert not Path(target).exists()


def test_a_volume_that_bpfmans_driver_published_goes_on(world: csi_rig.World, driver: csi_rig.Driver) -> None:
    target = world.target("older")
    os.mkdir(target)
    world.run("mount", "-t", "bpf", "bpf", target)
    world.run("python3", "-c", _PIN, f"{target}/hits")
    driver.node.NodePublishVolume(publish("older", target))
    assert code(driver.node.NodePublishVolume, publish("older", target, maps="extra")) == "ALREADY_EXISTS"
    assert code(driver.node.NodePublishVolume, publish("older", target, read_only=True)) == "ALREADY_EXISTS"
    driver.node.NodeUnpublishVolume(unpublish("older", target))
    assert not Path(target).exists()


_PIN = f"""
import sys
sys.path.insert(0, {str(csi_rig.instance.REPOSITORY / "src")!r})
from skep.kernel import sys as calls
calls.obj_pin(sys.argv[1], calls.map_create(2, 4, 8, 4))
"""


def test_links_lead_nowhere(world: csi_rig.World, driver: csi_rig.Driver) -> None:
    outside = world.home / "outside"
    outside.mkdir()
    target = world.target("links")
    above = Path(target).parent
    for link, request in (
        (Path(target), publish("links", target)),
        (above / "volumes", publish("links", str(above / "volumes" / "mount"))),
    ):
        link.symlink_to(outside)
        assert code(driver.node.NodePublishVolume, request) == "INVALID_ARGUMENT"
        gone = unpublish("links", request.target_path)
        assert code(driver.node.NodeUnpublishVolume, gone) == "INVALID_ARGUMENT"
        assert link.is_symlink()
        link.unlink()
    Path(target).write_text("")
    assert code(driver.node.NodePublishVolume, publish("links", target)) == "INVALID_ARGUMENT"
    assert code(driver.node.NodeUnpublishVolume, unpublish("links", target)) == "INVALID_ARGUMENT"
    assert list(outside.iterdir()) == []


def test_a_target_whose_directory_kubelet_has_not_made_is_refused(world: csi_rig.World, driver: csi_rig.Driver) -> None:
    target = str(world.kubelet / "pods/nowhere/mount")
    assert code(driver.node.NodePublishVolume, publish("nowhere", target)) == "FAILED_PRECONDITION"
    driver.node.NodeUnpublishVolume(unpublish("nowhere", target))


def test_a_directory_with_files_is_not_removed(world: csi_rig.World, driver: csi_rig.Driver) -> None:
    target = world.target("full")
    os.mkdir(target)
    Path(target, "file").write_text("kept")
    assert code(driver.node.NodeUnpublishVolume, unpublish("full", target)) == "FAILED_PRECONDITION"
    assert Path(target, "file").read_text() == "kept"


def test_many_at_once_mount_one_volume_once(world: csi_rig.World, driver: csi_rig.Driver) -> None:
    target = world.target("many")
    codes: list[str] = []

    def ask(id: str) -> None:
        codes.append(code(driver.node.NodePublishVolume, publish(id, target)))

    threads = [threading.Thread(target=ask, args=("many" if n % 2 else "other",)) for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) <= {"OK", "ABORTED", "ALREADY_EXISTS"}
    assert "OK" in codes
    (mount,) = world.mounts().values()
    driver.node.NodeUnpublishVolume(unpublish(mount.source.split("/")[1], target))


def test_hundreds_of_volumes_leave_nothing_open(world: csi_rig.World, driver: csi_rig.Driver) -> None:
    def life(number: int) -> tuple[str, ...]:
        target = world.target(f"life{number % 40}")
        id = f"life{number % 40}"
        return (
            code(driver.node.NodePublishVolume, publish(id, target, group=number, read_only=bool(number % 2))),
            code(driver.node.NodeUnpublishVolume, unpublish(id, target)),
        )

    def open_files() -> int:
        return len(os.listdir(f"/proc/{driver.process.pid}/fd"))

    with futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(life, range(40)))  # whatever is made once is made
        before = open_files()
        told = set(pool.map(life, range(400)))
    assert told <= {
        ("OK", "OK"),
        ("ABORTED", "OK"),
        ("OK", "ABORTED"),
        ("ALREADY_EXISTS", "OK"),
        ("ABORTED", "ABORTED"),
    }
    for number in range(40):
        driver.node.NodeUnpublishVolume(unpublish(f"life{number}", world.target(f"life{number}")))
    assert world.mounts() == {}
    csi_rig.until("connections to the daemon have ended", lambda: open_files() <= before)


def test_requests_of_any_size_leave_it_alive(driver: csi_rig.Driver, world: csi_rig.World) -> None:
    target = world.target("huge")
    many = ",".join(f"m{n}" for n in range(10_000))
    assert code(driver.node.NodePublishVolume, publish("huge", target, maps=many)) == "INVALID_ARGUMENT"
    assert code(driver.node.NodePublishVolume, publish("huge", target, maps="m" * 300_000)) == "RESOURCE_EXHAUSTED"
    assert driver.identity.Probe(csi_pb2.ProbeRequest()).ready.value
    assert not Path(target).exists()


def test_pods_use_their_own_namespaces_applications_first(world: csi_rig.World, driver: csi_rig.Driver) -> None:
    own = world.load("shared", applied="BpfApplication/blue/shared")
    cluster = world.load("shared", applied="ClusterBpfApplication/shared")
    private = world.load("private", applied="BpfApplication/blue/private")
    write(own, "hits", 0, 1)
    write(cluster, "hits", 0, 2)
    for namespace, value in (("blue", 1), ("green", 2), (None, 2)):
        target = world.target(f"scope-{namespace}")
        driver.node.NodePublishVolume(publish("scope", target, program="shared", group=GROUP, namespace=namespace))
        with world.pod(target, groups=(GROUP,)) as pod:
            assert pod.ask("read", "hits", 0) == value
        driver.node.NodeUnpublishVolume(unpublish("scope", target))
    target = world.target("scope-private")
    request = publish("scope", target, program="private", namespace="green")
    assert code(driver.node.NodePublishVolume, request) == "NOT_FOUND"
    assert "the pod's is green" in told(driver.node.NodePublishVolume, request)
    world.unload(own, cluster, private)


def test_a_replaced_programs_volumes_go_on_and_a_new_ones_do_not(world: csi_rig.World, driver: csi_rig.Driver) -> None:
    first = world.load("versions")
    target, later = world.target("versions"), world.target("versions-later")
    driver.node.NodePublishVolume(publish("versions", target, program="versions", group=GROUP))
    second = world.replace(first)
    assert second.record.id != first.record.id
    with world.pod(target, groups=(GROUP,)) as pod:
        write(second, "hits", 1, 42)
        assert pod.ask("read", "hits", 1) == 42
        world.unload(second)
        third = world.load("versions")
        driver.node.NodePublishVolume(publish("versions-later", later, program="versions", group=GROUP))
        assert pod.ask("read", "hits", 1) == 42, "a volume keeps the maps that it has"
    with world.pod(later, groups=(GROUP,)) as pod:
        assert pod.ask("read", "hits", 1) == 0
    driver.node.NodeUnpublishVolume(unpublish("versions", target))
    driver.node.NodeUnpublishVolume(unpublish("versions-later", later))
    world.unload(third)


def write(program: model.Program, name: str, key: int, value: int) -> None:
    """Write to a program's map."""
    (pin,) = [one.pin for one in program.record.maps if one.name == name]
    with sys.held(sys.obj_get(pin)) as fd:
        sys.map_update(fd, struct.pack("=I", key), struct.pack("=Q", value))
