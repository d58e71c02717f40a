"""The directory that the process without rights writes into: one file for each blob, named by its digest.

It is named by a descriptor only: that process could not walk to it. Nothing in it is believed before the daemon has
read it again (``cache``).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from skep import errors
from skep.image.manifest import Descriptor
from skep.image.reference import Digest
from skep.image.source import MOST_BLOB, check_digest


def name_of(digest: Digest) -> str:
    """A blob's file: "sha256-<hex>"."""
    return digest.replace(":", "-")


def write(directory: int, digest: Digest, pieces: Iterable[bytes]) -> None:
    """Write a blob; it is there whole or not at all. Exhausted when the disk is full."""
    name = name_of(digest)
    try:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=directory)
        try:
            os.fchmod(fd, 0o644)  # its reader is somebody else, and need not be almighty
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[os.write(fd, view) :]
        except BaseException:
            os.unlink(name, dir_fd=directory)
            raise
        finally:
            os.close(fd)
    except OSError as error:
        raise full(error) from error


def read(directory: int, one: Descriptor) -> bytes:
    """A blob as it was written. BadObject when it is not what its digest says, Unavailable when it is not there.

    Whoever wrote it must not be able to reach it any more.
    """
    try:
        fd = os.open(name_of(one.digest), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        with os.fdopen(fd, "rb") as file:
            data = file.read(min(one.size, MOST_BLOB) + 1)
    except OSError as error:
        raise errors.Unavailable(
            f"{one.digest} was not fetched", why=error.strerror or str(error), do="pull again"
        ) from error
    check_digest(data, one.digest)
    return data


def full(error: OSError) -> errors.SkepError:
    """What a failed write to the cache's disk means."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return errors.Exhausted(
            "the disk of the image cache is full",
            why=error.strerror or str(error),
            errno=error.errno,
            do="make room: 'skep image prune' removes what no program uses; or choose another image_cache_dir",
        )
    return errors.Unavailable(
        "the image cache cannot be written",
        why=error.strerror or str(error),
        errno=error.errno or 0,
        do="see the directory that image_cache_dir names",
    )
