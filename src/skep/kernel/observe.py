"""Reading what is in the kernel: programs, maps and links as values, one at a time or all of them.

Walks reuse their buffers: a thousand programs take about 10 ms. What only /proc/self/fdinfo tells (memory, frozen) is
read for single objects and left out of walks.
"""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import os
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from skep import model
from skep.bytecode.relocated import FuncInfo
from skep.kernel import abi, modules, refused, sys

_Value = TypeVar("_Value")
_TEXT: Final = 256  # bytes for a name or path that a link tells


class _Info:
    """One reusable ``bpf_*_info`` buffer and the attribute that points to it."""

    def __init__(self, size: int, head: bytes = b"") -> None:
        self._clean = head.ljust(size, b"\0")
        self.buffer = ctypes.create_string_buffer(size)
        self._attr = ctypes.create_string_buffer(abi.ATTR_INFO.size)
        self._size = size
        self._at = ctypes.addressof(self.buffer)

    def read(self, fd: int) -> sys.Buffer:
        """Ask about ``fd``. Counts that the last answer left behind would be taken for the room of null pointers."""
        self.buffer.raw = self._clean
        abi.ATTR_INFO.pack_into(self._attr, 0, fd, self._size, self._at)
        sys.bpf(abi.OBJ_GET_INFO_BY_FD, self._attr)
        return self.buffer


class Programs:
    """Reads ``bpf_prog_info``; not for several threads at once."""

    def __init__(self) -> None:
        self._maps = (ctypes.c_uint32 * abi.MAX_USED_MAPS)()
        room = abi.PROG_INFO_MAPS.pack(len(self._maps), ctypes.addressof(self._maps))
        self._info = _Info(abi.PROG_INFO_SIZE, bytes(abi.PROG_INFO_MAPS_AT) + room)

    def read(self, fd: int) -> model.KernelProgram:
        """One program, without its memory."""
        (
            type_, id_, tag, jited, xlated, loaded_at, uid, maps, name, flags, btf, _, _, _, run_time, runs, missed,
            verified,
        ) = abi.PROG_INFO.unpack_from(self._info.read(fd))  # fmt: skip
        return model.KernelProgram(
            id=id_,
            type=type_,
            name=_text(name),
            tag=tag.hex(),
            loaded_at_ns=loaded_at,
            uid=uid,
            gpl_compatible=bool(flags & 1),
            map_ids=tuple(map(model.MapId, self._maps[:maps])),
            btf_id=btf,
            xlated_bytes=xlated,
            jited_bytes=jited,
            verified_insns=verified,
            run_count=runs,
            run_time_ns=run_time,
            recursion_misses=missed,
        )


class Maps:
    """Reads ``bpf_map_info``; not for several threads at once."""

    def __init__(self) -> None:
        self._info = _Info(abi.MAP_INFO_SIZE)

    def read(self, fd: int) -> model.KernelMap:
        """One map, without its memory and whether it is frozen."""
        type_, id_, key, value, entries, flags, name, kernel_type, btf, key_type, value_type, extra = (
            abi.MAP_INFO.unpack_from(self._info.read(fd))
        )
        return model.KernelMap(
            id=id_,
            type=type_,
            name=_text(name),
            key_size=key,
            value_size=value,
            max_entries=entries,
            flags=flags,
            btf_id=btf,
            map_extra=extra,
            key_type_id=key_type,
            value_type_id=value_type,
            kernel_value_type_id=kernel_type,
        )


