"""struct_ops maps: written, registered and taken back; those without a link too, which the map itself stands for.

A map of ``.struct_ops`` is registered by being written and stays so, whoever lives, until its element is deleted. It
can be registered once in its life. Where others pin a link, it is pinned.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from typing import Final

from skep import errors, model
from skep.bytecode import kernel_types
from skep.bytecode.btf import Btf, Kind, Type
from skep.hooks import request
from skep.kernel import abi, bpffs, observe, refused, sys

_KEY: Final = bytes(4)
_IN_USE: Final = 1  # enum bpf_struct_ops_state, linux/bpf.h (since 6.9; kernel/bpf/bpf_struct_ops.c before)
_STATE_AT: Final = 4  # struct bpf_struct_ops_common_value: refcnt, state
_POINTER: Final = struct.Struct("=Q")


def write(pins: bpffs.Bpffs, fd: int, target: request.StructOpsTarget) -> None:
    """Fill the map with what the target says. A map without a link is registered with that."""
    info = observe.Maps().read(fd)
    value = bytearray(info.value_size)
    opened: list[int] = []
    try:
        for member, at, size in _places(info, target):
            if member.program is not None:
                opened.append(pins.need(member.program))
                value[at : at + size] = _POINTER.pack(opened[-1])
            else:
                value[at : at + len(member.data)] = member.data
        try:
            sys.map_update(fd, _KEY, bytes(value))
        except OSError as refusal:
            if refusal.errno == errno.EBUSY and target.linked:
                return  # written when it was registered before; only such a map may be registered again
            if refusal.errno == errno.EBUSY and _registered(fd, info):
                raise errors.AlreadyExists(
                    f"cannot register {target}",
                    why="it is registered already",
                    do="see 'skep link list'; detach that first",
                    errno=errno.EBUSY,
                ) from refusal
            raise refusal_of(target, refusal) from refusal
    finally:
        for one in opened:
            os.close(one)


def move(pins: bpffs.Bpffs, link: model.LinkPin, old: model.MapPin, target: request.StructOpsTarget) -> None:
    """Fill a map and move a link to it from the map at ``old``: nobody is without in between."""
    with sys.held(pins.need(link)) as link_fd, sys.held(pins.need(target.map)) as fd:
        write(pins, fd, target)
        with sys.held(pins.need(old)) as old_fd:
            try:
                sys.link_update(link_fd, fd, old_fd)
            except OSError as refusal:
                raise _move_refused(target, refusal) from refusal


def point(pins: bpffs.Bpffs, link: model.LinkPin, map: model.MapPin) -> None:
    """Move a link to a map that was filled before; fine when the link's pin is missing."""
    link_fd = pins.get(link)
    if link_fd is None:
        return
    with sys.held(link_fd), sys.held(pins.need(map)) as fd:
        try:
            sys.link_update(link_fd, fd, None)
        except OSError as refusal:
            raise refused.general(f"cannot move {link} back", refusal) from refusal


def read(fd: int) -> model.KernelLink:
    """A map that stands for its registration: what a link would tell. Its id is 0: the kernel has no link."""
    info = observe.Maps().read(fd)
    return model.KernelLink(
        id=model.KernelLinkId(0),
        type=abi.LINK_TYPE_STRUCT_OPS,
        program_id=model.ProgramId(0),
        attach_type=abi.STRUCT_OPS,
        detail=f"map {info.id}, without a link",
        defunct=not _registered(fd, info),
    )


def observed(pins: bpffs.Bpffs, pin: model.LinkPin) -> model.KernelLink | None:
    """The struct_ops without a link whose map is pinned there, as ``read`` tells it; None for anything else."""
    fd = pins.get(pin, "bpf-map")
    if fd is None:
        return None
    with sys.held(fd):
        return read(fd) if is_linkless(fd) else None


def is_linkless(fd: int) -> bool:
    """Whether a descriptor is of a struct_ops map without a link."""
    if not os.readlink(f"/proc/self/fd/{fd}").endswith("bpf-map"):
        return False
    info = observe.Maps().read(fd)
    return info.type == abi.MAP_TYPE_STRUCT_OPS and not info.flags & abi.F_LINK_MAP


def end(fd: int) -> None:
    """Take a registration without a link back; fine when it is not registered."""
    try:
        sys.map_delete(fd, _KEY)
    except OSError as refusal:
        # ENOENT: never registered. EINPROGRESS: taken back before.
        if refusal.errno not in (errno.ENOENT, errno.EINPROGRESS):
            raise refused.general("cannot take the struct_ops back", refusal) from refusal


def every() -> tuple[model.Registration, ...]:
    """All registrations without a link, by ascending id of their maps."""
    found = []
    for info in observe.maps():
        if info.type != abi.MAP_TYPE_STRUCT_OPS or info.flags & abi.F_LINK_MAP:
            continue
        try:
            fd = sys.fd_by_id(abi.MAP_GET_FD_BY_ID, info.id)
        except OSError as gone:
            if gone.errno == errno.ENOENT:
                continue
            raise refused.listing("maps", gone) from gone
        with sys.held(fd):
            if _registered(fd, info):
                found.append(model.Registration(map=info.id, name=info.name, programs=_programs(fd, info)))
    return tuple(found)


