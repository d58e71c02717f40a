"""System calls, one function each: arguments in, the kernel's answer out, ``OSError`` with its errno kept.

Raw through ``syscall(2)``: glibc has no wrapper for most, and its setgroups changes every thread where these change the
calling one only. Nothing here decides or explains; ``refused`` turns errors into words.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Callable
from sys import byteorder
from typing import Final

from skep.kernel import abi

Buffer = ctypes.Array[ctypes.c_char]
"""Memory that the kernel may write to."""

_libc: Final = ctypes.CDLL(None, use_errno=True)
_numbers: Final = abi.SYSCALLS.get(platform.machine(), {})


def syscall(name: str, *types: type[ctypes._CDataType]) -> Callable[..., int]:
    """A function for one system call, by its name in ``abi.SYSCALLS``; ``mounting`` has some of its own.

    Each gets its own foreign function: argument types are a property of it.
    """
    function = _libc["syscall"]
    function.restype = ctypes.c_long
    function.argtypes = [ctypes.c_long, *types]
    number = _numbers.get(name, -1)  # an unknown machine answers ENOSYS

    def call(*arguments: object) -> int:
        result: int = function(number, *arguments)
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return result

    return call


_int, _long, _pointer, _size = ctypes.c_int, ctypes.c_long, ctypes.c_void_p, ctypes.c_size_t
_bpf = syscall("bpf", _long, _pointer, _size)
_perf_event_open = syscall("perf_event_open", _pointer, _int, _int, _int, ctypes.c_ulong)
_setns = syscall("setns", _int, _int)
_unshare = syscall("unshare", _long)
_setfsuid = syscall("setfsuid", ctypes.c_uint)
_setfsgid = syscall("setfsgid", ctypes.c_uint)
_setgroups = syscall("setgroups", _long, _pointer)
_capget = syscall("capget", _pointer, _pointer)
_capset = syscall("capset", _pointer, _pointer)
_membarrier = syscall("membarrier", _int, ctypes.c_uint, _int)
_openat2 = syscall("openat2", _int, ctypes.c_char_p, _pointer, _size)
_pidfd_getfd = syscall("pidfd_getfd", _int, _int, ctypes.c_uint)


# ---------------------------------------------------------------- descriptors


class held:  # in small letters, like the context managers of contextlib
    """Close ``fd`` when the block ends. A generator would cost more than the two system calls around it."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *failure: object) -> None:
        os.close(self._fd)


# ---------------------------------------------------------------- bpf(2)


def bpf(command: int, attr: Buffer | bytes) -> int:
    """bpf(2). ``attr`` is a ``Buffer`` for commands that write back, else bytes."""
    return _bpf(command, attr, len(attr))


def map_create(
    type_: int, key: int, value: int, entries: int, *, flags: int = 0, inner: int = 0, name: str = ""
) -> int:
    """Make a map; sizes in bytes. ``inner`` is the template of a map of maps."""
    return bpf(abi.MAP_CREATE, abi.ATTR_MAP_CREATE.pack(type_, key, value, entries, flags, inner, 0, object_name(name)))


def map_lookup(fd: int, key: bytes, value: Buffer) -> None:
    """Copy the value at ``key`` into ``value``, which is as large as the kernel writes (per-CPU: of every CPU)."""
    at = ctypes.create_string_buffer(key, len(key))
    place = ctypes.addressof(at) if key else 0  # a queue's next element, a bloom filter's question
    bpf(abi.MAP_LOOKUP_ELEM, abi.ATTR_MAP_ELEM.pack(fd, place, ctypes.addressof(value), 0))


def map_update(fd: int, key: bytes, value: bytes, flags: int = 0) -> None:
    """Write one element; without a key push it. ``flags``: BPF_ANY, BPF_NOEXIST or BPF_EXIST."""
    at, data = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value))
    place = ctypes.addressof(at) if key else 0
    bpf(abi.MAP_UPDATE_ELEM, abi.ATTR_MAP_ELEM.pack(fd, place, ctypes.addressof(data), flags))


def map_delete(fd: int, key: bytes) -> None:
    """Remove one element. ENOENT when it is not there."""
    at = ctypes.create_string_buffer(key, len(key))
    bpf(abi.MAP_DELETE_ELEM, abi.ATTR_MAP_ELEM.pack(fd, ctypes.addressof(at), 0, 0))


