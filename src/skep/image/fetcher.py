"""The daemon's side of the processes without rights: starts one for each pull, listens to it, and makes sure it ends.

What it says is hostile until ``cache`` has read the files again.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from skep import errors
from skep.image import access, channel, manifest
from skep.image.access import Access
from skep.image.manifest import Descriptor, Platform
from skep.image.reference import Digest, Reference
from skep.image.source import MOST_BLOB
from skep.model.image import PullProgress

MEMORY: Final = 1 << 30
"""Bytes of address space that a process may have."""
FILES_MEMORY: Final = 768 << 20
CPU_SECONDS: Final = 120
SECONDS: Final = 600.0
"""A whole pull may take so long."""
UNPACK_SECONDS: Final = 60.0
_LAST_SECONDS: Final = 5.0
_SOURCE: Final = str(pathlib.Path(__file__).parents[2])
_PROGRAM: Final = """
import importlib, sys
module, source, libraries, parent, memory, fd, directory = sys.argv[1:8]
sys.path.insert(0, source)
sys.path.extend(libraries.split(":") if libraries else [])
from skep.kernel import confine
main = importlib.import_module(module).main
confine.drop("skep-image", int(parent), memory=int(memory), file_bytes=int(sys.argv[8]), seconds=int(sys.argv[9]))
main(int(fd), int(directory))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a reference turned out to be: documents from the top down to the manifest, and the blobs that matter."""

    chain: tuple[Descriptor, ...]
    blobs: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One document about an image: where it stood (an older tag of cosign's, or ""), and the blobs that it has."""

    document: Descriptor
    tag: str
    blobs: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A pull that came to its end; everything is in the staging directory."""

    resolved: Resolved
    evidence: tuple[Evidence, ...]
    missed: tuple[str, ...]
    """Why evidence is missing, if it is."""


Lacking = Callable[[Resolved], Sequence[Digest]]
"""Says which blobs are to be fetched; called once, in the middle of a pull."""


def fetch(
    directory: int, reference: Reference, how: Access, platform: Platform, lacking: Lacking, *, evidence: bool
) -> Iterator[PullProgress | Fetched]:
    """Pull from a registry into the staging ``directory``; the last thing told is ``Fetched``."""
    head = {"op": "pull", "reference": str(reference), "access": access.pack(how), **_common(platform, evidence)}
    with Process("skep.image.child_network", ("urllib3",), directory, MEMORY, SECONDS) as process:
        yield from _pulled(process, head, b"", lacking)


def take(
    directory: int, archive: bytes, where: str, name: str, platform: Platform, lacking: Lacking
) -> Iterator[PullProgress | Fetched]:
    """Take an image out of an archive's bytes into the staging ``directory``."""
    head = {"op": "archive", "where": where, "name": name, **_common(platform, True)}
    with Process("skep.image.child_files", (), directory, FILES_MEMORY, SECONDS) as process:
        yield from _pulled(process, head, archive, lacking)


def unpack(layers: Sequence[bytes], filename: str) -> bytes:
    """The object in layers. BadObject, Exhausted, Unavailable."""
    head = {"op": "unpack", "layers": [len(layer) for layer in layers], "filename": filename}
    with Process("skep.image.child_files", (), None, FILES_MEMORY, UNPACK_SECONDS) as process:
        process.send(head, b"".join(layers))
        _, data = process.receive()
    return data


@contextlib.contextmanager
def staging(above: str) -> Iterator[int]:
    """A directory below ``above`` that a process without rights may fill; gone when the block ends.

    Locked meanwhile, so that ``sweep`` of another process leaves it alone.
    """
    path = os.path.join(above, secrets.token_hex(8))
    os.mkdir(path, 0o700)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # For whoever holds the descriptor: nobody else can walk to it. To give it away would need CAP_CHOWN.
            os.fchmod(fd, 0o777)
            yield fd
        finally:
            os.close(fd)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def sweep(above: str) -> int:
    """Remove what pulls left behind that were killed; how many."""
    removed = 0
    for name in os.listdir(above):
        path = os.path.join(above, name)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
            removed += 1
        except BlockingIOError:
            continue  # a pull under way
        finally:
            os.close(fd)
    return removed


