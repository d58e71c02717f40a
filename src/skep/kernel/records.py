"""Events out of ring buffers and perf buffers. What is opened for it is closed when the block ends.

Layouts: kernel/bpf/ringbuf.c (consumer page, producer page, the data twice) and struct perf_event_mmap_page of
linux/perf_event.h. Positions are read before and written after the data that they guard; taking and giving back a lock
in between makes the processor keep that order.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import mmap
import select
import struct
import threading
from collections.abc import Iterator
from typing import Final

from skep import errors, model
from skep.kernel import abi, cpus, elements, observe, refused, sys
from skep.kernel.door import Raw, Reader

MOST_BYTES: Final = 65536
"""So much of an event is kept; the rest is counted only."""
_PAGE: Final = mmap.PAGESIZE
_PERF_PAGES: Final = 16  # per CPU; a power of two
_BUSY, _DISCARD = 1 << 31, 1 << 30  # BPF_RINGBUF_*_BIT
_HEADER: Final = struct.Struct("=II")
_EVENT: Final = struct.Struct("=IHH")  # perf_event_header: type, misc, size
_LOST: Final = struct.Struct("=QQ")
_HEAD, _TAIL = 1024, 1032  # data_head, data_tail in the first page


@contextlib.contextmanager
def opened(id_: model.MapId) -> Iterator[Reader]:
    """A reader of a map's events. ``Unsupported`` for maps without."""
    try:
        fd = sys.fd_by_id(abi.MAP_GET_FD_BY_ID, id_)
    except OSError as refusal:
        raise refused.general(f"no map {id_}", refusal) from refusal
    with sys.held(fd), contextlib.ExitStack() as stack:
        seen = observe.Maps().read(fd)
        try:
            match seen.type:
                case abi.MAP_TYPE_RINGBUF:
                    yield _Ring(fd, seen.max_entries, stack)
                case abi.MAP_TYPE_PERF_EVENT_ARRAY:
                    yield _Perf(fd, seen, stack)
                case _:
                    raise errors.InvalidRequest(
                        f"map {id_} ({seen.name}) holds no events",
                        why="it is neither a ring buffer nor a perf buffer",
                        do="read it with 'skep map dump'",
                    )
        except OSError as refusal:
            raise elements.explained(seen, refusal) from refusal


class _Ring:
    """A BPF_MAP_TYPE_RINGBUF (Linux 5.8)."""

    def __init__(self, fd: int, size: int, stack: contextlib.ExitStack) -> None:
        self._mask = size - 1
        self._order = threading.Lock()
        ours = stack.enter_context(contextlib.closing(mmap.mmap(fd, _PAGE)))
        self._data = stack.enter_context(
            contextlib.closing(mmap.mmap(fd, _PAGE + 2 * size, prot=mmap.PROT_READ, offset=_PAGE))
        )
        self._consumed = ctypes.c_uint64.from_buffer(ours)
        stack.callback(self._release)
        self._poll = select.epoll(flags=select.EPOLL_CLOEXEC)
        stack.callback(self._poll.close)
        self._poll.register(fd, select.EPOLLIN)

    def read(self, timeout: float, most: int) -> tuple[Raw, ...]:
        found = self._take(most)
        if not found and self._poll.poll(timeout):
            found = self._take(most)
        return tuple(found)

    def _release(self) -> None:
        del self._consumed  # a mapping that is pointed into cannot be closed

    def _take(self, most: int) -> list[Raw]:
        found: list[Raw] = []
        at = self._consumed.value
        while len(found) < most:
            (produced,) = struct.unpack_from("=Q", self._data, 0)
            if at >= produced:
                break
            with self._order:
                place = _PAGE + (at & self._mask)
            length, _ = _HEADER.unpack_from(self._data, place)
            if length & _BUSY:
                break
            size = length & ~_DISCARD
            if not length & _DISCARD:
                start = place + _HEADER.size
                found.append(Raw(self._data[start : start + min(size, MOST_BYTES)], size))
            at += (size + _HEADER.size + 7) // 8 * 8
            with self._order:
                self._consumed.value = at
        return found


class _Perf:
    """A BPF_MAP_TYPE_PERF_EVENT_ARRAY (Linux 4.4): one buffer for each CPU that is online.

    The kernel takes a slot's event out of the array when the descriptor of the map that put it there is closed,
    unless the map has BPF_F_PRESERVE_ELEMS.
    """

    def __init__(self, fd: int, seen: model.KernelMap, stack: contextlib.ExitStack) -> None:
        self._order = threading.Lock()
        self._buffers: dict[int, tuple[int, mmap.mmap]] = {}
        self._poll = select.epoll(flags=select.EPOLL_CLOEXEC)
        stack.callback(self._poll.close)
        attr = abi.PERF_ATTR.pack(
            abi.PERF_TYPE_SOFTWARE, abi.PERF_ATTR.size, abi.PERF_COUNT_SW_BPF_OUTPUT, 1, abi.PERF_SAMPLE_RAW, 0, 0, 1,
            0, 0, 0,
        )  # fmt: skip
        for cpu in cpus.online():
            if cpu >= seen.max_entries:
                continue
            event = stack.enter_context(sys.held(sys.perf_event_open(attr, -1, cpu)))
            pages = stack.enter_context(contextlib.closing(mmap.mmap(event, (1 + _PERF_PAGES) * _PAGE)))
            fcntl.ioctl(event, abi.PERF_EVENT_IOC_ENABLE, 0)
            sys.map_update(fd, struct.pack("=I", cpu), struct.pack("=I", event))
            if seen.flags & abi.F_PRESERVE_ELEMS:
                stack.callback(sys.map_delete, fd, struct.pack("=I", cpu))
            self._buffers[event] = (cpu, pages)
            self._poll.register(event, select.EPOLLIN)

    def read(self, timeout: float, most: int) -> tuple[Raw, ...]:
        found: list[Raw] = []
        for event, _ in self._poll.poll(timeout):
            cpu, pages = self._buffers[event]
            found += self._take(cpu, pages, most - len(found))
        return tuple(found)

    def _take(self, cpu: int, pages: mmap.mmap, most: int) -> list[Raw]:
        found: list[Raw] = []
        size = _PERF_PAGES * _PAGE
        (tail,) = struct.unpack_from("=Q", pages, _TAIL)
        while len(found) < most:
            (head,) = struct.unpack_from("=Q", pages, _HEAD)
            if tail >= head:
                break
            with self._order:
                ring = memoryview(pages)[_PAGE:]
            with ring:
                kind, _, length = _EVENT.unpack(_wrapped(ring, tail, _EVENT.size, size))
                body = _wrapped(ring, tail + _EVENT.size, length - _EVENT.size, size)
            if kind == abi.PERF_RECORD_SAMPLE:
                (count,) = struct.unpack_from("=I", body)
                found.append(Raw(body[4 : 4 + min(count, MOST_BYTES)], count, cpu))
            elif kind == abi.PERF_RECORD_LOST:
                found.append(Raw(cpu=cpu, lost=_LOST.unpack_from(body)[1]))
            tail += length
            with self._order:
                struct.pack_into("=Q", pages, _TAIL, tail)
        return found


def _wrapped(ring: memoryview, at: int, length: int, size: int) -> bytes:
    start = at % size
    first = bytes(ring[start : min(start + length, size)])
    return first + bytes(ring[: length - len(first)])
