"""USDT probes: one uprobe.multi link for all sites of a probe (Linux 6.6), or a perf event's link for each (5.15)."""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import os
from typing import Final

from skep import errors
from skep.hooks import request
from skep.kernel import abi, bpffs, perf, probes, refused, specs, sys
from skep.kernel.targets.place import Made, Place


def _check(target: request.UsdtTarget) -> None:
    os.close(probes.resolve(target).fd)
    perf.check_process(target.pid)


def _expand(target: request.UsdtTarget) -> tuple[request.Target, ...]:
    """The probe's sites, of which a link by uprobe.multi has no need, but whoever asked is told what is missing."""
    perf.check_process(target.pid)
    found = probes.resolve(target)
    os.close(found.fd)
    return tuple(dataclasses.replace(target, site=site.offset) for site in found.sites)


def _create(pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest, target: request.UsdtTarget) -> Made:
    perf.check_process(target.pid)
    found = probes.resolve(target)
    with sys.held(found.fd):
        # Also of a link of several kernel links the first takes the elements of all sites, or finds that there is no
        # room; the others find theirs.
        cookies = specs.take(pins, program, target, found.sites)
        try:
            if target.site is None:
                return _all(program, candidate, target, found, cookies), None
            for site, cookie in zip(found.sites, cookies, strict=True):
                if site.offset == target.site:
                    return _one(program, candidate, target.pid, found.path, site, cookie), None
        except OSError as refusal:
            raise _refused(target, refusal) from refusal
    raise errors.NotFound(
        f"cannot probe {target}",
        why="there is no such site; the file was replaced meanwhile",
        do="attach again",
        errno=errno.ENOENT,
    )


def _all(
    program: int,
    candidate: request.LinkRequest,
    target: request.UsdtTarget,
    found: probes.Probe,
    cookies: tuple[int, ...],
) -> int:
    count = len(found.sites)
    path = ctypes.create_string_buffer(os.fsencode(found.path))
    offsets = (ctypes.c_uint64 * count)(*(site.offset for site in found.sites))
    semaphores = (ctypes.c_uint64 * count)(*(site.semaphore for site in found.sites))
    numbers = (ctypes.c_uint64 * count)(*cookies)
    tail = abi.TAIL_UPROBE_MULTI.pack(
        ctypes.addressof(path), ctypes.addressof(offsets), ctypes.addressof(semaphores), ctypes.addressof(numbers),
        count, candidate.flags, target.pid or 0,
    )  # fmt: skip
    return sys.link_create(program, 0, candidate.attach_type, 0, tail)


def _one(
    program: int, candidate: request.LinkRequest, pid: int | None, path: str, site: probes.Site, cookie: int
) -> int:
    with sys.held(perf.open_site(path, site.offset, site.semaphore, pid)) as event:
        return sys.link_create(program, event, candidate.attach_type, 0, abi.TAIL_PERF_EVENT.pack(cookie))


def _refused(target: request.UsdtTarget, refusal: OSError) -> errors.SkepError:
    what = f"cannot probe {target}"
    if refusal.errno == errno.ESRCH and target.pid is not None:
        return errors.NotFound(what, why=f"no process {target.pid}", do="see `ps -e`", errno=errno.ESRCH)
    if refusal.errno == errno.EINVAL:
        return errors.Conflict(
            what,
            why="EINVAL: a site is probed already without the probe's semaphore (by its offset, say), or lies in no "
            "instruction",
            do="detach the other probe, or attach it as USDT",
            errno=errno.EINVAL,
        )
    return refused.general(what, refusal, feature="USDT links", first="5.15")


PLACE: Final = Place(check=_check, create=_create, expand=_expand)
