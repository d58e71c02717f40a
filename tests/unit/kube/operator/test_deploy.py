"""A Config becomes objects: each field of it has its place, and no container has more than it needs."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
import yaml

from skep import config as configuration
from skep import errors, model
from skep.kube import naming
from skep.kube.older import kinds as older
from skep.kube.operator import daemonset, deploy, logins, records, settings
from tests.unit.house import source_tree


def config(name: str = "bpfman-config", **spec: Any) -> dict[str, Any]:
    made = settings.default(("daemon-image", "agent-image"))
    made["metadata"] = {"name": name, "uid": "c1", "generation": 2}
    for key, value in spec.items():
        made["spec"][key] = {**made["spec"][key], **value} if key in ("agent", "daemon") else value
    return made


def made(**spec: Any) -> dict[str, dict[str, Any]]:
    """Kind -> object."""
    return {each["kind"]: each for each in deploy.objects(settings.read(config(**spec)))}


def pod(**spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = made(**spec)["DaemonSet"]["spec"]["template"]["spec"]
    return found


def containers(**spec: Any) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in pod(**spec)["containers"]}


def annotation(**spec: Any) -> str:
    return str(made(**spec)["DaemonSet"]["spec"]["template"]["metadata"]["annotations"][daemonset.DIGEST])


def test_all_is_owned_by_the_config_and_where_it_says() -> None:
    objects = made(namespace="elsewhere")
    assert set(objects) == {"ServiceAccount", "ConfigMap", "CSIDriver", "ClusterRoleBinding", "DaemonSet"}
    for each in objects.values():
        owners = each["metadata"]["ownerReferences"]
        assert [(owner["kind"], owner["name"], owner["uid"]) for owner in owners] == [("Config", "bpfman-config", "c1")]
        assert each["metadata"].get("namespace") in (None, "elsewhere")
    assert objects["ClusterRoleBinding"]["subjects"] == [deploy.account("elsewhere")]


def test_the_images() -> None:
    assert {name: each["image"] for name, each in containers().items()} == {
        "daemon": "daemon-image", "agent": "agent-image", "csi": "daemon-image",
    }  # fmt: skip
    assert {each["imagePullPolicy"] for each in containers(imagePullPolicy="Never").values()} == {"Never"}


def test_where_pods_go() -> None:
    affinity: dict[str, Any] = {"nodeAffinity": {}}
    chosen = pod(
        daemon={"nodeSelector": {"pool": "a"}, "tolerations": [{"operator": "Exists"}], "affinity": affinity},
        imagePullSecrets=[{"name": "login"}],
    )
    assert chosen["nodeSelector"] == {"pool": "a"}
    assert chosen["tolerations"] == [{"operator": "Exists"}]
    assert chosen["affinity"] == affinity
    assert chosen["imagePullSecrets"] == [{"name": "login"}]
    built_in = pod()
    assert built_in["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert [each["key"] for each in built_in["tolerations"]] == [
        "node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master",
    ]  # fmt: skip
    assert "affinity" not in built_in and "imagePullSecrets" not in built_in


def test_resources() -> None:
    asked = {"limits": {"memory": "1Gi"}}
    found = containers(daemon={"resources": asked}, csi={"resources": asked})
    assert found["daemon"]["resources"] == found["csi"]["resources"] == asked
    assert "limits" not in containers()["daemon"]["resources"], "maps are charged to the daemon"


def test_ports_of_the_agent() -> None:
    assert containers()["agent"]["args"] == [
        "--health-probe-bind-address", ":8175", "--metrics-bind-address", "0",
    ]  # fmt: skip
    agent = containers(agent={"healthProbePort": 9001, "metricsPort": 9002})["agent"]
    assert agent["args"][1::2] == [":9001", ":9002"]
    assert {agent[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")} == {9001}


def test_only_the_csi_driver_is_privileged() -> None:
    assert [name for name, each in containers().items() if each["securityContext"].get("privileged")] == ["csi"]


def test_the_agent_has_no_right_at_all() -> None:
    agent = containers()["agent"]
    context = agent["securityContext"]
    assert context["runAsNonRoot"] and context["runAsUser"] == 65532
    assert context["capabilities"] == {"drop": ["ALL"]} and context["readOnlyRootFilesystem"]
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {each["name"] for each in agent["volumeMounts"]} == {"sockets", "token"}


def test_only_the_agent_has_the_token() -> None:
    assert pod()["automountServiceAccountToken"] is False
    assert [
        name for name, each in containers().items() for mount in each["volumeMounts"] if mount["name"] == "token"
    ] == ["agent"]


def test_the_daemon_has_the_capabilities_of_the_unit() -> None:
    """One list of what the daemon needs, in systemd's words and in Kubernetes'."""
    unit = (source_tree.ROOT / "deploy/systemd/skep.service").read_text()
    listed = {name for line in re.findall(r"^CapabilityBoundingSet=(.*)$", unit, re.MULTILINE) for name in line.split()}
    capabilities = containers()["daemon"]["securityContext"]["capabilities"]
    assert {f"CAP_{name}" for name in capabilities["add"]} == listed
    assert capabilities["drop"] == ["ALL"]


def test_every_mount_has_its_volume() -> None:
    volumes = {each["name"] for each in pod()["volumes"]}
    mounted = {mount["name"] for each in containers().values() for mount in each["volumeMounts"]}
    assert mounted == volumes


def test_a_changed_configuration_replaces_pods() -> None:
    before = annotation()
    assert before == annotation(), "and only a changed one"
    assert before != annotation(configuration='lock_timeout = "3s"\n')
    assert before != annotation(agent={"logLevel": "debug"})
    assert before == annotation(agent={"healthProbePort": 9999})


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (None, (model.Sanctioned(),)),
        ([], ()),
        (
            [{"name": "sd_*", "process": "systemd"}, {"type": "xdp", "tag": 'a"\\n\u00e9'}],
            (model.Sanctioned(name="sd_*", process="systemd"), model.Sanctioned(type="xdp", tag='a"\\n\u00e9')),
        ),
    ],
    ids=["everybody", "nobody", "some"],
)
def test_the_daemons_are_given_the_list_of_sanctioned_programs(
    listed: list[dict[str, str]] | None, expected: tuple[model.Sanctioned, ...]
) -> None:
    spec = {} if listed is None else {"inventory": {"sanctioned": listed}}
    values, _ = configuration.parse(made(**spec)["ConfigMap"]["data"]["bpfman.toml"])
    assert configuration.Settings(**{"sanctioned": (model.Sanctioned(),)} | values).sanctioned == expected  # type: ignore[arg-type]


def test_the_configuration_map_has_upstreams_keys() -> None:
    data = made(daemon={"logLevel": "debug"}, agent={"logLevel": "warn"})["ConfigMap"]["data"]
    assert data["bpfman.log.level"] == "debug" and data["bpfman.agent.log.level"] == "warn"
    assert data["bpfman.toml"] == settings.CONFIGURATION


def override(**changes: object) -> dict[str, object]:
    return {
        "apiVersion": "apps/v1", "kind": "DaemonSet", "namespace": "bpfman", "name": "bpfman-daemon", "unmanaged": True,
    } | changes  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "left"),
    [
        ([], True),
        ([override()], False),
        ([override(apiVersion="apps/v1beta1")], False),
        ([override(unmanaged=False)], True),
        ([override(namespace="other")], True),
        ([override(apiVersion="v1")], True),
    ],
)
def test_overrides(overrides, left) -> None:
    assert ("DaemonSet" in made(overrides=overrides)) is left


def test_an_override_of_a_cluster_wide_object() -> None:
    alone = override(apiVersion="storage.k8s.io/v1", kind="CSIDriver", namespace="", name="csi.bpfman.io")
    assert "CSIDriver" not in made(overrides=[alone])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"configuration": "[signing\n"}, "cannot read spec.configuration: not TOML"),
        ({"configuration": "[sining]\nverify_enabled = true"}, "unknown key sining"),
        (
            {"configuration": "[inventory]\nsanctioned = []", "inventory": {"sanctioned": []}},
            "not TOML: Cannot declare",
        ),
        ({"configuration": 'socket_mode = "rw"'}, "socket_mode in spec.configuration"),
        ({"daemon": {"logLevel": "loud"}}, "spec.daemon.logLevel is 'loud'"),
        ({"agent": {"logLevel": "info,manager=loud"}}, "spec.agent.logLevel"),
        ({"agent": {"healthProbePort": 0}}, "spec.agent.healthProbePort is 0"),
    ],
)
def test_what_no_node_could_start_with(spec, message) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        settings.read(config(**spec))
    assert message in str(caught.value)


def test_the_old_namespace_is_left_clean() -> None:
    now = settings.read(config(namespace="new"))
    assert {(each["kind"], each["metadata"]["namespace"]) for each in deploy.left_behind(now, "old")} == {
        ("DaemonSet", "old"), ("ConfigMap", "old"), ("ServiceAccount", "old"),
    }  # fmt: skip
    assert deploy.left_behind(now, "new") == deploy.left_behind(now, "") == ()


STATUSES: dict[str, tuple[dict[str, Any], str, str]] = {
    "wrong": ({"problem": "no"}, "Error", "no"),
    "not looked at": ({}, "Pending", "waiting for the DaemonSet"),
    "no node": (
        {"current": True}, "Success", "no node is to run the daemon; see nodeSelector and tolerations",
    ),
    "coming": (
        {"current": True, "desired": 3, "ready": 1, "updated": 2}, "Pending",
        "1 of 3 pods are ready, 2 are of this version",
    ),
    "being replaced": (
        {"current": True, "desired": 3, "ready": 3, "updated": 2}, "Pending",
        "3 of 3 pods are ready, 2 are of this version",
    ),
    "there": ({"current": True, "desired": 3, "ready": 3, "updated": 3}, "Success", "runs on 3 nodes"),
}  # fmt: skip


@pytest.mark.parametrize(("deployed", "type", "message"), STATUSES.values(), ids=STATUSES.keys())
def test_a_configs_status(deployed, type, message) -> None:
    before = {"conditions": [{"type": "Success", "lastTransitionTime": "then"}]}
    told = settings.status(4, settings.Deployed(namespace="bpfman", **deployed), before, "now")
    (condition,) = told["conditions"]
    assert (condition["type"], condition["message"]) == (type, message)
    assert condition["lastTransitionTime"] == ("then" if type == "Success" else "now")
    assert told["observedGeneration"] == 4


def naming_secret(namespace: str | None, name: str, secret: tuple[str, str]) -> records.Application:
    where = {"namespace": namespace} if namespace else {}
    image = {"url": "x", "imagePullSecret": {"namespace": secret[0], "name": secret[1]}}
    return records.application(
        {
            "metadata": {"name": name, "uid": name, "resourceVersion": "1", **where},
            "spec": {"nodeSelector": {}, "byteCode": {"image": image}},
        }
    )


def test_only_named_secrets_and_only_ones_own() -> None:
    applications = [
        naming_secret("acme", "a", ("acme", "login")),
        naming_secret("acme", "b", ("acme", "other")),
        naming_secret("evil", "c", ("acme", "treasure")),
        naming_secret(None, "d", ("vault", "login")),
        records.application({"metadata": {"name": "e", "uid": "e", "resourceVersion": "1"}}),
    ]
    assert logins.wanted(applications) == {"acme": {"login", "other"}, "vault": {"login"}}


def test_a_role_names_its_secrets() -> None:
    role, binding = logins.objects("acme", frozenset({"b", "a"}), settings.read(config()))
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a", "b"], "verbs": ["get"]}
    ]
    assert binding["roleRef"]["name"] == role["metadata"]["name"] == naming.PULL_SECRETS
    assert binding["subjects"] == [deploy.account("bpfman")]


def test_a_fingerprint_ignores_what_the_server_counts() -> None:
    one = {"kind": "ConfigMap", "metadata": {"name": "a", "resourceVersion": "1", "managedFields": [1]}, "data": {}}
    two = {"kind": "ConfigMap", "metadata": {"name": "a", "resourceVersion": "2", "managedFields": []}, "data": {}}
    assert deploy.fingerprint(one) == deploy.fingerprint(two)
    assert deploy.fingerprint(one) != deploy.fingerprint({**two, "data": {"a": "b"}})
    assert deploy.fingerprint(one) != deploy.fingerprint({**two, "metadata": {"name": "a", "labels": {"a": "b"}}})


def roles() -> dict[str, dict[str, Any]]:
    found = {}
    for path in (source_tree.ROOT / "deploy/rbac").glob("*.yaml"):
        for document in yaml.safe_load_all(path.read_text()):
            if document and document["kind"] == "ClusterRole":
                found[document["metadata"]["name"]] = document
    return found


def test_the_roles_exist_by_the_names_that_are_bound() -> None:
    assert naming.AGENT_ROLE in roles()


def test_the_agents_role_names_no_secret() -> None:
    assert not any("secrets" in rule.get("resources", ()) for rule in roles()[naming.AGENT_ROLE]["rules"])


def test_the_operator_makes_nothing_but_what_is_named() -> None:
    """What its role lets it create is what ``deploy`` and ``logins`` make, object by object; of free names are the
    applications that older objects stand for, and what is told of those."""
    rules = roles()["bpfman-operator-role"]["rules"]
    named = {
        (resource, name)
        for rule in rules
        if "create" in rule["verbs"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", ["*"])
    }
    now = settings.read(config())
    wanted = {
        (each["kind"].lower() + "s", each["metadata"]["name"])
        for each in (*deploy.objects(now), *logins.objects("a", frozenset("b"), now))
    }
    free = {"configs", "events", "tokenreviews", "subjectaccessreviews"}
    free |= {kind.plural for each in older.OWN for kind in (each.target, each.view)}
    assert named == wanted | {(resource, "*") for resource in free}


def test_the_operator_may_do_with_older_kinds_what_it_does() -> None:
    allowed: dict[tuple[str, str], set[str]] = {}
    for rule in roles()["bpfman-operator-role"]["rules"]:
        for group, resource in itertools.product(rule.get("apiGroups", ()), rule.get("resources", ())):
            allowed.setdefault((group, resource), set()).update(rule["verbs"])
    for kind in (each.kind for each in older.OWN):
        assert allowed[kind.group, kind.plural] == {"get", "list", "watch", "patch"}, kind.name
        assert allowed[kind.group, f"{kind.plural}/status"] == {"patch"}, kind.name
        assert allowed[kind.group, f"{kind.plural}/finalizers"] == {"update"}, kind.name
    for kind in older.VIEWS:
        assert allowed[kind.group, kind.plural] == {"get", "list", "watch", "create", "patch", "delete"}, kind.name
        assert allowed[kind.group, f"{kind.plural}/status"] == {"patch"}, kind.name
