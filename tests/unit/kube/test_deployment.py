"""A Config's own fields are read as a pod's are, and what a pod may not say is refused with its path."""

from __future__ import annotations

from typing import Any

import pytest

from skep import errors
from skep.kube import deployment, shape


def config(**daemon: Any) -> dict[str, Any]:
    return {
        "agent": {"image": "agent"},
        "daemon": {"image": "daemon", **daemon},
        "configuration": "[images]",
    }


def test_a_config_of_upstreams_fields_alone() -> None:
    found = shape.read(deployment.CONFIG, config(), "spec")
    assert found["agent"] == {"image": "agent", "healthProbePort": 8175}
    assert "tolerations" not in found["daemon"]


def test_what_is_passed_on_to_pods() -> None:
    affinity = {"nodeAffinity": {"anything": ["at all"]}}
    found = shape.read(
        deployment.CONFIG,
        config(
            nodeSelector={"pool": "traffic"},
            tolerations=[{"operator": "Exists"}, {"key": "gpu", "value": "a", "effect": "NoSchedule"}],
            affinity=affinity,
            resources={"limits": {"memory": "128Mi", "cpu": 2}, "requests": {"cpu": "0.5"}},
        ),
        "spec",
    )
    daemon = found["daemon"]
    assert daemon["affinity"] == affinity
    assert daemon["resources"] == {"limits": {"memory": "128Mi", "cpu": "2"}, "requests": {"cpu": "0.5"}}
    assert [each.get("key") for each in daemon["tolerations"]] == [None, "gpu"]


@pytest.mark.parametrize(
    ("daemon", "message"),
    [
        ({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}, "spec.daemon.tolerations[0]"),
        ({"tolerations": [{"effect": "NoSchedule"}]}, "spec.daemon.tolerations[0]"),
        ({"tolerations": [{"key": "a", "tolerationSeconds": 3}]}, "spec.daemon.tolerations[0]"),
        ({"tolerations": [{"key": "a", "effect": "no"}]}, "spec.daemon.tolerations[0].effect is 'no'"),
        ({"resources": {"limits": {"cpu": "much"}}}, "spec.daemon.resources.limits.cpu is 'much'"),
        ({"resources": {"limits": {"cpu": True}}}, "spec.daemon.resources.limits.cpu is True"),
        ({"affinity": []}, "spec.daemon.affinity is []"),
    ],
)
def test_what_a_pod_may_not_say(daemon: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        shape.read(deployment.CONFIG, config(**daemon), "spec")
    assert caught.value.what.startswith(message)
    assert caught.value.why and caught.value.do
