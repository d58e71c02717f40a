"""The OLM bundle, derived from deploy: ``python -m skep.kube.bundle deploy [IMAGE]`` writes deploy/olm.

OLM (v0's ``registry+v1`` format, which v1 installs, too) makes the operator's account, its roles and their bindings
itself, out of the ClusterServiceVersion; CRDs and the other ClusterRoles are objects beside it. Admission policies are
a kind that bundles cannot hold: they are applied by hand, and docs/kubernetes-olm.md says how.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

import skep
from skep.kube import crd, naming
from skep.kube.operator import deploy as deployed

PACKAGE: Final = "skep"
CHANNEL: Final = "candidate"
IMAGE: Final = f"registry.example/skep:{skep.__version__}"
"""Of a bundle that nobody has named an image for: nobody publishes one."""
HEADER: Final = "# Made by `python -m skep.kube.bundle deploy`; a test compares it.\n"
LEAST_KUBERNETES: Final = "1.30.0"
"""ValidatingAdmissionPolicy is stable, and tokens say on which node their pod is."""
SCORECARD: Final = "quay.io/operator-framework/scorecard-test:v1.41.1"

Object = dict[str, Any]  # Any: JSON


def files(deploy: Path, image: str = IMAGE) -> dict[str, str]:
    """Path below deploy/olm -> text."""
    texts = {path: path.read_text() for path in sorted((deploy / "crds").rglob("*.yaml"))}
    crds = {path: _parsed(text)[0] for path, text in texts.items()}
    copies = {f"manifests/{each['metadata']['name']}.crd.yaml": texts[path] for path, each in crds.items()}
    made: dict[str, Object] = {}
    for role in _roles(deploy):
        made[f"manifests/{role['metadata']['name']}.clusterrole.yaml"] = role
    made[f"manifests/{PACKAGE}.clusterserviceversion.yaml"] = _version(deploy, list(crds.values()), image)
    made["metadata/annotations.yaml"] = {"annotations": _ANNOTATIONS}
    made["tests/scorecard/config.yaml"] = _scorecard()
    written = {path: HEADER + crd.as_yaml(each) for path, each in made.items()}
    return copies | written | {"bundle.Containerfile": HEADER + _containerfile()}


def stale(deploy: Path) -> Iterator[str]:
    """Paths below deploy/olm that are not as they would be written, or are there for nothing."""
    olm, made = deploy / "olm", files(deploy)
    for path, text in made.items():
        if not (olm / path).is_file() or (olm / path).read_text() != text:
            yield path
    there = {path.relative_to(olm).as_posix() for path in olm.rglob("*") if path.is_file()}
    yield from sorted(there - set(made))


_ANNOTATIONS: Final = {
    "operators.operatorframework.io.bundle.mediatype.v1": "registry+v1",
    "operators.operatorframework.io.bundle.manifests.v1": "manifests/",
    "operators.operatorframework.io.bundle.metadata.v1": "metadata/",
    "operators.operatorframework.io.bundle.package.v1": PACKAGE,
    "operators.operatorframework.io.bundle.channels.v1": CHANNEL,
    "operators.operatorframework.io.bundle.channel.default.v1": CHANNEL,
    "operators.operatorframework.io.test.mediatype.v1": "scorecard+v1",
    "operators.operatorframework.io.test.config.v1": "tests/scorecard/",
}

_DESCRIPTION: Final = """\
skep loads, attaches and watches eBPF programs on the nodes of a cluster.

An application (`ClusterBpfApplication`, or `BpfApplication` in a namespace) names a bytecode image, its programs, and
where they are attached; each node's agent has the node's daemon do so, and reports what became of every link. Programs
share hooks in chains, are updated in place without losing a packet, and outlive restarts of everything that manages
them. Maps are mounted into unprivileged pods by a CSI driver; `NodeBpfInventory` shows everything that runs in a node's
kernel, managed or not.

**Admission policies** are no part of the bundle: OLM cannot install them. Apply `deploy/policies` and
`deploy/rbac/node-restriction.yaml` as well.

