"""What maps hold: reading, listing by pages, writing and removing elements. Descriptors live as long as one call."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from typing import Final

from skep import errors, model
from skep.kernel import abi, cpus, netns, observe, refused, sys
from skep.kernel.door import Elements
from skep.values import kinds

PAGE_BYTES: Final = 1 << 20
"""About as much as one page of elements holds."""
_PAGE_ELEMENTS: Final = 4096
_NUMBER: Final = struct.Struct("=I")
_REDIRECTING: Final = (abi.MAP_TYPE_DEVMAP, abi.MAP_TYPE_DEVMAP_HASH, abi.MAP_TYPE_CPUMAP)
_BY_BATCH, _BY_KEY = b"b", b"k"  # first byte of a token: how the page before was read


def at(caller: model.Caller, path: str) -> model.MapId:
    """The map that is pinned at a path, which is opened with the caller's rights. NotFound, Denied, InvalidRequest."""

    def read() -> model.MapId:
        if caller.origin != "direct":  # whoever runs this very process already has the rights that it has
            sys.act_as(caller.uid, caller.gid, caller.groups)
        with sys.held(sys.obj_get(path)) as fd:
            kind = os.readlink(f"/proc/self/fd/{fd}").rpartition(":")[2]
            if kind != "bpf-map":
                raise errors.InvalidRequest(
                    f"{path} is not a map", why=f"it is a {kind.replace('bpf-', '')}", do="name a map's pin"
                )
            return observe.Maps().read(fd).id

    if not path.startswith("/") or "\0" in path:
        raise errors.InvalidRequest(f"{path!r} is not a pin", why="it is not an absolute path", do="begin it with /")
    try:
        return netns.elsewhere(read)
    except OSError as refusal:
        code = refusal.errno or 0
        what = f"no map at {path}"
        if code in (errno.EACCES, errno.EPERM):
            why = f"{refused.explain(code)} for {caller}, or it is not a pin"
            raise errors.Denied(
                f"cannot open the map at {path}", why=why, do="look at the permissions of the pin", errno=code
            ) from refusal
        if code == errno.EINVAL:
            raise errors.InvalidRequest(
                what, why="it is not in a BPF file system", do="name a pin below /sys/fs/bpf", errno=code
            ) from refusal
        raise refused.general(what, refusal) from refusal


