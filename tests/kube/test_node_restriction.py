"""An agent writes for its own node only: deploy/rbac/node-restriction.yaml, asked with tokens of pods on nodes."""

from __future__ import annotations

import dataclasses
import itertools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skep.kube import naming
from tests.kube import node_agents
from tests.kube.plane import ControlPlane, until

LONG = "n" * 60 + ".example.with-a-long-name"
NODES = ("restricted-a", "restricted-b", LONG)
_numbers = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class Agents:
    """Agents by node: each a kubeconfig with the token of a pod there."""

    plane: ControlPlane
    namespace: str
    tokens: dict[str, Path]

    def write(self, node: str, *words: str, document: dict[str, Any] | None = None) -> str:
        """kubectl as the agent of a node; "" if it was allowed, else what was said against it."""
        try:
            self.plane.kubectl(
                *words, *(("-f", "-") if document else ()),
                input=json.dumps(document) if document else None, kubeconfig=self.tokens[node],
            )  # fmt: skip
        except subprocess.CalledProcessError as refused:
            return str(refused.stderr)
        return ""


@pytest.fixture(scope="module")
def agents(plane: ControlPlane) -> Iterator[Agents]:
    namespace = f"agents-{next(_numbers)}"
    plane.kubectl("create", "namespace", namespace)
    node_agents.account(plane, namespace)
    plane.apply(*({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}} for node in NODES))
    tokens = {node: node_agents.agent(plane, namespace, node) for node in NODES}
    tokens["nowhere"] = plane.kubeconfig_for(namespace, naming.ACCOUNT)
    found = Agents(plane, namespace, tokens)
    # A policy is in force a moment after it is there.
    until("the policy", lambda: found.write("restricted-a", "create", "--dry-run=server", document=inventory("other")))
    yield found
    plane.kubectl("delete", "node", *NODES)  # others count nodes


def inventory(node: str) -> dict[str, Any]:
    return {"apiVersion": "bpfman.io/v1alpha1", "kind": "NodeBpfInventory", "metadata": {"name": node}}


def state(node: str, application: str = "app", namespace: str = "") -> dict[str, Any]:
    about: dict[str, Any] = {
        "name": naming.state_name(application, node),
        "labels": naming.state_labels(application, node),
    }
    if namespace:
        about["namespace"] = namespace
    kind = "BpfApplicationState" if namespace else "ClusterBpfApplicationState"
    return {"apiVersion": "bpfman.io/v1alpha1", "kind": kind, "metadata": about}


def counts(node: str) -> dict[str, Any]:
    numbers = {"programs": 1, "managed": 0, "foreign": 1, "links": 0, "maps": 0}
    return {**inventory(node), "status": {"node": node, "counts": numbers}}


@pytest.mark.parametrize("node", ["restricted-a", LONG], ids=["node", "long-name"])
def test_an_agent_writes_what_its_own_node_has(agents: Agents, node: str) -> None:
    for document in (inventory(node), state(node, "own"), state(node, "own", agents.namespace)):
        assert agents.write(node, "create", document=document) == ""
    assert agents.write(node, "apply", "--server-side", "--subresource=status", document=counts(node)) == ""
    assert agents.plane.get("nodebpfinventories", node)["status"]["counts"]["programs"] == 1
    assert agents.write(node, "annotate", "nodebpfinventory", node, "a=b") == ""
    assert agents.write(node, "delete", "clusterbpfapplicationstate", naming.state_name("own", node)) == ""


def test_an_agent_creates_nothing_for_another_node(agents: Agents) -> None:
    for document in (
        inventory("restricted-b"), state("restricted-b"), state("restricted-b", "app", agents.namespace), state(LONG),
    ):  # fmt: skip
        said = agents.write("restricted-a", "create", document=document)
        assert "the agent of node restricted-a may not write for node" in said


def test_a_name_that_is_too_long_for_a_label_is_compared_whole_where_there_is_no_label(agents: Agents) -> None:
    assert "may not write for node" in agents.write(LONG, "create", document=inventory(LONG[:-1] + "x"))


def test_an_agent_changes_and_deletes_nothing_of_another_node(agents: Agents) -> None:
    theirs = state("restricted-b", "theirs")
    agents.plane.apply(inventory("restricted-b"), theirs)
    name = theirs["metadata"]["name"]
    for words in (
        ("annotate", "nodebpfinventory", "restricted-b", "a=b"),
        ("delete", "nodebpfinventory", "restricted-b"),
        ("annotate", "clusterbpfapplicationstate", name, "a=b"),
        ("delete", "clusterbpfapplicationstate", name),
        # It must not first be made one's own, either.
        ("label", "--overwrite", "clusterbpfapplicationstate", name, "kubernetes.io/hostname=restricted-a"),
        ("patch", "nodebpfinventory", "restricted-b", "--subresource=status", "--type=merge", "-p",
         json.dumps({"status": counts("restricted-a")["status"]})),
    ):  # fmt: skip
        assert "may not write for node" in agents.write("restricted-a", *words), words
    assert agents.write("restricted-b", "annotate", "clusterbpfapplicationstate", name, "a=b") == ""


def test_an_agent_does_not_hand_its_state_to_another_node(agents: Agents) -> None:
    own = state("restricted-a", "handed")
    assert agents.write("restricted-a", "create", document=own) == ""
    name = own["metadata"]["name"]
    words = ("label", "--overwrite", "clusterbpfapplicationstate", name, "kubernetes.io/hostname=restricted-b")
    assert "may not write for node" in agents.write("restricted-a", *words)


def test_an_agent_does_not_choose_the_revision_that_its_node_runs(agents: Agents) -> None:
    own = state("restricted-a", "staged")
    name, words = own["metadata"]["name"], "is said by the operator"
    ahead = {**own, "metadata": {**own["metadata"], "annotations": {naming.REVISION: "new"}}}
    assert words in agents.write("restricted-a", "create", document=ahead)
    assert agents.write("restricted-a", "create", document=own) == ""
    assert words in agents.write("restricted-a", "annotate", "cbas", name, f"{naming.REVISION}=new")
    agents.plane.kubectl("annotate", "cbas", name, f"{naming.REVISION}=old")
    assert words in agents.write("restricted-a", "annotate", "--overwrite", "cbas", name, f"{naming.REVISION}=new")
    assert words in agents.write("restricted-a", "annotate", "cbas", name, f"{naming.REVISION}-")
    assert agents.write("restricted-a", "annotate", "cbas", name, "a=b") == ""
    assert agents.write("restricted-a", "delete", "cbas", name) == ""


def test_a_status_says_no_other_node(agents: Agents) -> None:
    agents.plane.apply(inventory("restricted-a"))
    wrong = {**counts("restricted-a"), "status": counts("restricted-b")["status"]}
    said = agents.write("restricted-a", "apply", "--server-side", "--force-conflicts", "--subresource=status",
                        document=wrong)  # fmt: skip
    assert "status.node is not restricted-a" in said


def test_a_token_of_no_node_writes_nothing(agents: Agents) -> None:
    assert "belongs to no pod on a node" in agents.write("nowhere", "create", document=inventory("restricted-a"))


def test_others_are_not_meant(agents: Agents) -> None:
    """Whoever has the rights and is no agent, an administrator or the garbage collector, is not kept from anything."""
    agents.plane.apply(inventory("restricted-c"))
    agents.plane.kubectl("delete", "nodebpfinventory", "restricted-c")