class Process:
    """One process, from its start to its certain end."""

    def __init__(
        self, module: str, libraries: tuple[str, ...], directory: int | None, memory: int, seconds: float
    ) -> None:
        self._deadline = time.monotonic() + seconds
        self._seconds = seconds
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        fds = [theirs.fileno(), *([] if directory is None else [directory])]
        limits = (os.getpid(), memory, theirs.fileno(), -1 if directory is None else directory, MOST_BLOB, CPU_SECONDS)
        arguments = [module, _SOURCE, os.pathsep.join(map(_home_of, libraries)), *map(str, limits)]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-X", "utf8", "-c", _PROGRAM, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                pass_fds=fds,
            )
        except OSError as error:
            self._channel.close()
            raise errors.Unavailable(
                "the process that reads images cannot be started",
                why=str(error),
                do="see the limits of the service",
                errno=error.errno or 0,
            ) from error
        finally:
            theirs.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        """It is killed, not asked: nothing that it could still do is wanted. Unavailable when that is not allowed."""
        self._channel.close()
        try:
            if self._process.returncode is None:
                os.kill(self._process.pid, signal.SIGKILL)  # also when it has ended: until it is waited for it is ours
        except PermissionError as refused:
            raise errors.Unavailable(
                "the process that reads images cannot be ended",
                why="it is nobody's, and this process may not signal others'",
                do="give skep CAP_KILL, as its systemd unit does",
                errno=refused.errno or 0,
            ) from refused
        finally:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_LAST_SECONDS)

    def send(self, head: dict[str, Any], data: bytes = b"") -> None:  # Any: JSON
        """Tell it something. Unavailable when it is gone."""
        self._limit()
        try:
            channel.send(self._channel, head, data)
        except TimeoutError as late:
            raise self._late() from late
        except OSError as gone:
            raise self._gone() from gone

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """What it says next. What it reports as an error is raised; Unavailable when it is gone or too slow."""
        self._limit()
        try:
            message = channel.receive(self._channel)
            if message is not None and "error" in message[0]:
                raise channel.restore(message[0]["error"])
        except TimeoutError as late:
            raise self._late() from late
        except (OSError, channel.Garbled) as broken:
            raise self._gone() from broken
        if message is None:
            raise self._gone()
        return message

    def _limit(self) -> None:
        self._channel.settimeout(max(0.001, self._deadline - time.monotonic()))

    def _late(self) -> errors.Unavailable:
        return errors.Unavailable(
            "the image was not read",
            why=f"it took longer than {self._seconds:g} seconds",
            do="try again, or use a registry that is nearer",
        )

    def _gone(self) -> errors.Unavailable:
        self._channel.close()
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            code = 0
        return errors.Unavailable(
            "the process that reads images ended early",
            why=f"signal {-code}" if code < 0 else f"exit status {code}",
            do="try again; if it happens again with this image only, the image is at fault",
        )


def _pulled(process: Process, head: dict[str, Any], data: bytes, lacking: Lacking) -> Iterator[PullProgress | Fetched]:
    process.send(head, data)
    resolved: Resolved | None = None
    while True:
        told, _ = process.receive()
        match told:
            case {"resolved": {"chain": [*chain], "blobs": [*blobs]}} if resolved is None and chain:
                resolved = Resolved(chain=_descriptors(chain), blobs=_descriptors(blobs))
                yield PullProgress(digest=resolved.chain[0].digest)
                process.send({"fetch": list(lacking(resolved))})
            case {"progress": {"done": int(done), "total": int(total)}} if resolved is not None:
                yield PullProgress(done=done, total=total, digest=resolved.chain[0].digest)
            case {"done": {"evidence": [*evidence], "missed": [*missed]}} if resolved is not None:
                yield Fetched(
                    resolved=resolved,
                    evidence=tuple(map(_evidence, evidence)),
                    missed=tuple(str(each)[:300] for each in missed[:100]),
                )
                return
            case _:
                raise _nonsense()


def _common(platform: Platform, evidence: bool) -> dict[str, Any]:
    return {
        "platform": {"os": platform.os, "architecture": platform.architecture, "variant": platform.variant},
        "byteorder": sys.byteorder,
        "evidence": evidence,
    }


def _evidence(fields: object) -> Evidence:
    if not isinstance(fields, Mapping) or not isinstance(fields.get("blobs"), list):
        raise _nonsense()
    tag = fields.get("tag")
    return Evidence(
        document=manifest.descriptor(fields.get("document"), "evidence"),
        tag=tag if isinstance(tag, str) else "",
        blobs=_descriptors(fields["blobs"]),
    )


def _descriptors(many: list[Any]) -> tuple[Descriptor, ...]:
    if len(many) > manifest.MOST_LAYERS + 1:
        raise _nonsense()
    return tuple(manifest.descriptor(each, "what was fetched") for each in many)


def _nonsense() -> errors.Unavailable:
    return errors.Unavailable(
        "the process that reads images does not make sense",
        why="it said something that it never says",
        do="try again; if it happens again with this image only, the image is at fault",
    )


def _home_of(library: str) -> str:
    """The directory to import a library from, without importing it here."""
    found = importlib.util.find_spec(library)
    if found is None or found.origin is None:
        raise errors.Unsupported(
            "images cannot be pulled",
            why=f"the Python package {library} is not installed",
            do=f"install it: pip install {library}",
            feature=library,
        )
    return str(pathlib.Path(found.origin).parents[1])
