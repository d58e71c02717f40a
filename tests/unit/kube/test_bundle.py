"""The OLM bundle is what would be written, and holds all of deploy that a bundle can."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

import skep
from skep.kube import bundle
from tests.unit.house import source_tree

DEPLOY = source_tree.ROOT / "deploy"
VERSION = yaml.load((DEPLOY / "olm/manifests/skep.clusterserviceversion.yaml").read_text(), Loader=yaml.CSafeLoader)
POLICIES = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
"""Kinds of which OLM's bundle format knows nothing (operator-registry's pkg/lib/bundle/supported_resources.go)."""

Object = dict[str, Any]


def documents(paths: list[Path]) -> list[Object]:
    return [each for path in paths for each in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader) if each]


def names(objects: list[Object], kind: str) -> set[str]:
    return {each["metadata"]["name"] for each in objects if each["kind"] == kind}


def test_what_is_derived_is_there() -> None:
    """`python -m skep.kube.bundle deploy` writes it."""
    assert list(bundle.stale(DEPLOY)) == []


def test_it_holds_every_crd_and_role() -> None:
    there = documents(sorted((DEPLOY / "olm/manifests").glob("*.yaml")))
    ours = documents([path for name in ("crds", "rbac", "policies", "operator") for path in (DEPLOY / name).rglob("*")
                      if path.suffix == ".yaml" and path.stem != "kustomization"])  # fmt: skip
    crds = names(ours, "CustomResourceDefinition")
    assert names(there, "CustomResourceDefinition") == crds
    assert {each["name"] for each in VERSION["spec"]["customresourcedefinitions"]["owned"]} == crds
    assert names(ours, "ClusterRole") - names(there, "ClusterRole") == {"bpfman-operator-role"}
    made_by_olm = {
        "Deployment", "ServiceAccount", "Role", "RoleBinding", "ClusterRoleBinding", "Namespace"
    }  # fmt: skip
    limits = {"NetworkPolicy", "PodDisruptionBudget"}  # whoever has OLM has rules for what it installs
    assert {each["kind"] for each in ours} - {each["kind"] for each in there} == made_by_olm | POLICIES | limits


def test_the_operator_may_what_it_may_elsewhere() -> None:
    (role,) = (
        each for each in documents([DEPLOY / "rbac/operator.yaml"]) if each["metadata"]["name"].endswith("-role")
    )
    here = [each for each in documents([DEPLOY / "operator/account.yaml"]) if each["kind"] == "Role"]
    rules = [rule for each in here for rule in each["rules"]]
    assert len(rules) > len(here) > 1
    install = VERSION["spec"]["install"]["spec"]
    assert install["clusterPermissions"] == [{"serviceAccountName": "bpfman-operator", "rules": role["rules"]}]
    assert install["permissions"] == [{"serviceAccountName": "bpfman-operator", "rules": rules}]


def test_an_image_is_named_everywhere() -> None:
    digest = "registry.example/skep@sha256:" + "a" * 64
    made = yaml.safe_load(bundle.files(DEPLOY, digest)["manifests/skep.clusterserviceversion.yaml"])
    (deployment,) = made["spec"]["install"]["spec"]["deployments"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    environment = {each["name"]: each.get("value") for each in container["env"]}
    assert (
        container["image"] == environment["BPFMAN_IMG"] == made["metadata"]["annotations"]["containerImage"] == digest
    )
    assert made["spec"]["relatedImages"] == [{"name": "skep", "image": digest}]
    assert bundle.IMAGE not in json.dumps(made)


def test_each_kind_that_people_write_has_an_example() -> None:
    examples = {each["kind"] for each in json.loads(VERSION["metadata"]["annotations"]["alm-examples"])}
    assert examples >= {"ClusterBpfApplication", "BpfApplication", "Config", "NodeBpfInventory"}
    assert VERSION["metadata"]["name"] == f"skep.v{skep.__version__}" and VERSION["spec"]["version"] == skep.__version__


def test_each_field_that_is_described_exists() -> None:
    """A descriptor of a field that is gone is one that a console shows empty."""
    crds = {each["metadata"]["name"]: each for each in documents(sorted((DEPLOY / "crds").rglob("*.yaml")))}
    for owned in VERSION["spec"]["customresourcedefinitions"]["owned"]:
        schema = crds[owned["name"]]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        for part in ("spec", "status"):
            for each in owned.get(f"{part}Descriptors", []):
                assert each["description"] == schema[part]["properties"][each["path"]]["description"]
        assert owned["description"]
