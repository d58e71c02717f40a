"""What deploy/ has for a cluster is complete, and fits what the code makes."""

from __future__ import annotations

from typing import Any

import yaml

from skep.kube import naming
from tests.unit.house import source_tree

DEPLOY = source_tree.ROOT / "deploy"


def documents(name: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all((DEPLOY / name).read_text()) if each]


def test_the_kustomization_names_every_file() -> None:
    """A file that is not listed is one that a user does not get."""
    (whole,) = documents("kustomization.yaml")
    there = {
        path.relative_to(DEPLOY).as_posix()
        for directory in ("crds", "crds/older", "rbac", "policies")
        for path in (DEPLOY / directory).glob("*.yaml")
    }
    assert sorted(whole["resources"]) == sorted(there | {"operator"})
    (base,) = documents("operator/kustomization.yaml")
    assert set(base["resources"]) == {
        path.name for path in (DEPLOY / "operator").glob("*.yaml") if path.name != "kustomization.yaml"
    }


def test_the_operator_has_no_right_on_its_node() -> None:
    (deployment,) = documents("operator/deployment.yaml")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] and not container["securityContext"]["allowPrivilegeEscalation"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "hostNetwork" not in pod and all("hostPath" not in each for each in pod["volumes"])


def test_names_are_those_of_the_code() -> None:
    roles = [each for each in documents("operator/account.yaml") if each["kind"] == "Role"]
    leases = [rule["resourceNames"] for role in roles for rule in role["rules"] if "resourceNames" in rule]
    assert leases == [[naming.LEASE]]
    (namespace,) = documents("operator/namespace.yaml")
    assert namespace["metadata"]["name"] == naming.NAMESPACE
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
