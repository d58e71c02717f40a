"""The node itself: that pods of a DaemonSet run on it, reach the API server, and that nothing is left of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kube import images, node
from tests.kube.plane import ControlPlane, until


@pytest.mark.slow
@pytest.mark.node
def test_a_daemon_set_runs_and_nothing_is_left_of_the_node(tmp_path: Path) -> None:
    before = {name: Path("/proc/sys", name).read_text() for name in node.SYSCTLS}
    with node.cluster(tmp_path) as made:
        made.node.import_image(images.busybox(tmp_path))
        made.plane.apply(_daemon_set())
        pod = until("a pod runs", lambda: _running(made.plane), 60, every=0.2)
        assert pod["status"]["podIP"].startswith("10.244.0.")
        name = pod["metadata"]["name"]
        made.plane.kubectl("exec", name, "--", "ls", "/var/run/secrets/kubernetes.io/serviceaccount/token")
        made.plane.kubectl("exec", name, "--", "sh", "-c", f"nc {node.SERVICE} 443 </dev/null")
        inside = os.readlink(made.node.root.parent / "ns/pid")
    assert {name: Path("/proc/sys", name).read_text() for name in node.SYSCTLS} == before
    assert inside not in set(_process_namespaces())
    assert not list(node.CGROUPS.glob(f"**/skep-kube-{os.getpid()}"))
    assert not Path("/run/netns", made.node.network).exists()
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def _daemon_set() -> dict[str, Any]:
    container = {
        "name": "shell", "image": images.BUSYBOX, "imagePullPolicy": "Never",
        "command": ["sh", "-c", "trap exit TERM; sleep 1000 & wait"],
    }  # fmt: skip
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "shell", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "shell"}},
            "template": {"metadata": {"labels": {"app": "shell"}}, "spec": {"containers": [container]}},
        },
    }


def _running(plane: ControlPlane) -> dict[str, Any]:
    return next((one for one in plane.list("pods") if one["status"]["phase"] == "Running"), {})


def _process_namespaces() -> Iterator[str]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield os.readlink(entry / "ns/pid")
            except OSError:
                continue
