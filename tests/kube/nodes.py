"""Nodes that are played: a network namespace with a daemon in it, an agent as the cluster lets one be, and pods.

Pods are objects that nobody runs; what stands for their containers are processes in control groups named as kubelet
names them, in network namespaces of their own.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skep import model
from skep.kernel import cgroups
from skep.kube import naming
from skep.kube.agent import owned
from skep.rpc import client
from tests import bpf_build, instance, kubepods
from tests.e2e.test_cli import SEND
from tests.kube import node_agents
from tests.kube.plane import ControlPlane, until
from tests.parts import free_port

PLACE = "bpfman-nodes"
_numbers = itertools.count(1)


@dataclass(slots=True)
class Node:
    """One node. ``start`` and ``kill`` are its agent's."""

    plane: ControlPlane
    name: str
    network: instance.Network
    daemon: instance.Instance
    kubeconfig: Path
    groups: kubepods.Node
    logs: Path
    agent: subprocess.Popen[bytes] | None = None
    port: int = 0
    metrics: int = 0
    serving: subprocess.Popen[bytes] = field(init=False)
    held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __post_init__(self) -> None:
        self.serving = self.daemon.process

    def start(self) -> None:
        """Start the agent."""
        self.port = free_port()
        words = ["kube", "agent", "--node", self.name, "--kubeconfig", str(self.kubeconfig), "--socket-path",
                 self.daemon.layout.socket, "--health-probe-bind-address", f"127.0.0.1:{self.port}",
                 "--metrics-bind-address", f"127.0.0.1:{self.metrics}" if self.metrics else "0"]  # fmt: skip
        with self.logs.open("ab") as output:
            self.agent = subprocess.Popen(
                [*instance.command(), *words], stdout=output, stderr=output, env=instance.environment()
            )

    def stop(self) -> None:
        """End the agent as kubelet would; it has to end well."""
        assert self.agent is not None
        self.agent.terminate()
        assert self.agent.wait(20) == 0, self.logs.read_text()
        self.agent = None

    def kill(self) -> None:
        """Kill the agent."""
        assert self.agent is not None
        self.agent.kill()
        self.agent.wait()
        self.agent = None

    def kill_daemon(self) -> None:
        """Kill the daemon."""
        self.serving.kill()
        self.serving.wait()

    def start_daemon(self) -> None:
        """Start it again, on the same directories."""
        words = [*self.network.enter, *instance.command(), "serve", "--runtime-dir", self.daemon.layout.runtime]
        with self.daemon.log.open("ab") as output:
            self.serving = subprocess.Popen(words, stdout=output, stderr=output, env=instance.environment())
        self.held.callback(self._end, self.serving)
        instance._wait(self.serving, self.daemon.layout.socket, self.daemon.log)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        process.wait(20)

    def ready(self) -> bool:
        """Whether the agent says so."""
        return self.asked("readyz")[0] == 200

    def asked(self, path: str) -> tuple[int, str]:
        """What the agent's port answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def state(self, application: str, namespace: str | None = None) -> dict[str, Any]:
        """The status of an application's state here; {} if there is none."""
        kind = "bpfapplicationstate" if namespace else "clusterbpfapplicationstate"
        found = self.plane.get(kind, naming.state_name(application, self.name), namespace=namespace)
        status: dict[str, Any] = found.get("status", {})
        return status

    def condition(self, application: str, namespace: str | None = None) -> tuple[str, str]:
        """Type and message of the state's condition; ("", "") if there is none."""
        conditions = self.state(application, namespace).get("conditions") or [{"type": "", "message": ""}]
        return conditions[0]["type"], conditions[0]["message"]

    def becomes(self, application: str, type: str, words: str = "", namespace: str | None = None) -> dict[str, Any]:
        """Wait for a condition whose message has ``words``; the status then."""

        def look() -> bool:
            found, message = self.condition(application, namespace)
            assert found == type and words in message, (found, message, self.logs.read_text()[-1500:])
            return True

        until(f"{application} on {self.name} is {type} {words!r}", look, 40)
        return self.state(application, namespace)

    def programs(self) -> tuple[model.Program, ...]:
        """What is loaded here for the cluster."""
        with client.Client(self.daemon.layout.socket) as door:
            found = door.programs(model.ProgramFilter(managed_only=True, metadata={owned.AGENT: self.name}))
        return tuple(each for each in found if isinstance(each, model.Program))

    def links(self) -> tuple[model.Link, ...]:
        """What is attached here for the cluster."""
        with client.Client(self.daemon.layout.socket) as door:
            return door.links(model.LinkFilter(metadata={owned.AGENT: self.name}))

    def chain(self, interface: str = "near", netns: str | None = None) -> list[model.Counts]:
        """What the members of an XDP chain counted."""
        with client.Client(self.daemon.layout.socket) as door:
            return list(door.chain("xdp", model.InterfaceRef(name=interface, netns=netns)).counts)

    def counted(self, name: str = "packets") -> int:
        """What the one map of this name counted."""
        with client.Client(self.daemon.layout.socket) as door:
            entry = door.map_lookup(name, model.Datum(raw=bytes(4)))
        return int.from_bytes(entry.values[0], sys.byteorder)

    def events(self, application: str) -> list[tuple[str, str]]:
        """Type and reason of the Events about an application, the oldest first."""
        found = [
            each
            for each in self.plane.list("events")
            if each["involvedObject"]["name"] == application and each["source"].get("host") == self.name
        ]
        return [(each["type"], each["reason"]) for each in sorted(found, key=lambda each: each["firstTimestamp"])]

    def send(self, packets: int) -> None:
        """Packets that arrive at ``near``."""
        words = [*self.network.enter, sys.executable, "-c", SEND, self.network.far, str(packets)]
        subprocess.run(words, check=True)

    def image(self, directory: Path, source: str, *defines: str, tag: str = "v1") -> str:
        """An image in a directory, as this node's daemon reads it."""
        url = f"oci:{directory}/image:{tag}"
        self.daemon.cli("image", "build", url, str(bpf_build.build(source, *defines)))
        return url

    def pod(self, namespace: str, name: str, volumes: Sequence[dict[str, Any]] = (), **labels: str) -> Pod:
        """A pod on this node, without containers that run."""
        self.plane.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": namespace, "labels": labels},
                "spec": {
                    "nodeName": self.name,
                    "containers": [{"name": "main", "image": "none"}],
                    "volumes": list(volumes),
                },
            }
        )
        uid = self.plane.get("pod", name, namespace=namespace)["metadata"]["uid"]
        return Pod(self, namespace, name, uid, self.groups.pod(uid))


