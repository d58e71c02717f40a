"""Whether a daemon serves: gRPC's health protocol, without the packages that speak it, which take longer to import.

Source: grpc/health/v1/health.proto.
"""

from __future__ import annotations

from typing import Final

from skep import errors
from skep.rpc import call

_CHECK: Final = "/grpc.health.v1.Health/Check"
_SERVING: Final = b"\x08\x01"
"""HealthCheckResponse with status SERVING; the request for the server as a whole is empty."""


def check(path: str, timeout: float) -> None:
    """Return when the daemon behind a Unix socket serves; ``timeout`` in seconds. Unavailable when it does not."""
    try:
        connection = call.Connection(path)
        try:
            answer = connection.call(_CHECK, (b"",), (), timeout)
        finally:
            connection.close()
    except call.Failed as failed:
        raise errors.Unavailable("the daemon is not ready", why=failed.text, do="see its log") from failed
    if answer != _SERVING:
        raise errors.Unavailable("the daemon is not ready", why="it is starting or ending", do="wait for it")
