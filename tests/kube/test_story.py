"""The whole story on a real node: deployed, applied, counting, mounted, killed, updated, deleted, uninstalled.

One test, since each part stands on those before it. Every packet that is sent from the first count on is counted in the
end: nothing that happens in between, neither a kill nor an update, loses one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kube import images, story_rig
from tests.kube.plane import until
from tests.kube.story_rig import PORT, SYSTEM, Story, counter
from tests.kube.traffic import Traffic

NOBODY = {
    "runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000, "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True,
}  # fmt: skip
DAEMON_SET = "name=bpfman-daemon"


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with story_rig.story(tmp_path_factory.mktemp("story")) as made:
        yield made


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_from_kubectl_apply_to_nothing_left(story: Story) -> None:
    first, second = story.push("v1"), story.push("v2", "VERSION2")
    deploy(story)
    web = story.run_pod("web", _busybox("trap exit TERM; while true; do sleep 1; done"), labels={"app": "web"})
    story.plane.apply(_application(first))
    succeeded(story, first)
    with contextlib.closing(Traffic(story.node.enter, web["status"]["podIP"], PORT)) as traffic:
        story.run_pod("reader", _reader())
        until("packets are counted", lambda: read(story) > 0)
        shown(story, first)
        killed(story)
        goes_on(story)
        story.kubectl("patch", "bpfapplication", "story", "--type=merge", "-p", _image_patch(second))
        succeeded(story, second)
        goes_on(story)
        sent = traffic.stop()
    until("every packet is counted", lambda: read(story) == sent, 5)
    deleted(story)
    uninstalled(story)


def deploy(story: Story) -> None:
    """As the documentation says: one command, and everything comes up by itself."""
    story.kubectl("apply", "--server-side", "-k", str(story.deployment()))
    story.kubectl("rollout", "status", "-n", SYSTEM, "deployment/bpfman-operator", "--timeout=90s")
    until("the DaemonSet is there", lambda: story.plane.get("daemonset", "bpfman-daemon", namespace=SYSTEM), 60)
    story.kubectl("rollout", "status", "-n", SYSTEM, "daemonset/bpfman-daemon", "--timeout=90s")


def succeeded(story: Story, image: str) -> None:
    """The application says that this image runs where it shall."""

    def said() -> bool:
        found = story.plane.get("bpfapplication", "story", namespace="default")
        condition = found["status"]["conditions"][0]
        assert condition["type"] == "Success", condition
        there = found["spec"]["byteCode"]["image"]["url"] == image
        return there and bool(condition["observedGeneration"] == found["metadata"]["generation"])

    until(f"{image} runs", said, 60, every=0.3)


def read(story: Story) -> int:
    """The counter as the unprivileged pod reads it."""
    return counter(story.kubectl("exec", "reader", "--", "cat", "/maps/packets"))


def goes_on(story: Story) -> None:
    """The counter of the pod's mounted map rises."""
    before = read(story)
    until("the counter goes on", lambda: read(story) > before + 100)


def shown(story: Story, image: str) -> None:
    """What a person sees of it."""
    wide = story.kubectl("get", "bpfapplication", "story", "-o", "wide")
    assert image in wide and "Success" in wide, wide
    described = story.kubectl("describe", "bpfapplication", "story")
    assert "story_count" in described and "node-1" in described, described
    (state,) = story.plane.list("bpfapplicationstates", namespace="default")
    link = state["status"]["programs"][0]["tcx"]["links"][0]
    assert link["interfaceName"] == "eth0", link


def killed(story: Story) -> None:
    """Agent and daemon die at once, without a chance to tidy up, and come back."""
    pod = story.pod_of(DAEMON_SET, SYSTEM)
    name = pod["metadata"]["name"]
    story.node.run("kill", "-KILL", *(story.container_pid(pod, one) for one in ("agent", "daemon")))
    until("the agent is back", lambda: story.restarts(name, "agent") > 0, 60, every=0.3)
    until("the daemon is back", lambda: story.restarts(name, "daemon") > 0, 60, every=0.3)


def deleted(story: Story) -> None:
    """After kubectl delete nothing of it is in the kernel, but what the pod still has mounted; then not even that."""
    story.kubectl("delete", "bpfapplication", "story", "--timeout=60s")
    assert not story.plane.list("bpfapplicationstates")
    assert story.in_kernel() == []
    story.kubectl("delete", "pod", "reader", "web", "--timeout=60s", "--grace-period=1")


def uninstalled(story: Story) -> None:
    """Uninstalling leaves neither objects nor files."""
    story.kubectl("delete", "config.bpfman.io", "bpfman-config", "--timeout=60s")
    story.kubectl("delete", "-k", str(story.deployment()), "--timeout=90s")
    assert "bpfman" not in story.kubectl(
        "get", "namespaces,csidrivers,clusterroles,clusterrolebindings,crds", "-o", "name"
    )
    pins = story.node.root / "sys/fs/bpf"
    assert [str(one.relative_to(pins)) for one in pins.rglob("*") if not one.is_dir()] == []
    registered = story.node.root / "var/lib/kubelet/plugins_registry"
    assert list(registered.iterdir()) == []


def _application(image: str) -> dict[str, Any]:
    link = {
        "interfaceSelector": {"interfaces": ["eth0"]}, "direction": "Ingress",
        "networkNamespaces": {"pods": {"matchLabels": {"app": "web"}}},
    }  # fmt: skip
    return {
        "apiVersion": "bpfman.io/v1alpha1",
        "kind": "BpfApplication",
        "metadata": {"name": "story", "namespace": "default"},
        "spec": {
            "nodeSelector": {},
            "byteCode": {"image": {"url": image, "imagePullPolicy": "Always"}},
            "programs": [{"name": "story_count", "type": "TCX", "tcx": {"links": [link]}}],
        },
    }


def _image_patch(image: str) -> str:
    return f'{{"spec": {{"byteCode": {{"image": {{"url": "{image}"}}}}}}}}'


def _busybox(script: str) -> dict[str, Any]:
    container = {
        "name": "shell", "image": images.BUSYBOX, "imagePullPolicy": "Never", "command": ["sh", "-c", script],
        "securityContext": NOBODY,
    }  # fmt: skip
    return {"terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False, "containers": [container]}


def _reader() -> dict[str, Any]:
    spec = _busybox("trap exit TERM; while true; do sleep 1; done")
    spec["securityContext"] = {"fsGroup": 2000}
    spec["containers"][0]["volumeMounts"] = [{"name": "maps", "mountPath": "/maps", "readOnly": True}]
    attributes = {"csi.bpfman.io/program": "story", "csi.bpfman.io/maps": "packets"}
    spec["volumes"] = [{"name": "maps", "csi": {"driver": "csi.bpfman.io", "volumeAttributes": attributes}}]
    return spec
