"""The process that reads an image's layers, or an archive of images: no network, few imports."""

from __future__ import annotations

import socket
from typing import Any

from skep.image import archive, channel, child, pulling, unpack


def main(fd: int, directory: int) -> None:
    """Unpack layers and answer with the object, or take an image out of an archive into the staging ``directory``."""

    def serve(ours: socket.socket, head: dict[str, Any], data: bytes) -> None:  # Any: JSON
        if head["op"] == "unpack":
            channel.send(ours, {"done": {}}, unpack.object_of(_cut(data, head["layers"]), head["filename"]))
            return
        inside = archive.open_(data, head["where"])
        pulling.Pull(ours, directory, inside, head).run(inside.find(head["name"] or None).digest)

    child.run(fd, serve)


def _cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """The layers, which came one behind the other."""
    layers, at = [], 0
    for size in sizes:
        layers.append(data[at : at + size])
        at += size
    return layers