class Links:
    """Reads ``bpf_link_info``; not for several threads at once."""

    def __init__(self) -> None:
        self._info = _Info(abi.LINK_INFO_SIZE)
        self._name = ctypes.create_string_buffer(_TEXT)
        # struct perf_event in bpf_link_info: all of its kinds begin with a name and its room (Linux 6.6).
        head = bytes(24) + abi.TAIL_PERF_EVENT.pack(ctypes.addressof(self._name)) + _TEXT.to_bytes(4, "little")
        self._named = _Info(abi.LINK_INFO_SIZE, head)

    def read(self, fd: int) -> model.KernelLink:
        """One link with where it is attached."""
        type_, id_, program, *words, _ = abi.LINK_INFO.unpack_from(self._info.read(fd))
        ifindex, attach_type, detail, defunct = 0, 0, "", False
        match type_:
            case abi.LINK_TYPE_XDP:
                ifindex, attach_type = words[0], abi.XDP
            case abi.LINK_TYPE_TCX | abi.LINK_TYPE_NETKIT:
                ifindex, attach_type = words[0], words[1]
            case abi.LINK_TYPE_TRACING:
                attach_type = words[0]
                if not attach_type and words[1]:  # an extension: target_obj_id is a program's
                    detail = f"program {words[1]}"
            case abi.LINK_TYPE_NETNS:
                attach_type, defunct = words[1], not words[0]
                detail = f"network namespace {words[0]}" if words[0] else ""
            case abi.LINK_TYPE_SOCKMAP:
                attach_type, defunct = words[1], not words[0]
                detail = f"map {words[0]}" if words[0] else ""
            case abi.LINK_TYPE_CGROUP:
                attach_type, defunct = words[2], not (words[0] or words[1])
                detail = f"cgroup {words[0] | words[1] << 32}" if not defunct else ""
            case abi.LINK_TYPE_STRUCT_OPS:
                attach_type, defunct = abi.STRUCT_OPS, not words[0]
                detail = f"map {words[0]}" if words[0] else ""
            case abi.LINK_TYPE_NETFILTER:
                attach_type = abi.NETFILTER
            case abi.LINK_TYPE_KPROBE_MULTI:
                attach_type = abi.TRACE_KPROBE_MULTI
                detail = f"{words[2]} functions" if words[2] else ""  # told since 6.6
            case abi.LINK_TYPE_UPROBE_MULTI:
                count = int.from_bytes(self._info.buffer.raw[abi.LINK_INFO_UPROBE_COUNT_AT :][:4], "little")
                attach_type, detail = abi.TRACE_UPROBE_MULTI, f"{count} places" if count else ""
            case abi.LINK_TYPE_PERF_EVENT:
                attach_type, (detail, defunct) = abi.PERF_EVENT, self._perf_detail(fd)
        return model.KernelLink(
            id=id_,
            type=type_,
            program_id=program,
            attach_type=attach_type,
            ifindex=model.IfIndex(ifindex),
            detail=detail,
            defunct=defunct,
        )

    def _perf_detail(self, fd: int) -> tuple[str, bool]:
        """What the event is, and whether it can never happen again."""
        self._name.raw = bytes(_TEXT)
        try:
            words = abi.LINK_INFO.unpack_from(self._named.read(fd))[3:]
        except OSError:
            return "", False  # before 6.6, or an event of a kind that tells no name
        kind, offset, address = words[0], words[5], words[6]
        name = self._name.value.decode(errors="replace")
        match kind:
            case abi.PERF_UPROBE | abi.PERF_URETPROBE:
                return f"{name}+{offset:#x}", False
            case abi.PERF_KPROBE | abi.PERF_KRETPROBE:
                return (f"{name}+{offset:#x}" if offset else name), modules.is_unloaded(address)
            case _:
                return name, False


def ids(command: int) -> Iterator[int]:
    """Every id of one kind, ascending (CAP_SYS_ADMIN)."""
    attr = ctypes.create_string_buffer(abi.ATTR_ID.size)
    id_ = 0
    while True:
        abi.ATTR_ID.pack_into(attr, 0, id_, 0, 0)
        try:
            sys.bpf(command, attr)
        except OSError as refusal:
            if refusal.errno == errno.ENOENT:
                return
            raise
        id_ = abi.ATTR_ID.unpack_from(attr)[1]
        yield id_


def programs() -> tuple[model.KernelProgram, ...]:
    """Every program, by ascending id."""
    return _all("programs", abi.PROG_GET_NEXT_ID, abi.PROG_GET_FD_BY_ID, Programs().read)


def maps() -> tuple[model.KernelMap, ...]:
    """Every map, by ascending id."""
    return _all("maps", abi.MAP_GET_NEXT_ID, abi.MAP_GET_FD_BY_ID, Maps().read)


def links() -> tuple[model.KernelLink, ...]:
    """Every link, by ascending id."""
    return _all("links", abi.LINK_GET_NEXT_ID, abi.LINK_GET_FD_BY_ID, Links().read)


def program_by_id(id_: model.ProgramId) -> model.KernelProgram | None:
    """One program, None when there is none."""
    try:
        fd = sys.fd_by_id(abi.PROG_GET_FD_BY_ID, id_)
    except OSError as refusal:
        if refusal.errno == errno.ENOENT:
            return None
        raise refused.listing("programs", refusal) from refusal
    with sys.held(fd):
        return program(fd)