**Before it is uninstalled**, applications and the Config have to go, while there is an operator that cleans the nodes:
`skep kube clean --keep-operator`.
"""


def _version(deploy: Path, crds: list[Object], image: str) -> Object:
    """The ClusterServiceVersion (operators.coreos.com/v1alpha1)."""
    examples = list(_examples(deploy, crds))
    return {
        "apiVersion": "operators.coreos.com/v1alpha1",
        "kind": "ClusterServiceVersion",
        "metadata": {
            "name": f"{PACKAGE}.v{skep.__version__}",
            "namespace": "placeholder",
            "labels": {
                "operatorframework.io/arch.amd64": "supported",
                "operatorframework.io/arch.arm64": "supported",
                "operatorframework.io/os.linux": "supported",
            },
            "annotations": {
                "alm-examples": json.dumps(examples, indent=2),
                "capabilities": "Seamless Upgrades",
                "categories": "Networking,Observability,Security",
                "containerImage": image,
                "description": "Loads, attaches and watches eBPF programs on the nodes of a cluster.",
                "support": "The skep project",
                "features.operators.openshift.io/csi": "true",
                "features.operators.openshift.io/disconnected": "true",
                "operatorframework.io/suggested-namespace-template": json.dumps(_namespace(deploy)),
            },
        },
        "spec": {
            "displayName": "skep",
            "description": _DESCRIPTION,
            "version": skep.__version__,
            "maturity": "alpha",
            "minKubeVersion": LEAST_KUBERNETES,
            "keywords": ["ebpf", "bpf", "xdp", "tc", "observability", "networking"],
            "provider": {"name": "The skep project"},
            "maintainers": [{"name": "The skep project", "email": "maintainers@skep.example"}],
            "links": [
                {"name": "eBPF", "url": "https://docs.kernel.org/bpf/"},
                {"name": "The API, as bpfman describes it", "url": "https://bpfman.io/"},
            ],
            "icon": [{"base64data": _icon(deploy), "mediatype": "image/svg+xml"}],
            "installModes": [
                {"type": mode, "supported": mode == "AllNamespaces"}
                for mode in ("OwnNamespace", "SingleNamespace", "MultiNamespace", "AllNamespaces")
            ],
            "install": {"strategy": "deployment", "spec": _install(deploy, image)},
            "customresourcedefinitions": {"owned": [_owned(each) for each in crds]},
            "relatedImages": [{"name": PACKAGE, "image": image}],
        },
    }


def _install(deploy: Path, image: str) -> Object:
    """The operator's Deployment and rights, as deploy has them."""
    (deployment,) = _documents(deploy / "operator/deployment.yaml")
    spec = deployment["spec"]
    for container in spec["template"]["spec"]["containers"]:
        container["image"] = image
        for each in container["env"]:
            if each["name"] == "BPFMAN_IMG":
                each["value"] = image
    account = _documents(deploy / "operator/account.yaml")
    cluster = {each["metadata"]["name"]: each for each in _documents(deploy / "rbac/operator.yaml")}
    bound = [each["roleRef"]["name"] for each in account if each["kind"] == "ClusterRoleBinding"]
    here = [rule for each in account if each["kind"] == "Role" for rule in each["rules"]]
    everywhere = [rule for name in bound for rule in cluster[name]["rules"]]
    return {
        "clusterPermissions": [{"serviceAccountName": deployed.MANAGER, "rules": everywhere}],
        "permissions": [{"serviceAccountName": deployed.MANAGER, "rules": here}],
        "deployments": [
            {"name": deployment["metadata"]["name"], "label": deployment["metadata"]["labels"], "spec": spec}
        ],
    }


def _roles(deploy: Path) -> Iterator[Object]:
    """ClusterRoles that are not the operator's own: the agents', and those for people."""
    bound = {
        each["roleRef"]["name"]
        for each in _documents(deploy / "operator/account.yaml")
        if each["kind"] == "ClusterRoleBinding"
    }
    for path in sorted((deploy / "rbac").glob("*.yaml")):
        for each in _documents(path):
            if each["kind"] == "ClusterRole" and each["metadata"]["name"] not in bound:
                yield each