def map_pop(fd: int, value: Buffer) -> None:
    """Take the next element of a queue or stack into ``value``. ENOENT when it is empty."""
    bpf(abi.MAP_LOOKUP_AND_DELETE_ELEM, abi.ATTR_MAP_ELEM.pack(fd, 0, ctypes.addressof(value), 0))


def map_next_key(fd: int, key: bytes | None, following: Buffer) -> None:
    """Copy the key after ``key`` into ``following``: the first for None and for one that is gone. ENOENT: no more."""
    at = ctypes.create_string_buffer(key or b"", max(len(key or b""), 1))
    place = 0 if key is None else ctypes.addressof(at)
    bpf(abi.MAP_GET_NEXT_KEY, abi.ATTR_MAP_ELEM.pack(fd, place, ctypes.addressof(following), 0))


def map_lookup_batch(
    fd: int, after: bytes, room: int, keys: Buffer, values: Buffer, token: int
) -> tuple[int, bytes, bool]:
    """Copy up to ``room`` elements: how many there were, where to go on (for ``after``) and whether that was the end.

    ``token``: bytes that the place to go on may take: the key's size, and at least 4.

    ENOSPC: more room is needed. ENOTSUPP: this type has no batches.
    """
    place = ctypes.create_string_buffer(after, token) if after else None
    following = ctypes.create_string_buffer(token)
    attr = ctypes.create_string_buffer(
        abi.ATTR_MAP_BATCH.pack(
            0 if place is None else ctypes.addressof(place), ctypes.addressof(following), ctypes.addressof(keys),
            ctypes.addressof(values), room, fd, 0, 0,
        ),
        abi.ATTR_MAP_BATCH.size,
    )  # fmt: skip
    ended = False
    try:
        bpf(abi.MAP_LOOKUP_BATCH, attr)
    except OSError as refused:
        if refused.errno != errno.ENOENT:
            raise
        ended = True
    count: int = ctypes.c_uint32.from_buffer(attr, abi.MAP_BATCH_COUNT_AT).value
    return count, following.raw, ended


def prog_load(attr: Buffer) -> int:
    """Load a program. The verifier answers EAGAIN when a signal interrupts it; libbpf tries five times, so do we."""
    for _ in range(5):
        try:
            return bpf(abi.PROG_LOAD, attr)
        except OSError as refused:
            if refused.errno != errno.EAGAIN:
                raise
    return bpf(abi.PROG_LOAD, attr)


def obj_pin(path: str, fd: int) -> None:
    """Pin a program, map or link. EEXIST when the path is there, EPERM for a dot in the name or outside bpffs."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    bpf(abi.OBJ_PIN, abi.ATTR_OBJ.pack(ctypes.addressof(name), fd, 0))


def obj_get(path: str) -> int:
    """A new descriptor of what is pinned at ``path``."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    return bpf(abi.OBJ_GET, abi.ATTR_OBJ.pack(ctypes.addressof(name), 0, 0))


def fd_by_id(command: int, id_: int) -> int:
    """A new descriptor of the program, map, link or BTF with an id (CAP_SYS_ADMIN). ENOENT when it is gone."""
    return bpf(command, abi.ATTR_ID.pack(id_, 0, 0))


def info(fd: int, into: Buffer) -> None:
    """Fill ``into`` with a ``struct bpf_*_info``; pointers that the kernel shall follow are set in it beforehand."""
    attr = ctypes.create_string_buffer(abi.ATTR_INFO.size)
    abi.ATTR_INFO.pack_into(attr, 0, fd, len(into), ctypes.addressof(into))
    bpf(abi.OBJ_GET_INFO_BY_FD, attr)


def prog_attach(target: int, program: int, attach_type: int) -> None:
    """Give a target, by its descriptor, a program without a link; what it has is replaced."""
    bpf(abi.PROG_ATTACH, abi.ATTR_PROG_ATTACH.pack(target, program, attach_type, 0))


def prog_detach(target: int, program: int, attach_type: int) -> None:
    """Take a program away that was attached without a link. ``ENOENT``: it is not there."""
    bpf(abi.PROG_DETACH, abi.ATTR_PROG_ATTACH.pack(target, program, attach_type, 0))


