"""The directory of applications that a daemon restores: which files are in it, and what is wrong with any."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass

from skep import errors
from skep.kube import resources
from skep.kube.plain import files

ENDINGS = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file and its applications; ``error``: why it has none."""

    name: str
    applications: tuple[resources.Application, ...] = ()
    error: errors.SkepError | None = None


def look(directory: str) -> tuple[File, ...] | None:
    """The files in the order of their names, None without the directory. Denied if it cannot or must not be read.

    What others than root may write to is not read: it would make them root over BPF. An application that is in two
    files belongs to the first.
    """
    try:
        _check(directory)
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise errors.Denied(
            f"cannot read the applications of {directory}",
            why=error.strerror or str(error),
            do="make it a directory that root can read",
            errno=error.errno or 0,
        ) from error
    places: dict[str, str] = {}
    found = []
    for name in names:
        if name.endswith(ENDINGS) and not name.startswith("."):
            found.append(_read(directory, name, places))
    return tuple(found)


def _read(directory: str, name: str, places: dict[str, str]) -> File:
    path = f"{directory}/{name}"
    try:
        with contextlib.suppress(OSError):  # reading it says it better
            _check(path)
        applications = files.read([path])
        for each in applications:
            if each.key in places:
                raise errors.AlreadyExists(
                    f"{path}: {each.key} is there twice",
                    why=f"the other is in {places[each.key]}",
                    do="rename one of them",
                )
    except errors.SkepError as error:
        return File(name=name, error=error)
    places.update((each.key, name) for each in applications)
    return File(name=name, applications=applications)


def _check(path: str) -> None:
    """Denied unless only root, or who we are, may write to it."""
    seen = os.stat(path)
    if seen.st_uid not in (0, os.geteuid()):
        raise errors.Denied(f"{path} is not read", why=f"it belongs to user {seen.st_uid}", do="chown it to root")
    if seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.S_IMODE(seen.st_mode)
        raise errors.Denied(
            f"{path} is not read", why=f"others may write to it (mode {mode:04o})", do=f"chmod go-w {path}"
        )