@dataclass(slots=True)
class Pod:
    """A pod. ``run`` starts its container in a network namespace with a veth pair ``eth0`` and ``peer``."""

    node: Node
    namespace: str
    name: str
    uid: str
    group: kubepods.Pod
    network: instance.Network | None = None
    container: kubepods.Container | None = None

    def run(self) -> None:
        """Start the container; again: it restarts, and its network stays."""
        if self.network is None:
            made = instance.network("pod")
            self.network = self.node.held.enter_context(made)
            for old, new in (("near", "eth0"), ("far", "peer")):
                subprocess.run(["ip", "-n", self.network.name, "link", "set", old, "down"], check=True)
                subprocess.run(["ip", "-n", self.network.name, "link", "set", old, "name", new, "up"], check=True)
        if self.container is not None and self.container.process is not None:
            self.node.groups.stop(self.container.process)
        self.container = self.group.container(*self.network.enter, "sleep", "infinity")
        inode = os.stat(self.network.path).st_ino
        kubepods.wait_for(lambda: kubepods.netns(self.container.pid) == inode)  # type: ignore[union-attr]
        self.tell({"phase": "Running", "containerStatuses": [self._status()]})

    def tell(self, status: dict[str, Any]) -> None:
        """Write the pod's status, as kubelet would."""
        words = ("--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
        self.node.plane.kubectl("patch", "pod", self.name, "-n", self.namespace, *words)

    def delete(self) -> None:
        """Delete the object, and end what stands for it."""
        self.node.plane.kubectl("delete", "pod", self.name, "-n", self.namespace, "--grace-period=0", "--force")
        if self.container is not None and self.container.process is not None:
            self.node.groups.stop(self.container.process)

    def send(self, packets: int) -> None:
        """Packets that arrive at the pod's eth0."""
        assert self.network is not None
        subprocess.run([*self.network.enter, sys.executable, "-c", SEND, "peer", str(packets)], check=True)

    def _status(self) -> dict[str, Any]:
        assert self.container is not None
        return {
            "name": "main", "image": "none", "imageID": "", "ready": True, "restartCount": 0,
            "containerID": self.container.url, "state": {"running": {}},
        }  # fmt: skip


@contextlib.contextmanager
def node(
    plane: ControlPlane,
    directory: Path,
    *,
    start: bool = True,
    own_network: bool = True,
    options: Sequence[str] = (),
    **labels: str,
) -> Iterator[Node]:
    """A node of the cluster whose agent runs. ``own_network``: the daemon is in a network namespace, not in ours.
    ``options``: the daemon's."""
    number = next(_numbers)
    name = f"node{number}-{os.getpid()}"
    with contextlib.ExitStack() as held:
        network = held.enter_context(instance.network("knode"))
        daemon = held.enter_context(
            instance.instance("knode", enter=network.enter if own_network else None, options=tuple(options))
        )
        groups = held.enter_context(kubepods.node(cgroups.mount()))
        labels = {"kubernetes.io/hostname": name, **labels}
        plane.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
        held.callback(plane.kubectl, "delete", "node", name)
        plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}})
        node_agents.account(plane, PLACE)
        kubeconfig = node_agents.agent(plane, PLACE, name)
        made = Node(plane, name, network, daemon, kubeconfig, groups, directory / f"{name}.log", held=held)
        if start:
            made.start()
        try:
            yield made
        finally:
            if made.agent is not None:
                made.stop()
            _let_go(plane, name)