def prog_query(ifindex: int, attach_type: int, room: int = 64, *, linked: bool = True) -> tuple[list[int], list[int]]:
    """Program ids and link ids on an ordered hook of an interface in the calling thread's network namespace.

    Or on any target by its descriptor; not ``linked``: of one that knows no links.
    """
    while True:
        programs, links = (ctypes.c_uint32 * room)(), (ctypes.c_uint32 * room)()
        attr = ctypes.create_string_buffer(abi.ATTR_PROG_QUERY.size)
        abi.ATTR_PROG_QUERY.pack_into(
            attr,
            0,
            ifindex,
            attach_type,
            0,
            0,
            ctypes.addressof(programs),
            room,
            0,
            ctypes.addressof(links) if linked else 0,
            0,
            0,
        )
        try:
            bpf(abi.PROG_QUERY, attr)
        except OSError as refused:
            if refused.errno != errno.ENOSPC:
                raise
            room *= 4
            continue
        count = abi.ATTR_PROG_QUERY.unpack_from(attr, 0)[5]
        return list(programs[:count]), list(links[:count])


def btf_load(blob: bytes) -> int:
    """Load BTF; the descriptor is needed until the programs that use it are loaded."""
    data = ctypes.create_string_buffer(blob, len(blob))
    attr = ctypes.create_string_buffer(abi.ATTR_BTF_LOAD.size)
    abi.ATTR_BTF_LOAD.pack_into(attr, 0, ctypes.addressof(data), 0, len(blob), 0, 0, 0)
    return bpf(abi.BTF_LOAD, attr)


def link_create(program: int, target: int, attach_type: int, flags: int, tail: bytes = b"") -> int:
    """Attach a program; ``target`` is an fd or an ifindex, ``tail`` what the attach type appends."""
    return bpf(abi.LINK_CREATE, abi.ATTR_LINK_CREATE.pack(program, target & 0xFFFFFFFF, attach_type, flags) + tail)


def raw_tracepoint_open(program: int, name: bytes = b"") -> int:
    """A link to a raw tracepoint, or without a name to what the program was loaded for (fentry, LSM …)."""
    text = ctypes.create_string_buffer(name)
    at = ctypes.addressof(text) if name else 0
    return bpf(abi.RAW_TRACEPOINT_OPEN, abi.ATTR_RAW_TRACEPOINT_OPEN.pack(at, program))


def link_update(link: int, program: int, old: int | None) -> None:
    """Change a link's program atomically; with ``old`` only if it runs that one (else EPERM)."""
    flags = 0 if old is None else abi.F_REPLACE
    bpf(abi.LINK_UPDATE, abi.ATTR_LINK_UPDATE.pack(link, program, flags, old or 0))


def link_detach(link: int) -> None:
    """BPF_LINK_DETACH: end the attachment though the link object lives on. EOPNOTSUPP for types that cannot."""
    bpf(abi.LINK_DETACH, struct.pack("=I", link))


def object_name(name: str) -> bytes:
    """A name as BPF commands take it: at most 15 bytes of letters, digits, '_' and '.'; others become '_'."""
    allowed = "".join(c if c.isascii() and (c.isalnum() or c in "_.") else "_" for c in name)
    return allowed.encode()[: abi.OBJ_NAME_LEN - 1]


# ---------------------------------------------------------------- perf, namespaces, rights of one thread


def perf_event_open(attr: bytes, pid: int, cpu: int) -> int:
    """An event for one process (-1: all) on one CPU (-1: all; not both)."""
    return _perf_event_open(ctypes.create_string_buffer(attr, len(attr)), pid, cpu, -1, abi.PERF_FLAG_FD_CLOEXEC)


def setns(fd: int, kind: int) -> None:
    """Move the *calling thread* into the namespace ``fd`` of ``kind`` (CLONE_NEW…)."""
    _setns(fd, kind)


def unshare(flags: int) -> None:
    """Stop sharing what ``flags`` (CLONE_…) say with the other threads."""
    _unshare(flags)


def act_as(uid: int, gid: int, groups: tuple[int, ...]) -> None:
    """Give the *calling thread* the file access of somebody else, for the rest of its life.

    Capabilities go too (unless ``uid`` is 0): a change of fsuid drops CAP_DAC_OVERRIDE only when it comes from 0.
    """
    numbers = (ctypes.c_uint32 * len(groups))(*groups)
    _setgroups(len(groups), ctypes.addressof(numbers))
    for change, wanted in ((_setfsgid, gid), (_setfsuid, uid)):
        change(wanted)
        if change(wanted) & 0xFFFFFFFF != wanted:  # they return the former value, never an error
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
    if uid != 0:
        header = ctypes.create_string_buffer(struct.pack("=Ii", abi.CAPABILITY_VERSION_3, 0), 8)
        sets = ctypes.create_string_buffer(24)
        _capget(header, sets)
        low, high = struct.unpack_from("=III", sets, 0), struct.unpack_from("=III", sets, 12)
        struct.pack_into("=IIIIII", sets, 0, 0, *low[1:], 0, *high[1:])
        _capset(header, sets)


