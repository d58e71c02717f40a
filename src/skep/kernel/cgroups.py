"""Control groups (version 2) by the words that people use: a directory, or the name of a systemd unit.

systemd is not asked: it puts every unit into a directory of its name, below its slices, and a user's units below
``user.slice/user-UID.slice/user@UID.service`` (systemd.slice(5); names in ``cg_escape``, src/basic/cgroup-util.c).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Final

from skep import errors

_SUFFIXES: Final = (".service", ".scope", ".slice", ".socket", ".mount", ".swap")
"""The types of units that have processes, or other units, in a cgroup."""
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.-@\\")
"""What unit names have; systemctl turns anything else into "\\xNN" (``unit_name_mangle``)."""


def meant(words: str) -> str:
    """The directory of the cgroup that a caller means.

    Words: an absolute path; a path below the cgroup2 mount ("system.slice/nginx.service"); or a unit, with ".service"
    left out or not. ``NotFound`` with near misses, ``Conflict`` when several units have the name (a user's and the
    system's): it lists them.
    """
    root = mount()
    if words.startswith("/"):
        if not os.path.exists(words):
            raise _no_directory(words, root)
        return words
    below = os.path.normpath(f"{root}/{words}")
    if below.startswith(f"{root}/") and os.path.isdir(below):
        return below
    if "/" in words:
        raise _no_directory(f"{root}/{words}", root)
    return _unit(words, root)


def mount() -> str:
    """Where cgroup version 2 is mounted. ``Unsupported`` when it is not."""
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            _, place, kind, *_ = line.split()
            if kind == "cgroup2":
                return place.encode().decode("unicode_escape")  # blanks are \040 there
    raise errors.Unsupported(
        "cgroups cannot be looked up",
        feature="cgroup2",
        first="4.5",
        why="no cgroup2 file system is mounted",
        do="mount -t cgroup2 cgroup2 /sys/fs/cgroup",
    )


def _unit(words: str, root: str) -> str:
    if words == "-.slice":
        return root
    name = "".join(one if one in _PLAIN else "".join(f"\\x{byte:02x}" for byte in one.encode()) for one in words)
    wanted = name if name.endswith(_SUFFIXES) else f"{name}.service"
    units = list(_units(root))
    found = [path for unit, path in units if unit == wanted]
    stem, template, suffix = wanted.partition("@.")
    if not found and template:
        found = [path for unit, path in units if unit.startswith(f"{stem}@") and unit.endswith(f".{suffix}")]
        if found:
            raise _several(f"unit {wanted} is a template", found, root, "name one of its instances")
    if len(found) > 1:
        raise _several(f"several units are called {wanted}", found, root, "name one by its path")
    if not found:
        near = errors.near_misses(wanted, {unit for unit, _ in units})
        raise errors.NotFound(
            f"no cgroup of a unit {wanted}",
            why=f"no directory below {root} has that name; a unit has one while it runs",
            near=near,
            do="" if near else "see `systemctl status` or `systemd-cgls`",
            errno=errno.ENOENT,
        )
    return found[0]


def _units(root: str) -> Iterator[tuple[str, str]]:
    """Every unit's name and directory below a cgroup, in the order of their paths."""
    for place, directories, _ in os.walk(root):
        directories.sort()
        for one in directories:
            # A name that the kernel has for files of its own gets an underscore before it.
            name = one.removeprefix("_")
            if name.endswith(_SUFFIXES):
                yield name, f"{place}/{one}"


def _several(what: str, found: list[str], root: str, do: str) -> errors.Conflict:
    shown = ", ".join(path.removeprefix(f"{root}/") for path in found[:8])
    more = f" and {len(found) - 8} more" if len(found) > 8 else ""
    return errors.Conflict(what, why=f"there are {shown}{more}", do=do)


def _no_directory(path: str, root: str) -> errors.NotFound:
    """With what looks like it: the same path below the mount, or neighbours of the first part that is missing."""
    near: tuple[str, ...] = ()
    if os.path.isdir(f"{root}{path}"):
        near = (f"{root}{path}",)
    else:
        above, name = os.path.split(path.rstrip("/"))
        while above != "/" and not os.path.isdir(above):
            above, name = os.path.split(above)
        if above == root or above.startswith(f"{root}/"):
            names = [entry.name for entry in os.scandir(above) if entry.is_dir(follow_symlinks=False)]
            near = tuple(f"{above}/{one}" for one in errors.near_misses(name, names))
    return errors.NotFound(
        f"no cgroup at {path}", near=near, do="" if near else "see `systemd-cgls` or `findmnt -t cgroup2`",
        errno=errno.ENOENT,
    )  # fmt: skip
