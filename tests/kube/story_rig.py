"""What the end-to-end story is told with: a cluster, a registry on the node, skep deployed as a user deploys it."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests import bpf_build, instance
from tests.kube import images, node
from tests.kube.plane import ControlPlane, until
from tests.parts import CHECKOUT, Server, part

PORT = 9999
"""Of the packets that tests/bpf/story.bpf.c counts."""
REGISTRY = "127.0.0.1:5000"
"""On the node: the daemon, in the host's network, may ask it without TLS."""
SYSTEM = "bpfman"
"""The namespace of operator and DaemonSet."""


class Story:
    """A cluster with a registry, and the commands that the story is told in."""

    def __init__(self, cluster: node.Cluster, directory: Path) -> None:
        self.node = cluster.node
        self.plane: ControlPlane = cluster.plane
        self.directory = directory

    def kubectl(self, *words: str, input: str | None = None) -> str:
        """What kubectl prints."""
        return self.plane.kubectl(*words, input=input)

    def push(self, tag: str, *defines: str) -> str:
        """Build a version of the story's program and push it to the registry; the image's name."""
        name = f"{REGISTRY}/story:{tag}"
        words = [*self.node.enter, *instance.command(), "image", "build", name, str(bpf_build.build("story", *defines))]
        subprocess.run(words, check=True, capture_output=True, env=instance.environment())
        return name

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

    def run_pod(self, name: str, spec: dict[str, Any], *, labels: dict[str, str] | None = None) -> dict[str, Any]:
        """Make a pod in the namespace ``default``, and wait until it runs."""
        self.plane.apply(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {}}, "spec": spec}
        )
        self.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
        return self.plane.get("pod", name, namespace="default")

    def container_pid(self, pod: dict[str, Any], container: str) -> str:
        """The first process of a container, as the node counts them."""
        (status,) = [one for one in pod["status"]["containerStatuses"] if one["name"] == container]
        identity = status["containerID"].removeprefix("containerd://")
        tasks = self.node.run("ctr", "-n", "k8s.io", "tasks", "list")
        found = re.search(rf"^{identity}\s+(\d+)", tasks, re.MULTILINE)
        assert found is not None, tasks
        return found[1]

    def restarts(self, pod: str, container: str) -> int:
        """How often a container was started anew."""
        statuses = self.plane.get("pod", pod, namespace=SYSTEM)["status"]["containerStatuses"]
        return next(int(one["restartCount"]) for one in statuses if one["name"] == container and one["ready"])

    def in_kernel(self) -> list[str]:
        """The programs and maps of the story that the kernel has, whoever holds them."""
        found = json.loads(_output("bpftool", "--json", "prog", "show"))
        return [one["name"] for one in found if one.get("name") == "story_count"]


def counter(text: str) -> int:
    """What ``cat`` shows of an array with one element: "0: 17"."""
    found = re.search(r"^0: (\d+)$", text, re.MULTILINE)
    assert found is not None, text
    return int(found[1])


@contextlib.contextmanager
def story(directory: Path) -> Iterator[Story]:
    """All of it, running, with the tests' images on the node."""
    with node.cluster(directory) as cluster:
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
            yield made


def _output(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout
