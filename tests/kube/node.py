"""A node of one's own: kubelet and Debian's containerd in network, mount and process namespaces that nobody else is in.

What they make, pods, mounts, bridges, pins, ends with the first process of the node's process namespace: nothing of it
is visible outside but cgroups, which are removed, and four sysctls that kubelet sets for the whole machine, which are
set back. Inside, every path is what it is on a node: /var/lib/kubelet, /run, a bpffs on /sys/fs/bpf.

The control plane runs in the same network namespace, at the address of its service, so that no kube-proxy is needed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import native_build
from tests.kube import images
from tests.kube.plane import ControlPlane, until
from tests.parts import Server, part

ADDRESS = "10.250.0.1"
"""The node's, on eth0."""
SERVICE = "10.96.0.1"
"""The API server's, as pods are told."""
PODS = "10.244.0.0/24"
CGROUPS = Path("/sys/fs/cgroup")
SYSCTLS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")
"""What kubelet sets (setupKernelTunables in pkg/kubelet/cm) and leaves so; none of them is of a namespace."""


class Node:
    """A node, from ``start`` to ``close``; ``with`` does both. ``directory`` holds everything it writes."""

    def __init__(self, directory: Path, *, name: str = "node-1") -> None:
        self.directory = directory
        self.name = name
        self.network = f"skepkube{os.getpid()}"
        self._cgroup = f"skep-kube-{os.getpid()}"
        self._ending = contextlib.ExitStack()
        self._processes = contextlib.ExitStack()
        self._init = 0

    def __enter__(self) -> Node:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def enter(self) -> tuple[str, ...]:
        """The words before a command that shall run in the node's network."""
        return ("nsenter", f"--net=/run/netns/{self.network}")

    @property
    def inside(self) -> tuple[str, ...]:
        """The words before a command that shall run on the node: its mounts and processes, too."""
        return ("nsenter", "-t", str(self._init), "-n", "-m", "-p")

    @property
    def root(self) -> Path:
        """The node's root directory as seen from here."""
        return Path(f"/proc/{self._init}/root")

    def start(self) -> None:
        """Make the namespaces and start containerd. ``join`` starts kubelet."""
        assert not _missing(), f"not here: {_missing()}; scripts/packages --kube installs it"
        self.directory.mkdir(parents=True, exist_ok=True)
        self._ending.enter_context(_sysctls_kept())
        self._make_network()
        self._make_cgroups()
        self._make_namespaces()
        self._start_containerd()

    def close(self) -> None:
        """End everything on the node at once, and remove what the kernel does not."""
        self._ending.close()

    def stop(self) -> None:
        """End every process on the node at once, and leave its network to the control plane."""
        self._processes.close()

    def run(self, *words: str | Path, input: str | None = None) -> str:
        """Run a command on the node; what it printed. CalledProcessError."""
        return _run(*self.inside, *words, input=input)

    def import_image(self, archive: Path) -> None:
        """Give containerd an image for pods: an OCI archive that says its name."""
        self._ctr("images", "import", str(archive))

    def join(self, plane: ControlPlane) -> None:
        """Start kubelet and wait until the node is ready."""
        kubeconfig = plane.kubeconfig_of(f"kubelet-{self.name}", f"system:node:{self.name}", "system:nodes")
        config = self.directory / "kubelet.json"
        config.write_text(json.dumps(self._kubelet_config(plane.directory / "ca.crt")))
        program = part("kubernetes").parent / "kubernetes.d/kubelet"
        self._server(
            "kubelet", program, "--config", config, "--kubeconfig", kubeconfig, "--hostname-override", self.name,
            "--node-ip", ADDRESS, "--v=2",
        )  # fmt: skip
        until(f"{self.name} is ready", lambda: _ready(plane.get("node", self.name)), 60, every=0.2)

    def _make_network(self) -> None:
        _run("ip", "netns", "add", self.network)
        self._ending.callback(_run, "ip", "netns", "del", self.network)
        here = ("ip", "-n", self.network)
        _run(*here, "link", "set", "lo", "up")
        _run(*here, "address", "add", f"{SERVICE}/32", "dev", "lo")
        _run(*here, "link", "add", "eth0", "type", "veth", "peer", "name", "wire")
        for name in ("eth0", "wire"):
            _run(*here, "link", "set", name, "up")
        _run(*here, "address", "add", f"{ADDRESS}/24", "dev", "eth0")
        _run(*here, "route", "add", "default", "dev", "eth0")

    def _make_cgroups(self) -> None:
        roots = [CGROUPS] if (CGROUPS / "cgroup.controllers").exists() else sorted(CGROUPS.iterdir())
        for root in roots:
            self._ending.callback(_remove_cgroups, root / self._cgroup)
            (root / self._cgroup).mkdir()
        for name in ("cpuset.cpus", "cpuset.mems"):  # cgroup v1: empty in a new one, and then nobody may be in it
            for path in CGROUPS.glob(f"cpuset*/{self._cgroup}/{name}"):
                path.write_text((path.parent.parent / name).read_text())

    def _make_namespaces(self) -> None:
        pause = native_build.build("pause", "-static", "-Os", strip=True)
        process = subprocess.Popen(
            [*self.enter, "unshare", "--mount", "--propagation", "shared", "--pid", "--fork", "--kill-child",
             "--mount-proc", pause],
            stderr=subprocess.DEVNULL,  # it complains of the signal that ends its child
        )  # fmt: skip
        self._processes.callback(process.kill)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        self._init = until("the node's first process", lambda: int(children.read_text() or 0))
        self._ending.callback(self.stop)
        self._processes.callback(_end, process, self._init)
        until("its program", lambda: os.readlink(f"/proc/{self._init}/exe") == str(pause))
        script = [
            "set -e",
            "mount --make-rprivate /",  # until it is as it shall be: what is moved here would vanish there, too
            "mount -t tmpfs tmpfs /run",
            "mkdir -p /run/netns /run/lock /run/cgroup",
            # What /sys/class/net shows depends on the network namespace of whoever mounted it.
            "mount --rbind /sys/fs/cgroup /run/cgroup",
            "mount -t sysfs sysfs /sys",
            "mount --rbind /run/cgroup /sys/fs/cgroup",
            "umount -l /run/cgroup",
            "mount -t tracefs tracefs /sys/kernel/tracing",
            "mount -t bpf bpf /sys/fs/bpf",
        ]
        for name in ("etc", "var"):  # what is written there stays in the test's directory
            upper, work = self.directory / f"{name}-upper", self.directory / f"{name}-work"
            script += [
                f"mkdir -p {upper} {work}",
                f"mount -t overlay -o lowerdir=/{name},upperdir={upper},workdir={work} overlay /{name}",
            ]
        script += [
            f"mkdir -p /var/lib/kubelet {self.directory}/kubelet",
            f"mount --bind {self.directory}/kubelet /var/lib/kubelet",
            "mount --make-rshared /",
        ]
        self.run("sh", input="\n".join(script))
        # A bpffs of its own: else what is left in it would be the machine's.
        assert (self.root / "sys/fs/bpf").stat().st_dev != Path("/sys/fs/bpf").stat().st_dev

    def _start_containerd(self) -> None:
        config, network = self.directory / "containerd.toml", self.directory / "cni"
        network.mkdir()
        (network / "10-bridge.conflist").write_text(json.dumps(_network_config(self.directory)))
        config.write_text(_CONTAINERD.format(directory=self.directory, pause=images.PAUSE))
        self._server("containerd", "containerd", "-c", config)
        until("containerd", lambda: self._ctr("version"))
        self.import_image(images.pause(self.directory))

    def _ctr(self, *words: str) -> str:
        return self.run("ctr", "-n", "k8s.io", *words)

    def _kubelet_config(self, authority: Path) -> dict[str, Any]:  # Any: JSON
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._cgroup}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "authentication": {
                "anonymous": {"enabled": False}, "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(authority)},
            },
            "authorization": {"mode": "Webhook"},
            # Nobody is reached by a service's address here, and the machine's disk is not the node's.
            "makeIPTablesUtilChains": False,
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "0%", "imagefs.available": "0%",
                             "nodefs.inodesFree": "0%", "imagefs.inodesFree": "0%"},
            "imageGCHighThresholdPercent": 100,
            "address": ADDRESS,
            "healthzPort": 0,
            "resolvConf": "",
            # Nobody answers there; without it kubelet complains of each pod.
            "clusterDNS": ["10.96.0.10"],
            "clusterDomain": "cluster.local",
            "nodeStatusUpdateFrequency": "5s",
            "syncFrequency": "5s",
            "shutdownGracePeriod": "0s",
        }  # fmt: skip

    def _server(self, name: str, *words: str | Path) -> Server:
        made = Server(self.directory / f"{name}.log", *self.inside, *words)
        # It ends with the node's first process: asking it to would only make it clean up what goes anyway.
        self._ending.callback(made.close)
        return made


