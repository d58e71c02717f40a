"""The whole story on a real node: deployed, applied, counting, mounted, killed, updated, deleted, uninstalled.

One test, since each part stands on those before it. Every packet that is sent from the first count on is counted in the
end: nothing that happens in between, neither a kill nor an update, loses one.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.kube import images, plugin_rig, story_rig
from tests.kube.plane import until
from tests.kube.story_rig import PORT, SYSTEM, InKernel, Story, counter
from tests.kube.traffic import Traffic

NAME = "udp-count"
CALLS = 77
"""Of a function that nothing in the image calls by itself: containers of one image share the file that is probed."""
DAEMON_SET = "name=bpfman-daemon"


@pytest.mark.slow
@pytest.mark.node
@pytest.mark.timeout(300)
def test_from_kubectl_apply_to_nothing_left(tmp_path: Path) -> None:
    with story_rig.story(tmp_path) as story:
        told(story)


def told(story: Story) -> None:
    """The story itself."""
    first, second = story.push("udp_count", "v1"), story.push("udp_count", "v2", "BYTES")
    deploy(story)
    probed(story)
    web = story.run_pod("web")
    story.kubectl("apply", "-f", "-", input=story.example("application"))
    succeeded(story, first)
    loaded = story_rig.in_kernel()
    assert len(loaded.programs) == 1 and loaded.maps, loaded
    with contextlib.closing(Traffic(story.node.enter, web["status"]["podIP"], PORT)) as traffic:
        story.run_pod("reader")
        until("packets are counted", lambda: read(story) > 0)
        shown(story, first)
        killed(story)
        goes_on(story)
        updated(story, second, loaded)
        goes_on(story)
        sent = traffic.stop()
    until("every packet is counted", lambda: read(story) == sent, 5)
    deleted(story, story_rig.in_kernel(loaded))
    uninstalled(story)


def deploy(story: Story) -> None:
    """As the documentation says: one command, and everything comes up by itself."""
    story.kubectl("apply", "--server-side", "-k", str(story.deployment()))
    story.kubectl("rollout", "status", "-n", SYSTEM, "deployment/bpfman-operator", "--timeout=90s")
    until("the DaemonSet is there", lambda: story.plane.get("daemonset", "bpfman-daemon", namespace=SYSTEM), 60)
    story.kubectl("rollout", "status", "-n", SYSTEM, "daemonset/bpfman-daemon", "--timeout=90s")


def probed(story: Story) -> None:
    """A probe in the C library of one container of a pod counts that container's calls."""
    image = story.push("uprobe_count", "v1")
    story.plane.apply(_caller(), _probe(image))
    story.kubectl("wait", "--for=condition=Ready", "pod/caller", "--timeout=60s")
    until("its link is there", lambda: _links(story) == ["Attached"], 30, every=0.3)
    loaded = story_rig.in_kernel(name="uprobe_enter")
    story.kubectl("exec", "caller", "--", "python3", "-c", f"import os\nfor _ in range({CALLS}): os.getpgid(0)")
    assert CALLS in [value for one in loaded.maps for value in story_rig.elements(one)]
    story.kubectl("delete", "bpfapplication/calls", "pod/caller", "--timeout=60s")
    assert story_rig.in_kernel(loaded, name="uprobe_enter") == InKernel((), frozenset())


def succeeded(story: Story, image: str) -> None:
    """The application says that this image runs where it shall."""

    def said() -> bool:
        found = story.plane.get("bpfapplication", NAME, namespace="default")
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
    wide = story.kubectl("get", "bpfapplication", NAME, "-o", "wide")
    assert image in wide and "Success" in wide, wide
    described = story.kubectl("describe", "bpfapplication", NAME)
    assert "udp_count" in described and "node-1" in described, described
    (state,) = story.plane.list("bpfapplicationstates", namespace="default")
    link = state["status"]["programs"][0]["tcx"]["links"][0]
    assert link["interfaceName"] == "eth0", link
    asked = plugin_rig.plugin(story.directory / "plugin", story.plane.kubeconfig, enter=story.node.enter)
    assert "BpfApplication/default/udp-count: Attached" in (logs := asked.run("skep", "logs", NAME)).out, logs
    place = ("eth0", "--type", "tcx-ingress", "--netns", link["netnsPath"], "--times", "1")
    assert "udp_count" in (traced := asked.run("skep", "trace", "node-1", *place)).out, traced
    followed(story, asked, "--printk")
    followed(story, asked, said="attach")
    followed(story, asked, *place[:-2], "-o", "json", said="udp_count")
    followed(story, asked, *place[:-2], said="udp_count", terminal=True)


