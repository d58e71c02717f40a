"""Every way to install: each begins with an empty cluster on the same real node, and leaves it as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kube import install_helm, install_olm, install_rig
from tests.kube.plane import until
from tests.kube.story_rig import SYSTEM, Story

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with install_rig.empty(tmp_path_factory.mktemp("install")) as story:
        yield story


def test_by_kustomize(empty: Story) -> None:
    install_rig.told(empty, install_rig.Way(install=_deploy, uninstall=_undeploy))


def test_by_helm(empty: Story) -> None:
    """And another release of it while packets are counted."""
    install_rig.told(empty, install_helm.WAY)


def test_by_olm(empty: Story) -> None:
    install_rig.told(empty, install_olm.WAY)


def _deploy(story: Story) -> None:
    story.kubectl("apply", "--server-side", "-k", str(story.deployment()))
    story.kubectl("rollout", "status", "-n", SYSTEM, "deployment/bpfman-operator", "--timeout=90s")
    until("the DaemonSet is there", lambda: story.plane.get("daemonset", "bpfman-daemon", namespace=SYSTEM), 60)
    story.kubectl("rollout", "status", "-n", SYSTEM, "daemonset/bpfman-daemon", "--timeout=90s")


def _undeploy(story: Story) -> None:
    story.skep("kube", "clean")
    story.kubectl("delete", "-k", str(story.deployment()), "--timeout=90s")