def program(fd: int) -> model.KernelProgram:
    """One program with its memory."""
    return dataclasses.replace(Programs().read(fd), memlock_bytes=_fdinfo(fd).get("memlock", 0))


def map_by_id(id_: model.MapId) -> model.KernelMap | None:
    """One map, None when there is none."""
    try:
        fd = sys.fd_by_id(abi.MAP_GET_FD_BY_ID, id_)
    except OSError as refusal:
        if refusal.errno == errno.ENOENT:
            return None
        raise refused.listing("maps", refusal) from refusal
    with sys.held(fd):
        return map_(fd)


def map_(fd: int) -> model.KernelMap:
    """One map with its memory and whether it is frozen."""
    more = _fdinfo(fd)
    return dataclasses.replace(
        Maps().read(fd), memlock_bytes=more.get("memlock", 0), frozen=bool(more.get("frozen", 0))
    )


def link(fd: int) -> model.KernelLink:
    """One link."""
    return Links().read(fd)


def memory(fd: int) -> int:
    """Bytes that the program or map behind a descriptor is charged for."""
    return _fdinfo(fd).get("memlock", 0)


def each(next_id: int, by_id: int) -> Iterator[int]:
    """A descriptor of each object of one kind, by ascending id, open until the next one is asked for."""
    for id_ in ids(next_id):
        try:
            fd = sys.fd_by_id(by_id, id_)
        except OSError as refusal:
            # Gone since; or a link that has its number and is not attached yet (EAGAIN, bpf_link_by_id in
            # kernel/bpf/syscall.c): it exists for nobody until it is.
            if refusal.errno in (errno.ENOENT, errno.EAGAIN):
                continue
            raise
        with sys.held(fd):
            yield fd


def functions(fd: int) -> tuple[FuncInfo, ...]:
    """A program's subprograms: where each begins in the *translated* code and its BTF type, in order."""
    first = _Info(abi.PROG_INFO_SIZE).read(fd)
    size, _, count = abi.PROG_INFO_FUNCS.unpack_from(first, abi.PROG_INFO_FUNCS_AT)
    if not size or not count:
        return ()
    records = ctypes.create_string_buffer(size * count)
    head = bytes(abi.PROG_INFO_FUNCS_AT) + abi.PROG_INFO_FUNCS.pack(size, ctypes.addressof(records), count)
    second = _Info(abi.PROG_INFO_SIZE, head).read(fd)
    count = min(count, abi.PROG_INFO_FUNCS.unpack_from(second, abi.PROG_INFO_FUNCS_AT)[2])
    return tuple(FuncInfo(*abi.FUNC_INFO.unpack_from(records, at * size)) for at in range(count))


def btf(id_: int) -> bytes:
    """The bytes of BTF by id; b"" for id 0."""
    if not id_:
        return b""
    with sys.held(sys.fd_by_id(abi.BTF_GET_FD_BY_ID, id_)) as fd:
        size = abi.BTF_INFO.unpack_from(_Info(abi.BTF_INFO.size).read(fd))[1]
        data = ctypes.create_string_buffer(size)
        _Info(abi.BTF_INFO.size, abi.BTF_INFO.pack(ctypes.addressof(data), size, 0, 0, 0, 0)).read(fd)
        return data.raw


def kernel_types() -> bytes:
    """The kernel's own BTF. ``Unsupported`` when it was built without."""
    try:
        with open("/sys/kernel/btf/vmlinux", "rb") as file:
            return file.read()
    except OSError as missing:
        raise refused.unsupported_btf(missing) from missing


def _all(what: str, next_id: int, by_id: int, read: Callable[[int], _Value]) -> tuple[_Value, ...]:
    found: list[_Value] = []
    try:
        found.extend(map(read, each(next_id, by_id)))
    except OSError as refusal:
        raise refused.listing(what, refusal) from refusal
    return tuple(found)


def _fdinfo(fd: int) -> dict[str, int]:
    """The decimal fields of /proc/self/fdinfo."""
    found: dict[str, int] = {}
    # Not open(): its text layer costs more than the kernel's answer.
    with sys.held(os.open(f"/proc/self/fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC)) as info:
        text = os.read(info, 4096)
    for line in text.splitlines():
        name, _, value = line.partition(b":")
        if value.strip().isdigit():
            found[name.decode(errors="replace")] = int(value)
    return found


def _text(padded: bytes) -> str:
    return padded.partition(b"\0")[0].decode(errors="replace")
