"""Objects to values, and what is wrong with an object by the path of its field."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from skep import errors, model
from skep.kube import resources

Document = dict[str, Any]


def document() -> Document:
    return {
        "apiVersion": "bpfman.io/v1alpha1",
        "kind": "ClusterBpfApplication",
        "metadata": {"name": "counter", "labels": {"team": "net"}},
        "spec": {
            "nodeSelector": {},
            "byteCode": {"path": "/opt/count.o"},
            "globalData": {"rate": [0x0D, 0x0C, 0, 255], "mask": "DQwLCg=="},
            "programs": [
                {
                    "name": "count",
                    "type": "XDP",
                    "xdp": {"links": [{"interfaceSelector": {"interfaces": ["eth0"]}, "proceedOn": ["Drop", "TX"]}]},
                },
                {"name": "probe", "type": "UProbe", "uprobe": {"links": [{"target": "libc", "function": "malloc"}]}},
                {"name": "idle", "type": "TC", "tc": {}},
            ],
        },
    }


def test_values() -> None:
    found = resources.read(document())
    assert (found.key, found.labels, found.byte_code) == (
        "ClusterBpfApplication/counter",
        {"team": "net"},
        "/opt/count.o",
    )
    assert found.global_data == {"rate": b"\r\x0c\x00\xff", "mask": b"\r\x0c\x0b\x0a"}
    count, probe, idle = found.programs
    (link,) = count.links
    assert link.path == "spec.programs[0].xdp.links[0]"
    assert link.values == {"priority": 1000, "proceed_on": (1, 3)}
    assert link.interfaces == resources.Named(names=("eth0",))
    assert probe.links[0].values == {"target": "libc", "fn_name": "malloc", "offset": 0}
    assert idle.links == ()


def test_what_an_api_server_adds_is_read_over() -> None:
    """So that `kubectl get -o yaml` can be applied elsewhere."""
    value = document()
    value["metadata"] |= {"uid": "x", "resourceVersion": "1", "managedFields": [], "finalizers": ["a/b"]}
    value["status"] = {"conditions": []}
    assert resources.read(value) == resources.read(document())


def test_an_image_with_its_defaults() -> None:
    value = document()
    value["spec"]["byteCode"] = {"image": {"url": "quay.io/a/b:v1"}}
    assert resources.read(value).byte_code == resources.Image(
        url="quay.io/a/b:v1", policy=model.PullPolicy.IF_NOT_PRESENT
    )


def test_a_namespaced_one_uses_secrets_of_its_own_namespace() -> None:
    value = document() | {"kind": "BpfApplication", "metadata": {"name": "counter", "namespace": "web"}}
    image: Any = {"url": "count", "imagePullSecret": {"name": "login", "namespace": "web"}}
    value["spec"] |= {"byteCode": {"image": image}, "programs": [{"name": "count", "type": "XDP", "xdp": {}}]}
    assert resources.read(value).byte_code == resources.Image(
        url="count", policy=model.PullPolicy.IF_NOT_PRESENT, secret=("web", "login")
    )
    image["imagePullSecret"]["namespace"] = "other"
    with pytest.raises(errors.InvalidRequest) as caught:
        resources.read(value)
    assert caught.value.what == "spec.byteCode.image.imagePullSecret.namespace is 'other'"


def test_maps_are_kept_unless_it_says_otherwise() -> None:
    assert resources.read(document()).map_policy is resources.MapPolicy.KEEP
    changed = document()
    changed["spec"]["mapPolicy"] = "Recreate"
    assert resources.read(changed).map_policy is resources.MapPolicy.RECREATE


def test_a_host_has_no_use_for_a_rollout() -> None:
    staged = document()
    staged["spec"]["rollout"] = {"maxUnavailable": "20%", "order": [{"matchLabels": {"canary": "yes"}}]}
    assert resources.read(staged) == resources.read(document())


def test_a_namespaced_one_is_in_default() -> None:
    value = document() | {"kind": "BpfApplication"}
    value["spec"]["programs"] = [{"name": "count", "type": "XDP", "xdp": {}}]
    assert resources.read(value).key == "BpfApplication/default/counter"


def _spec(change: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda value: change(value["spec"])


def _link(**fields: object) -> Callable[[Any], object]:
    return lambda value: value["spec"]["programs"][0]["xdp"]["links"][0].update(fields)


WRONG: list[tuple[str, Callable[[Any], object]]] = [
    ("apiVersion is missing", lambda value: value.pop("apiVersion")),
    ("kind is missing", lambda value: value.pop("kind")),
    ("spec.mapPolicy is 'Drop'", lambda value: value["spec"].update(mapPolicy="Drop")),
    ("apiVersion is 'v1'", lambda value: value.update(apiVersion="v1")),
    ("kind is 'Pod'", lambda value: value.update(kind="Pod")),
    ("metadata.name is missing", lambda value: value["metadata"].clear()),
    ("metadata.name is 'Counter'", lambda value: value["metadata"].update(name="Counter")),
    ("metadata.namespace is 'web'", lambda value: value["metadata"].update(namespace="web")),
    ("metadata.labels.x is 1", lambda value: value["metadata"].update(labels={"x": 1})),
    ("spec is missing", lambda value: value.pop("spec")),
    ("spec is 3", lambda value: value.update(spec=3)),
    ("spec.nodeSelector is missing", _spec(lambda spec: spec.pop("nodeSelector"))),
    ("spec.byteCode is empty", _spec(lambda spec: spec.update(byteCode={}))),
    ("spec.byteCode has 2 of its fields", _spec(lambda spec: spec["byteCode"].update(image={"url": "a"}))),
    ("spec.byteCode.path is 'count.o'", _spec(lambda spec: spec.update(byteCode={"path": "count.o"}))),
    ("spec.globalData.rate[1] is 256", _spec(lambda spec: spec["globalData"].update(rate=[1, 256]))),
    ("spec.globalData.rate is 'no base64!'", _spec(lambda spec: spec["globalData"].update(rate="no base64!"))),
    ("spec.globalData.rate is 12", _spec(lambda spec: spec["globalData"].update(rate=12))),
    ("spec.programs is too short", _spec(lambda spec: spec.update(programs=[]))),
    ("spec.programs[2].name is missing", _spec(lambda spec: spec["programs"][2].pop("name"))),
    ("spec.programs[2] has the name of spec.programs[0]", _spec(lambda spec: spec["programs"][2].update(name="count"))),
    ("spec.programs[0].type is 'xdp'", _spec(lambda spec: spec["programs"][0].update(type="xdp"))),
    ("spec.programs[0] does not fit together", _spec(lambda spec: spec["programs"][0].update(type="TC"))),
    ("spec.programs[0] does not fit together", _spec(lambda spec: spec["programs"][0].update(tc={}))),
    ("spec.programs[0].xdp.links[0].priority is -1", _link(priority=-1)),
    ("spec.programs[0].xdp.links[0].priority is True", _link(priority=True)),
    ("spec.programs[0].xdp.links[0].proceedOn[1] is 'pass'", _link(proceedOn=["TX", "pass"])),
    ("spec.programs[0].xdp.links[0].mode is 'native'", _link(mode="native")),
    ("spec.programs[0].xdp.links[0].interfaceSelector is empty", _link(interfaceSelector={})),
    (
        "spec.programs[0].xdp.links[0].interfaceSelector does not fit together",
        _link(interfaceSelector={"primaryNodeInterface": False}),
    ),
    (
        "spec.programs[0].xdp.links[0].interfaceSelector.interfacesDiscoveryConfig does not fit together",
        _link(interfaceSelector={"interfacesDiscoveryConfig": {"allowedInterfaces": ["eth0"]}}),
    ),
    (
        "spec.programs[0].xdp.links[0].interfaceSelector.interfacesDiscoveryConfig.allowedInterfaces[1]:"
        " the expression '/(?=a)/' cannot be used",
        _link(
            interfaceSelector={
                "interfacesDiscoveryConfig": {"interfaceAutoDiscovery": True, "allowedInterfaces": ["eth0", "/(?=a)/"]}
            }
        ),
    ),
    (
        "spec.programs[0].xdp.links[0].networkNamespaces does not fit together",
        _link(networkNamespaces={"namespace": "x"}),
    ),
    (
        "spec.programs[1].uprobe.links[0]: a uprobe needs a place in its target",
        _spec(lambda spec: spec["programs"][1]["uprobe"]["links"][0].pop("function")),
    ),
    (
        "spec.nodeSelector.matchExpressions[0] does not fit together",
        _spec(lambda spec: spec.update(nodeSelector={"matchExpressions": [{"key": "a", "operator": "In"}]})),
    ),
    ("spec.rollout.maxUnavailable is 0", _spec(lambda spec: spec.update(rollout={"maxUnavailable": 0}))),
    ("spec.rollout.maxUnavailable is '0%'", _spec(lambda spec: spec.update(rollout={"maxUnavailable": "0%"}))),
    ("spec.rollout.onFailure is 'return'", _spec(lambda spec: spec.update(rollout={"onFailure": "return"}))),
    (
        "spec.rollout.order[1].matchExpressions[0] does not fit together",
        _spec(
            lambda spec: spec.update(rollout={"order": [{}, {"matchExpressions": [{"key": "a", "operator": "In"}]}]})
        ),
    ),
]


@pytest.mark.parametrize(("what", "spoil"), WRONG, ids=[what for what, _ in WRONG])
def test_what_is_wrong_is_told_by_its_path(what: str, spoil: Callable[[Any], object]) -> None:
    value = document()
    spoil(value)
    with pytest.raises(errors.InvalidRequest) as caught:
        resources.read(value)
    assert caught.value.what == what
    assert caught.value.do


def test_a_near_miss_is_named() -> None:
    value = document()
    value["spec"]["nodeselector"] = value["spec"].pop("nodeSelector")
    with pytest.raises(errors.InvalidRequest) as caught:
        resources.read(value)
    assert (caught.value.what, caught.value.do) == (
        "spec.nodeselector is unknown",
        "did you mean nodeSelector, mapOwnerSelector?",
    )


@pytest.mark.parametrize(
    ("type", "do"),
    [("Xdp", "write XDP: capitals count"), ("UProb", "did you mean UProbe"), ("wrong!", "choose one of these")],
)
def test_a_word_that_is_not_known_gets_the_one_that_was_meant(type: str, do: str) -> None:
    value = document()
    value["spec"]["programs"][0]["type"] = type
    with pytest.raises(errors.InvalidRequest) as caught:
        resources.read(value)
    assert caught.value.do.startswith(do)


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=5),
    lambda below: some.lists(below, max_size=3) | some.dictionaries(some.text(max_size=5), below, max_size=3),
    max_leaves=8,
)


@given(JSON, some.data())
def test_whatever_stands_in_a_field_is_read_or_refused(value: Any, data: some.DataObject) -> None:
    """Never anything but InvalidRequest: these objects come from strangers."""
    tree: Any = copy.deepcopy(document())
    node = tree
    while isinstance(node, (dict, list)) and node:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(some.sampled_from(keys))
        if not isinstance(node[key], (dict, list)) or not node[key] or data.draw(some.booleans()):
            node[key] = value
            break
        node = node[key]
    with contextlib.suppress(errors.InvalidRequest):
        assert resources.read(tree).name


@pytest.mark.parametrize(
    ("condition", "labels", "selected"),
    [
        (resources.Condition(key="a", operator="In", values=("1", "2")), {"a": "2"}, True),
        (resources.Condition(key="a", operator="In", values=("1",)), {}, False),
        (resources.Condition(key="a", operator="NotIn", values=("1",)), {}, True),
        (resources.Condition(key="a", operator="NotIn", values=("1",)), {"a": "1"}, False),
        (resources.Condition(key="a", operator="Exists"), {"a": ""}, True),
        (resources.Condition(key="a", operator="Exists"), {}, False),
        (resources.Condition(key="a", operator="DoesNotExist"), {"a": ""}, False),
        (resources.Condition(key="a", operator="DoesNotExist"), {}, True),
    ],
)
def test_selectors(condition: resources.Condition, labels: dict[str, str], selected: bool) -> None:
    assert resources.Selector(conditions=(condition,)).selects(labels) is selected
    assert resources.Selector().selects(labels)
