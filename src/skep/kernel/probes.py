"""The USDT probes of a file: where their sites are in it, and what their arguments are read from."""

from __future__ import annotations

import errno
import os
import platform
from dataclasses import dataclass
from typing import Final

from skep import errors
from skep.bytecode import stapsdt, usdt
from skep.hooks import request
from skep.kernel import elffile, userfile

_READABLE: Final = {
    "x86_64": (usdt.Machine.X86_64, usdt.Machine.I386),
    "aarch64": (usdt.Machine.AARCH64,),
}
"""Machine -> whose programs it runs and skep knows the arguments of."""
_TOLD: Final = 12  # probes that an error lists
_MOST_SITES: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One place of a probe. ``offset``, ``semaphore`` (0: none): bytes from the file's start."""

    offset: int
    semaphore: int
    arguments: tuple[usdt.Argument, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """An open file, what the kernel is to call it, and the sites of one probe in it. Close ``fd``."""

    fd: int
    path: str
    sites: tuple[Site, ...]


def resolve(target: request.UsdtTarget) -> Probe:
    """Find and open the file, and find all of the probe's sites in it.

    ``NotFound`` with near misses and with the probes there are, ``InvalidRequest`` for a file that is none, or damaged.
    """
    file, sites = userfile.examined(target.path, target.container_pid, lambda file: _read(file, target))
    return Probe(fd=file.fd, path=file.path, sites=sites)


def _read(file: userfile.Opened, target: request.UsdtTarget) -> tuple[Site, ...]:
    try:
        return _sites(file.fd, file.name, target)
    except (elffile.Malformed, OSError) as damaged:
        raise errors.InvalidRequest(
            f"cannot find USDT probes in {file.name}", why=str(damaged), do="name a program or a library"
        ) from damaged


def _sites(fd: int, path: str, target: request.UsdtTarget) -> tuple[Site, ...]:
    elf = elffile.Elf(lambda offset, size: os.pread(fd, size, offset))
    machine = _machine(elf, path)
    base = elf.address(".stapsdt.base")
    known: dict[str, None] = {}
    found: dict[int, Site] = {}
    for section in elf.notes():
        for note in stapsdt.parse(section, wide=elf.wide, order=elf.order):
            if (note.provider, note.name) != (target.provider, target.name):
                known[f"{note.provider}:{note.name}"] = None
                continue
            site = _site(elf, path, note.moved(base), machine, reads=target.specs is not None)
            found.setdefault(site.offset, site)
            if len(found) > _MOST_SITES:
                raise errors.Exhausted(
                    f"the probe {target.provider}:{target.name} in {path} has too many sites",
                    why=f"more than {_MOST_SITES}",
                    do="probe single offsets instead",
                )
    if not found:
        raise _no_probe(path, f"{target.provider}:{target.name}", tuple(known))
    return tuple(found.values())


def _machine(elf: elffile.Elf, path: str) -> usdt.Machine:
    here = platform.machine()
    for one in _READABLE.get(here, ()):
        if one.value == elf.machine:
            return one
    raise errors.InvalidRequest(
        f"cannot probe {path}",
        why=f"it is for another machine (ELF machine {elf.machine}) than this {here}",
        do="name a program or library that runs here",
    )


def _site(elf: elffile.Elf, path: str, note: stapsdt.Note, machine: usdt.Machine, *, reads: bool) -> Site:
    offset = elf.offset(note.address, executable=True)
    semaphore = elf.offset(note.semaphore) if note.semaphore else 0
    if offset is None or semaphore is None:
        what = "site" if offset is None else "semaphore"
        raise errors.InvalidRequest(
            f"cannot probe {note.provider}:{note.name} in {path}",
            why=f"its {what} at {note.address if offset is None else note.semaphore:#x} is in no part that is loaded",
            do="copy the file again; its notes are damaged",
        )

    def variable(name: str) -> int | None:
        address = elf.variable(name)
        return None if address is None else address - note.address

    # Whoever reads no arguments need not care what they are.
    arguments = usdt.arguments(note.arguments, machine, variable) if reads else ()
    return Site(offset=offset, semaphore=semaphore, arguments=arguments)


def _no_probe(path: str, wanted: str, known: tuple[str, ...]) -> errors.NotFound:
    provider, _, name = wanted.partition(":")
    # Whole texts would be alike for their provider alone.
    same = tuple(f"{provider}:{one}" for one in errors.near_misses(name, _names(known, provider)))
    near = same or errors.near_misses(wanted, known)
    if not near:
        everywhere = {one.partition(":")[2]: one for one in known}
        near = tuple(everywhere[one] for one in errors.near_misses(name, everywhere))
    listed = ", ".join(sorted(known)[:_TOLD]) + (f" and {len(known) - _TOLD} more" if len(known) > _TOLD else "")
    return errors.NotFound(
        f"no USDT probe {wanted!r} in {path}",
        why=f"it has {listed}" if known else "it has none",
        near=near,
        do="" if near else "name one of these" if known else "see `readelf -n` for a file's probes",
        errno=errno.ENOENT,
    )


def _names(known: tuple[str, ...], provider: str) -> list[str]:
    return [one.partition(":")[2] for one in known if one.partition(":")[0] == provider]
