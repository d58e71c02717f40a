"""What the end-to-end story is told with: a cluster, a registry on the node, skep deployed as a user deploys it."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import bpf_build, instance
from tests.kube import images, node
from tests.kube.plane import ControlPlane, until
from tests.parts import CHECKOUT, Server, part

PORT = 9999
"""Of the packets that the example counts."""
PROGRAM = "udp_count"
"""Its name in the kernel."""
REGISTRY = "127.0.0.1:5000"
"""On the node: the daemon, in the host's network, may ask it without TLS."""
SYSTEM = "bpfman"
"""The namespace of operator and DaemonSet."""


CONTAINERS = ("daemon", "agent", "csi")
"""Of the DaemonSet's pods."""


class Story:
    """A cluster with a registry, and the commands that the story is told in."""

    def __init__(self, cluster: node.Cluster, directory: Path) -> None:
        self.node = cluster.node
        self.plane: ControlPlane = cluster.plane
        self.directory = directory

    def kubectl(self, *words: str, input: str | None = None) -> str:
        """What kubectl prints."""
        return self.plane.kubectl(*words, input=input)

    def push(self, example: str, tag: str, *defines: str) -> str:
        """Build a version of an example and push it to the registry on the node; the image's name."""
        name = f"{REGISTRY}/bpf/{example}:{tag}"
        object = bpf_build.build(example, *defines, sources=instance.EXAMPLES)
        words = [*self.node.enter, *instance.command(), "image", "build", name, str(object)]
        subprocess.run(words, check=True, capture_output=True, env=instance.environment())
        return name

    def skep(self, *words: str) -> str:
        """What the CLI prints, as the cluster's administrator. CalledProcessError with stderr."""
        environment = {**instance.environment(), "KUBECONFIG": str(self.plane.kubeconfig)}
        command = [*self.node.enter, *instance.command(), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout

    def make(self, *words: str) -> str:
        """What ``make`` prints, for the cluster's administrator on the node. CalledProcessError with stderr."""
        bin = self.directory / "bin"
        if not bin.exists():
            bin.mkdir()
            kubectl = [str(self.plane.programs / "kubectl"), "--kubeconfig", str(self.plane.kubeconfig)]
            for name, words_of in {"kubectl": kubectl, "skep": instance.command()}.items():
                (bin / name).write_text(f'#!/bin/sh\nexec {shlex.join(words_of)} "$@"\n')
                (bin / name).chmod(0o755)
        own = {"KUBECONFIG": str(self.plane.kubeconfig), "SKEP": str(bin / "skep"), "KUBECTL": str(bin / "kubectl")}
        command = [*self.node.enter, "make", "--no-print-directory", *words]
        environment = {**instance.environment(), **own}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=CHECKOUT)
        return done.stdout + done.stderr

    def example(self, name: str) -> str:
        """A file of examples/kubernetes, with the test's own busybox."""
        text = (instance.EXAMPLES / "kubernetes" / f"{name}.yaml").read_text()
        return text.replace("image: busybox\n", f"image: {images.BUSYBOX}\n    imagePullPolicy: Never\n")

    def deployment(self) -> Path:
        """deploy/ as a user has it, with the test's image."""
        place = self.directory / "deploy"
        if not place.exists():
            shutil.copytree(CHECKOUT / "deploy", place)
            name, _, tag = images.SKEP.partition(":")
            written = place / "kustomization.yaml"
            chosen = f"images:\n- name: skep\n  newName: {name}\n  newTag: {tag}\n"
            written.write_text(written.read_text() + chosen)
        return place

    def pod_of(self, labels: str, namespace: str) -> dict[str, Any]:  # Any: JSON
        """The one pod with these labels, once all of its containers are ready."""

        def ready() -> dict[str, Any]:
            pod = self.plane.list("pods", namespace=namespace, labels=labels)[0]
            statuses = pod["status"]["containerStatuses"]
            return pod if all(one["ready"] for one in statuses) else {}

        return until(f"a pod {labels} is ready", ready, 90, every=0.3)

    def run_pod(self, name: str) -> dict[str, Any]:  # Any: JSON
        """Make the pod of an example in the namespace ``default``, and wait until it runs."""
        self.kubectl("apply", "-f", "-", input=self.example(name))
        self.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
        return self.plane.get("pod", name, namespace="default")

    def state(self) -> str:
        """What somebody who looks into a failure wants to see first."""
        asked = [("get", "pods,bpfapplications,bpfapplicationstates", "-A", "-o", "wide"), ("get", "events", "-A")]
        asked += [("logs", "-n", SYSTEM, "--tail=20", "daemonset/bpfman-daemon", "-c", name) for name in CONTAINERS]
        asked += [("logs", "-n", SYSTEM, "--tail=20", "deployment/bpfman-operator")]
        return "\n".join(f"$ kubectl {' '.join(words)}\n{self.plane.kubectl(*words, check=False)}" for words in asked)

    def container_pid(self, pod: dict[str, Any], container: str) -> str:
        """The first process of a container, as the node counts them."""
        (status,) = [one for one in pod["status"]["containerStatuses"] if one["name"] == container]
        identity = status["containerID"].removeprefix("containerd://")
        tasks = self.node.run("ctr", "-n", "k8s.io", "tasks", "list")
        found = re.search(rf"^{identity}\s+(\d+)", tasks, re.MULTILINE)
        assert found is not None, tasks
        return found[1]

    def restarts(self, pod: str, container: str) -> int:
        """How often a container that is ready was started anew; 0 while it is not."""
        statuses = self.plane.get("pod", pod, namespace=SYSTEM)["status"]["containerStatuses"]
        return sum(int(one["restartCount"]) for one in statuses if one["name"] == container and one["ready"])


