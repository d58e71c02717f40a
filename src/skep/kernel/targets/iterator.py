"""Iterators: which objects of its kind a program goes through, told when its link is made."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from typing import Final

from skep import errors
from skep.hooks import request
from skep.kernel import abi, bpffs, refused, sys
from skep.kernel.targets import group
from skep.kernel.targets.place import Made, Place


def _check(target: request.IteratorTarget) -> None:
    with contextlib.ExitStack() as stack:
        _info(target, stack)


def _create(pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest, target: request.IteratorTarget) -> Made:
    with contextlib.ExitStack() as stack:
        info = _info(target, stack)
        tail = b""
        if any(info):
            told = ctypes.create_string_buffer(info, len(info))
            tail = abi.TAIL_ITERATOR.pack(ctypes.addressof(told), len(told))
        try:
            return sys.link_create(program, 0, candidate.attach_type, 0, tail), None
        except OSError as refusal:
            raise _refused(target, refusal) from refusal


def _info(target: request.IteratorTarget, stack: contextlib.ExitStack) -> bytes:
    """``union bpf_iter_link_info``; its descriptors are closed with ``stack``. The kernel takes any process number."""
    if target.pid is not None:
        _process("process", target.pid)
    if target.tid is not None:
        _process("thread", target.tid)
    if target.map is not None:
        return abi.ITERATOR_INFO.pack(stack.enter_context(sys.held(_map(target.map))), 0, 0)
    if target.order:
        fd = 0 if target.cgroup is None else stack.enter_context(sys.held(group.open_(target.cgroup)))
        return abi.ITERATOR_INFO.pack(target.order, fd, 0)
    return abi.ITERATOR_INFO.pack(target.tid or 0, target.pid or 0, 0)


def _map(ref: str) -> int:
    """A descriptor of the map with an id, or at a pin."""
    try:
        return sys.fd_by_id(abi.MAP_GET_FD_BY_ID, int(ref)) if ref.isdigit() else sys.obj_get(ref)
    except (OSError, OverflowError) as refusal:
        if isinstance(refusal, OverflowError) or refusal.errno in (errno.ENOENT, errno.EINVAL):
            where = f"with id {ref}" if ref.isdigit() else f"at {ref}"
            raise errors.NotFound(f"no map {where}", do="see 'skep map list --all'", errno=errno.ENOENT) from refusal
        raise refused.general(f"cannot open the map {ref}", refusal) from refusal


def _process(what: str, pid: int) -> None:
    if not os.path.exists(f"/proc/{pid}"):
        raise errors.NotFound(f"no {what} {pid}", errno=errno.ESRCH, do="see `ps -eL`")


def _refused(target: request.IteratorTarget, refusal: OSError) -> errors.SkepError:
    code = refusal.errno or 0
    what = f"cannot attach to the iterator {target}"
    match code:
        case errno.ESRCH:
            return errors.NotFound(what, why=f"no process {target.pid or target.tid}", do="see `ps -eL`", errno=code)
        case errno.EBADF if target.map is None:
            return errors.InvalidRequest(
                what, why="it goes through one map's elements, and none is named", do="name it with --map"
            )
        case errno.EINVAL | errno.EBADF if target.map is not None:
            return errors.InvalidRequest(
                what,
                why=f"{refused.explain(code)}: it does not fit the map {target.map} (another kind of map, per CPU or "
                "not, keys or values larger than the program's)",
                do="name a map that the program was written for",
            )
        case errno.EACCES if target.map is not None:
            return errors.InvalidRequest(
                what,
                why=f"the program reads beyond the keys or values of the map {target.map}",
                do="name a map that the program was written for",
            )
        case errno.EINVAL | errno.E2BIG if target.order or target.pid is not None or target.tid is not None:
            return errors.Unsupported(
                what,
                feature="iterators with parameters",
                first="6.1",
                why=refused.explain(code),
                do="leave cgroup, order, pid and tid out",
                errno=code,
            )
    return refused.general(what, refusal, feature="iterators", first="5.8")


PLACE: Final = Place(check=_check, create=_create)
