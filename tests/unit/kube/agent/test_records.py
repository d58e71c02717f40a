"""What is kept of objects, whose maps a selector means, and which programs are this agent's."""

from __future__ import annotations

import pytest

from skep import errors, model
from skep.kube import naming, reconcile
from skep.kube.agent import metrics, owned, records, sight
from tests.unit.kube.agent import world
from tests.unit.kube.agent.world import NODE, application, loaded, wish


def test_an_application_that_cannot_be_read_is_kept_with_the_reason() -> None:
    document = world.document({"interfaceSelector": {}})
    kept = records.wish(document)
    assert (kept.key, kept.application) == ("ClusterBpfApplication/counter", None)
    assert isinstance(kept.error, errors.InvalidRequest)
    assert "interfaceSelector" in str(kept.error)


def test_a_status_that_changes_is_no_change_of_an_application() -> None:
    document = world.document()
    later = {**document, "status": {"ready": 1}, "metadata": {**document["metadata"], "resourceVersion": "9"}}
    assert records.wish(document) == records.wish(later)


@pytest.mark.parametrize("kind", ["ClusterBpfApplication", "BpfApplication"])
def test_the_state_that_is_made_is_known_again(kind: str) -> None:
    mine = wish(kind=kind)
    made = records.new_state(mine, "n1")
    made["metadata"]["uid"] = world.STATE
    state = records.state(made)
    assert state is not None
    assert (state.key, state.owner, state.held, state.deleted) == (mine.key, world.UID, True, False)
    assert made["kind"] == f"{kind}State"
    assert made["metadata"]["labels"][naming.HOSTNAME] == "n1"
    assert records.parted(mine.key) == (mine.namespace, "counter")


SELECTOR = {"matchLabels": {"team": "net"}}


def test_map_owners() -> None:
    reader = wish(name="reader", mapOwnerSelector=SELECTOR)
    others = (wish(), wish(kind="BpfApplication"), reader)
    assert records.owners(reader, others) == ("BpfApplication/green/counter", "ClusterBpfApplication/counter")
    inside = wish(name="reader", kind="BpfApplication", mapOwnerSelector=SELECTOR)
    assert records.owners(inside, others) == ("BpfApplication/green/counter",)
    assert records.owners(wish(name="x"), others) == ()


def test_the_lender_is_of_this_node_and_alive() -> None:
    reader = application(mapOwnerSelector=SELECTOR)
    owner = loaded(application(), id=5)
    keys = ["ClusterBpfApplication/counter"]
    assert owned.lender(reader, keys, NODE.name, [owner]) == 5
    assert owned.lender(reader, keys, "n2", [owner]) is None
    assert owned.lender(reader, [], NODE.name, [owner]) is None
    other = loaded(application(), id=6, set=model.SetKey(99))
    with pytest.raises(errors.Conflict, match="fits programs with different maps"):
        owned.lender(reader, keys, NODE.name, [owner, other])


def test_what_is_applied_on_the_same_host_is_another_owners() -> None:
    mine = loaded(application())
    assert owned.key(mine, NODE.name) == "ClusterBpfApplication/counter"
    assert owned.key(mine, "n2") is None
    by_hand = world.fake.program(8, metadata={reconcile.OWNER: "ClusterBpfApplication/counter"})
    assert owned.key(by_hand, NODE.name) is None
    assert owned.owner("ClusterBpfApplication/counter", NODE.name) != "ClusterBpfApplication/counter"


def test_a_pod() -> None:
    document = {
        "metadata": {"uid": "u", "namespace": "green", "name": "web", "labels": {"app": "web"}},
        "spec": {
            "containers": [{"name": "main"}, {"name": "side"}],
            "initContainers": [{"name": "first"}],
            "volumes": [
                {"name": "maps", "csi": {"driver": "csi.bpfman.io", "volumeAttributes": {
                    "csi.bpfman.io/program": "counter", "csi.bpfman.io/maps": "a"}}},
                {"name": "other", "csi": {"driver": "else"}},
            ],
        },
        "status": {
            "phase": "Running",
            "initContainerStatuses": [{"name": "first", "containerID": "c://0", "state": {"terminated": {}}}],
            "containerStatuses": [
                {"name": "main", "containerID": "c://1", "state": {"running": {}}},
                {"name": "side", "state": {"waiting": {}}},
            ],
        },
    }  # fmt: skip
    kept = sight.pod(document)
    assert kept == sight.Pod(
        uid="u", namespace="green", name="web", labels={"app": "web"}, named=("first", "main", "side"),
        running=(sight.Container(name="main", id="c://1"),), volumes={"maps": "counter"},
    )  # fmt: skip
    assert sight.pod({**document, "status": {"phase": "Succeeded"}}) is None


def test_a_node() -> None:
    document = {
        "metadata": {"name": "n1", "labels": {"zone": "a"}},
        "status": {
            "addresses": [{"type": "Hostname", "address": "n1"}, {"type": "InternalIP", "address": "192.0.2.7"}]
        },
    }
    assert sight.node(document) == sight.Node(name="n1", labels={"zone": "a"}, addresses=("192.0.2.7",))


def test_metrics() -> None:
    status = {
        "conditions": [{"type": "Error"}],
        "programs": [{"name": "a", "xdp": {"links": [{"linkStatus": "Attached"}, {"linkStatus": "AttachError"}]}}],
    }
    counted = metrics.Numbers(lambda: [status], lambda: True)
    counted.turn(0.2, [errors.NotFound("x")])
    counted.turn(200.0, [])
    found = {
        (sample.name, *sample.labels.values()): sample.value for each in counted.collect() for sample in each.samples
    }
    expected = {
        ("skep_agent_applications", "Error"): 1,
        ("skep_agent_applications", "Success"): 0,
        ("skep_agent_links", "Attached"): 1,
        ("skep_agent_links", "AttachError"): 1,
        ("skep_agent_errors_total", "NotFound"): 1,
        ("skep_agent_turn_seconds_bucket", "0.1"): 0,
        ("skep_agent_turn_seconds_bucket", "0.25"): 1,
        ("skep_agent_turn_seconds_bucket", "+Inf"): 2,
        ("skep_agent_turn_seconds_count",): 2,
        ("skep_agent_daemon_up",): 1,
    }
    assert {key: found[key] for key in expected} == expected