@dataclass(frozen=True, slots=True)
class Cluster:
    """A node and the control plane that it belongs to."""

    node: Node
    plane: ControlPlane


@contextlib.contextmanager
def cluster(directory: Path, *, empty: bool = False) -> Iterator[Cluster]:
    """Both of them, running; files go below ``directory``. ``empty``: without what deploy/ has."""
    with contextlib.ExitStack() as ending:
        node = ending.enter_context(Node(directory / "node"))
        plane = ControlPlane(directory, address=ADDRESS, scheduler=True, enter=node.enter, empty=empty)
        ending.enter_context(plane)
        ending.callback(node.stop)  # first: an API server waits for those who watch
        node.join(plane)
        yield Cluster(node, plane)


_CONTAINERD = """
version = 2
root = "{directory}/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_apparmor = true
  # Root of a virtual machine may lack CAP_SYS_RESOURCE, and then runc cannot write the scores that kubelet asks for.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{directory}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def _network_config(directory: Path) -> dict[str, Any]:  # Any: JSON
    """Pods on a bridge of the node's network namespace."""
    addresses = {
        "type": "host-local", "dataDir": f"{directory}/addresses", "ranges": [[{"subnet": PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }  # fmt: skip
    bridge = {"type": "bridge", "bridge": "pods0", "isGateway": True, "ipMasq": False, "ipam": addresses}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]}


def _ready(node: dict[str, Any]) -> bool:  # Any: JSON
    return any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"]["conditions"])


def _end(unshare: subprocess.Popen[bytes], init: int) -> None:
    """End the node's first process, and with it every other; its parent ends when the last of them is gone."""
    os.kill(init, signal.SIGKILL)
    unshare.wait()


def _remove_cgroups(root: Path) -> None:
    """Remove a cgroup and those in it as soon as the kernel sees that nobody is in there."""
    end = time.monotonic() + 20
    for directory, _, _ in [*os.walk(root, topdown=False), (str(root), [], [])]:
        while os.path.isdir(directory):
            try:
                os.rmdir(directory)
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)


def _sysctl(name: str) -> Path:
    return Path("/proc/sys") / name


@contextlib.contextmanager
def _sysctls_kept() -> Iterator[None]:
    """Set them back in the end. One node at a time: a second one would keep what the first one's kubelet has set.

    The values are kept in a file, so that whoever comes after a test that was killed sets them back.
    """
    with Path(tempfile.gettempdir(), "skep-kube-node.sysctls").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        left = file.read()
        saved: dict[str, str] = json.loads(left) if left else {name: _sysctl(name).read_text() for name in SYSCTLS}
        if not left:
            file.write(json.dumps(saved))
            file.flush()
        try:
            yield
        finally:
            for name, value in saved.items():
                _sysctl(name).write_text(value)
            file.truncate(0)


def _run(*words: str | Path, input: str | None = None) -> str:
    command = [str(each) for each in words]
    done = subprocess.run(command, input=input, capture_output=True, text=True, check=False)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr + done.stdout)
    return done.stdout


def _missing() -> str:
    """What a node needs and this machine lacks, "" for nothing."""
    programs = ("containerd", "ctr", "runc", "busybox", "/usr/lib/cni/bridge")
    return ", ".join(one for one in programs if shutil.which(one) is None)
