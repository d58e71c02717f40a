"""A fleet on a control plane: Node objects that kwok keeps ready, and the process that plays their agents."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.kube import node_agents
from tests.kube.fleet import agents, counts
from tests.kube.plane import ControlPlane, until
from tests.parts import CHECKOUT, Server, part

STATES = "clusterbpfapplicationstates"
APPLICATIONS = "clusterbpfapplications"
LEASE_SECONDS = 160
"""How long a node's lease lasts; kwok renews it four times as often, and the node's controller wants it within 50 s."""


class Fleet:
    """The nodes of one name. ``ask`` talks to the process of their agents."""

    def __init__(self, plane: ControlPlane, name: str, namespace: str, process: subprocess.Popen[str]) -> None:
        self.plane = plane
        self.name = name
        self.namespace = namespace
        self.process = process
        self.members: list[str] = []
        self._numbers = itertools.count()

    def ask(self, word: str, **about: Any) -> Any:
        """What the process answers."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": word, **about}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the process of the agents has ended: {self.process.wait(10)}"
        return json.loads(line)

    def join(self, count: int) -> list[str]:
        """So many new nodes."""
        names = [f"{self.name}-{next(self._numbers):04}" for _ in range(count)]
        self.members += names
        for some in (names[at : at + 250] for at in range(0, count, 250)):
            self.plane.kubectl("create", "-f", "-", input="\n---\n".join(json.dumps(self._node(name)) for name in some))
        return names

    def leave(self, names: Sequence[str]) -> None:
        """These go, with their agents, and without a word."""
        self.members = [each for each in self.members if each not in names]
        self.plane.kubectl("delete", "node", "--wait=false", *names)

    def _node(self, name: str) -> dict[str, Any]:  # Any: JSON
        labels = {"kubernetes.io/os": "linux", "kubernetes.io/hostname": name, agents.LABEL: self.name}
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}

    def ready(self, seconds: float = 120) -> None:
        """Wait until kwok has made all nodes ready, and each has an agent."""
        count = len(self.members)
        path = "{range .items[*]}{.status.conditions[?(@.type=='Ready')].status}{'\\n'}{end}"

        def look() -> bool:
            words = self.plane.kubectl("get", "nodes", "-l", f"{agents.LABEL}={self.name}", "-o", f"jsonpath={path}")
            told = words.split()
            assert told.count("True") == len(told) == count, (told.count("True"), len(told))
            assert self.ask("counts")["nodes"] == count
            return True

        until(f"{count} nodes are ready", look, seconds, every=0.5)

    def applied(self, *applications: str, on: int, seconds: float = 600) -> float:
        """Wait until applications say that they are on so many nodes, all of them; how long that took, seconds."""
        began = time.monotonic()

        def look() -> bool:
            told = self.told()
            wrong = {name: told.get(name, "") for name in applications if told.get(name) != f"Success {on}/{on}"}
            assert not wrong, (len(wrong), next(iter(wrong.items())))
            return True

        until(f"{len(applications)} applications on {on} nodes", look, seconds, every=0.3)
        return time.monotonic() - began

    def told(self) -> dict[str, str]:
        """Of each application what its status says of the newest spec: condition, and on how many nodes it is."""
        found = {}
        for each in self.plane.list(APPLICATIONS):
            status = each.get("status") or {}
            if status.get("observedGeneration") == each["metadata"]["generation"]:
                told = f"{status['conditions'][0]['type']} {status['ready']}/{status['desired']}"
                found[each["metadata"]["name"]] = told
        return found

    def states(self, *selectors: str) -> dict[str, str]:
        """Every state's name and resource version; nothing else of it is asked for, for there are thousands."""
        chosen = urllib.parse.urlencode({"labelSelector": ",".join(selectors)})
        request = urllib.request.Request(
            f"{self.plane.url}/apis/bpfman.io/v1alpha1/{STATES}?{chosen}",
            headers={"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"},
        )
        directory = self.plane.directory
        context = ssl.create_default_context(cafile=str(directory / "ca.crt"))
        context.load_cert_chain(directory / "admin.crt", directory / "admin.key")
        with urllib.request.urlopen(request, context=context, timeout=60) as answer:
            items = json.load(answer)["items"] or ()
        return {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in items}


@contextlib.contextmanager
def fleet(plane: ControlPlane, directory: Path, name: str, namespace: str, count: int) -> Iterator[Fleet]:
    """So many nodes that are ready, with agents that have not begun; at the end their Node objects go."""
    with contextlib.ExitStack() as held:
        node_agents.account(plane, namespace)
        kwok = Server(
            directory / "kwok.log", part("kwok"), "--kubeconfig", plane.kubeconfig,
            "--config", Path(__file__).with_name("stages.yaml"),
            "--manage-nodes-with-label-selector", f"{agents.LABEL}={name}",
            "--node-lease-duration-seconds", str(LEASE_SECONDS), "--node-ip", "10.0.0.1",
        )  # fmt: skip
        held.callback(kwok.close)
        log = held.enter_context((directory / "agents.log").open("wb"))
        process = subprocess.Popen(
            [
                # In a cluster they are on machines of their own: here they do not take the processors of who is real.
                "nice", "-n", "10", sys.executable, "-m", "tests.kube.fleet.agents",
                "--kubeconfig", str(plane.kubeconfig), "--fleet", name, "--namespace", namespace,
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=CHECKOUT,
            env={**os.environ, "PYTHONPATH": f"{CHECKOUT / 'src'}:{CHECKOUT}"},
        )  # fmt: skip
        held.callback(_end, process)
        made = Fleet(plane, name, namespace, process)
        assert process.stdout is not None
        assert process.stdout.readline(), (directory / "agents.log").read_text()
        held.callback(
            plane.kubectl, "delete", "node", "-l", f"{agents.LABEL}={name}", "--wait=false", "--ignore-not-found"
        )
        made.join(count)
        made.ready()
        made.ask("tokens")
        yield made


def _end(process: subprocess.Popen[str]) -> None:
    """Standard input ends, and so does it."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def application(name: str, url: str, **spec: Any) -> dict[str, Any]:  # Any: JSON
    """An application for all nodes, with one program at the interface that all of them have."""
    return {
        "apiVersion": "bpfman.io/v1alpha1",
        "kind": "ClusterBpfApplication",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "nodeSelector": {},
            "byteCode": {"image": {"url": url}},
            "programs": [
                {"name": "first", "type": "XDP", "xdp": {"links": [{"interfaceSelector": {"interfaces": ["near"]}}]}}
            ],
            **spec,
        },
    }


__all__ = ["APPLICATIONS", "STATES", "Fleet", "application", "counts", "fleet"]
