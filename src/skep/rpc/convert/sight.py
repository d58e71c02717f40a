"""The host and its pods as the daemon sees them, between domain and ``skep.v1``."""

from __future__ import annotations

from collections.abc import Iterable

from skep import model
from skep.pb import skep_pb2


def pack_host(seen: model.HostSeen) -> skep_pb2.HostSeen:
    """A host as a message."""
    return skep_pb2.HostSeen(namespaces=[_pack_namespace(each) for each in seen.namespaces])


def unpack_host(message: skep_pb2.HostSeen) -> model.HostSeen:
    """A message as a host."""
    return model.HostSeen(namespaces=tuple(_unpack_namespace(each) for each in message.namespaces))


def pack_question(pods: Iterable[model.PodRef]) -> skep_pb2.FindPodsRequest:
    """Pods that are looked for, as a message."""
    return skep_pb2.FindPodsRequest(
        pods=[
            skep_pb2.PodRef(
                uid=pod.uid,
                containers=[skep_pb2.ContainerRef(name=each.name, id=each.id) for each in pod.containers],
            )
            for pod in pods
        ]
    )


def unpack_question(message: skep_pb2.FindPodsRequest) -> tuple[model.PodRef, ...]:
    """A message as pods that are looked for."""
    return tuple(
        model.PodRef(
            uid=pod.uid,
            containers=tuple(model.ContainerRef(name=each.name, id=each.id) for each in pod.containers),
        )
        for pod in message.pods
    )


def pack_pods(pods: Iterable[model.PodSeen]) -> skep_pb2.FindPodsResponse:
    """Pods that were found or not, as a message."""
    return skep_pb2.FindPodsResponse(
        pods=[
            skep_pb2.PodSeen(
                uid=pod.uid,
                netns=pod.netns,
                inode=pod.inode,
                containers=[
                    skep_pb2.ContainerSeen(
                        name=each.name, id=each.id, pid=each.pid, start=each.start, missing=each.missing
                    )
                    for each in pod.containers
                ],
                missing=pod.missing,
            )
            for pod in pods
        ]
    )


def unpack_pods(message: skep_pb2.FindPodsResponse) -> tuple[model.PodSeen, ...]:
    """A message as pods that were found or not."""
    return tuple(
        model.PodSeen(
            uid=pod.uid,
            netns=pod.netns if pod.HasField("netns") else None,
            inode=model.NetnsInode(pod.inode),
            containers=tuple(
                model.ContainerSeen(name=each.name, id=each.id, pid=each.pid, start=each.start, missing=each.missing)
                for each in pod.containers
            ),
            missing=pod.missing,
        )
        for pod in message.pods
    )


def _pack_namespace(seen: model.NamespaceSeen) -> skep_pb2.NamespaceSeen:
    return skep_pb2.NamespaceSeen(
        path=seen.path,
        inode=seen.inode,
        interfaces=[
            skep_pb2.InterfaceSeen(
                name=each.name, ifindex=each.ifindex, mac=each.mac, addresses=each.addresses, up=each.up
            )
            for each in seen.interfaces
        ],
        primary=seen.primary,
    )


def _unpack_namespace(message: skep_pb2.NamespaceSeen) -> model.NamespaceSeen:
    return model.NamespaceSeen(
        path=message.path if message.HasField("path") else None,
        inode=model.NetnsInode(message.inode),
        interfaces=tuple(
            model.InterfaceSeen(
                name=each.name,
                ifindex=model.IfIndex(each.ifindex),
                mac=each.mac,
                addresses=tuple(each.addresses),
                up=each.up,
            )
            for each in message.interfaces
        ),
        primary=tuple(message.primary),
    )
