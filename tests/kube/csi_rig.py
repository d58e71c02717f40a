"""A node for the CSI driver, as kubelet sees one: a host's mount namespace, the driver in a container's, pods.

The "host" is a mount namespace of the test's own whose mounts are shared, and the driver runs in a peer of it, which is
what Bidirectional propagation gives its container. Nothing is mounted outside of it, and all of it goes with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from skep import model
from skep.hooks import xdp
from skep.kernel import mountinfo
from skep.pb import csi_pb2, csi_pb2_grpc
from skep.rpc import client
from tests import bpf_build, instance
from tests.kernel import kernel_rig

SECONDS = 30.0
NODE = "node-1"
MODE = csi_pb2.VolumeCapability.AccessMode


def until(what: str, look: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait until ``look`` says true."""
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.02)


@dataclass(slots=True)
class Driver:
    """A driver that answers."""

    process: subprocess.Popen[bytes]
    socket: str
    log: Path
    _channel: grpc.Channel = field(init=False)

    def __post_init__(self) -> None:
        # Not shared with the channels to those that were there before, which may have failed a moment ago.
        options = (("grpc.use_local_subchannel_pool", 1),)
        self._channel = grpc.insecure_channel(f"unix:{self.socket}", options=options)

    @property
    def node(self) -> csi_pb2_grpc.NodeStub:
        return csi_pb2_grpc.NodeStub(self._channel)

    @property
    def identity(self) -> csi_pb2_grpc.IdentityStub:
        return csi_pb2_grpc.IdentityStub(self._channel)

    def kill(self) -> None:
        """kill -9: nothing is tidied up."""
        self._channel.close()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(SECONDS)


