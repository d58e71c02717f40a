"""A process without rights that judges signatures: strangers' JSON, certificates and timestamps are read nowhere else.

Everything comes in through its socket, the keys and the trusted root too; it needs no file and no network.
"""

from __future__ import annotations

import socket
from datetime import datetime
from typing import Any

from skep.image import channel, child, judging
from skep.trust import verdict
from skep.trust.judge import judge
from skep.trust.root import read_root


def main(fd: int, directory: int) -> None:
    """Serve one request on the socket ``fd``; there is no ``directory``."""
    child.run(fd, _serve)


def _serve(ours: socket.socket, head: dict[str, Any], data: bytes) -> None:  # Any: JSON
    request = judging.unpack(head, data)
    root = None if request.root is None else read_root(request.root.data, request.root.path)
    found = judge(request.image, request.pieces, request.wanted, root, datetime.fromisoformat(head["now"]))
    channel.send(ours, {"verdict": verdict.pack(found)})
