"""The calls that the benchmarks make, over the gRPC that any client of bpfman has, and nothing cheaper."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import grpc

from skep.pb import bpfman_pb2 as pb
from skep.pb import bpfman_pb2_grpc, skep_pb2, skep_pb2_grpc
from tests.instance import Instance

TYPES = {"xdp": pb.XDP, "tcx": pb.TCX, "tracepoint": pb.TRACEPOINT}


class Api:
    """One channel to one daemon."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.bpfman = bpfman_pb2_grpc.BpfmanStub(channel)
        self.skep = skep_pb2_grpc.SkepStub(channel)

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
    """A channel to ``instance``, already connected, so that the first call costs what the others do."""
    with grpc.insecure_channel(f"unix:{instance.layout.socket}") as channel:
        grpc.channel_ready_future(channel).result(timeout=20)
        yield Api(channel)
