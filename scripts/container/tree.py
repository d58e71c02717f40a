"""A file system as a value, and the layer that it makes: the same tree gives the same bytes. Pure."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import assert_never

COMPRESSION = 6  # of gzip; 9 takes three times as long for one part in a hundred


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A regular file. ``mode``: permission bits."""

    data: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """A directory. ``mode``: permission bits. ``owner``: user and group id."""

    mode: int = 0o755
    owner: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A symbolic link."""

    target: str


Node = File | Directory | Link
Tree = Mapping[str, Node]
"""Nodes by path, without a slash at either end; directories in between need not be named."""


def whole(tree: Tree) -> dict[str, Node]:
    """The tree with every directory in between named."""
    found: dict[str, Node] = {}
    for path in tree:
        parts = path.split("/")
        for end in range(1, len(parts)):
            found.setdefault("/".join(parts[:end]), Directory())
    return {**found, **tree}


def archive(tree: Tree, *, seconds: int) -> bytes:
    """A tar archive in the order of the paths; everything changed at ``seconds`` (since 1970)."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as made:
        for path, node in sorted(whole(tree).items()):
            entry = tarfile.TarInfo(path)
            entry.mtime = seconds
            match node:
                case File():
                    entry.size, entry.mode = len(node.data), node.mode
                    made.addfile(entry, io.BytesIO(node.data))
                case Directory():
                    entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, node.mode, node.owner, node.owner
                    made.addfile(entry)
                case Link():
                    entry.type, entry.mode, entry.linkname = tarfile.SYMTYPE, 0o777, node.target
                    made.addfile(entry)
                case _:
                    assert_never(node)
    return output.getvalue()


def compressed(data: bytes) -> bytes:
    """A gzip file without a name or a time."""
    return gzip.compress(data, COMPRESSION, mtime=0)


def key(parts: Iterable[bytes]) -> str:
    """A name for what is made of these parts: 32 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:32]