class Pod:
    """A process of somebody without rights, with a volume in a mount namespace of its own; see ``csi_pod``."""

    def __init__(self, enter: list[str], target: str, *, uid: int, gid: int, groups: tuple[int, ...]) -> None:
        words = [str(uid), str(gid), ",".join(map(str, groups))]
        self._process = subprocess.Popen(
            [*enter, sys.executable, "-m", "tests.kube.csi_pod", target, *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=instance.REPOSITORY,
            env={**instance.environment(), "PYTHONPATH": f"{instance.REPOSITORY}/src:{instance.REPOSITORY}"},
        )  # fmt: skip

    def ask(self, verb: str, name: str = "", key: int = 0, *, read_only: bool = False) -> Any:  # Any: JSON
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        question = {"verb": verb, "map": name, "key": key, "read_only": read_only}
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(SECONDS)


class World:
    """A daemon, a network, the host's mounts, kubelet's directory; drivers and pods come and go."""

    def __init__(self, home: Path, daemon: instance.Instance, network: instance.Network) -> None:
        self.home = home
        self.daemon = daemon
        self.network = network
        self.kubelet = home / "kubelet"
        for name in ("pods", "plugins_registry"):
            (self.kubelet / name).mkdir(parents=True)
        self._closing = contextlib.ExitStack()
        self._host = subprocess.Popen(
            ["unshare", "-m", "--propagation", "shared", "sleep", "infinity"], stdout=subprocess.DEVNULL
        )
        self._closing.callback(self._host.wait)
        self._closing.callback(self._host.kill)
        mine = os.readlink("/proc/self/ns/mnt")
        until("a mount namespace", lambda: os.readlink(f"/proc/{self._host.pid}/ns/mnt") != mine)
        until("sleep", lambda: Path(f"/proc/{self._host.pid}/comm").read_text() == "sleep\n")
        self._numbers = 0

    @property
    def host(self) -> list[str]:
        """The words that put a command into the host's mount namespace."""
        return ["nsenter", f"--mount=/proc/{self._host.pid}/ns/mnt"]

    def close(self) -> None:
        self._closing.close()

    # ---- programs and packets

    def load(self, application: str, *, applied: str = "") -> model.Program:
        """Load a program that counts packets in its maps ``hits`` (at 3) and ``extra`` (at 0).

        ``applied``: the object that it stands in for, as the agent labels it.
        """
        metadata = {"bpfman.io/ProgramName": application, **({"skep/applied": applied} if applied else {})}
        wanted = model.Load(
            object=bpf_build.build("kinds", "EXTRA").read_bytes(), source=model.FileSource(path="kinds"),
            programs=(model.ProgramSpec(name="first"),), metadata=metadata,
        )  # fmt: skip
        with self.client() as daemon:
            (made,) = daemon.run(wanted).programs
        return made

    def replace(self, program: model.Program) -> model.Program:
        """Put another version in its place."""
        wanted = model.ReplaceProgram(
            program=program.record.id, source=model.FileSource(path="kinds"),
            object=bpf_build.build("kinds", "EXTRA", "RETURN=XDP_DROP").read_bytes(),
        )  # fmt: skip
        with self.client() as daemon:
            (made,) = daemon.run(wanted).programs
        return made

    def unload(self, *programs: model.Program) -> None:
        with self.client() as daemon:
            for program in programs:
                daemon.run(model.Unload(program=program.record.id))

    def attach(self, program: model.Program) -> None:
        place = model.InterfaceRef(name=self.network.near, netns=self.network.path)
        with self.client() as daemon:
            daemon.run(
                model.Attach(program=program.record.id, attachment=xdp.XdpAttachment(interface=place, priority=50))
            )

    def client(self) -> client.Client:
        return client.Client(self.daemon.layout.socket, timeout=SECONDS)

    def send(self, count: int) -> None:
        kernel_rig.send(self.network, count)

    # ---- drivers

    @contextlib.contextmanager
    def driver(self, *options: str, private: bool = False) -> Iterator[Driver]:
        """``skep kube csi`` in a container's mount namespace; ``private``: in one that shares nothing."""
        self._numbers += 1
        log = self.home / f"driver{self._numbers}.log"
        socket = f"{self.kubelet}/plugins/csi.bpfman.io/csi.sock"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(socket)  # of one that was killed: it must not be taken for the new one's
        apart = ["unshare", "-m", "--propagation", "private" if private else "unchanged"]
        words = ["--runtime-dir", self.daemon.layout.runtime, "kube", "csi", "--kubelet-dir", str(self.kubelet)]
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*self.host, *apart, *instance.command(), *words, "--node-name", NODE, *options],
                stdout=out, stderr=out, env=instance.environment(), cwd=self.home,
            )  # fmt: skip
        try:
            until("the driver", lambda: "serving" in log.read_text() or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield Driver(process, socket, log)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(SECONDS)

    # ---- volumes

    def target(self, name: str) -> str:
        """Where kubelet wants a pod's volume; it has made all but the last directory."""
        above = self.kubelet / "pods" / f"uid-{name}" / "volumes/kubernetes.io~csi/maps"
        above.mkdir(parents=True, exist_ok=True)
        return str(above / "mount")

    def mounts(self) -> dict[str, mountinfo.Mount]:
        """What is mounted below kubelet's directory, as the host sees it."""
        text = Path(f"/proc/{self._host.pid}/mountinfo").read_text()
        found = [mount for mount in mountinfo.parse(text) if mount.point.startswith(f"{self.kubelet}/")]
        assert len(found) == len({mount.point for mount in found}), "nothing is mounted twice"
        return {mount.point: mount for mount in found}

    @contextlib.contextmanager
    def pod(self, target: str, *, uid: int = 1000, gid: int = 1000, groups: tuple[int, ...] = ()) -> Iterator[Pod]:
        made = Pod(self.host, target, uid=uid, gid=gid, groups=groups)
        try:
            yield made
        finally:
            made.close()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command in the host's mount namespace."""
        return subprocess.run([*self.host, *words], capture_output=True, text=True, check=True)


@contextlib.contextmanager
def world() -> Iterator[World]:
    home = Path(tempfile.mkdtemp(prefix=f"skepcsi-{os.getpid()}-"))
    home.chmod(0o755)
    try:
        with instance.network("skepcsi") as network, instance.instance("skepcsi") as daemon:
            made = World(home, daemon, network)
            try:
                yield made
            finally:
                made.close()
    finally:
        shutil.rmtree(home)


# ---------------------------------------------------------------- requests


def capability(*, group: int | str | None = None, **more: Any) -> csi_pb2.VolumeCapability:  # Any: protobuf's fields
    mode = more.pop("mode", MODE.SINGLE_NODE_WRITER)
    mount = csi_pb2.VolumeCapability.MountVolume(volume_mount_group="" if group is None else str(group), **more)
    return csi_pb2.VolumeCapability(mount=mount, access_mode=MODE(mode=mode))


def publish(
    id: str, target: str, *, program: str = "counter", maps: str = "hits", group: int | None = None,
    read_only: bool = False, namespace: str | None = None, **more: Any,
) -> csi_pb2.NodePublishVolumeRequest:  # fmt: skip
    """What kubelet sends for a pod's volume."""
    context = {"csi.bpfman.io/program": program, "csi.bpfman.io/maps": maps, "csi.storage.k8s.io/ephemeral": "true"}
    if namespace is not None:
        context |= {"csi.storage.k8s.io/pod.namespace": namespace, "csi.storage.k8s.io/pod.name": "pod"}
    fields: dict[str, Any] = {
        "volume_id": id, "target_path": target, "volume_capability": capability(group=group), "readonly": read_only,
        "volume_context": context,
    }  # fmt: skip
    return csi_pb2.NodePublishVolumeRequest(**(fields | more))


def unpublish(id: str, target: str) -> csi_pb2.NodeUnpublishVolumeRequest:
    return csi_pb2.NodeUnpublishVolumeRequest(volume_id=id, target_path=target)


def code(call: Callable[[Any], object], request: object) -> str:
    """The name of a call's status."""
    return _failure(call, request)[0]


def told(call: Callable[[Any], object], request: object) -> str:
    """What a failing call says."""
    return _failure(call, request)[1]


def _failure(call: Callable[[Any], object], request: object) -> tuple[str, str]:
    try:
        call(request)
    except grpc.RpcError as error:
        failed: Any = error  # Any: a grpc.Call too, which no type says
        return str(failed.code().name), failed.details() or ""
    return "OK", ""