def end_by_id(id: model.MapId) -> None:
    """Take a registration back whose map has no pin any more; fine when it is gone."""
    try:
        fd = sys.fd_by_id(abi.MAP_GET_FD_BY_ID, id)
    except OSError as gone:
        if gone.errno == errno.ENOENT:
            return
        raise refused.listing("maps", gone) from gone
    with sys.held(fd):
        if is_linkless(fd):
            end(fd)


def _value(fd: int, info: model.KernelMap) -> bytes:
    value = ctypes.create_string_buffer(info.value_size)
    try:
        sys.map_lookup(fd, _KEY, value)
    except OSError as refusal:
        raise refused.general(f"cannot read the struct_ops map {info.id}", refusal) from refusal
    return value.raw


def _registered(fd: int, info: model.KernelMap) -> bool:
    return int.from_bytes(_value(fd, info)[_STATE_AT : _STATE_AT + 4], "little") == _IN_USE


def _programs(fd: int, info: model.KernelMap) -> tuple[model.ProgramId, ...]:
    """The programs in a map: it tells their ids where functions are."""
    types, shape, start = _inner(info, info.name)
    value = _value(fd, info)
    found = []
    for _, type_id, bit in shape.items:
        one = types.type(int(type_id))
        if one is not None and one.name == kernel_types.PROGRAM:
            (number,) = _POINTER.unpack_from(value, start + int(bit) // 8)
            if number:
                found.append(model.ProgramId(number))
    return tuple(dict.fromkeys(found))


def _places(
    info: model.KernelMap, target: request.StructOpsTarget
) -> Iterator[tuple[request.StructOpsMember, int, int]]:
    """Where in the map's value each member goes (bytes), and its size there. Unsupported: this kernel has no such
    member. Conflict: it has another size."""
    types, shape, start = _inner(info, str(target))
    there = {str(name): (int(type_id), int(bit)) for name, type_id, bit in shape.items}
    for member in target.members:
        what = f"{target.type}.{member.name}"
        if member.name not in there:
            raise errors.Unsupported(
                f"cannot register {target}",
                feature=what,
                why=f"this kernel's struct {target.type} has no member {member.name!r}",
                do="leave the member out, or use a kernel that has it",
            )
        type_id, bit = there[member.name]
        size = types.size_of(type_id)
        if size != (len(member.data) or _POINTER.size) or (shape.flag and bit >> 24):
            raise errors.Conflict(
                f"cannot register {target}",
                why=f"{what} takes {size} bytes in this kernel, not {len(member.data) or _POINTER.size}",
                do="compile the object against the headers of this kernel",
            )
        yield member, start + (bit & 0xFFFFFF) // 8, size


def _inner(info: model.KernelMap, what: str) -> tuple[Btf, Type, int]:
    """The struct in a map's value, and where it begins (bytes): behind what the kernel keeps there for itself."""
    types, whole = kernel_types.part(observe.kernel_types(), info.kernel_value_type_id)
    outer = types.type(whole)
    for name, type_id, bit in outer.items if outer is not None else ():
        shape = types.resolve(int(type_id))
        if name == "data" and shape is not None and shape.kind is Kind.STRUCT:
            return types, shape, int(bit) // 8
    raise errors.Unsupported(
        f"{what} cannot be read", feature="struct_ops of modules", first="6.9",
        why="its type is not in the kernel's own BTF", do="use one of the kernel's own structs",
    )  # fmt: skip


def _move_refused(target: request.StructOpsTarget, refusal: OSError) -> errors.SkepError:
    what, code = f"the link cannot be moved to {target}", refusal.errno or 0
    match code:
        case errno.EPERM:
            return errors.Conflict(
                what, why="it has another map than expected", do="look at it again: 'skep link list'", errno=code
            )
        case errno.EOPNOTSUPP | abi.ENOTSUPP:
            return errors.Unsupported(
                what,
                feature=f"BPF_LINK_UPDATE of {target.type}",
                first="6.4",
                why=f"{refused.explain(code)}: this kind of struct cannot be changed while it is registered",
                do="detach it and attach the other",
                errno=code,
            )
        case errno.EINVAL:
            return errors.Rejected(
                what,
                why=f"{refused.explain(code)}: only the same kind of struct, under the same name, can take its place",
                do="give it the same name, or detach this one and attach the other",
                errno=code,
            )
    return refused.general(what, refusal, feature="struct_ops links", first="6.4")


def refusal_of(target: request.StructOpsTarget, refusal: OSError) -> errors.SkepError:
    """The kernel's answer to a registration, in words."""
    what, code = f"cannot register {target}", refusal.errno or 0
    match code:
        case errno.EEXIST:
            return errors.AlreadyExists(
                what, why="the kernel has one of that name", do="detach that, or give this one another name", errno=code
            )
        case errno.EBUSY:
            return errors.Conflict(
                what,
                why="a map without a link can be registered once in its life, and this one was",
                do='load the object again, or put the table into SEC(".struct_ops.link")',
                errno=code,
            )
        case errno.EINVAL | errno.EOPNOTSUPP | abi.ENOTSUPP:
            return errors.Rejected(
                what,
                why=f"{refused.explain(code)}: the kernel does not accept what the struct holds",
                do="give it the functions and the name that this kind of struct must have",
                errno=code,
            )
    return refused.general(what, refusal, feature="struct_ops", first="5.6")