def page(id_: model.MapId, after: bytes, limit: int) -> tuple[Elements, bytes]:
    """Some elements and where to go on, b"" at the end. ``after`` is b"" or what the page before gave."""
    with _opened(id_, abi.F_RDONLY) as (fd, seen):
        count = max(1, min(limit, _PAGE_ELEMENTS, PAGE_BYTES // max(seen.key_size + _room(seen), 1)))
        if after[:1] != _BY_KEY:
            try:
                return _batch(fd, seen, after[1:], count)
            except OSError as refusal:
                if after or refusal.errno not in (abi.ENOTSUPP, errno.EINVAL, errno.EOPNOTSUPP):
                    raise
        return _walk(fd, seen, after[1:], count)


def lookup(id_: model.MapId, key: bytes, value: bytes) -> tuple[bytes, ...] | None:
    """The values at a key, None when it is not there. Without a key: the next element of a queue or stack, or
    whether a bloom filter may hold ``value``."""
    with _opened(id_, abi.F_RDONLY) as (fd, seen):
        return _look(fd, seen, key, value)


def update(id_: model.MapId, key: bytes, values: tuple[bytes, ...], flags: int) -> None:
    """Write one element; ``values`` is one, or one for each possible CPU. What names a map or program is its id here
    and a descriptor for the kernel: a number that a caller gives never becomes a descriptor of ours."""
    with _opened(id_) as (fd, seen), contextlib.ExitStack() as stack:
        value = b"".join(one.ljust(_step(seen), b"\0") for one in values) if _per_cpu(seen) else values[0]
        refers = kinds.kind(seen.type).refers
        if refers is not kinds.Refers.NOTHING:
            value = _descriptor(refers, value, stack)
        elif seen.type in _REDIRECTING and seen.value_size == 8:
            # struct bpf_devmap_val and bpf_cpumap_val: a number and the program that runs there, 0 for none.
            program = value[4:] if value[4:] == bytes(4) else _descriptor(kinds.Refers.PROGRAM, value[4:], stack)
            value = value[:4] + program
        sys.map_update(fd, key, value, flags)


def _descriptor(refers: kinds.Refers, id_: bytes, stack: contextlib.ExitStack) -> bytes:
    """A descriptor of the map or program whose id these 4 bytes are, as 4 bytes."""
    command = abi.MAP_GET_FD_BY_ID if refers is kinds.Refers.MAP else abi.PROG_GET_FD_BY_ID
    (target,) = _NUMBER.unpack(id_)
    try:
        return _NUMBER.pack(stack.enter_context(sys.held(sys.fd_by_id(command, target))))
    except OSError as refusal:
        why = refused.explain(refusal.errno or 0)
        raise errors.NotFound(
            f"no {refers.value} {target}",
            why=why,
            do="list what there is with 'skep map list'",
            errno=refusal.errno or 0,
        ) from refusal


def delete(id_: model.MapId, key: bytes) -> bytes | None:
    """Remove one element; without a key take the next of a queue or stack and give it."""
    with _opened(id_) as (fd, seen):
        if key:
            sys.map_delete(fd, key)
            return None
        value = ctypes.create_string_buffer(seen.value_size)
        sys.map_pop(fd, value)
        return value.raw


@contextlib.contextmanager
def _opened(id_: model.MapId, flags: int = 0) -> Iterator[tuple[int, model.KernelMap]]:
    """A descriptor of a map, and what it is; the kernel's refusals in words."""
    try:
        fd = sys.bpf(abi.MAP_GET_FD_BY_ID, abi.ATTR_ID.pack(id_, 0, flags))
    except OSError as refusal:
        raise refused.general(f"no map {id_}", refusal) from refusal
    with sys.held(fd):
        seen = observe.Maps().read(fd)
        try:
            yield fd, seen
        except OSError as refusal:
            raise explained(seen, refusal) from refusal


def explained(seen: model.KernelMap, refusal: OSError) -> errors.SkepError:
    """Why the kernel would not read or write an element."""
    code = refusal.errno or 0
    name = f"map {seen.id} ({seen.name})"
    match code:
        case errno.ENOENT:
            empty = not seen.key_size
            return errors.NotFound(
                f"{name} is empty" if empty else f"no such key in {name}",
                do="see what is there with 'skep map dump'",
                errno=code,
            )
        case errno.EEXIST:
            return errors.AlreadyExists(
                f"the key is in {name} already", do="allow existing keys, or choose another", errno=code
            )
        case errno.E2BIG if not kinds.kind(seen.type).indexed:
            return errors.Exhausted(
                f"{name} is full", why=f"it holds {seen.max_entries} elements at most", do="delete some", errno=code
            )
        case errno.E2BIG:
            return errors.InvalidRequest(
                f"{name} has no such index",
                why=f"its keys are 0 to {seen.max_entries - 1}",
                do="give one of those",
                errno=code,
            )
        case errno.EPERM:
            return errors.Denied(
                f"{name} cannot be written",
                why="EPERM: it is frozen, read-only for user space, or beyond skep's capabilities",
                do="see 'skep map get'",
                errno=code,
            )
        case errno.EOPNOTSUPP | abi.ENOTSUPP:
            return errors.Unsupported(
                f"{name} cannot be read or written like this",
                feature=f"this access to a {kinds.kind(seen.type).name}",
                why=refused.explain(code),
                do="see docs/maps.md for what each kind of map can do",
                errno=code,
            )
        case errno.EINVAL:
            return errors.Rejected(
                f"{name} takes no such element",
                why=f"{refused.explain(code)}: a {kinds.kind(seen.type).name} refuses this key, value or operation",
                do="see docs/maps.md for what each kind of map can do",
                errno=code,
            )
    return refused.general(f"cannot access {name}", refusal)


def _batch(fd: int, seen: model.KernelMap, after: bytes, count: int) -> tuple[Elements, bytes]:
    room, token = _room(seen), max(seen.key_size, 8)
    while True:
        keys = ctypes.create_string_buffer(count * seen.key_size)
        values = ctypes.create_string_buffer(count * room)
        try:
            found, following, ended = sys.map_lookup_batch(fd, after, count, keys, values, token)
        except OSError as refusal:
            # All elements of a hash's bucket come at once, or none.
            if refusal.errno == errno.ENOSPC and count < seen.max_entries:
                count = min(count * 4, seen.max_entries)
                continue
            raise
        listed = tuple(
            (
                keys.raw[each * seen.key_size : (each + 1) * seen.key_size],
                _split(seen, values.raw[each * room : (each + 1) * room]),
            )
            for each in range(found)
        )
        return listed, b"" if ended else _BY_BATCH + following


def _walk(fd: int, seen: model.KernelMap, after: bytes, count: int) -> tuple[Elements, bytes]:
    following = ctypes.create_string_buffer(seen.key_size)
    first = _first(fd, seen) if after else None
    listed: list[tuple[bytes, tuple[bytes, ...]]] = []
    key: bytes | None = after or None
    for _ in range(count):
        try:
            sys.map_next_key(fd, key, following)
        except OSError as refusal:
            if refusal.errno == errno.ENOENT:
                return tuple(listed), b""
            raise
        if key is not None and following.raw == first:
            raise errors.Conflict(
                f"map {seen.id} ({seen.name}) changed while it was listed",
                why="the element at which to go on is gone, and this kernel lists such maps by key only",
                do="try again",
            )
        first = first or following.raw
        key = following.raw
        values = _look(fd, seen, key, b"")
        if values is not None:
            listed.append((key, values))
    return tuple(listed), _BY_KEY + (key or b"")


def _first(fd: int, seen: model.KernelMap) -> bytes | None:
    following = ctypes.create_string_buffer(seen.key_size)
    with contextlib.suppress(OSError):
        sys.map_next_key(fd, None, following)
        return following.raw
    return None


def _look(fd: int, seen: model.KernelMap, key: bytes, value: bytes) -> tuple[bytes, ...] | None:
    into = ctypes.create_string_buffer(value, _room(seen))
    try:
        sys.map_lookup(fd, key, into)
    except OSError as refusal:
        if refusal.errno == errno.ENOENT:
            return None
        raise
    return _split(seen, into.raw)


def _split(seen: model.KernelMap, raw: bytes) -> tuple[bytes, ...]:
    if not _per_cpu(seen):
        return (raw[: seen.value_size],)
    step = _step(seen)
    return tuple(raw[start : start + seen.value_size] for start in range(0, len(raw), step))


def _per_cpu(seen: model.KernelMap) -> bool:
    return kinds.kind(seen.type).shape is kinds.Shape.PER_CPU


def _step(seen: model.KernelMap) -> int:
    """Per-CPU values are copied in multiples of 8 bytes (``bpf_map_value_size`` in kernel/bpf/syscall.c)."""
    return (seen.value_size + 7) // 8 * 8


def _room(seen: model.KernelMap) -> int:
    if _per_cpu(seen):
        return _step(seen) * cpus.possible()
    return 4 if kinds.kind(seen.type).refers is not kinds.Refers.NOTHING else max(seen.value_size, 1)
