"""The committed CRDs are the generated ones, and say what upstream's say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from skep import hooks
from skep.kube import crd, kinds, members, policy, policy_examples, roles
from skep.kube.older import kinds as older
from tests.unit.house import source_tree

COMMITTED = source_tree.ROOT / "deploy/crds"


ALL = (*kinds.KINDS, *older.KINDS)


def written(directory: Path) -> dict[str, str]:
    """The files below a directory."""
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*.yaml")}


def spec_of(kind: str) -> Any:
    """The schema of a kind's spec."""
    (found,) = (kind_ for kind_ in kinds.KINDS if kind_.name == kind)
    (version,) = crd.definition(found)["spec"]["versions"]
    return version["schema"]["openAPIV3Schema"]["properties"]["spec"]


def program_of(kind: str) -> Any:
    return spec_of(kind)["properties"]["programs"]["items"]


def link_of(member: str, kind: str = "ClusterBpfApplication") -> Any:
    return program_of(kind)["properties"][member]["properties"]["links"]["items"]


def test_the_committed_files_are_the_generated_ones() -> None:
    """Somebody changed src/skep/kube or a hook: run `python -m skep.kube.crd deploy/crds`."""
    assert written(COMMITTED) == crd.files()


def test_the_committed_policies_are_the_generated_ones() -> None:
    """Run `python -m skep.kube.policy deploy/policies`."""
    committed = {path.name: path.read_text() for path in (source_tree.ROOT / "deploy/policies").glob("*.yaml")}
    assert committed == policy.files()


def test_the_committed_examples_of_policies_are_the_generated_ones() -> None:
    """Run `python -m skep.kube.policy_examples deploy/policy-examples`."""
    committed = {path.name: path.read_text() for path in (source_tree.ROOT / "deploy/policy-examples").glob("*.yaml")}
    assert committed == policy_examples.files()


def test_every_type_is_in_one_of_the_roles_that_let_it_be_attached() -> None:
    """A type that comes later has to be put into one."""
    listed = [each for types in policy_examples.ROLES.values() for each in types]
    assert sorted(listed) == sorted(members.TYPES)


def test_the_committed_roles_are_the_generated_ones() -> None:
    """Run `python -m skep.kube.roles deploy/rbac`."""
    assert {roles.FILE: (source_tree.ROOT / "deploy/rbac" / roles.FILE).read_text()} == roles.files()


def test_the_command_writes_them(tmp_path: Path) -> None:
    assert crd.main([str(tmp_path / "new")]) == 0
    assert written(tmp_path / "new") == crd.files()
    assert crd.main([]) == 2


def nodes(schema: Any, path: str = "") -> Any:
    """Every schema below one, with its path."""
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from nodes(below, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if word in schema:
            yield from nodes(schema[word], f"{path}[]")


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_schemas_are_structural(kind: kinds.Kind) -> None:
    """What an API server demands of every schema: a type everywhere, known required fields, scalar list-map keys."""
    (version,) = crd.definition(kind)["spec"]["versions"]
    for path, schema in nodes(version["schema"]["openAPIV3Schema"]):
        untyped = ("x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields")
        assert "type" in schema or any(word in schema for word in untyped), path
        assert not ("type" in schema and "x-kubernetes-int-or-string" in schema), path
        assert set(schema.get("required", ())) <= set(schema.get("properties", ())), path
        for key in schema.get("x-kubernetes-list-map-keys", ()):
            assert key in schema["items"]["required"], path
            assert schema["items"]["properties"][key]["type"] == "string", path
        if "default" in schema:
            made = {"array": list, "boolean": bool, "integer": int, "string": str, "object": dict}
            # What has no type is an int-or-string.
            assert isinstance(schema["default"], made[schema.get("type", "integer")]), path


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.name)
def test_rules_stand_in_bounded_lists(kind: kinds.Kind) -> None:
    """The API server multiplies the cost of a rule by how long the lists around it may be."""

    def look(schema: Any, bounded: bool, path: str) -> None:
        assert bounded or "x-kubernetes-validations" not in schema, path
        for name, below in schema.get("properties", {}).items():
            look(below, bounded, f"{path}.{name}")
        if "items" in schema:
            look(schema["items"], bounded and "maxItems" in schema, f"{path}[]")

    (version,) = crd.definition(kind)["spec"]["versions"]
    look(version["schema"]["openAPIV3Schema"], True, kind.name)


