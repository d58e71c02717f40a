"""A stranger on a node: what the node's object, Events, the application and the agent's numbers say of it, and when."""

from __future__ import annotations

import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import parser

from tests.kernel.stranger import stranger
from tests.kube import nodes
from tests.kube.nodes import application
from tests.kube.plane import ControlPlane, until
from tests.parts import free_port

NAME = f"zz{os.getpid()}"
NEAR: dict[str, Any] = {"interfaceSelector": {"interfaces": ["near"]}, "priority": 50}
SANCTIONED = '[inventory]\nsanctioned = [{ name = "[!z]*" }, { name = "" }]\n'
"""All but those of this test: what else runs on this machine is others'."""


@pytest.fixture
def node(plane: ControlPlane, tmp_path: Path) -> Iterator[nodes.Node]:
    file = tmp_path / "skep.toml"
    file.write_text(SANCTIONED)
    with nodes.node(plane, tmp_path, start=False, options=("--config", str(file))) as made:
        made.metrics = free_port()
        yield made


def status(plane: ControlPlane, node: nodes.Node) -> dict[str, Any]:
    found: dict[str, Any] = plane.get("nodebpfinventory", node.name).get("status", {})
    return found


def findings(plane: ControlPlane, node: nodes.Node) -> list[str]:
    """The kinds of those about this test."""
    return [one["kind"] for one in status(plane, node).get("findings", ()) if one.get("name") == NAME]


def clean(plane: ControlPlane, node: nodes.Node) -> str:
    return str(status(plane, node)["conditions"][0]["status"])


def events(plane: ControlPlane, about: str) -> dict[str, tuple[str, int, str]]:
    """Of the Events about an object: by reason their type, how often it was told, and the message."""
    return {
        each["reason"]: (each["type"], each["count"], each["message"])
        for each in plane.list("events")
        if each["involvedObject"]["name"] == about and each["reason"].startswith("Bpf")
    }


def page(node: nodes.Node, token: str = "") -> tuple[int, str]:
    """The agent's numbers, with a token or without."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"https://127.0.0.1:{node.metrics}/metrics", headers=headers)
    # The certificate is the agent's own, made at its start.
    lenient = ssl.create_default_context()
    lenient.check_hostname, lenient.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(request, timeout=10, context=lenient) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def numbers(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.values()))): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraper(plane: ControlPlane, namespace: str, name: str, *, allowed: bool) -> str:
    """The token of an account that may read numbers, or may not."""
    plane.kubectl("create", "serviceaccount", name, "-n", namespace)
    if allowed:
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": f"{namespace}-reads-metrics"},
            "rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}],
        }
        plane.apply(role)
        words = (f"--clusterrole={namespace}-reads-metrics", f"--serviceaccount={namespace}:{name}")
        plane.kubectl("create", "clusterrolebinding", f"{namespace}-reads-metrics", *words)
    return plane.kubectl("create", "token", name, "-n", namespace).strip()


def test_a_stranger_where_an_application_wants_to_be(
    plane: ControlPlane, node: nodes.Node, namespace: str, tmp_path: Path
) -> None:
    name = f"alerts-{os.getpid()}"
    reads, may_not = (scraper(plane, namespace, each, allowed=each == "reads") for each in ("reads", "may-not"))
    plane.apply(application(name, node.image(tmp_path, "count"), NEAR))
    try:
        with stranger("link", "near", enter=node.network.enter, name=NAME) as told:
            node.start()
            state = node.becomes(name, "Error", "another XDP program holds near")
            (link,) = state["programs"][0]["xdp"]["links"]
            assert f"program {told['program']} ({NAME}, held by" in link["error"]

            until("both findings", lambda: findings(plane, node) == ["clash", "unsanctioned"], 40)
            assert clean(plane, node) == "False"
            row = plane.kubectl("get", "nodebpfinventory", node.name, "--no-headers").split()
            assert row[4] == "False", row
            (clash, _) = status(plane, node)["findings"][:2]
            assert clash["applications"] == [f"ClusterBpfApplication/{name}"]
            assert clash["place"] == "xdp near"

            until("the node is told", lambda: {"BpfClash", "BpfNotSanctioned"} <= events(plane, node.name).keys())
            until("the application is told", lambda: "BpfClash" in events(plane, name))
            type, count, message = events(plane, name)["BpfClash"]
            assert (type, count) == ("Warning", 1)
            assert message.startswith(f"node {node.name}: count of ClusterBpfApplication/{name} cannot be attached")

            assert page(node)[0] == 401
            assert page(node, "nonsense")[0] == 401
            assert page(node, may_not)[0] == 403
            code, text = page(node, reads)
            assert code == 200, text
            seen = numbers(text)
            assert seen["skep_foreign_programs", ("false", "xdp")] == 1
            assert seen["skep_clashes", ("clash", "xdp")] == 1
            assert seen["skep_agent_daemon_up", ()] == 1
            assert seen["skep_agent_applications", ("Error",)] >= 1

            node.stop()
            node.start()
            until("the agent looked again", lambda: "skep_clashes{" in page(node, reads)[1])
            node.becomes(name, "Error", "another XDP program holds near")
            told_again = events(plane, node.name)
            assert {reason: each[1] for reason, each in told_again.items()} == {"BpfClash": 1, "BpfNotSanctioned": 1}

        node.becomes(name, "Success", "1 link attached")
        until("it is over", lambda: findings(plane, node) == [] and clean(plane, node) == "True", 40)
        until("that is told", lambda: "BpfClean" in events(plane, node.name))
        seen = numbers(page(node, reads)[1])
        assert ("skep_clashes", ("clash", "xdp")) not in seen
        assert ("skep_foreign_programs", ("false", "xdp")) not in seen
    finally:
        plane.kubectl("delete", "clusterbpfapplication", name, "--wait=false")
        if node.agent is not None:
            nodes.gone(node)
