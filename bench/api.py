"""The calls that the benchmarks make, over the gRPC that any client of bpfman has, and nothing cheaper."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from skep.pb import bpfman_pb2 as pb
from skep.pb import bpfman_pb2_grpc, skep_pb2, skep_pb2_grpc
from skep.rpc import call
from tests.instance import Instance

TYPES = {"xdp": pb.XDP, "tcx": pb.TCX, "tracepoint": pb.TRACEPOINT}


class Stub:
    """A service's unary calls over the gRPC client that the ``skep`` command has, instead of grpcio's."""

    def __init__(self, connection: call.Connection, service: ServiceDescriptor) -> None:
        for method in service.methods:
            setattr(self, method.name, self._unary(connection, method))

    @staticmethod
    def _unary(connection: call.Connection, method: MethodDescriptor) -> Callable[[Message], Message]:
        path = f"/{method.containing_service.full_name}/{method.name}"
        answer = GetMessageClass(method.output_type)

        def unary(request: Message) -> Message:
            return answer.FromString(connection.call(path, (request.SerializeToString(),), (), None))

        return unary


class Api:
    """One connection to one daemon, by whichever client made the stubs."""

    def __init__(self, bpfman: Any, skep: Any) -> None:  # Any: grpcio's stubs or ours, with the same methods
        self.bpfman = bpfman
        self.skep = skep

    def load(self, path: Path, name: str, hook: str = "xdp", **global_data: bytes) -> int:
        """Loads one program of an object file; its kernel id."""
        request = pb.LoadRequest(
            bytecode=pb.BytecodeLocation(file=str(path)),
            info=[pb.LoadInfo(name=name, program_type=TYPES[hook])],
            global_data=global_data,
        )
        return int(self.bpfman.Load(request).programs[0].kernel_info.id)

    def attach(self, program: int, hook: str, place: str, *, priority: int = 50) -> int:
        """Attaches to an interface of the daemon's namespace, or to a tracepoint; the link's id."""
        match hook:
            case "xdp":
                info = pb.AttachInfo(xdp_attach_info=pb.XDPAttachInfo(priority=priority, iface=place))
            case "tcx":
                info = pb.AttachInfo(
                    tcx_attach_info=pb.TCXAttachInfo(priority=priority, iface=place, direction="ingress")
                )
            case _:
                info = pb.AttachInfo(tracepoint_attach_info=pb.TracepointAttachInfo(tracepoint=place))
        return int(self.bpfman.Attach(pb.AttachRequest(id=program, attach=info)).link_id)

    def detach(self, link: int) -> None:
        """Takes a link away."""
        self.bpfman.Detach(pb.DetachRequest(link_id=link))

    def unload(self, program: int) -> None:
        """Removes a program."""
        self.bpfman.Unload(pb.UnloadRequest(id=program))

    def list(self, *, managed_only: bool = False) -> int:
        """Lists programs; how many there are."""
        request = pb.ListRequest(bpfman_programs_only=True) if managed_only else pb.ListRequest()
        return len(self.bpfman.List(request).results)

    def get(self, program: int) -> pb.GetResponse:
        """One program."""
        answer: pb.GetResponse = self.bpfman.Get(pb.GetRequest(id=program))
        return answer

    def update(self, link: int, *, priority: int) -> None:
        """Moves a link to another place of its chain."""
        self.skep.UpdateLink(skep_pb2.UpdateLinkRequest(link_id=link, priority=priority))

    def runs(self, link: int) -> int:
        """How often a member of a chain ran since it was attached."""
        return int(self.skep.GetLink(skep_pb2.GetLinkRequest(id=link)).link.status.counts.runs)


@contextlib.contextmanager
def connect(instance: Instance) -> Iterator[Api]:
    """grpcio's client, already connected, so that the first call costs what the others do."""
    with grpc.insecure_channel(f"unix:{instance.layout.socket}") as channel:
        grpc.channel_ready_future(channel).result(timeout=20)
        yield Api(bpfman_pb2_grpc.BpfmanStub(channel), skep_pb2_grpc.SkepStub(channel))


@contextlib.contextmanager
def connect_lightly(instance: Instance) -> Iterator[Api]:
    """The client of the ``skep`` command (rpc/call.py)."""
    connection = call.Connection(instance.layout.socket)
    with contextlib.closing(connection):
        yield Api(
            Stub(connection, pb.DESCRIPTOR.services_by_name["Bpfman"]),
            Stub(connection, skep_pb2.DESCRIPTOR.services_by_name["Skep"]),
        )