def application(
    name: str, url: str, *links: dict[str, Any], namespace: str | None = None, **spec: Any
) -> dict[str, Any]:
    """An application with the XDP program ``count``."""
    return {
        "apiVersion": "bpfman.io/v1alpha1",
        "kind": "BpfApplication" if namespace else "ClusterBpfApplication",
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {}), "labels": {"app": name}},
        "spec": {
            "nodeSelector": {},
            "byteCode": {"image": {"url": url}},
            "programs": [{"name": "count", "type": "XDP", "xdp": {"links": list(links)}}],
            **spec,
        },
    }


def _let_go(plane: ControlPlane, node: str) -> None:
    """Take the states away that an agent leaves when it ends: none follows it on this node, which vanishes now."""
    labels = f"{naming.HOSTNAME}={naming.label(node)}"
    for kind in ("clusterbpfapplicationstates", "bpfapplicationstates"):
        for each in plane.list(kind, labels=labels):
            about = each["metadata"]
            where = ("-n", about["namespace"]) if "namespace" in about else ()
            without = ("--type=merge", "-p", '{"metadata": {"finalizers": null}}')
            # It may go at any moment: the garbage collector is at work, too.
            plane.kubectl("patch", kind, about["name"], *where, *without, check=False)
            plane.kubectl("delete", kind, about["name"], *where, "--ignore-not-found", "--wait=false")


def gone(*nodes: Node) -> None:
    """Wait until nothing is left of applications on these nodes, neither here nor in the kernel."""
    for each in nodes:
        until(f"nothing is left on {each.name}", lambda each=each: each.programs() == ())  # type: ignore[misc]
        until(f"nothing is left in the kernel of {each.name}", lambda each=each: _clean(each))  # type: ignore[misc]


def _clean(one: Node) -> bool:
    """After the last program its pins go, which the doctor may see."""
    with client.Client(one.daemon.layout.socket) as door:
        links, findings = door.links(model.LinkFilter()), door.doctor()
    assert (links, findings) == ((), ())
    return True


Look = Callable[[], bool]
