"""What is mounted where, as the kernel tells it in text. Source: proc_pid_mountinfo(5), proc_pid_fdinfo(5)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from skep import errors

_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One mount. ``source`` is whatever who made it has called it; ``shared``: others get what is mounted below."""

    id: int
    point: str
    type: str
    source: str
    read_only: bool
    """Of the file system itself; a mount that is read-only alone does not stop bpf(2) from writing to a map."""
    shared: bool


def parse(text: str) -> tuple[Mount, ...]:
    """Every mount of a mountinfo file, in its order: later ones lie over earlier ones."""
    found = []
    for line in text.splitlines():
        fields = line.split(" ")
        # Optional fields end at a lone hyphen.
        end = fields.index("-", 6)
        found.append(
            Mount(
                id=int(fields[0]),
                point=_plain(fields[4]),
                type=fields[end + 1],
                source=_plain(fields[end + 2]),
                read_only="ro" in fields[end + 3].split(","),
                shared=any(each.startswith("shared:") for each in fields[6:end]),
            )
        )
    return tuple(found)


def mounts() -> tuple[Mount, ...]:
    """Everything that is mounted in this process's mount namespace."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return parse(file.read())


def id_of(fd: int) -> int:
    """The mount that an open file is in."""
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
        for line in file:
            if line.startswith("mnt_id:"):
                return int(line.partition(":")[2])
    raise errors.Broken("the kernel does not tell mounts apart", why="no mnt_id in fdinfo", do="report this as a bug")


def of(fd: int) -> Mount:
    """The mount that an open file is in, described. Conflict when it is gone meanwhile, or is nowhere."""
    wanted = id_of(fd)
    for mount in mounts():
        if mount.id == wanted:
            return mount
    raise errors.Conflict("a file system is gone", why="it was unmounted meanwhile", do="try again")


def _plain(text: str) -> str:
    """Text without the octal escapes for blanks, tabs, newlines, backslashes and '#'."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)
