"""The operator as a process with its account's rights, nodes that exist only as objects, and agents played by a test.

What an agent writes is written with the agent's account: what that may not do fails here too.
"""

from __future__ import annotations

import datetime
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from skep.kube import kinds, naming
from tests.kube.plane import ControlPlane, until
from tests.parts import CHECKOUT

IMAGE = "localhost/skep:test"
LEVEL = "debug"
COMMAND = (sys.executable, "-m", "skep", "kube", "operator")


def environment(source: Path = CHECKOUT / "src") -> dict[str, str]:
    """Without what somebody has set for an operator of theirs."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("BPFMAN_") and key != "KUBECONFIG"}
    return {**own, "PYTHONPATH": str(source)}


def prepare(plane: ControlPlane) -> None:
    """Namespace, account and rights of the operator, as deploy/operator has them; the Deployment is left out."""
    for name in ("namespace", "account"):
        plane.kubectl("apply", "-f", str(CHECKOUT / f"deploy/operator/{name}.yaml"))


class Operator:
    """One process; its log is in ``log``. ``source``: the code that it runs."""

    def __init__(self, plane: ControlPlane, log: Path, *words: str, source: Path = CHECKOUT / "src") -> None:
        self.log = log
        kubeconfig = plane.kubeconfig_for(naming.NAMESPACE, "bpfman-operator")
        command = [
            *COMMAND, "--kubeconfig", str(kubeconfig), "--log", LEVEL,
            "--health-probe-bind-address", "0", "--metrics-bind-address", "0", *words,
        ]  # fmt: skip
        with log.open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment(source))

    def said(self, text: str) -> bool:
        """Whether the log has it."""
        return text in self.log.read_text()

    def resident(self) -> int:
        """Its resident memory in MiB (proc(5))."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) // 1024
        raise AssertionError("no VmRSS")

    def kill(self) -> None:
        """SIGKILL: it has no time to say good-bye."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> int:
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(20)


@contextmanager
def operator(plane: ControlPlane, directory: Path, *words: str) -> Iterator[Operator]:
    """An operator that leads; afterwards it ends with 0 and has met no bug."""
    made = Operator(plane, directory / f"operator-{len(list(directory.iterdir()))}.log", *words)
    try:
        until("it leads", lambda: made.said("seeing all") or made.process.poll() is not None)
        yield made
        assert made.process.poll() is None, made.log.read_text()[-3000:]
        assert made.end() == 0
        assert not made.said("Traceback"), made.log.read_text()
    finally:
        if made.process.poll() is None:
            made.kill()
        sys.stdout.write(made.log.read_text()[-6000:])


def node(name: str, **labels: str) -> dict[str, Any]:
    """A node without a kubelet."""
    about = {"kubernetes.io/os": "linux", "kubernetes.io/hostname": name, **labels}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": about}}


@contextmanager
def nodes(plane: ControlPlane, *documents: dict[str, Any]) -> Iterator[None]:
    """Nodes as long as a test needs them. Without a kubelet they are tainted as not ready; that is taken away."""
    names = [each["metadata"]["name"] for each in documents]
    plane.apply(*documents)
    try:
        for each in documents:
            taints = each.get("spec", {}).get("taints")
            plane.kubectl(
                "patch",
                "node",
                each["metadata"]["name"],
                "--type=merge",
                "-p",
                json.dumps({"spec": {"taints": taints}}),
            )
        yield
    finally:
        plane.kubectl("delete", "node", "--ignore-not-found", *names)


@contextmanager
def cluster(plane: ControlPlane, directory: Path, namespace: str, *documents: dict[str, Any]) -> Iterator[Operator]:
    """Nodes, a Config with everything in a namespace of its own, and an operator; a pod is on each untainted node."""
    prepare(plane)
    plane.kubectl("create", "namespace", namespace)
    plane.apply(config(namespace))
    wanted = sum(not each.get("spec", {}).get("taints") for each in documents)
    try:
        with nodes(plane, *documents), operator(plane, directory) as made:
            until("a pod for each node", lambda: len(plane.list("pod", namespace=namespace)) == wanted)
            yield made
    finally:
        plane.kubectl("delete", "config", naming.CONFIG, "--wait=false")
        release = '{"metadata":{"finalizers":null}}'
        plane.kubectl("patch", "config", naming.CONFIG, "--type=merge", "-p", release, check=False)
        until("all is collected", lambda: not plane.list("daemonset"))


def config(namespace: str, **spec: Any) -> dict[str, Any]:
    """A Config with everything in ``namespace``."""
    return {
        "apiVersion": kinds.API_VERSION,
        "kind": "Config",
        "metadata": {"name": naming.CONFIG},
        "spec": {
            "agent": {"image": IMAGE},
            "daemon": {"image": IMAGE},
            "configuration": 'lock_timeout = "20s"\n',
            "namespace": namespace,
            "imagePullPolicy": "Never",
            **spec,
        },
    }


def application(name: str, namespace: str = "", **spec: Any) -> dict[str, Any]:
    """An application with one program; in a namespace a BpfApplication."""
    link: dict[str, Any] = {"interfaceSelector": {"interfaces": ["eth0"]}}
    if namespace:
        link["networkNamespaces"] = {"pods": {}}
    return {
        "apiVersion": kinds.API_VERSION,
        "kind": "BpfApplication" if namespace else "ClusterBpfApplication",
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
        "spec": {
            "nodeSelector": {},
            "byteCode": {"image": {"url": "localhost/bytecode:1"}},
            "programs": [{"name": "pass", "type": "XDP", "xdp": {"links": [link]}}],
            **spec,
        },
    }


class Agent:
    """What the agent of a node writes, with its account's token, which says on which node it is."""

    def __init__(self, plane: ControlPlane, node: str, namespace: str) -> None:
        self._plane = plane
        self.node = node
        until("the agents' account", lambda: plane.get("serviceaccount", naming.ACCOUNT, namespace=namespace))
        made = plane.kubeconfig_for(namespace, naming.ACCOUNT, {"apiVersion": "v1", "kind": "Node", "name": node})
        self.kubeconfig = made.with_name(f"agent-of-{node}.kubeconfig")
        made.replace(self.kubeconfig)

    def report(
        self,
        document: dict[str, Any],
        type: str,
        message: str = "m",
        *,
        generation: int | None = None,
        programs: list[dict[str, Any]] | None = None,
    ) -> None:
        """Make the state of an application if there is none, and write its condition, and what is told of programs."""
        about = document["metadata"]
        namespace = about.get("namespace", "")
        labels = naming.state_labels(about["name"], self.node)
        owner = {
            "apiVersion": kinds.API_VERSION, "kind": document["kind"], "name": about["name"], "uid": about["uid"],
            "controller": True, "blockOwnerDeletion": True,
        }  # fmt: skip
        state = {
            "apiVersion": kinds.API_VERSION,
            "kind": document["kind"] + "State",
            "metadata": {
                "name": naming.state_name(about["name"], self.node),
                **({"namespace": namespace} if namespace else {}),
                "labels": labels,
                "finalizers": [naming.agent_finalizer(namespaced=bool(namespace))],
                "ownerReferences": [owner],
            },
        }
        status = {
            "updateCount": 1,
            "node": self.node,
            "appLoadStatus": "LoadSuccess" if type == "Success" else "LoadError",
            "observedGeneration": about["generation"] if generation is None else generation,
            "conditions": [
                {
                    "type": type, "status": "True", "reason": type, "message": message,
                    "lastTransitionTime": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                }
            ],
            **({} if programs is None else {"programs": programs}),
        }  # fmt: skip
        self._plane.kubectl(
            "apply", "--server-side", "--field-manager=agent", "-f", "-", input=json.dumps(state),
            kubeconfig=self.kubeconfig,
        )  # fmt: skip
        self._patch(document, {"status": status}, "--subresource=status")

    def let_go(self, document: dict[str, Any]) -> None:
        """The node is clean: take the finalizer away."""
        self._patch(document, {"metadata": {"finalizers": None}})

    def _patch(self, document: dict[str, Any], patch: dict[str, Any], *words: str) -> None:
        about = document["metadata"]
        where = ("-n", about["namespace"]) if about.get("namespace") else ()
        self._plane.kubectl(
            "patch", document["kind"] + "State", naming.state_name(about["name"], self.node), *where, "--type=merge",
            "-p", json.dumps(patch), *words, kubeconfig=self.kubeconfig,
        )  # fmt: skip


def condition(document: dict[str, Any]) -> dict[str, Any]:
    """The one condition of an object's status; {} if there is none yet."""
    conditions = document.get("status", {}).get("conditions", [])
    assert len(conditions) <= 1
    return conditions[0] if conditions else {}


def seen(plane: ControlPlane, document: dict[str, Any]) -> dict[str, Any]:
    """The object as it is now; {} if it is gone."""
    about = document["metadata"]
    return plane.get(document["kind"], about["name"], namespace=about.get("namespace"))


def wait_for(plane: ControlPlane, document: dict[str, Any], type: str, text: str = "") -> dict[str, Any]:
    """The object as soon as its condition is of a type, with a message that holds ``text``."""

    def look() -> dict[str, Any]:
        now = seen(plane, document)
        told = condition(now)
        assert told.get("type") == type and text in told["message"], told
        return now

    return until(f"{type} of {document['metadata']['name']}", look)