def test_names() -> None:
    documents = [yaml.safe_load(text) for name, text in crd.files().items() if not name.startswith(crd.OLDER)]
    assert {each["metadata"]["name"] for each in documents} == {
        "clusterbpfapplications.bpfman.io", "bpfapplications.bpfman.io", "clusterbpfapplicationstates.bpfman.io",
        "bpfapplicationstates.bpfman.io", "configs.bpfman.io", "nodebpfinventories.bpfman.io",
    }  # fmt: skip
    short = [name for each in documents for name in each["spec"]["names"]["shortNames"]]
    assert len(set(short)) == len(documents)


def test_types_as_upstream_spells_them() -> None:
    known = program_of("ClusterBpfApplication")["properties"]["type"]["enum"]
    assert set(members.UPSTREAM) <= set(known)
    assert len(known) == len(hooks.HOOKS)
    assert {"XDP", "TC", "TCX", "UProbe", "URetProbe"} <= set(
        program_of("BpfApplication")["properties"]["type"]["enum"]
    )
    assert "KProbe" not in program_of("BpfApplication")["properties"]["type"]["enum"]


def test_upstreams_rule_word_for_word() -> None:
    rules = program_of("ClusterBpfApplication")["x-kubernetes-validations"]
    assert {
        "rule": "has(self.type) && self.type == 'XDP' ?  has(self.xdp) : !has(self.xdp)",
        "message": "xdp configuration is required when type is xdp, and forbidden otherwise",
    } in rules


@pytest.mark.parametrize(
    ("member", "required"),
    [
        ("xdp", ["interfaceSelector"]),
        ("tc", ["interfaceSelector", "direction"]),
        ("tcx", ["interfaceSelector", "direction"]),
        ("fentry", ["mode"]),
        ("kprobe", ["function"]),
        ("kretprobe", ["function"]),
        ("uprobe", ["target"]),
        ("uretprobe", ["target"]),
        ("tracepoint", ["name"]),
    ],
)
def test_required_as_upstream(member: str, required: list[str]) -> None:
    assert link_of(member)["required"] == required


def test_xdp_link_as_upstream() -> None:
    link = link_of("xdp")["properties"]
    assert link["priority"] | {"description": ""} == {
        "description": "", "type": "integer", "format": "int32", "minimum": 0, "maximum": 1000,
    }  # fmt: skip
    assert link["proceedOn"]["default"] == ["Pass", "DispatcherReturn"]
    assert link["proceedOn"]["items"]["enum"] == ["Aborted", "Drop", "Pass", "TX", "ReDirect", "DispatcherReturn"]
    selector = link["interfaceSelector"]
    assert (selector["minProperties"], selector["maxProperties"]) == (1, 1)
    discovery = selector["properties"]["interfacesDiscoveryConfig"]["properties"]
    assert (discovery["interfaceAutoDiscovery"]["default"], discovery["excludeInterfaces"]["default"]) == (
        False,
        ["lo"],
    )


def test_tc_link_as_upstream() -> None:
    link = link_of("tc")["properties"]
    assert link["direction"]["enum"] == ["Ingress", "Egress"]
    assert link["proceedOn"]["default"] == ["Pipe", "DispatcherReturn"]
    assert len(link["proceedOn"]["items"]["enum"]) == 11
    assert "proceedOn" not in link_of("tcx")["properties"]


def test_a_namespaced_link_reaches_pods_only() -> None:
    """The host's namespaces and files are out of reach, because there is no way to say them."""
    for member, field in (("xdp", "networkNamespaces"), ("uprobe", "containers")):
        link = link_of(member, "BpfApplication")
        assert field in link["required"]
        assert set(link["properties"][field]["properties"]) <= {"pods", "containerNames"}
        assert link["properties"][field]["required"] == ["pods"]