@dataclass(frozen=True, slots=True)
class InKernel:
    """What the kernel has of the example: programs by id, and the ids of all maps that they have had."""

    programs: tuple[int, ...]
    maps: frozenset[int]


def in_kernel(before: InKernel | None = None, *, name: str = PROGRAM) -> InKernel:
    """The example's programs, whoever holds them, and their maps; also those of ``before`` that are still there."""
    programs = [one for one in _bpftool("prog", "show") if one.get("name") == name]
    known = {number for one in programs for number in one.get("map_ids", [])} | (before.maps if before else set())
    there = {one["id"] for one in _bpftool("map", "show")}
    return InKernel(tuple(one["id"] for one in programs), frozenset(known & there))


def counter(text: str) -> int:
    """What ``cat`` shows of an array with one element: "0: 17"."""
    found = re.search(r"^0: (\d+)$", text, re.MULTILINE)
    assert found is not None, text
    return int(found[1])


@contextlib.contextmanager
def story(directory: Path, *, empty: bool = False) -> Iterator[Story]:
    """All of it, running, with the tests' images on the node. ``empty``: nothing of deploy/ is in the cluster."""
    with node.cluster(directory, empty=empty) as cluster:
        for image in (images.skep(directory), images.busybox(directory)):
            cluster.node.import_image(image)
        config = directory / "registry.yml"
        config.write_text(
            f"version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '{REGISTRY}'}}\n"
            f"storage: {{filesystem: {{rootdirectory: {directory}/registry}}}}\n"
        )
        log = directory / "registry.log"
        with contextlib.closing(Server(log, *cluster.node.enter, part("registry"), "serve", config)):
            made = Story(cluster, directory)
            asked = [*cluster.node.enter, "curl", "-fs", f"http://{REGISTRY}/v2/"]
            until("the registry", lambda: subprocess.run(asked, check=True, capture_output=True).returncode == 0)
            try:
                yield made
            except BaseException as error:
                error.add_note(made.state())
                raise


def elements(map: int) -> list[int]:
    """The values of an array of numbers, by the map's id; none of one that holds something else."""
    found = [one["formatted"]["value"] for one in _bpftool("map", "dump", "id", str(map))]
    return [one for one in found if isinstance(one, int)]


def _bpftool(*words: str) -> list[dict[str, Any]]:  # Any: JSON
    done = subprocess.run(["bpftool", "--json", *words], check=True, capture_output=True, text=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
