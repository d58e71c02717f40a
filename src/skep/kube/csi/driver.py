"""The driver's answers to kubelet: the Identity and Node services of CSI 1.x, one method each."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import grpc

import skep
from skep import errors, model
from skep.kube import naming
from skep.kube.csi import choose, request, volume
from skep.pb import csi_pb2, csi_pb2_grpc
from skep.rpc import status

log = logging.getLogger("skep.csi")

_CODES: Final = {
    errors.Busy: "ABORTED",  # the specification's word for "an operation on this volume is pending"
    errors.Unsupported: "FAILED_PRECONDITION",  # UNIMPLEMENTED would say that the driver has no such call
}
"""Where a status differs from ``rpc.status.CODES``."""
_ABSENT: Final = "this driver has no such capability: see NodeGetCapabilities"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where programs come from: a daemon behind its socket, or the one that the driver is in.

    Both raise ``SkepError``.
    """

    programs: Callable[[], tuple[model.Program | model.ForeignProgram, ...]]
    ready: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``node``: its name in the cluster. ``kubelet``: the directory that all targets are in."""

    node: str
    kubelet: str


class Turns:
    """Keeps calls for one volume, or for one target, apart."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def taken(self, wanted: request.Volume) -> Iterator[None]:
        """Busy when another call works on it."""
        mine = {wanted.id, wanted.target}  # an id has no slash and a target begins with one
        with self._lock:
            if mine & self._taken:
                raise errors.Busy(
                    f"volume {wanted.id} is being worked on", why="another call for it goes on", do="try again"
                )
            self._taken |= mine
        try:
            yield
        finally:
            with self._lock:
                self._taken -= mine


class Identity(csi_pb2_grpc.IdentityServicer):
    """Who this is, and whether it can work."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def GetPluginInfo(
        self, request: csi_pb2.GetPluginInfoRequest, context: grpc.ServicerContext
    ) -> csi_pb2.GetPluginInfoResponse:
        """Name and release."""
        return csi_pb2.GetPluginInfoResponse(name=naming.DRIVER, vendor_version=skep.__version__)

    def GetPluginCapabilities(
        self, request: csi_pb2.GetPluginCapabilitiesRequest, context: grpc.ServicerContext
    ) -> csi_pb2.GetPluginCapabilitiesResponse:
        """None: it has no controller, no topology, and volumes do not grow."""
        return csi_pb2.GetPluginCapabilitiesResponse()

    def Probe(self, request: csi_pb2.ProbeRequest, context: grpc.ServicerContext) -> csi_pb2.ProbeResponse:
        """Ready while the daemon answers."""
        answer = csi_pb2.ProbeResponse()
        answer.ready.value = True
        try:
            self._source.ready()
        except errors.SkepError as error:
            log.warning("not ready", extra={"why": str(error)})
            answer.ready.value = False
        return answer


class Node(csi_pb2_grpc.NodeServicer):
    """Volumes on this node."""

    def __init__(self, settings: Settings, source: Source) -> None:
        self._settings = settings
        self._source = source
        self._turns = Turns()

    def NodeGetInfo(
        self, request: csi_pb2.NodeGetInfoRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodeGetInfoResponse:
        """The node's name; no limit on volumes, no topology."""
        return csi_pb2.NodeGetInfoResponse(node_id=self._settings.node)

    def NodeGetCapabilities(
        self, request: csi_pb2.NodeGetCapabilitiesRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodeGetCapabilitiesResponse:
        """Only that fsGroup is ours to apply."""
        group = csi_pb2.NodeServiceCapability.RPC(type=csi_pb2.NodeServiceCapability.RPC.VOLUME_MOUNT_GROUP)
        return csi_pb2.NodeGetCapabilitiesResponse(capabilities=[csi_pb2.NodeServiceCapability(rpc=group)])

    def NodePublishVolume(
        self, asked: csi_pb2.NodePublishVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodePublishVolumeResponse:
        """Mount the maps that a pod names."""
        began = time.monotonic()
        wanted = request.publish(asked, self._settings.kubelet)
        with self._turns.taken(wanted.volume):
            new = volume.publish(
                wanted,
                self._settings.kubelet,
                lambda: choose.maps(wanted.maps, wanted.program, wanted.namespace, self._source.programs()),
            )
        log.info(
            "published" if new else "is published already",
            extra={
                "volume": wanted.volume.id, "program": wanted.program, "maps": ",".join(wanted.maps),
                "namespace": wanted.namespace or "", "pod": wanted.pod, "read_only": wanted.read_only,
                "group": wanted.group, "ms": round((time.monotonic() - began) * 1000, 1),
            },
        )  # fmt: skip
        return csi_pb2.NodePublishVolumeResponse()

    def NodeUnpublishVolume(
        self, asked: csi_pb2.NodeUnpublishVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodeUnpublishVolumeResponse:
        """Unmount them."""
        gone = request.unpublish(asked, self._settings.kubelet)
        with self._turns.taken(gone):
            did = volume.unpublish(gone, self._settings.kubelet)
        log.info("unpublished" if did else "is not published", extra={"volume": gone.id})
        return csi_pb2.NodeUnpublishVolumeResponse()

    def NodeStageVolume(
        self, request: csi_pb2.NodeStageVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodeStageVolumeResponse:
        """Not needed: what a volume holds is on the node already."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, _ABSENT)

    def NodeUnstageVolume(
        self, request: csi_pb2.NodeUnstageVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodeUnstageVolumeResponse:
        """As NodeStageVolume."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, _ABSENT)

    def NodeGetVolumeStats(
        self, request: csi_pb2.NodeGetVolumeStatsRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodeGetVolumeStatsResponse:
        """A BPF file system counts neither bytes nor inodes."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, _ABSENT)

    def NodeExpandVolume(
        self, request: csi_pb2.NodeExpandVolumeRequest, context: grpc.ServicerContext
    ) -> csi_pb2.NodeExpandVolumeResponse:
        """There is nothing that could grow."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, _ABSENT)


class Gate(grpc.ServerInterceptor):  # type: ignore[type-arg]  # generic in grpc-stubs only, not when it runs
    """Wraps every handler: an error becomes a status, and is logged once."""

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler of a call, wrapped. All of CSI's and the registration's calls are unary."""
        handler: Any = continuation(handler_call_details)  # Any: grpc-stubs does not type a handler's behaviours
        if handler is None or handler.unary_unary is None:
            return None
        inner, name = handler.unary_unary, handler_call_details.method.rpartition("/")[2]

        def call(asked: object, context: grpc.ServicerContext) -> object:
            try:
                return inner(asked, context)
            except errors.SkepError as error:
                code = grpc.StatusCode[_CODES.get(type(error)) or status.code(error)]
                log.warning("refused", extra={"call": name, "code": code.name, "why": str(error)})
                context.abort(code, status.message(error))

        return grpc.unary_unary_rpc_method_handler(call, handler.request_deserializer, handler.response_serializer)


class Services:
    """Both services. One for the life of the process, whatever becomes of its socket: calls that an old server left
    under way must keep the new one's apart."""

    def __init__(self, settings: Settings, source: Source) -> None:
        self._identity = Identity(source)
        self._node = Node(settings, source)

    def add(self, server: grpc.Server) -> None:
        """Give them to a server."""
        csi_pb2_grpc.add_IdentityServicer_to_server(self._identity, server)
        csi_pb2_grpc.add_NodeServicer_to_server(self._node, server)