def followed(story: Story, asked: plugin_rig.Plugin, *words: str, said: str = "", terminal: bool = False) -> None:
    """What follows something on the node ends there when whoever asked is gone: the next one would miss what it takes
    out, or be refused."""

    def there() -> list[str]:
        running = story.node.run("ps", "-e", "-o", "args").splitlines()
        return [one for one in running if "--end-with-stdin" in one and "kubectl" not in one]

    command = ["kubectl", "skep", "trace", "node-1", *words]
    ours, theirs = pty.openpty() if terminal else os.pipe()
    stdin = theirs if terminal else subprocess.DEVNULL
    with subprocess.Popen(
        command, env=asked.environment(), stdin=stdin, stdout=theirs, stderr=theirs, start_new_session=True
    ) as asking:
        os.close(theirs)
        until("it runs on the node", there)
        shown = b""
        while said.encode() not in shown:
            shown += os.read(ours, 4096)
        os.killpg(asking.pid, signal.SIGKILL)
    os.close(ours)
    until("it has ended on the node", lambda: not there())


def killed(story: Story) -> None:
    """Agent and daemon die at once, without a chance to tidy up, and come back."""
    pod = story.pod_of(DAEMON_SET, SYSTEM)
    name = pod["metadata"]["name"]
    story.node.run("kill", "-KILL", *(story.container_pid(pod, one) for one in ("agent", "daemon")))
    until("the agent is back", lambda: story.restarts(name, "agent") > 0, 60, every=0.3)
    until("the daemon is back", lambda: story.restarts(name, "daemon") > 0, 60, every=0.3)


def updated(story: Story, image: str, before: InKernel) -> None:
    """Another image runs in the place of the one before it, with the same counter and one more map."""
    change = {"spec": {"byteCode": {"image": {"url": image}}}}
    story.kubectl("patch", "bpfapplication", NAME, "--type=merge", "-p", json.dumps(change))
    succeeded(story, image)
    after = story_rig.in_kernel()
    assert len(after.programs) == 1 and after.programs != before.programs
    assert len(before.maps & after.maps) == 1 and len(after.maps - before.maps) >= 1, (before, after)


def deleted(story: Story, before: InKernel) -> None:
    """After kubectl delete nothing of it is in the kernel, but what the pod still has mounted; then not even that."""
    story.kubectl("delete", "bpfapplication", NAME, "--timeout=60s")
    assert not story.plane.list("bpfapplicationstates")
    left = story_rig.in_kernel(before)
    assert left.programs == () and len(left.maps) == 1, left
    story.kubectl("delete", "pod", "reader", "web", "--timeout=60s")
    until("the map is gone with the pod", lambda: not story_rig.in_kernel(before).maps)


def uninstalled(story: Story) -> None:
    """Uninstalling leaves neither objects nor files."""
    story.kubectl("delete", "config.bpfman.io", "bpfman-config", "--timeout=60s")
    story.kubectl("delete", "-k", str(story.deployment()), "--timeout=90s")
    assert "bpfman" not in story.kubectl(
        "get", "namespaces,csidrivers,clusterroles,clusterrolebindings,crds", "-o", "name"
    )
    pins = story.node.root / "sys/fs/bpf"
    assert {one.name for one in pins.rglob("*") if not one.is_dir()} <= {"maps.debug", "progs.debug"}, (
        "the kernel's own"
    )
    registered = story.node.root / "var/lib/kubelet/plugins_registry"
    assert list(registered.iterdir()) == []


def _caller() -> dict[str, Any]:
    container = {
        "name": "python", "image": images.SKEP, "imagePullPolicy": "Never",
        "command": ["python3", "-c", "import time; time.sleep(1000)"],
    }  # fmt: skip
    spec = {"terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False, "containers": [container]}
    metadata = {"name": "caller", "namespace": "default", "labels": {"app": "caller"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _probe(image: str) -> dict[str, Any]:
    containers = {"pods": {"matchLabels": {"app": "caller"}}, "containerNames": ["python"]}
    link = {"target": "libc", "function": "getpgid", "containers": containers}
    program = {"name": "uprobe_enter", "type": "UProbe", "uprobe": {"links": [link]}}
    return {
        "apiVersion": "bpfman.io/v1alpha1",
        "kind": "BpfApplication",
        "metadata": {"name": "calls", "namespace": "default"},
        "spec": {"nodeSelector": {}, "byteCode": {"image": {"url": image}}, "programs": [program]},
    }


def _links(story: Story) -> list[str]:
    """The links of the one state that there is, as it says."""
    (state,) = story.plane.list("bpfapplicationstates", namespace="default")
    return [one["linkStatus"] for one in state["status"]["programs"][0]["uprobe"]["links"]]
