"""The gRPC server: both services, health and reflection, on a private socket behind the relay."""

from __future__ import annotations

import os
import socket
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from skep import errors, paths
from skep.manager import Manager
from skep.pb import bpfman_pb2, bpfman_pb2_grpc, skep_pb2, skep_pb2_grpc
from skep.rpc import bpfman_service, gate, peer, skep_service, turn, upload

THREADS = 48
"""Made as needed. A stalled upload or a watcher holds one."""
MAX_REQUEST_BYTES = 4 * 1024 * 1024
"""Objects come in chunks of 1 MiB; answers have no limit on this side."""
GRACE_SECONDS = 4.0
"""How long calls under way may go on when the daemon ends."""

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_concurrent_streams", 128),
    ("grpc.so_reuseport", 0),
    # On a Unix socket there is no bandwidth to be found out by pings; each of them wakes up four threads.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 1 << 20),
    # Clients that keep an idle connection alive are welcome.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
)

_SERVICES = (
    bpfman_pb2.DESCRIPTOR.services_by_name["Bpfman"].full_name,
    skep_pb2.DESCRIPTOR.services_by_name["Skep"].full_name,
)


class Server:
    """Serves ``manager`` on ``listener``; ``start`` it, then ``stop`` it."""

    def __init__(
        self,
        manager: Manager,
        listener: socket.socket,
        layout: paths.Layout,
        *,
        lock_timeout: float = 30.0,
        uploads: upload.Uploads | None = None,
    ) -> None:
        backend = f"{layout.private}/grpc.sock"
        os.makedirs(layout.private, mode=0o700, exist_ok=True)
        os.chmod(layout.private, 0o700)
        if os.path.lexists(backend):
            os.unlink(backend)  # of a daemon that was killed: the instance's lock is ours
        self._relay = peer.Relay(listener, backend)
        turns = turn.Turns(lock_timeout)
        self._skep = skep_service.SkepService(manager, turns, self._relay.caller, layout, uploads or upload.Uploads())
        self._health = health.HealthServicer()
        self._pool = futures.ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="rpc")
        self._server = grpc.server(self._pool, interceptors=[gate.Gate(self._relay.caller)], options=_OPTIONS)
        bpfman_pb2_grpc.add_BpfmanServicer_to_server(
            bpfman_service.BpfmanService(manager, turns, self._relay.caller), self._server
        )
        skep_pb2_grpc.add_SkepServicer_to_server(self._skep, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)
        try:
            self._server.add_insecure_port(f"unix:{backend}")
        except RuntimeError as error:
            raise errors.Unavailable(
                f"gRPC cannot listen on {backend}", why=str(error), do="choose a shorter --runtime-dir"
            ) from error

    @property
    def relay(self) -> peer.Relay:
        """Who is connected."""
        return self._relay

    def start(self) -> None:
        """Answer from now on."""
        self._server.start()
        self._relay.start()
        for name in ("", *_SERVICES):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def stop(self) -> None:
        """Take no new call, let those under way end (4 s), then end every connection."""
        self._health.enter_graceful_shutdown()
        self._relay.stop_accepting()
        self._skep.end_watches()
        self._server.stop(GRACE_SECONDS).wait()
        self._relay.close()
        self._pool.shutdown(wait=True)
