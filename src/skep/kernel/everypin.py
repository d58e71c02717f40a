"""Every pin in every BPF file system that is mounted where we see it, ours and others', with what is pinned.

Walked with care: no symbolic link is followed, no other file system entered, and the walk is bounded.
"""

from __future__ import annotations

import os
from collections import defaultdict
from typing import Final

from skep import model
from skep.kernel import abi, observe, sys

MOST: Final = 50_000
"""Entries that are looked at."""
DEEPEST: Final = 32
"""Directories below each other; each is open while what is below it is looked at."""


class Walk:
    """One look at all pins. ``pins``: sorted paths by what is pinned there; ``cut``: not all was looked at."""

    def __init__(self) -> None:
        self.pins: defaultdict[model.ObjectRef, list[str]] = defaultdict(list)
        self.cut = False
        self._left = MOST
        self._programs, self._maps, self._links = observe.Programs(), observe.Maps(), observe.Links()
        for top in mounts():
            try:
                fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                continue
            with sys.held(fd):
                if sys.filesystem_type(fd) == abi.BPF_FS_MAGIC:  # and nothing else is mounted over it
                    self._directory(fd, top, os.fstat(fd).st_dev, 1)
        for paths in self.pins.values():
            paths.sort()

    def _directory(self, directory: int, path: str, device: int, depth: int) -> None:
        """Pins in an open directory and below it."""
        with os.scandir(directory) as entries:
            names = [(entry.name, entry.is_dir(follow_symlinks=False), entry.is_symlink()) for entry in entries]
        for name, below, alias in names:
            self._left -= 1
            if self._left < 0 or (below and depth == DEEPEST):
                self.cut = True
                continue
            try:
                if below:
                    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                    with sys.held(os.open(name, flags, dir_fd=directory)) as fd:
                        if os.fstat(fd).st_dev == device:
                            self._directory(fd, f"{path}/{name}", device, depth + 1)
                elif not alias:
                    with sys.held(sys.obj_get(f"/proc/self/fd/{directory}/{name}")) as fd:
                        self.pins[self._object(fd)].append(f"{path}/{name}")
            except OSError:
                continue  # gone meanwhile, or no pin

    def _object(self, fd: int) -> model.ObjectRef:
        kind = os.readlink(f"/proc/self/fd/{fd}").rpartition("bpf")[2].lstrip("-_")
        if kind == "prog":
            return model.ObjectKind.PROGRAM, self._programs.read(fd).id
        if kind == "map":
            return model.ObjectKind.MAP, self._maps.read(fd).id
        return model.ObjectKind.LINK, self._links.read(fd).id


def mounts() -> tuple[str, ...]:
    """Where BPF file systems are mounted in this mount namespace; of one that is mounted several times, the first."""
    found: dict[str, str] = {}
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for fields in map(str.split, file):  # proc_pid_mountinfo(5)
            if fields[fields.index("-") + 1] == "bpf":
                device, root, place = fields[2:5]
                found.setdefault(device if root == "/" else f"{device}{root}", _plain(place))
    return tuple(found.values())


def _plain(escaped: str) -> str:
    """A path of mountinfo: blanks and the like are \\040 there."""
    return escaped.encode("latin-1", "backslashreplace").decode("unicode_escape") if "\\" in escaped else escaped
