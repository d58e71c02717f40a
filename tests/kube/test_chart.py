"""What the real ``helm`` makes of the chart: kustomize's objects, and a clear word where values conflict."""

from __future__ import annotations

import copy
import json
import subprocess
from functools import cache
from typing import Any

import pytest
import yaml

from skep.kube.operator import settings
from tests.kube.plane import ControlPlane
from tests.parts import CHECKOUT, part

CHART = CHECKOUT / "deploy/helm/skep"
NAMED = ("--set", "image.repository=registry.example/skep", "--set", "image.tag=v1")
IMAGE = "registry.example/skep:v1"
APIS = ("--api-versions", "monitoring.coreos.com/v1", "--api-versions", "security.openshift.io/v1")
HOOK = "helm.sh/hook"
BARE = ("--set", "crds.install=false")
"""Where nobody looks at CRDs, which take most of the time to read."""

Object = dict[str, Any]  # Any: JSON
Key = tuple[str, str, str]


def helm(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part("helm")), *words], capture_output=True, text=True, check=False, timeout=60)


def template(*words: str, namespace: str = "bpfman") -> list[Object]:
    done = helm("template", "skep", str(CHART), "--namespace", namespace, *words)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if each]


def named(objects: list[Object]) -> dict[Key, Object]:
    found = {(each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): each for each in objects}
    assert len(found) == len(objects)
    return found


@cache
def kustomized(directory: str = "deploy") -> dict[Key, Object]:
    program = part("kubernetes").parent / "kubernetes.d/kubectl"
    done = subprocess.run([program, "kustomize", CHECKOUT / directory], check=True, capture_output=True, text=True)
    return named(list(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader)))


def rendered(*words: str, namespace: str = "bpfman") -> dict[Key, Object]:
    """Without what runs before an uninstall."""
    made = template(*NAMED, *words, namespace=namespace)
    return named([each for each in made if HOOK not in each["metadata"].get("annotations", {})])


DEPLOYMENT = ("Deployment", "bpfman", "bpfman-operator")
CONFIG = ("ConfigMap", "bpfman", "bpfman-operator-config")


def test_it_is_what_kustomize_makes() -> None:
    ours, theirs = rendered(), kustomized()
    assert set(ours) - set(theirs) == {CONFIG}
    assert set(theirs) - set(ours) == {("Namespace", "", "bpfman")}, "helm install --create-namespace"
    for key in set(ours) & set(theirs) - {DEPLOYMENT}:
        assert ours[key] == theirs[key], key


def test_its_operator_is_kustomizes() -> None:
    """But for the image, and that the Config comes in a file."""
    ours, theirs = rendered("--set", "config.create=false", *BARE)[DEPLOYMENT], copy.deepcopy(kustomized()[DEPLOYMENT])
    (container,) = theirs["spec"]["template"]["spec"]["containers"]
    container["image"], container["imagePullPolicy"] = IMAGE, "IfNotPresent"
    container["env"] = [
        *(each for each in container["env"] if each["name"] != "BPFMAN_IMG"), {"name": "SKEP_LOG", "value": "info"},
    ]  # fmt: skip
    assert ours == theirs


def test_on_openshift_too() -> None:
    """Its monitoring is a component there, and a choice here; a namespace is not Helm's to label."""
    ours, theirs = (
        rendered("--set", "openshift.enabled=true,monitoring.enabled=true", *APIS),
        kustomized("deploy/openshift"),
    )
    assert set(ours) - set(theirs) == {CONFIG} and set(theirs) - set(ours) == {("Namespace", "", "bpfman")}
    for key in set(ours) & set(theirs) - {DEPLOYMENT}:
        assert ours[key] == theirs[key], key
    pods = [each[DEPLOYMENT]["spec"]["template"] for each in (ours, theirs)]
    assert pods[0]["spec"]["securityContext"] == pods[1]["spec"]["securityContext"]
    assert pods[1]["metadata"]["annotations"].items() <= pods[0]["metadata"]["annotations"].items()


