"""The driver as a process: who knows it, what it may do, and what its death, the daemon's and a reboot leave."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from skep.kube.csi import registration
from skep.pb import csi_pb2, pluginregistration_pb2, pluginregistration_pb2_grpc
from tests import instance
from tests.kube import csi_rig
from tests.kube.csi_rig import code, publish, unpublish, until

GROUP = 54321


@pytest.fixture
def world() -> Iterator[csi_rig.World]:
    with csi_rig.world() as made:
        made.attach(made.load("counter"))
        yield made


def registered(world: csi_rig.World) -> str:
    return f"{world.kubelet}/plugins_registry/{registration.SOCKET}"


@contextlib.contextmanager
def kubelet(world: csi_rig.World) -> Iterator[pluginregistration_pb2_grpc.RegistrationStub]:
    """Kubelet's side of a registration."""
    with grpc.insecure_channel(f"unix:{registered(world)}") as channel:
        yield pluginregistration_pb2_grpc.RegistrationStub(channel)


def status(registered: bool, error: str = "") -> pluginregistration_pb2.RegistrationStatus:
    return pluginregistration_pb2.RegistrationStatus(plugin_registered=registered, error=error)


def test_kubelet_gets_to_know_the_driver_and_again_after_its_restart(world: csi_rig.World) -> None:
    with world.driver() as driver:
        path = Path(registered(world))
        for _ in range(2):
            with kubelet(world) as asking:
                told = asking.GetInfo(pluginregistration_pb2.InfoRequest())
                assert (told.type, told.name, list(told.supported_versions)) == (
                    "CSIPlugin",
                    "csi.bpfman.io",
                    ["1.0.0"],
                )
                with grpc.insecure_channel(f"unix:{told.endpoint}") as channel:
                    info = csi_rig.csi_pb2_grpc.IdentityStub(channel).GetPluginInfo(csi_pb2.GetPluginInfoRequest())
                assert info.name == told.name
                asking.NotifyRegistrationStatus(status(True))
            path.unlink()
            until("the socket again", path.exists)
        before = path.stat().st_ctime_ns
        with kubelet(world) as asking:
            asking.NotifyRegistrationStatus(status(False, "the API server is away"))
        until("a new socket", lambda: path.exists() and path.stat().st_ctime_ns != before)
        assert "the API server is away" in driver.log.read_text()
        os.unlink(driver.socket)
        until("the driver's socket", lambda: os.path.exists(driver.socket))
        with grpc.insecure_channel(f"unix:{driver.socket}") as channel:
            assert csi_rig.csi_pb2_grpc.IdentityStub(channel).Probe(csi_pb2.ProbeRequest()).ready.value
    assert not path.exists()
    assert not os.path.exists(driver.socket)


def test_it_keeps_two_capabilities_in_every_thread(world: csi_rig.World) -> None:
    target = world.target("rights")
    with world.driver() as driver:
        driver.node.NodePublishVolume(publish("rights", target))
        driver.node.NodeUnpublishVolume(unpublish("rights", target))
        threads = list(Path(f"/proc/{driver.process.pid}/task").iterdir())
        assert len(threads) > 1
        for thread in threads:
            fields = dict(line.split(":", 1) for line in (thread / "status").read_text().splitlines())
            for name in ("CapPrm", "CapEff", "CapBnd"):
                assert int(fields[name], 16) == 1 << 21 | 1 << 0, "CAP_SYS_ADMIN, CAP_CHOWN"
            assert int(fields["CapInh"], 16) == int(fields["CapAmb"], 16) == 0
            assert fields["NoNewPrivs"].strip() == "1"
        assert os.stat(driver.socket).st_mode & 0o777 == 0o600
        assert os.stat(registered(world)).st_mode & 0o777 == 0o600


def test_it_is_ready_while_the_daemon_answers(world: csi_rig.World) -> None:
    target = world.target("ready")
    with world.driver() as driver:
        assert driver.identity.Probe(csi_pb2.ProbeRequest()).ready.value
        driver.node.NodePublishVolume(publish("ready", target))
        world.daemon.process.send_signal(signal.SIGKILL)
        world.daemon.process.wait(csi_rig.SECONDS)
        assert not driver.identity.Probe(csi_pb2.ProbeRequest()).ready.value
        assert code(driver.node.NodePublishVolume, publish("other", world.target("other"))) == "UNAVAILABLE"
        driver.node.NodePublishVolume(publish("ready", target))
        driver.node.NodeUnpublishVolume(unpublish("ready", target))
    assert world.mounts() == {}


def test_a_volume_outlives_the_driver_and_the_daemon(world: csi_rig.World) -> None:
    target = world.target("outlives")
    request = publish("outlives", target, group=GROUP)
    with world.driver() as driver:
        driver.node.NodePublishVolume(request)
        driver.kill()
    with world.pod(target, groups=(GROUP,)) as pod:
        before = pod.ask("read", "hits", 3)
        world.send(7)
        assert pod.ask("read", "hits", 3) == before + 7
        world.daemon.process.send_signal(signal.SIGKILL)
        world.daemon.process.wait(csi_rig.SECONDS)
        world.send(7)
        assert pod.ask("read", "hits", 3) == before + 14
        mounted = world.mounts()
        with world.driver() as driver:
            driver.node.NodePublishVolume(request)
            assert world.mounts() == mounted
            driver.node.NodeUnpublishVolume(unpublish("outlives", target))
        world.send(7)
        assert pod.ask("read", "hits", 3) == before + 21, "a process that has it open goes on"
    assert world.mounts() == {}
    assert not Path(target).exists()


