"""What selectors mean on a plain host."""

from __future__ import annotations

from typing import Any

import pytest

from skep import errors, model
from skep.hooks import tracepoint, xdp
from skep.kube import host, reconcile, resources

HERE = host.Host(
    labels={"kubernetes.io/hostname": "here", "kubernetes.io/os": "linux"},
    interfaces=("lo", "eth0", "eth1", "veth7"),
    primary=("eth1", "eth0"),
)


def application(*links: dict[str, Any], kind: str = "ClusterBpfApplication", **spec: object) -> resources.Application:
    return resources.read(
        {
            "apiVersion": "bpfman.io/v1alpha1",
            "kind": kind,
            "metadata": {"name": "counter", "labels": {"team": "net"}},
            "spec": {
                "nodeSelector": {},
                "byteCode": {"path": "/opt/count.o"},
                "programs": [{"name": "count", "type": "XDP", "xdp": {"links": list(links)}}],
                **spec,
            },
        }
    )


def chosen(selector: dict[str, Any], **more: object) -> list[tuple[str, str | None]]:
    (program,) = host.programs(application({"interfaceSelector": selector, **more}), HERE)
    found = []
    for attachment in program.links.values():
        assert isinstance(attachment, xdp.XdpAttachment)
        found.append((attachment.interface.name, attachment.interface.netns))
    return found


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ({"interfaces": ["eth0", "nowhere"]}, ["eth0", "nowhere"]),
        ({"interfaces": ["eth*"]}, ["eth0", "eth1"]),
        ({"interfaces": ["eth1", "eth*"]}, ["eth1", "eth0"]),
        ({"primaryNodeInterface": True}, ["eth1"]),
        ({"interfacesDiscoveryConfig": {"interfaceAutoDiscovery": True}}, ["eth0", "eth1", "veth7"]),
        (
            {"interfacesDiscoveryConfig": {"interfaceAutoDiscovery": True, "excludeInterfaces": ["eth0"]}},
            ["lo", "eth1", "veth7"],
        ),
        (
            {
                "interfacesDiscoveryConfig": {
                    "interfaceAutoDiscovery": True,
                    "allowedInterfaces": ["/^v/", "eth0", "eth"],
                }
            },
            ["eth0", "veth7"],
        ),
    ],
)
def test_interfaces(selector: dict[str, Any], names: list[str]) -> None:
    assert chosen(selector) == [(name, None) for name in names]


def test_another_network_namespace() -> None:
    assert chosen({"interfaces": ["eth0"]}, networkNamespaces={"path": "/run/netns/x"}) == [("eth0", "/run/netns/x")]


@pytest.mark.parametrize(
    ("kind", "what", "link"),
    [
        (
            errors.NotFound,
            "spec.programs[0].xdp.links[0].interfaceSelector selects no interface of this host",
            {"interfaceSelector": {"interfaces": ["wlan*"]}},
        ),
        (
            errors.InvalidRequest,
            "spec.programs[0].xdp.links[0].networkNamespaces selects pods, and a plain host has none",
            {"interfaceSelector": {"interfaces": ["eth0"]}, "networkNamespaces": {"pods": {}}},
        ),
        (
            errors.InvalidRequest,
            "spec.programs[0].xdp.links[0].interfaceSelector is looked up in the host's own network namespace only",
            {"interfaceSelector": {"primaryNodeInterface": True}, "networkNamespaces": {"path": "x"}},
        ),
    ],
)
def test_what_a_host_cannot(kind: type[errors.SkepError], what: str, link: dict[str, Any]) -> None:
    with pytest.raises(kind) as caught:
        host.programs(application(link), HERE)
    assert caught.value.what == what
    assert caught.value.do


def test_no_default_route() -> None:
    alone = host.Host(labels={}, interfaces=("lo",), primary=())
    with pytest.raises(errors.NotFound) as caught:
        host.programs(application({"interfaceSelector": {"primaryNodeInterface": True}}), alone)
    assert caught.value.why == "there is no default route"


def test_the_same_place_twice() -> None:
    eth1, primary = {"interfaces": ["eth1"]}, {"primaryNodeInterface": True}
    (program,) = host.programs(application({"interfaceSelector": eth1}, {"interfaceSelector": primary}), HERE)
    assert len(program.links) == 1
    with pytest.raises(errors.InvalidRequest) as caught:
        host.programs(application({"interfaceSelector": eth1}, {"interfaceSelector": primary, "priority": 3}), HERE)
    assert caught.value.what == "spec.programs[0].xdp.links[1] is at a place of another link of count"


def test_node_selector() -> None:
    fits = {"matchLabels": {"kubernetes.io/hostname": "here"}}
    assert host.programs(application(nodeSelector=fits), HERE)
    with pytest.raises(errors.InvalidRequest) as caught:
        host.programs(application(nodeSelector={"matchLabels": {"kubernetes.io/hostname": "there"}}), HERE)
    assert caught.value.what == "ClusterBpfApplication/counter is not for this host"


def test_programs_without_interfaces() -> None:
    (program,) = host.programs(
        application(
            programs=[{"name": "t", "type": "TracePoint", "tracepoint": {"links": [{"name": "sched/sched_switch"}]}}]
        ),
        HERE,
    )
    assert program.spec == model.ProgramSpec(name="t", hook=model.HookName("tracepoint"))
    assert list(program.links.values()) == [tracepoint.TracepointAttachment(group="sched", name="sched_switch")]


def test_metadata() -> None:
    assert host.metadata(application()) == {
        "team": "net", "bpfman.io/application": "counter", reconcile.OWNER: "ClusterBpfApplication/counter",
    }  # fmt: skip