def test_what_is_scraped_is_served() -> None:
    words = (*BARE, "--set", "monitoring.enabled=true,monitoring.agentPort=9100,monitoring.labels.release=prometheus")
    made = rendered(*words, "--set", "monitoring.interval=1m", *APIS)
    assert config(*words, *APIS)["spec"]["agent"]["metricsPort"] == 9100
    (port,) = made["Service", "bpfman", "bpfman-agent-metrics-service"]["spec"]["ports"]
    assert port["port"] == port["targetPort"] == 9100
    assert ("PrometheusRule", "bpfman", "bpfman-alerts") in made
    without = rendered(*words, "--set", "monitoring.alerts=false", *APIS)
    assert set(made) - set(without) == {("PrometheusRule", "bpfman", "bpfman-alerts")}
    monitors = [each for key, each in made.items() if key[0] == "ServiceMonitor"]
    assert len(monitors) == 2
    for each in monitors:
        assert each["metadata"]["labels"] == {"app.kubernetes.io/part-of": "bpfman", "release": "prometheus"}
        assert [one["interval"] for one in each["spec"]["endpoints"]] == ["1m"]


def config(*words: str, namespace: str = "bpfman") -> Object:
    made = rendered(*words, *BARE, namespace=namespace)["ConfigMap", namespace, "bpfman-operator-config"]
    found: Object = yaml.safe_load(made["data"]["config.yaml"])
    return found


def test_its_config_is_the_default_one() -> None:
    assert config() == settings.default((IMAGE, IMAGE), policy="IfNotPresent")


def test_a_config_out_of_values() -> None:
    spec: Object = {
        "daemon": {"tolerations": [{"operator": "Exists"}], "resources": {"requests": {"cpu": "50m"}}},
        "agent": {"image": "another/agent:2", "metricsPort": 9100},
        "configuration": "lock_timeout = '20s'\n",
    }
    made = config(
        "--set-json", f"config.spec={json.dumps(spec)}", "--set", "image.pullSecrets[0].name=login",
        namespace="elsewhere",
    )["spec"]  # fmt: skip
    assert made["daemon"] == {"image": IMAGE, "logLevel": "info", **spec["daemon"]}
    assert made["agent"] == {"healthProbePort": 8175, "logLevel": "info", **spec["agent"]}
    assert made["configuration"] == spec["configuration"] and made["namespace"] == "elsewhere"
    assert made["imagePullSecrets"] == [{"name": "login"}]
    assert settings.read({"metadata": {"name": "c", "uid": "u"}, "spec": made}).pull_secrets == ("login",)


def test_it_is_all_in_the_releases_namespace() -> None:
    made = template(*NAMED, "--set", "podDisruptionBudget.enabled=true", "--set", "replicas=2", namespace="elsewhere")
    assert {each["metadata"].get("namespace", "elsewhere") for each in made} == {"elsewhere"}
    subjects = {subject["namespace"] for each in made for subject in each.get("subjects", [])}
    assert subjects == {"elsewhere"}


def test_a_digest_is_in_the_stead_of_the_tag() -> None:
    digest = "sha256:" + "a" * 64
    (deployment,) = (
        each
        for each in template("--set", f"image.repository=r/skep,image.digest={digest}", *BARE)
        if each["kind"] == "Deployment"
    )
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == f"r/skep@{digest}"


def test_a_changed_config_starts_the_operator_anew() -> None:
    def annotations(*words: str) -> Object:
        found: Object = rendered(*words, *BARE)[DEPLOYMENT]["spec"]["template"]["metadata"]["annotations"]
        return found

    assert annotations() == annotations("--set", "resources.limits.memory=1Gi")
    assert annotations() != annotations("--set", "config.spec.daemon.logLevel=debug")


def test_crds_by_choice() -> None:
    kept = "helm.sh/resource-policy"
    crds = {key: each for key, each in rendered().items() if key[0] == "CustomResourceDefinition"}
    assert len(crds) >= 6 and not any("annotations" in each["metadata"] for each in crds.values())
    keeping = rendered("--set", "crds.keep=true")
    assert {key for key, each in keeping.items() if kept in each["metadata"].get("annotations", {})} == set(crds)
    for key, each in crds.items():
        assert keeping[key]["spec"] == each["spec"]
    assert not any(key[0] == "CustomResourceDefinition" for key in rendered("--set", "crds.install=false"))


