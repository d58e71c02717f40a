"""The life of a process without rights: one request, one answer, the end.

Started by exec (``fetcher``); its rights are taken away (``kernel.confine``) after the imports and before the first of
these functions runs: afterwards it may not even be able to read this package. It writes nothing but the staging
directory, and says nothing but messages of ``channel``.
"""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable
from typing import Any

from skep import errors
from skep.image import channel

Serve = Callable[[socket.socket, dict[str, Any], bytes], None]  # Any: JSON


def run(fd: int, serve: Serve) -> None:
    """Receive a request from the socket ``fd``, have it served, and tell what went wrong."""
    ours = socket.socket(fileno=fd)
    try:
        asked = channel.receive(ours)
        if asked is None:
            return
        try:
            serve(ours, *asked)
        except (BrokenPipeError, ConnectionResetError):
            return  # nobody waits for us any more
        except Exception as failed:
            channel.send(ours, channel.pack_error(_ours(failed)))
    except (BrokenPipeError, ConnectionResetError):
        return


def _ours(failed: Exception) -> errors.SkepError:
    """The error as the daemon may tell it. Of a bug only the place is told: its text might quote a login."""
    if isinstance(failed, errors.SkepError):
        return failed
    if isinstance(failed, MemoryError):
        return errors.Exhausted(
            "the image is too large", why="it did not fit into memory while it was read", do="make it smaller"
        )
    last = traceback.extract_tb(failed.__traceback__)[-1]
    place = f"{last.filename.rpartition('/')[2]}:{last.lineno}"
    return errors.BadObject(
        "the image cannot be read", why=f"{type(failed).__name__} in {place}", do="build and push it again"
    )
