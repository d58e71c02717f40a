"""A Unix socket on which gRPC is served, made anew when its file has gone.

Kubelet, or who cleans up around it, may remove socket files; a server whose file is gone is served to nobody.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent import futures

import grpc

from skep import errors
from skep.kube.csi import driver
from skep.rpc import listen

_THREADS = 8
_MOST_BYTES = 256 * 1024
"""Of a request: a hundred times what kubelet's have."""
_GRACE_SECONDS = 10.0
"""How long calls under way may go on at the end."""


class Endpoint:
    """A socket at ``path`` with what ``add`` gives its server. ``start``, ``check`` now and then, ``stop``."""

    def __init__(self, path: str, add: Callable[[grpc.Server], None]) -> None:
        self.path = path
        self._add = add
        self._server: grpc.Server | None = None
        self._identity = (0, 0)

    def start(self) -> None:
        """Serve from now on; the directory is made if need be. Unavailable, Denied."""
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        except OSError as error:
            raise errors.Denied(
                f"cannot make {os.path.dirname(self.path)}", why=error.strerror or str(error),
                do="mount the directory into the driver's container", errno=error.errno or 0,
            ) from error  # fmt: skip
        server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="csi"),
            interceptors=[driver.Gate()],
            options=(("grpc.max_receive_message_length", _MOST_BYTES), ("grpc.so_reuseport", 0)),
        )
        self._add(server)
        try:
            server.add_insecure_port(f"unix:{self.path}")  # takes the place of what a dead one left
        except RuntimeError as error:
            raise errors.Unavailable(
                f"cannot listen on {self.path}", why=str(error),
                do="see that the directory is there and that the path has at most 107 bytes",
            ) from error  # fmt: skip
        os.chmod(self.path, 0o600)
        self._identity = listen.identity(self.path)
        server.start()
        self._server = server

    def check(self) -> bool:
        """Whether the socket's file had gone, and is there again now. Another's in its place is left alone."""
        if os.path.lexists(self.path):
            return False
        self.again()
        return True

    def again(self) -> None:
        """Take the socket away, and make a new one."""
        self.stop(0)
        self.start()

    def stop(self, grace: float = _GRACE_SECONDS) -> None:
        """Let calls under way end, for ``grace`` seconds, and remove the socket's file if it is still ours."""
        if self._server is not None:
            listen.remove(self.path, self._identity)
            self._server.stop(grace).wait()
            self._server = None