def test_a_volume_from_before_a_reboot_is_published_anew(world: csi_rig.World) -> None:
    """A reboot leaves kubelet's directories and no mount."""
    target, other = world.target("reboot"), world.target("reboot-gone")
    os.mkdir(target)
    os.mkdir(other)
    with world.driver() as driver:
        driver.node.NodePublishVolume(publish("reboot", target))
        assert list(world.mounts()) == [target]
        driver.node.NodeUnpublishVolume(unpublish("reboot", target))
        driver.node.NodeUnpublishVolume(unpublish("reboot-gone", other))
    assert world.mounts() == {}
    assert not Path(other).exists()


def test_killed_at_any_step_it_leaves_all_or_nothing(world: csi_rig.World) -> None:
    target = world.target("crash")
    with world.client() as daemon:
        (program,) = daemon.programs(csi_rig.model.ProgramFilter(managed_only=True))
    assert isinstance(program, csi_rig.model.Program)
    pin = next(one.pin for one in program.record.maps if one.name == "hits")
    done = subprocess.run(
        [*world.host, sys.executable, "-m", "tests.kube.csi_crash", str(world.kubelet), target, pin],
        capture_output=True, text=True, check=True, cwd=instance.REPOSITORY,
        env={**instance.environment(), "PYTHONPATH": f"{instance.REPOSITORY}/src:{instance.REPOSITORY}"},
    )  # fmt: skip
    told = json.loads(done.stdout)
    for name, states in told.items():
        assert len(states) > 10, name
        assert all(repaired for _, _, repaired in states)
        seen = {(there, tuple(names)) for there, names, _ in states}
        assert seen == {(False, ()), (True, ()), (True, ("hits",))}, "nothing, an empty directory, or the volume"
    assert world.mounts() == {}


def test_it_says_when_pods_will_not_see_what_it_mounts(world: csi_rig.World) -> None:
    world.run("mount", "--bind", str(world.kubelet), str(world.kubelet))
    with world.driver(private=True) as driver:
        assert "Bidirectional" in driver.log.read_text()
    with world.driver() as driver:
        assert "Bidirectional" not in driver.log.read_text()
    world.run("umount", str(world.kubelet))


def test_it_ends_on_sigterm_after_calls_under_way(world: csi_rig.World) -> None:
    with world.driver() as driver, futures.ThreadPoolExecutor() as pool:
        asked = [
            pool.submit(code, driver.node.NodePublishVolume, publish(f"v{n}", world.target(f"end{n}")))
            for n in range(8)
        ]
        until("one of them", world.mounts)
        driver.process.terminate()
        assert driver.process.wait(csi_rig.SECONDS) == 0
        codes = [one.result(csi_rig.SECONDS) for one in asked]
        assert set(codes) <= {"OK", "UNAVAILABLE", "CANCELLED"}
    assert len(world.mounts()) >= codes.count("OK")
    with world.driver() as driver:
        for n in range(8):
            driver.node.NodeUnpublishVolume(unpublish(f"v{n}", world.target(f"end{n}")))
    assert world.mounts() == {}


def test_the_daemon_serves_it_too_for_who_deploys_both_in_one(world: csi_rig.World) -> None:
    """`--csi-support`: bpfman's way, with somebody else's registrar."""
    target = world.target("inside")
    runtime = world.home / "both"
    layout = instance.paths.layout(runtime=str(runtime))
    log = world.home / "both.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*world.host, *instance.command(), "serve", "--csi-support", "--kubelet-dir", str(world.kubelet),
             "--runtime-dir", str(runtime)],
            stdout=out, stderr=out, env={**instance.environment(), "KUBE_NODE_NAME": "node-7"},
        )  # fmt: skip
    try:
        until("the daemon", lambda: "serving version" in log.read_text() or process.poll() is not None)
        driver = csi_rig.Driver(process, f"{runtime}/csi/csi.sock", log)
        assert driver.node.NodeGetInfo(csi_pb2.NodeGetInfoRequest()).node_id == "node-7"
        assert code(driver.node.NodePublishVolume, publish("inside", target)) == "NOT_FOUND"
        object = str(csi_rig.bpf_build.build("kinds", "EXTRA"))
        words = ["program", "load", "file", object, "--programs", "xdp:first", "-a", "counter"]
        environment = {**instance.environment(), "SKEP_RUNTIME_DIR": str(runtime)}
        subprocess.run([*instance.command(), *words], env=environment, check=True, capture_output=True)
        driver.node.NodePublishVolume(publish("inside", target, group=GROUP))
        with world.pod(target, groups=(GROUP,)) as pod:
            assert pod.ask("read", "hits", 3) == 0
        driver.node.NodeUnpublishVolume(unpublish("inside", target))
    finally:
        process.terminate()
        process.wait(csi_rig.SECONDS)
        instance.remove_pins(layout.pins)
    assert world.mounts() == {}