def keep_capabilities(mask: int) -> None:
    """Leave the *calling thread* these capabilities (a bit each), permitted and effective. EPERM for one it lacks."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", abi.CAPABILITY_VERSION_3, 0), 8)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    _capset(header, ctypes.create_string_buffer(struct.pack("=IIIIII", low, low, 0, high, high, 0), 24))


def membarrier(command: int) -> int:
    """membarrier(2)."""
    return _membarrier(command, 0, 0)


def open_without_magic(path: str, flags: int) -> int:
    """openat2(2) that follows no magic link such as /proc/<pid>/fd/<n>; ELOOP when it meets one (Linux 5.6)."""
    how = ctypes.create_string_buffer(struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, abi.RESOLVE_NO_MAGICLINKS), 24)
    return _openat2(-100, os.fsencode(path), how, 24)  # AT_FDCWD


def open_below(directory: int, path: str, flags: int, resolve: int = abi.RESOLVE_IN_ROOT) -> int:
    """openat2(2) with ``directory`` as the root of ``path`` and of every link; no magic links (Linux 5.6).

    ``resolve``: RESOLVE_… in place of that. EAGAIN, which a rename elsewhere may cause, is tried again.
    """
    how = ctypes.create_string_buffer(
        struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, resolve | abi.RESOLVE_NO_MAGICLINKS), 24
    )
    for _ in range(16):
        try:
            return _openat2(directory, os.fsencode(path), how, 24)
        except OSError as refused:
            if refused.errno != errno.EAGAIN:
                raise
    return _openat2(directory, os.fsencode(path), how, 24)


_fstatfs = _libc["fstatfs"]
_fstatfs.argtypes = [_int, _pointer]


def filesystem_type(fd: int) -> int:
    """``f_type`` of fstatfs(2), a number of linux/magic.h."""
    into = ctypes.create_string_buffer(256)
    if _fstatfs(fd, into) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    kind: int = ctypes.c_long.from_buffer(into).value
    return kind


# ---------------------------------------------------------------- sockets of other processes


def pidfd_getfd(process: int, fd: int) -> int:
    """A descriptor of our own for descriptor ``fd`` of the process behind a pidfd (Linux 5.6; PTRACE_MODE_ATTACH)."""
    return _pidfd_getfd(process, fd, 0)


_getsockopt, _setsockopt = _libc["getsockopt"], _libc["setsockopt"]
_getsockopt.argtypes = [_int, _int, _int, _pointer, _pointer]
_setsockopt.argtypes = [_int, _int, _int, _pointer, ctypes.c_uint]


def _checked(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def set_socket_option(fd: int, option: int, value: int) -> None:
    """setsockopt(2) of a number at level SOL_SOCKET."""
    number = ctypes.c_int(value)
    _checked(_setsockopt(fd, abi.SOL_SOCKET, option, ctypes.addressof(number), ctypes.sizeof(number)))


def socket_bytes(fd: int, option: int, size: int) -> bytes:
    """getsockopt(2) of ``size`` bytes at level SOL_SOCKET."""
    into, length = ctypes.create_string_buffer(size), ctypes.c_uint(size)
    _checked(_getsockopt(fd, abi.SOL_SOCKET, option, into, ctypes.addressof(length)))
    return into.raw


def socket_option(fd: int, option: int) -> int:
    """getsockopt(2) of a number."""
    return int.from_bytes(socket_bytes(fd, option, 4), byteorder=byteorder, signed=True)


def filter_length(fd: int) -> int:
    """Instructions of a socket's classic filter, 0 without one; EACCES when it is of eBPF. With room for none the
    kernel only counts: its length is in instructions, so that room for "4" would be overrun."""
    length = ctypes.c_uint(0)
    _checked(_getsockopt(fd, abi.SOL_SOCKET, abi.SO_GET_FILTER, None, ctypes.addressof(length)))
    return length.value