def test_before_an_uninstall() -> None:
    def hooks(*words: str) -> dict[Key, Object]:
        made = template(*NAMED, *words)
        return named([each for each in made if each["metadata"].get("annotations", {}).get(HOOK) == "pre-delete"])

    def arguments(found: dict[Key, Object]) -> list[str]:
        (job,) = (each for each in found.values() if each["kind"] == "Job")
        words: list[str] = job["spec"]["template"]["spec"]["containers"][0]["args"]
        return words

    assert arguments(hooks("--set", "uninstall.timeoutSeconds=20")) == ["--wait=20"]
    assert arguments(hooks("--set", "crds.keep=true"))[1:] == ["--keep-applications"]
    assert hooks("--set", "uninstall.clean=false", "--set", "crds.keep=true") == {}


CONTRADICTIONS = {
    "no image": ("image.repository=", "image.repository is not set"),
    "tag and digest": (f"image.digest=sha256:{'a' * 64}", "image.tag (v1) and image.digest contradict each other"),
    "a budget for none": ("replicas=0", "podDisruptionBudget.enabled with replicas: 0"),
    "no ServiceMonitor": ("monitoring.enabled=true", "this cluster has no ServiceMonitor"),
    "not OpenShift": ("openshift.enabled=true", "this cluster has no SecurityContextConstraints"),
    "a tag that is read as a number": ("image.tag=1", "got number, want string"),
    "a Config that does not come": (
        "config.create=false,config.spec.daemon.logLevel=debug", "config.spec is set, and config.create is false",
    ),
    "kept and not installed": ("crds.keep=true,crds.install=false", "crds.keep is set, and crds.install is false"),
    "nobody cleans": ("uninstall.clean=false", "CRDs would be deleted with applications"),
    "secrets elsewhere": (
        "image.pullSecrets[0].name=login,config.spec.namespace=other", "(other) is where nodes would look for them",
    ),
    "an unknown value": ("image.tga=1", "additional properties 'tga' not allowed"),
    "an unknown field of the Config": ("config.spec.deamon.image=a", "additional properties 'deamon' not allowed"),
    "a digest that is none": ("image.digest=sha256:12", "image/digest"),
    "a tag in the repository": ("image.repository=r/skep:1", "image/repository"),
    "a pull policy that is none": ("image.pullPolicy=Sometimes", "image/pullPolicy"),
    "scraped elsewhere": (
        "config.spec.agent.metricsPort=9100,monitoring.enabled=true", "(9100) is not monitoring.agentPort (8444)",
    ),
    "half an operator": ("replicas=half", "replicas"),
    "a wrong port": ("config.spec.agent.metricsPort=70000", "config/spec/agent/metricsPort"),
}  # fmt: skip


@pytest.mark.parametrize(("values", "told"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_contradiction_is_told(values: str, told: str) -> None:
    apis = APIS if "monitoring.agentPort" in told else ()
    done = helm("template", "skep", str(CHART), "--namespace", "bpfman", *NAMED, "--set", values, *apis)
    assert done.returncode != 0
    assert told in done.stderr.replace("\\n", "\n"), done.stderr


def test_it_passes_lint() -> None:
    done = helm("lint", "--strict", str(CHART), *NAMED)
    assert done.returncode == 0 and "WARNING" not in done.stdout, done.stdout + done.stderr


def test_the_api_server_takes_all_of_it(plane: ControlPlane) -> None:
    """With everything on that a plain cluster knows, hooks too."""
    plane.kubectl("create", "namespace", "bpfman", check=False)
    made = template(
        *NAMED,
        "--set",
        "podDisruptionBudget.enabled=true",
        "--set",
        "replicas=2",
    )
    said = plane.kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-",
        input="\n---\n".join(map(json.dumps, made)),
    )  # fmt: skip
    assert len(said.splitlines()) == len(made)
