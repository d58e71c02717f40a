"""What deploy/ has for a cluster is complete, and fits what the code makes."""

from __future__ import annotations

import subprocess
from typing import Any

import yaml

from skep.cli import kubeoperator
from skep.kube import naming
from skep.kube.api import metrics
from skep.kube.clean import cleaner
from skep.kube.operator import daemonset
from tests.unit.house import source_tree

DEPLOY = source_tree.ROOT / "deploy"
OPTIONS = {each.name: each for each in kubeoperator.OPERATOR.params}


def documents(name: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all((DEPLOY / name).read_text()) if each]


def named(name: str) -> dict[str, dict[str, Any]]:
    """Kind/name -> object."""
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in documents(name)}


def port(option: str) -> int:
    """The port where the operator serves something unless it is told otherwise."""
    return int(str(OPTIONS[option].default).rpartition(":")[2])


def test_the_kustomizations_name_every_file() -> None:
    """A file that is not listed is one that a user does not get."""
    subprocess.run([source_tree.ROOT / "scripts/kustomizations", "--check"], check=True)
    for directory in ("operator", "openshift", "monitoring"):
        (base,) = documents(f"{directory}/kustomization.yaml")
        assert {each for each in base["resources"] if not each.startswith("../")} == {
            path.name for path in (DEPLOY / directory).glob("*.yaml") if path.name != "kustomization.yaml"
        }


def test_openshifts_has_all_that_the_default_has() -> None:
    (default,), (openshift,) = documents("kustomization.yaml"), documents("openshift/kustomization.yaml")
    assert {f"../{each}" for each in default["resources"]} <= set(openshift["resources"])
    assert openshift["replacements"] == default["replacements"]


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
    assert f"ClusterRole/{naming.AGENT_ROLE}" in named("rbac/agent.yaml")


def test_ports_and_environment_are_those_of_the_command() -> None:
    (deployment,) = documents("operator/deployment.yaml")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports == {"health": port("health"), "https-metrics": port("metrics")}
    (monitoring,) = documents("monitoring/kustomization.yaml")
    (patch,) = yaml.safe_load(monitoring["patches"][0]["patch"])
    known = {each.envvar for each in OPTIONS.values()}
    assert {each["name"] for each in (*container["env"], patch["value"])} <= known
    assert patch["value"]["name"] == OPTIONS["agent_metrics_port"].envvar
    agents = named("monitoring/services.yaml")["Service/bpfman-agent-metrics-service"]["spec"]
    assert [each["port"] for each in agents["ports"]] == [int(patch["value"]["value"])]
    (operators,) = named("monitoring/services.yaml")["Service/bpfman-controller-manager-metrics-service"]["spec"][
        "ports"
    ]
    assert operators["port"] == port("metrics")


def test_what_selects_pods_selects_those_that_there_are() -> None:
    (deployment,) = documents("operator/deployment.yaml")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    disruption, network = documents("operator/disruption.yaml")[0], documents("operator/network.yaml")[0]
    services = named("monitoring/services.yaml")
    operators = services["Service/bpfman-controller-manager-metrics-service"]
    for selector in (
        disruption["spec"]["selector"]["matchLabels"],
        network["spec"]["podSelector"]["matchLabels"],
        operators["spec"]["selector"],
    ):
        assert selector.items() <= labels.items()
    assert services["Service/bpfman-agent-metrics-service"]["spec"]["selector"] == dict(daemonset.SELECTOR)
    for monitor in documents("monitoring/monitors.yaml"):
        wanted = monitor["spec"]["selector"]["matchLabels"]
        found = [each for each in services.values() if wanted.items() <= each["metadata"]["labels"].items()]
        assert len(found) == 1, "each Service is scraped once"
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint["path"] == metrics.PATH
        assert endpoint["port"] in [each["name"] for each in found[0]["spec"]["ports"]]


def test_openshift_lets_run_what_the_operator_and_a_cleanup_make() -> None:
    (binding,) = documents("openshift/accounts.yaml")
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": name, "namespace": naming.NAMESPACE}
        for name in (naming.ACCOUNT, cleaner.NAME)
    ]
    constraints = named("openshift/constraints.yaml")["SecurityContextConstraints/bpfman-restricted"]
    assert "csi" in constraints["volumes"] and "hostPath" not in constraints["volumes"]
    assert not any(value for key, value in constraints.items() if key.startswith("allow"))
    roles = named("rbac/operator.yaml")
    reader = named("openshift/monitoring.yaml")["ClusterRoleBinding/bpfman-prometheus-metrics-reader"]["roleRef"]
    assert roles[f"ClusterRole/{reader['name']}"]["rules"] == [{"nonResourceURLs": [metrics.PATH], "verbs": ["get"]}]
