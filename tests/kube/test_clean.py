"""``skep kube clean`` on a real API server: what it deletes, in which order, and what it says is in the way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from skep.kube import naming
from tests.kube import operator_rig as rig
from tests.kube.plane import ControlPlane, until
from tests.parts import CHECKOUT

NODE, SILENT = "clean-node", "clean-silent"
LEFT = "clusterbpfapplications,bpfapplications,clusterbpfapplicationstates,bpfapplicationstates,configs.bpfman.io"
MADE = "daemonsets,csidrivers"


def command(plane: ControlPlane, *words: str) -> list[str]:
    """Without kubelets nobody could remove files from nodes; test_install.py has one."""
    here = ("--kubeconfig", str(plane.kubeconfig), "--keep-files")
    return [sys.executable, "-m", "skep", "kube", "clean", *here, *words]


def clean(plane: ControlPlane, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(plane, *words), capture_output=True, text=True, check=False, timeout=100, env=rig.environment()
    )


@pytest.fixture(scope="module", autouse=True)
def deployed(cleared: ControlPlane) -> Iterator[None]:
    """The operator's Deployment. Without a scheduler its pods wait for ever; the operator of a test is a process."""
    rig.prepare(cleared)
    cleared.kubectl("apply", "-f", str(CHECKOUT / "deploy/operator/deployment.yaml"))
    yield
    cleared.kubectl("delete", "-f", str(CHECKOUT / "deploy/operator/deployment.yaml"), "--ignore-not-found")


def replicas(plane: ControlPlane) -> int:
    found: int = plane.get("deployment", "bpfman-operator", namespace=naming.NAMESPACE)["spec"]["replicas"]
    return found


def test_all_of_it_once_every_node_lets_go(plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    one, other = rig.application("clean-one"), rig.application("clean-other", namespace)
    plane.apply(rig.config(namespace))
    with rig.nodes(plane, rig.node(NODE)), rig.operator(plane, tmp_path, "--leader-elect"):
        until("the pod of the node", lambda: plane.list("pod", namespace=namespace, labels="name=bpfman-daemon"))
        plane.apply(one, other, inventory())
        agent = rig.Agent(plane, NODE, namespace)
        for each in (one, other):
            rig.wait_for(plane, each, "Pending")
            agent.report(rig.seen(plane, each), "Success")

        refused = clean(plane, "--wait", "2")
        assert refused.returncode == 5, refused.stdout + refused.stderr
        assert "deleting 2 applications" in refused.stdout
        for name in ("ClusterBpfApplication clean-one", f"BpfApplication {namespace}/clean-other"):
            assert f"{name} (being deleted; waiting for {NODE})" in refused.stderr
        assert replicas(plane) == 1 and rig.seen(plane, rig.config(namespace)), "nothing else is touched before"

        going = subprocess.Popen(command(plane), stdout=subprocess.PIPE, text=True, env=rig.environment())
        for each in (one, other):
            agent.let_go(rig.seen(plane, each))
        until("the operator is stopped", lambda: replicas(plane) == 0)
        ended(plane, namespace)
        said = going.communicate(timeout=60)[0]
    assert going.returncode == 0, said
    assert said.splitlines()[-4:] == [
        "no node has a program of an application",
        "stopped the operator",
        f"deleted the Config {naming.CONFIG}, and what it stood for",
        f"deleted the lease {naming.NAMESPACE}/{naming.LEASE}",
    ]
    assert plane.list(LEFT) == [] and "bpfman" not in plane.kubectl("get", MADE, "-A", "-o", "name")
    assert not plane.list("nodebpfinventories")
    again = clean(plane)
    # The test's operator may have taken the lease anew, before it ended: nobody stops it with its Deployment.
    assert again.returncode == 0 and again.stdout.startswith("no node has a program of an application\n"), again.stderr


def test_where_no_operator_runs_and_applications_stay(plane: ControlPlane, namespace: str) -> None:
    held = rig.application("clean-held")
    held["metadata"]["finalizers"] = [naming.OPERATOR_FINALIZER]
    config = rig.config(namespace)
    config["metadata"]["finalizers"] = [naming.CONFIG_FINALIZER]
    plane.apply(held, config)
    kept = clean(plane, "--keep-applications", "--wait", "30")
    assert kept.returncode == 0, kept.stderr
    assert rig.seen(plane, held) and not rig.seen(plane, config)
    assert clean(plane, "--wait", "30").returncode == 0
    assert not rig.seen(plane, held)


def test_a_node_that_never_answers_is_forgotten_or_all_is_abandoned(
    plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    """A forgotten node holds up nobody but those who have something elsewhere too; who abandons waits for no node."""
    app, kept = rig.application("clean-forgotten"), rig.application("clean-abandoned", namespace)
    plane.apply(rig.config(namespace))
    with rig.nodes(plane, rig.node(NODE), rig.node(SILENT)):
        with rig.operator(plane, tmp_path, "--leader-elect"):
            until("the pods", lambda: len(plane.list("pod", namespace=namespace, labels="name=bpfman-daemon")) == 2)
            plane.apply(app)
            rig.wait_for(plane, app, "Pending")
            answers, silent = (rig.Agent(plane, each, namespace) for each in (NODE, SILENT))
            for each in (answers, silent):
                each.report(rig.seen(plane, app), "Success")

            refused = clean(plane, "--forget-node", SILENT, "--wait", "2")
            assert refused.returncode == 5, refused.stdout + refused.stderr
            assert f"clean-forgotten (being deleted; waiting for {NODE})" in refused.stderr
            assert "--forget-node" in refused.stderr
            answers.let_go(rig.seen(plane, app))
            going = subprocess.Popen(
                command(plane, "--forget-node", SILENT), stdout=subprocess.PIPE, text=True, env=rig.environment()
            )
            until("the operator is stopped", lambda: replicas(plane) == 0)
            ended(plane, namespace)
            assert going.wait(60) == 0, going.communicate()[0]
            assert plane.list(LEFT) == []

            # The same again, with nobody but somebody who has no more time.
            plane.apply(rig.config(namespace), kept)
            rig.wait_for(plane, kept, "Pending")
            silent.report(rig.seen(plane, kept), "Success")
        told = subprocess.Popen(
            command(plane, "--abandon"), stdout=subprocess.PIPE, text=True, env=rig.environment()
        )  # fmt: skip
        until("it is gone", lambda: not plane.list("configs.bpfman.io"))
        ended(plane, namespace)
        said = told.communicate(timeout=60)[0]
        assert told.returncode == 0 and "applications are abandoned\n" in said, said
        assert plane.list(LEFT) == []


def inventory() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CHECKOUT / "deploy/samples/nodebpfinventory.yaml").read_text())
    return found


def ended(plane: ControlPlane, namespace: str) -> None:
    """What a kubelet says about a pod whose containers have ended, as soon as it is to end."""

    def look() -> bool:
        pods = plane.list("pod", namespace=namespace, labels="name=bpfman-daemon")
        for each in pods:
            if "deletionTimestamp" in each["metadata"]:
                plane.kubectl("delete", "pod", each["metadata"]["name"], "-n", namespace, "--force", "--grace-period=0")
        return not pods

    until("the pods have ended", look)
