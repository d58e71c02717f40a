"""The loader: a small process that hands user bytes to libbpf, so that a crash there is not the daemon's.

Started by exec (``worker_client``), kept warm, single-threaded. One request is one JSON document and blobs in a memfd,
answered in kind with descriptors beside it; see ``wire``. It keeps no descriptor after an answer, and ends when its
socket closes or its parent dies. Imports only what it needs: it shall start fast and stay small.
"""

from __future__ import annotations

import _socket
import contextlib
import ctypes
import errno
import json
import os
import resource
import signal
from typing import Any

from skep.kernel import cpus, libbpf, wire

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_NAME = 15
_MEMORY = 4 << 30  # bytes of address space; an object's data sections are mapped into it


def main(fd: int, parent: int) -> None:
    """Serve requests from the socket ``fd`` until it closes."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        return
    prctl(_PR_SET_NAME, b"skep-loader", 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C is for the daemon, which closes the socket
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    library = libbpf.Library()
    channel = wire.adopt(fd)
    # A daemon that ends, or one that never comes to begin, is no failure of ours and leaves nobody to tell.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        _serve_all(library, channel)


def _serve_all(library: libbpf.Library, channel: _socket.socket) -> None:
    wire.finish(channel)  # ready
    while (message := wire.receive(channel)) is not None:
        answer, fds = _serve(library, message)
        try:
            wire.send(channel, answer, fds)
        finally:
            for one in (*fds, *message.fds):
                os.close(one)
        wire.finish(channel)


class _Refused(Exception):
    """One request failed at ``stage``; ``fields`` go into the answer."""

    def __init__(self, stage: str, code: int, **fields: object) -> None:
        super().__init__(stage)
        self.fields = {"stage": stage, "errno": code, **fields}


def _serve(library: libbpf.Library, message: wire.Message) -> tuple[wire.Document, list[int]]:
    library.messages.clear()
    request: dict[str, Any] = json.loads(message.document.head)  # Any: written by worker_client in this package
    blobs = message.document.blobs
    data = ctypes.create_string_buffer(blobs[0], len(blobs[0]))
    try:
        try:
            opened = library.open(data)
        except OSError as refused:
            raise _Refused("open", refused.errno or 0) from refused
        try:
            _prepare(opened, request, blobs, message.fds)
            try:
                opened.load()
            except OSError as refused:
                raise _Refused("load", refused.errno or 0) from refused
            return _answer(opened, request)
        finally:
            opened.close()
    except _Refused as refused:
        head = {"error": refused.fields, "messages": library.messages, "log": library.log}
        return wire.Document(head=json.dumps(head).encode(), blobs=()), []


def _prepare(opened: libbpf.Object, request: dict[str, Any], blobs: tuple[bytes, ...], fds: tuple[int, ...]) -> None:
    wanted = {program["name"]: program for program in request["programs"]}
    for name in wanted:
        if name not in opened.programs:
            raise _Refused("program", errno.ENOENT, name=name, known=list(opened.programs))
    for name, program in opened.programs.items():
        if name not in wanted:
            opened.skip(program)
            continue
        one = wanted[name]
        try:
            beside = 0 if one["attach_program"] is None else fds[one["attach_program"]]
            opened.want(program, one["type"], one["attach_type"], one["flags"], one["attach_func"], beside)
        except OSError as refused:
            raise _Refused("target", refused.errno or 0, name=name, target=one["attach_func"]) from refused
    for map_ in opened.maps.values():
        opened.forget_pin(map_)
    for name, flags in request["flags"].items():
        if name not in opened.maps:
            raise _Refused("map", errno.ENOENT, name=name, known=list(opened.maps))
        opened.add_flags(opened.maps[name], flags)
    for patch in request["patches"]:
        target = opened.maps.get(patch["section"])
        if target is None:
            raise _Refused("patch", errno.ENOENT, section=patch["section"])
        try:
            opened.patch(target, patch["offset"], blobs[patch["blob"]])
        except OSError as refused:
            raise _Refused("patch", refused.errno or 0, section=patch["section"]) from refused
    for reuse in request["reuse"]:
        target = opened.maps.get(reuse["name"])
        if target is None:
            raise _Refused("map", errno.ENOENT, name=reuse["name"], known=list(opened.maps))
        mine = opened.definition(target)
        if _comparable(mine) != _comparable(reuse["definition"]):
            raise _Refused("reuse", errno.EINVAL, name=reuse["name"], definition=mine)
        try:
            opened.reuse(target, fds[reuse["fd"]])
        except OSError as refused:
            raise _Refused("reuse", refused.errno or 0, name=reuse["name"], definition=mine) from refused


_PERF_EVENT_ARRAY, _DEVMAP, _DEVMAP_HASH, _RINGBUF = 4, 14, 25, 27  # enum bpf_map_type
_RDONLY_PROG = 1 << 7


def _comparable(definition: dict[str, int]) -> dict[str, int]:
    """A definition without what kernel and libbpf fill in: sizes by CPU or page, a flag that devmaps always get."""
    same = dict(definition)
    if same["type"] == _PERF_EVENT_ARRAY and same["max_entries"] == 0:
        same["max_entries"] = cpus.possible()
    if same["type"] == _RINGBUF:
        page = os.sysconf("SC_PAGESIZE")
        size = page
        while size < same["max_entries"]:
            size *= 2
        same["max_entries"] = size
    if same["type"] in (_DEVMAP, _DEVMAP_HASH):
        same["flags"] &= ~_RDONLY_PROG
    return same


def _answer(opened: libbpf.Object, request: dict[str, Any]) -> tuple[wire.Document, list[int]]:
    """Descriptors are duplicated: the object closes its own before the answer leaves."""
    fds: list[int] = []
    blobs: list[bytes] = []
    programs, maps = [], []
    for wanted in request["programs"]:
        program = opened.programs[wanted["name"]]
        fds.append(os.dup(opened.program_fd(program)))
        blobs.append(opened.insns(program))
        programs.append(
            {"name": wanted["name"], "flags": opened.flags(program), "attach_type": opened.attach_type(program)}
        )
    for name, map_ in opened.maps.items():
        own = opened.map_fd(map_)
        if own >= 0:
            fds.append(os.dup(own))
            maps.append({"name": name, "number": own, "internal": opened.is_internal(map_)})
    head = {"programs": programs, "maps": maps}
    return wire.Document(head=json.dumps(head).encode(), blobs=tuple(blobs)), fds
