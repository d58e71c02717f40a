"""Images in files: ``oci:PATH[:NAME]`` and ``docker-archive:PATH[:NAME]``, as skopeo and podman write them.

The files are read by the daemon with the rights of who asks, never with its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from skep import errors
from skep.image.layout import INDEX, Layout

MOST_ARCHIVE: Final = 128 << 20
"""Bytes of an archive; it is held in memory while it is read."""
TRANSPORTS: Final = ("oci:", "oci-archive:", "docker-archive:")

Read = Callable[[str, int], bytes]
"""Reads the file at an absolute path, of at most so many bytes, with the rights of who asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A directory or an archive, and which of its images; ``name`` "" when it is the only one."""

    transport: str
    path: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.transport}{self.path}" + (f":{self.name}" if self.name else "")


def parse(url: str) -> Place | None:
    """The place that ``url`` names, None when it is a registry's image. InvalidRequest for a relative path."""
    transport = next((each for each in TRANSPORTS if url.startswith(each)), None)
    if transport is None:
        return None
    path, _, name = url[len(transport) :].partition(":")
    if not path.startswith("/") or not url.isprintable():
        raise errors.InvalidRequest(
            f"{url[:200]!r} names no files", why="the path is not absolute", do=f"write {transport}/PATH[:NAME]"
        )
    return Place(transport=transport, path=path.rstrip("/") or "/", name=name)


def layout_of(place: Place, read: Read) -> Layout | None:
    """The layout in a directory; None when the path is no directory with an ``index.json``."""
    if place.transport != "oci:":
        return None

    def read_inside(name: str, most: int) -> bytes:
        return read(f"{place.path}/{name}", most)

    try:
        read_inside(INDEX, 1 << 24)
    except errors.NotFound:
        return None
    return Layout(read_inside, where=place.path)
