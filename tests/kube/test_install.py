"""Every way to install: each begins with an empty cluster on the same real node, and leaves it as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kube import images, install_helm, install_olm, install_rig
from tests.kube.story_rig import Story

pytestmark = [pytest.mark.slow, pytest.mark.node, pytest.mark.timeout(300, func_only=True)]


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
    assert "runs on 1 node" in story.make("deploy", f"IMG={images.SKEP}")


def _undeploy(story: Story) -> None:
    said = story.make("undeploy")
    assert "deleting 1 application" in said and "no node has a file of skep's" in said, said
    assert "nothing is left" in said, said
