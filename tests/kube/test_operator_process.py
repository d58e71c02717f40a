"""The operator as a process: who leads, what it answers to probes and scrapes, and a thousand applications at once."""

from __future__ import annotations

import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from skep.kube import naming
from tests.kube import operator_rig as rig
from tests.kube.plane import ControlPlane, until
from tests.parts import free_port


@pytest.fixture(scope="module", autouse=True)
def prepared(plane: ControlPlane) -> None:
    rig.prepare(plane)


def held_by(plane: ControlPlane) -> str:
    return str(plane.get("lease", naming.LEASE, namespace=naming.NAMESPACE).get("spec", {}).get("holderIdentity", ""))


def looked_after(plane: ControlPlane, document: dict[str, Any]) -> None:
    """An application that is made now gets its finalizer and status."""
    plane.apply(document)
    rig.wait_for(plane, document, "Success")
    assert rig.seen(plane, document)["metadata"]["finalizers"] == [naming.OPERATOR_FINALIZER]
    plane.kubectl("delete", document["kind"], document["metadata"]["name"])


def nowhere(name: str) -> dict[str, Any]:
    """An application that selects no node."""
    return rig.application(name, nodeSelector={"matchLabels": {"no": "node"}})


def test_one_of_two_leads_until_it_is_killed(plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    first = rig.Operator(plane, tmp_path / "first.log", "--leader-elect")
    try:
        until("the first leads", lambda: first.said("seeing all"))
        holder = held_by(plane)
        second = rig.Operator(plane, tmp_path / "second.log", "--leader-elect")
        try:
            looked_after(plane, nowhere(f"one-{namespace}"))
            until("the second has looked", lambda: second.process.poll() is None and second.said("candidate"))
            assert held_by(plane) == holder and not second.said("seeing all")
            first.kill()
            until("the second leads", lambda: second.said("seeing all"), 40)
            assert held_by(plane) not in ("", holder)
            looked_after(plane, nowhere(f"two-{namespace}"))

            third = rig.Operator(plane, tmp_path / "third.log", "--leader-elect")
            try:
                until("the third has looked", lambda: third.said("candidate"))
                began = time.monotonic()
                assert second.end() == 0
                until("the third leads", lambda: third.said("seeing all"))
                # The lease is given back: nobody waits until it is over.
                assert time.monotonic() - began < 10
                assert third.end() == 0
            finally:
                third.kill()
        finally:
            second.kill()
    finally:
        first.kill()


def get(url: str, token: str = "") -> tuple[int, str]:
    context = ssl._create_unverified_context()
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, context=context, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_probes_and_metrics(plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    health, metrics = free_port(), free_port()
    for account in ("reader", "nobody"):
        plane.kubectl("create", "serviceaccount", account, "-n", namespace)
    plane.kubectl(
        "create", "clusterrolebinding", f"reader-{namespace}", "--clusterrole=bpfman-metrics-reader",
        f"--serviceaccount={namespace}:reader",
    )  # fmt: skip
    reader = f"--as=system:serviceaccount:{namespace}:reader"
    until("the binding counts", lambda: plane.kubectl("auth", "can-i", "get", "/metrics", reader).startswith("yes"))
    words = (
        "--health-probe-bind-address", f"127.0.0.1:{health}", "--metrics-bind-address", f"127.0.0.1:{metrics}",
    )  # fmt: skip
    with rig.operator(plane, tmp_path, *words):
        assert get(f"http://127.0.0.1:{health}/healthz") == (200, "ok\n")
        until("it is ready", lambda: get(f"http://127.0.0.1:{health}/readyz")[0] == 200)
        url = f"https://127.0.0.1:{metrics}/metrics"
        assert get(url)[0] == 401
        assert get(url, "made-up")[0] == 401
        assert get(url, plane.kubectl("create", "token", "nobody", "-n", namespace).strip())[0] == 403
        status, text = get(url, plane.kubectl("create", "token", "reader", "-n", namespace).strip())
        assert status == 200, text
        assert 'skep_informer_watching{informer="ClusterBpfApplication"} 1.0' in text
        assert 'skep_queue_handled_total{queue="applications"}' in text


def test_it_is_not_ready_without_the_api_server(plane: ControlPlane, tmp_path: Path) -> None:
    health = free_port()
    with rig.operator(plane, tmp_path, "--health-probe-bind-address", f"127.0.0.1:{health}"):
        url = f"http://127.0.0.1:{health}"
        plane.stop_apiserver()
        try:
            until("it is not ready", lambda: get(f"{url}/readyz")[0] == 503)
            assert get(f"{url}/healthz")[0] == 200
        finally:
            plane.start_apiserver()
        until("it is ready again", lambda: get(f"{url}/readyz")[0] == 200, 60)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_thousand_applications_at_once(plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    """Nothing is lost, nothing is stuck, and memory is bounded; then they are deleted, all at once too."""
    names = [f"many-{number:04}" for number in range(1000)]
    with rig.operator(plane, tmp_path) as running:
        before = running.resident()
        plane.apply(*(rig.application(name, namespace) for name in names))

        def told() -> bool:
            items = plane.list("bpfapplications", namespace=namespace)
            without = [each["metadata"]["name"] for each in items if not rig.condition(each)]
            assert len(items) == len(names) and not without, f"{len(items)} there, {len(without)} not told"
            return True

        until("each has a status", told, 120, every=1)
        grown = running.resident() - before
        assert grown < 64, f"{grown} MiB for a thousand applications"
        plane.kubectl("delete", "bpfapplications", "--all", "-n", namespace, "--wait=false")
        until("all are gone", lambda: not plane.list("bpfapplications", namespace=namespace), 120, every=1)


def test_what_it_cannot_do_is_said(plane: ControlPlane, tmp_path: Path) -> None:
    run = subprocess.run(
        [*rig.COMMAND, "--kubeconfig", str(tmp_path / "none"), "--leader-elect"],
        capture_output=True, text=True, check=False, env=rig.environment(), timeout=60,
    )  # fmt: skip
    assert run.returncode != 0 and "Traceback" not in run.stderr
    assert "--kubeconfig" in run.stderr
    run = subprocess.run(
        [*rig.COMMAND, "--kubeconfig", str(plane.kubeconfig), "--health-probe-bind-address", "8175"],
        capture_output=True, text=True, check=False, env=rig.environment(), timeout=60,
    )  # fmt: skip
    assert run.returncode != 0 and "it is no [HOST]:PORT" in run.stderr


def test_the_default_config_can_be_created(plane: ControlPlane) -> None:
    run = subprocess.run(
        [*rig.COMMAND, "--image", rig.IMAGE, "default-config"],
        capture_output=True, text=True, check=True, env=rig.environment(), timeout=60,
    )  # fmt: skip
    assert "config.bpfman.io/bpfman-config" in plane.kubectl("create", "--dry-run=server", "-f", "-", input=run.stdout)


def test_what_deploy_has_is_accepted(plane: ControlPlane) -> None:
    """All of deploy/, as a user applies it, with an image of theirs."""
    built = plane.kubectl("kustomize", str(rig.CHECKOUT / "deploy"))
    assert "kind: Deployment" in built
    answered = plane.kubectl("apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f", "-", input=built)
    assert "deployment.apps/bpfman-operator serverside-applied" in answered
    assert json.dumps(naming.NAMESPACE).strip('"') in answered
