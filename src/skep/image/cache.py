"""The images on this host: blobs by their digest, and records of which blobs are an image. Survives a reboot.

::

    <directory>/blobs/<algorithm>/<hex>   documents and blobs, each once, whoever needs them
    <directory>/images/<hex>.json         one record for each image, by the digest of its top (``record``)
    <directory>/names/<hash>.json         where a reference led when it was last pulled
    <directory>/staging/                  pulls under way

A file has its name only when it is whole and on the disk: written under another name, synced, renamed. Every blob is
hashed when it goes in and again whenever it is read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from skep import errors
from skep.image import document, fetcher, manifest, record, staging
from skep.image.manifest import Descriptor
from skep.image.record import Record
from skep.image.reference import Digest, algorithm_of, digest, hex_of
from skep.image.source import check_digest

_FRESH: Final = ".new-"


class Cache:
    """One directory. Exhausted: the disk is full; nothing partial remains. Broken: what is there is damaged."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        self._lock = threading.RLock()
        self._changing = False

    @property
    def staging(self) -> str:
        """Where pulls under way have their directories."""
        return str(self._directory / "staging")

    def prepare(self) -> None:
        """Make the directories, and remove what killed pulls have left. Denied, Unavailable."""
        try:
            for name in ("", "blobs/sha256", "blobs/sha512", "images", "names", "staging"):
                path = self._directory / name
                path.mkdir(parents=True, exist_ok=True)
                path.chmod(0o700)
            for path in self._directory.glob(f"*/**/{_FRESH}*"):
                path.unlink(missing_ok=True)
            fetcher.sweep(self.staging)
        except OSError as error:
            raise staging.full(error) from error

    # ---------------------------------------------------------------- blobs

    def read(self, one: Descriptor) -> bytes:
        """A blob, as its digest says. Broken when it is missing or has been changed."""
        path = self._blob(one.digest)
        try:
            with path.open("rb") as file:
                data = file.read(one.size + 1)
        except OSError as error:
            raise _damaged(one.digest, error.strerror or str(error)) from error
        found = hashlib.new(algorithm_of(one.digest), data).hexdigest()
        if len(data) != one.size or found != hex_of(one.digest):
            raise _damaged(one.digest, f"its content has the digest {algorithm_of(one.digest)}:{found}")
        return data

    def has(self, one: Descriptor) -> bool:
        """Whether a blob is there, unchanged."""
        try:
            self.read(one)
        except errors.Broken:
            return False
        return True

    def admit(self, one: Descriptor, data: bytes) -> None:
        """Put a blob in. BadObject unless it is what its digest says; nothing happens when it is there, unchanged."""
        if len(data) != one.size:
            raise errors.BadObject(
                f"what came is not {one.digest}", why=f"it has {len(data)} bytes, and not {one.size}", do="pull again"
            )
        check_digest(data, one.digest)
        if not self.has(one):
            self._write(self._blob(one.digest), data)

    # ---------------------------------------------------------------- images

    def remember(self, one: Record, name: str) -> None:
        """Write an image's record, and that ``name`` leads to it. Its blobs are there."""
        with self._lock:
            for each in sorted(one.digests()):
                if not self._blob(each).exists():
                    raise errors.Unavailable(
                        "the image was not kept", why=f"{each} was pruned meanwhile", do="pull it again"
                    )
            self._write(self._record(one.digest), record.pack(one))
            self._write(self._name(name), document.write({"reference": name, "digest": one.digest}))

    def touch(self, one: Record, now: float) -> None:
        """Note that an image was used. A full disk is no reason not to use it."""
        with self._lock, contextlib.suppress(errors.SkepError):
            self._write(self._record(one.digest), record.pack(dataclasses.replace(one, used_at=now)))

    def by_name(self, name: str) -> Record | None:
        """The image that a reference led to when it was last pulled; None when it is not here."""
        with contextlib.suppress(OSError, errors.SkepError):
            fields = document.read(self._name(name).read_bytes(), manifest.MOST_BYTES)
            if document.text(fields, "reference") == name:
                return self.by_digest(digest(document.text(fields, "digest")))
        return None

    def by_digest(self, wanted: Digest) -> Record | None:
        """The image whose top or whose manifest has a digest."""
        direct = self._load(self._record(wanted))
        if direct is not None and direct.digest == wanted:
            return direct
        return next((each for each in self.records() if wanted in (each.digest, each.manifest)), None)

    def records(self) -> tuple[Record, ...]:
        """Every image, the newest first. A record that cannot be read is none."""
        found = [self._load(path) for path in sorted(self._directory.glob("images/*.json"))]
        return tuple(sorted((each for each in found if each is not None), key=lambda each: -each.pulled_at))

    def names(self) -> dict[str, Digest]:
        """Reference -> digest of the image it led to."""
        found = {}
        for path in sorted(self._directory.glob("names/*.json")):
            with contextlib.suppress(OSError, errors.SkepError, KeyError):
                fields = document.read(path.read_bytes(), manifest.MOST_BYTES)
                found[document.text(fields, "reference")] = digest(document.text(fields, "digest"))
        return found

    def remove(self, gone: tuple[Digest, ...]) -> int:
        """Forget images, with their names, and every blob that no image needs; the bytes that became free."""
        with self.changing():
            for path in self._directory.glob("images/*.json"):
                one = self._load(path)
                if one is None or one.digest in gone:
                    path.unlink(missing_ok=True)
            kept = {each.digest for each in self.records()}
            for name, target in self.names().items():
                if target not in kept:
                    self._name(name).unlink(missing_ok=True)
            return self._sweep_blobs()

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """No other pull or prune, of this process or another, while the block runs; may be nested."""
        with self._lock:
            if self._changing:  # a second descriptor's lock would wait for the first's
                yield
                return
            fd = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                self._changing = True
                yield
            finally:
                self._changing = False
                os.close(fd)

    # ---------------------------------------------------------------- inside

    def _sweep_blobs(self) -> int:
        needed = {str(self._blob(each)) for one in self.records() for each in one.digests()}
        freed = 0
        for path in self._directory.glob("blobs/*/*"):
            if str(path) not in needed:
                freed += path.stat().st_size
                path.unlink(missing_ok=True)
        return freed

    def _load(self, path: Path) -> Record | None:
        try:
            return record.unpack(path.read_bytes())
        except (OSError, errors.SkepError):
            return None

    def _blob(self, digest: Digest) -> Path:
        return self._directory / "blobs" / algorithm_of(digest) / hex_of(digest)

    def _record(self, digest: Digest) -> Path:
        return self._directory / "images" / f"{hex_of(digest)}.json"

    def _name(self, name: str) -> Path:
        return self._directory / "names" / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.json"

    def _write(self, path: Path, data: bytes) -> None:
        """Whole and on the disk, or not at all."""
        fresh = path.with_name(_FRESH + secrets.token_hex(8))
        try:
            try:
                fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with os.fdopen(fd, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(fd)
                fresh.rename(path)
            except BaseException:
                fresh.unlink(missing_ok=True)
                raise
            _sync(path.parent)
        except OSError as error:
            raise staging.full(error) from error


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _damaged(digest: Digest, why: str) -> errors.Broken:
    return errors.Broken(
        f"the image cache is damaged at {digest}",
        why=why,
        do="pull the image again with the policy Always; find out who writes to image_cache_dir",
    )
