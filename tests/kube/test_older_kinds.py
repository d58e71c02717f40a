"""What a real API server makes of the older kinds, and of the two forms of BpfApplication."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from skep.kube import naming
from skep.kube.older import kinds, rewrite
from tests.kube.plane import ControlPlane, until
from tests.parts import CHECKOUT
from tests.unit.kube.older.forms import MIXED, NOW, THEN
from tests.unit.kube.older.samples import SEED

SAMPLES = sorted((CHECKOUT / "deploy/samples/older").glob("*.yaml"))
WRONG = CHECKOUT / "tests/assets/wrong/older"


@pytest.fixture(scope="module", autouse=True)
def namespaces(plane: ControlPlane) -> Iterator[None]:
    for name in ("web", naming.NAMESPACE):
        plane.kubectl("create", "namespace", name, check=False)
    yield
    files = [f"-f={path}" for path in SAMPLES]
    plane.kubectl("delete", "--ignore-not-found", *files)


def test_every_sample_is_taken_and_shown(plane: ControlPlane) -> None:
    files = [f"-f={path}" for path in SAMPLES]
    created = plane.kubectl("create", "--validate=strict", *files).splitlines()
    assert len(created) == len(SAMPLES)
    shown = plane.kubectl("get", "bpf-older", "-A", "-o", "wide")
    for path in SAMPLES:
        if path.stem != "bpfapplication":
            assert yaml.safe_load(path.read_text())["metadata"]["name"] in shown
    # What bpfman-operator's instructions show, to the letter.
    assert plane.kubectl("get", "xdpprogram", "-o", "wide").splitlines() == [
        "NAME                 BPFFUNCTIONNAME   NODESELECTOR   PRIORITY   INTERFACESELECTOR               PROCEEDON",
        "xdp-pass-all-nodes   pass              {}             0"
        '          {"primarynodeinterface":true}   ["pass","dispatcher_return"]',
    ]
    seed = yaml.safe_load(SEED)
    (found,) = (plane.get("xdpprogram", seed["metadata"]["name"]),)
    assert found["spec"] == {
        **seed["spec"],
        "mapownerselector": {},
        "proceedon": ["pass", "dispatcher_return"],
        "bytecode": {"image": {**seed["spec"]["bytecode"]["image"], "imagepullpolicy": "IfNotPresent"}},
    }
    # Two groups have the plural; upstream's instructions mean bpfman's.
    for word in ("bpfprograms", "bpfprogram"):
        name = "xdp-pass-all-nodes-0a1b2c3d"
        assert plane.kubectl("get", word, "-o", "name") == f"bpfprogram.bpfman.io/{name}\n"
        assert plane.kubectl("get", word, name, "--no-headers").split()[:2] == [name, "xdp"]


def test_every_wrong_twin_is_refused(plane: ControlPlane) -> None:
    files = [f"-f={WRONG / path.name}" for path in SAMPLES]
    said = plane.kubectl("create", "--dry-run=server", "--validate=strict", *files, check=False)
    assert " created " not in said
    for path in SAMPLES:
        field = (WRONG / path.name).read_text().splitlines()[0].removeprefix("# ").split()[0]
        assert field in said or field.rpartition(".")[2] in said, (path.name, said)


def test_what_convert_makes_of_them_is_taken(plane: ControlPlane) -> None:
    seen = rewrite.Seen()
    made = [rewrite.rewrite(path.name, path.read_text(), seen).text for path in SAMPLES]
    text = "---\n".join(each for each in made if each)
    said = plane.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", input=text).splitlines()
    assert len(said) == len(SAMPLES) - len(kinds.VIEWS)


def application(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "bpfman.io/v1alpha1",
        "kind": "BpfApplication",
        "metadata": {"name": "form", "namespace": naming.NAMESPACE},
        "spec": spec,
    }


def dry(plane: ControlPlane, spec: dict[str, Any], *words: str) -> dict[str, Any]:
    """What the API server would keep."""
    said = plane.kubectl(
        "create", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-", *words,
        input=json.dumps(application(**spec)),
    )  # fmt: skip
    found: dict[str, Any] = json.loads(said)
    return found


@pytest.mark.parametrize("spec", [NOW, THEN], ids=["current", "older"])
def test_each_form_comes_back_unchanged(plane: ControlPlane, spec: dict[str, Any]) -> None:
    """No default of one form gets into the other."""
    found = dry(plane, spec)["spec"]
    if spec is NOW:
        (link,) = found["programs"][0]["xdp"]["links"]
        assert link.pop("proceedOn") == ["Pass", "DispatcherReturn"]
    assert found == spec


@pytest.mark.parametrize(("spec", "why"), [*MIXED, ({**THEN, "globaldata": {"a": [256]}}, "a byte goes from 0 to 255")])
def test_forms_are_not_mixed(plane: ControlPlane, spec: dict[str, Any], why: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        dry(plane, spec)
    assert why in refused.value.stderr


def test_the_older_form_takes_the_right_to_what_it_stands_for(plane: ControlPlane) -> None:
    """It becomes a ClusterBpfApplication, made with the operator's rights: whoever writes it has to have them."""
    plane.kubectl(
        "create", "rolebinding", "older-tenant", "-n", naming.NAMESPACE,
        "--clusterrole=bpfapplication-editor-role", "--user=tenant",
    )  # fmt: skip
    try:
        until("the tenant may write", lambda: dry(plane, NOW, "--as=tenant"))
        with pytest.raises(subprocess.CalledProcessError) as refused:
            dry(plane, THEN, "--as=tenant")
        assert "it takes the right to create clusterbpfapplications" in refused.value.stderr
        plane.kubectl(
            "create", "clusterrolebinding", "older-tenant", "--clusterrole=clusterbpfapplication-editor-role",
            "--user=tenant",
        )  # fmt: skip
        until("the right is known", lambda: dry(plane, THEN, "--as=tenant"))
    finally:
        plane.kubectl("delete", "rolebinding", "older-tenant", "-n", naming.NAMESPACE)
        plane.kubectl("delete", "clusterrolebinding", "older-tenant", "--ignore-not-found")
