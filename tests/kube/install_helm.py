"""Helm as a way to install: the chart by the real ``helm``, other values while packets are counted, and gone again."""

from __future__ import annotations

import json
import subprocess

from tests.kube import images
from tests.kube.install_rig import Way
from tests.kube.plane import until
from tests.kube.story_rig import SYSTEM, Story
from tests.parts import CHECKOUT, part

CHART = CHECKOUT / "deploy/helm/skep"
NAME, _, TAG = images.SKEP.rpartition(":")
VALUES = (
    "--namespace", SYSTEM, "--set", f"image.repository={NAME}", "--set", f"image.tag={TAG}", "--set",
    "image.pullPolicy=Never",
)  # fmt: skip


def helm(story: Story, *words: str) -> str:
    """What the real helm prints, as the cluster's administrator, with nothing kept in anybody's home."""
    homes = {f"HELM_{each}_HOME": str(story.directory / "helm" / each.lower()) for each in ("CACHE", "CONFIG", "DATA")}
    command = [*story.node.enter, "env", *(f"{key}={value}" for key, value in homes.items()), str(part("helm"))]
    done = subprocess.run(
        [*command, *words, "--kubeconfig", str(story.plane.kubeconfig)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    if done.returncode:
        raise AssertionError(f"helm {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


def install(story: Story) -> None:
    """As the documentation says."""
    said = helm(story, "install", "skep", str(CHART), *VALUES, "--create-namespace", "--wait", "--timeout", "90s")
    assert f"kubectl label namespace {SYSTEM} pod-security.kubernetes.io/enforce=privileged" in said, said
    until("the DaemonSet is there", lambda: story.plane.get("daemonset", "bpfman-daemon", namespace=SYSTEM), 60)
    story.kubectl("rollout", "status", "-n", SYSTEM, "daemonset/bpfman-daemon", "--timeout=90s")


def upgrade(story: Story) -> None:
    """Other values: the operator and the pods of the node are replaced."""
    before = story.plane.get("daemonset", "bpfman-daemon", namespace=SYSTEM)["metadata"]["generation"]
    spec = {"daemon": {"logLevel": "debug"}, "csi": {"resources": {"requests": {"cpu": "1m"}}}}
    helm(
        story, "upgrade", "skep", str(CHART), *VALUES, "--set", "logLevel=debug", "--set-json",
        f"config.spec={json.dumps(spec)}", "--wait", "--timeout", "90s",
    )  # fmt: skip

    def changed() -> bool:
        return bool(story.plane.get("daemonset", "bpfman-daemon", namespace=SYSTEM)["metadata"]["generation"] > before)

    until("the DaemonSet has changed", changed, 30)
    story.kubectl("rollout", "status", "-n", SYSTEM, "daemonset/bpfman-daemon", "--timeout=90s")


def uninstall(story: Story) -> None:
    """One command, which deletes the application, too; the namespace is not Helm's to delete."""
    helm(story, "uninstall", "skep", "--namespace", SYSTEM, "--wait", "--timeout", "180s")
    story.kubectl("delete", "namespace", SYSTEM, "--timeout=60s")


WAY = Way(install=install, uninstall=uninstall, during=upgrade)
