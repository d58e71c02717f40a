"""The process that fetches an image from a registry."""

from __future__ import annotations

import encodings.idna  # noqa: F401  (looked up by name when the first host is resolved, which is too late)
import socket
from typing import Any

from skep.image import access, child, pulling, reference, registry


def main(fd: int, directory: int) -> None:
    """Fetch what one request asks for into the staging ``directory``."""

    def serve(ours: socket.socket, head: dict[str, Any], data: bytes) -> None:  # Any: JSON
        wanted = reference.parse(head["reference"])
        repository = registry.Registry(wanted, access.unpack(head["access"]))
        pulling.Pull(ours, directory, repository, head).run(wanted.which)

    child.run(fd, serve)