def _owned(definition: Object) -> Object:
    """How a console shows a kind."""
    spec = definition["spec"]
    (version,) = (each for each in spec["versions"] if each["storage"])
    schema = version["schema"]["openAPIV3Schema"]
    kind = spec["names"]["kind"]
    made = {
        "name": definition["metadata"]["name"],
        "version": version["name"],
        "kind": kind,
        "displayName": _words(kind),
        "description": schema.get("description") or _words(kind),
    }
    for part, name in (("spec", "specDescriptors"), ("status", "statusDescriptors")):
        described = list(_descriptors(schema["properties"].get(part) or {}))
        if described:
            made[name] = described
    return made


def _descriptors(schema: Mapping[str, Any]) -> Iterator[Object]:  # Any: JSON
    """What a console says of each field of a spec or status."""
    for name, field in (schema.get("properties") or {}).items():
        if text := field.get("description"):
            shown = {"path": name, "displayName": _words(name[:1].upper() + name[1:]), "description": text}
            if name == "conditions":
                shown["x-descriptors"] = ["urn:alm:descriptor:io.kubernetes.conditions"]
            yield shown


def _examples(deploy: Path, crds: list[Object]) -> Iterator[Object]:
    """The first sample of each kind, XDP's if there is one. The older kinds have none: nobody shall begin with them."""
    samples: dict[tuple[str, str], Object] = {}
    paths = sorted((deploy / "samples").glob("*.yaml"), key=lambda path: ("xdp" not in path.stem, path.as_posix()))
    for path in paths:
        for each in _documents(path):
            samples.setdefault((each["apiVersion"].partition("/")[0], each["kind"]), each)
    for each in crds:
        found = samples.get((each["spec"]["group"], each["spec"]["names"]["kind"]))
        if found is not None:
            yield found


def _namespace(deploy: Path) -> Object:
    """Where OLM's console proposes to install it, with the labels that the nodes' pods need."""
    (found,) = _documents(deploy / "operator/namespace.yaml")
    assert found["metadata"]["name"] == naming.NAMESPACE
    return found


def _icon(deploy: Path) -> str:
    return base64.b64encode((deploy.parent / "docs/skep.svg").read_bytes()).decode()


def _scorecard() -> Object:
    """What `operator-sdk scorecard` checks of a bundle."""
    tests = [("basic", "basic-check-spec")]
    tests += [
        ("olm", f"olm-{name}")
        for name in (
            "bundle-validation", "crds-have-validation", "crds-have-resources", "spec-descriptors",
            "status-descriptors",
        )
    ]  # fmt: skip
    return {
        "apiVersion": "scorecard.operatorframework.io/v1alpha3",
        "kind": "Configuration",
        "metadata": {"name": "config"},
        "stages": [
            {
                "parallel": True,
                "tests": [
                    {
                        "image": SCORECARD,
                        "entrypoint": ["scorecard-test", test],
                        "labels": {"suite": suite, "test": f"{test}-test"},
                        "storage": {"spec": {"mountPath": {}}},
                    }
                    for suite, test in tests
                ],
            }
        ],
        "storage": {"spec": {"mountPath": {}}},
    }


def _containerfile() -> str:
    """The bundle as an image: files and labels, nothing that runs."""
    labels = "".join(f'LABEL {key}="{value}"\n' for key, value in _ANNOTATIONS.items())
    copies = "".join(f"COPY {name} /{name}/\n" for name in ("manifests", "metadata", "tests/scorecard"))
    return f"FROM scratch\n{labels}{copies}"


def _words(name: str) -> str:
    """ "ClusterBpfApplication" -> "Cluster Bpf Application"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)


def _documents(path: Path) -> list[Object]:
    return _parsed(path.read_text())


def _parsed(text: str) -> list[Object]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [each for each in yaml.load_all(text, Loader=loader) if each]


def main(words: list[str]) -> int:
    """Write them all, and remove what is there for nothing."""
    if len(words) not in (1, 2):
        sys.stderr.write("usage: python -m skep.kube.bundle DEPLOY [IMAGE]\n")
        return 2
    deploy = Path(words[0])
    made = files(deploy, *words[1:])
    for path in list(stale(deploy)):
        if path not in made:
            (deploy / "olm" / path).unlink()
    for path, text in made.items():
        target = deploy / "olm" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
