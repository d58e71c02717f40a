"""A node as the agent's pure parts see it: objects as people write them, pods, a host, programs and links."""

from __future__ import annotations

from typing import Any

from skep import hooks, model
from skep.kube import act, reconcile, resources
from skep.kube.agent import expand, owned, records, sight
from tests.unit.cli import fake

UID = "6f1c1a7e-0000-4000-8000-000000000001"
STATE = "6f1c1a7e-0000-4000-8000-00000000000f"
NODE = sight.Node(name="n1", labels={"zone": "a"}, addresses=("192.0.2.7",))
OWN, POD1, POD2 = model.NetnsInode(1), model.NetnsInode(11), model.NetnsInode(12)


def document(*links: dict[str, Any], kind: str = "ClusterBpfApplication", **spec: Any) -> dict[str, Any]:
    """An application's object with one XDP program."""
    where = {"namespace": "green"} if kind == "BpfApplication" else {}
    program = {"name": "count", "type": "XDP", "xdp": {"links": list(links)}}
    return {
        "apiVersion": "bpfman.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": "counter", "uid": UID, "generation": 3, "labels": {"team": "net"}, **where},
        "spec": {
            "nodeSelector": {},
            "byteCode": {"path": "/opt/count.o"},
            "programs": spec.pop("programs", [program]),
            **spec,
        },
    }


def application(*links: dict[str, Any], **more: Any) -> resources.Application:
    return resources.read(document(*links, **more))


def namespace(path: str | None, inode: model.NetnsInode, *names: str, primary: str = "") -> model.NamespaceSeen:
    return model.NamespaceSeen(
        path=path,
        inode=inode,
        primary=(primary,) if primary else (),
        interfaces=tuple(
            model.InterfaceSeen(
                name=name,
                ifindex=model.IfIndex(number),
                up=True,
                addresses=("192.0.2.7/24",) if name == "eth1" else (),
            )
            for number, name in enumerate(names, 1)
        ),
    )


HOST = model.HostSeen(
    namespaces=(
        namespace(None, OWN, "lo", "eth0", "eth1", "veth7", primary="eth0"),
        namespace("/run/netns/cni-1", POD1, "lo", "eth0", "net1", primary="eth0"),
    )
)


def pod(number: int, *, containers: tuple[str, ...] = ("main",), **more: Any) -> sight.Pod:
    values = {
        "uid": f"pod-{number}",
        "namespace": "green",
        "name": f"web-{number}",
        "labels": {"app": "web"},
        "named": containers,
        "running": tuple(sight.Container(name=name, id=f"containerd://{number}{name}") for name in containers),
        **more,
    }
    return sight.Pod(**values)


def found(number: int, inode: model.NetnsInode, *containers: tuple[str, int]) -> model.PodSeen:
    return model.PodSeen(
        uid=f"pod-{number}",
        netns=f"/proc/{1000 + number}/ns/net",
        inode=inode,
        containers=tuple(
            model.ContainerSeen(name=name, id=f"containerd://{number}{name}", pid=pid, start=pid * 10)
            for name, pid in containers
        ),
    )


def view(*pods: model.PodSeen, host: model.HostSeen = HOST) -> sight.View:
    return sight.View(host=host, found={each.uid: each for each in pods})


def expanded(wanted: resources.Application, *pods: sight.Pod, seen: sight.View | None = None) -> expand.Expansion:
    return expand.expand(wanted, NODE, pods, seen or view())


def loaded(wanted: resources.Application, *, id: int = 7, name: str = "count", **more: Any) -> model.Program:
    return fake.program(
        id, name=name, hook="xdp", metadata=owned.metadata(wanted, NODE.name, STATE), attach_func=None,
        **{"source": model.FileSource(path="/opt/count.o"), "global_data": {}, **more},
    )  # fmt: skip


def attached(of: model.Program, spot: expand.Spot, id: int = 41, **more: Any) -> model.Link:
    labels = {reconcile.PLACE: spot.place, expand.UUID: spot.uuid(STATE, of.record.name)}
    return fake.link(id, of, spot.attachment, metadata=labels, **more)


def seen(programs: tuple[model.Program, ...] = (), links: tuple[model.Link, ...] = ()) -> act.Seen:
    return act.Seen(programs=programs, links=links)


def wish(*links: dict[str, Any], name: str = "counter", **more: Any) -> records.Wish:
    made = document(*links, **more)
    made["metadata"]["name"] = name
    return records.wish(made)


__all__ = ["fake", "hooks"]
