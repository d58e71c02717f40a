"""A process that loads and attaches programs by itself, as strangers do, and holds what it is told to hold.

``python -m tests.kernel.stranger WHAT [ARGUMENT]`` prints one line of JSON when it is done, and ends with its standard
input.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from skep.kernel import abi, observe
from skep.kernel import sys as calls
from tests import instance

RETURN_ONE = struct.pack("=BBhiBBhi", 0xB7, 0, 0, 1, 0x95, 0, 0, 0)
"""r0 = 1; exit"""
SCHED_CLS, TRACEPOINT, XDP, CGROUP_DEVICE = 3, 5, 6, 15
BPF_CGROUP_DEVICE = 6
SET_BPF = 0x40042408  # PERF_EVENT_IOC_SET_BPF


def load(kind: int, name: str = "") -> int:
    """A program that returns 1; its name is STRANGER's, if that is set."""
    name = name or os.environ.get("STRANGER", "stranger")
    code = ctypes.create_string_buffer(RETURN_ONE, len(RETURN_ONE))
    licence = ctypes.create_string_buffer(b"GPL")
    empty = [0] * 26
    fields = [kind, 2, ctypes.addressof(code), ctypes.addressof(licence), 0, 0, 0, 0, 0, calls.object_name(name)]
    attr = ctypes.create_string_buffer(abi.ATTR_PROG_LOAD.pack(*fields, *empty[len(fields) :]), abi.ATTR_PROG_LOAD.size)
    return calls.prog_load(attr)


def event() -> int:
    """A perf event on sched:sched_switch of this process."""
    with open("/sys/kernel/tracing/events/sched/sched_switch/id", encoding="ascii") as file:
        number = int(file.read())
    attr = abi.PERF_ATTR.pack(abi.PERF_TYPE_TRACEPOINT, abi.PERF_ATTR.size, number, 1, 0, 0, 1, 0, 0, 0, 0)
    return calls.perf_event_open(attr, 0, -1)


def do(what: str, argument: str) -> dict[str, int]:
    """Make it; descriptors that are told stay open."""
    told: dict[str, int] = {}
    match what:
        case "program":
            told["program"] = observe.program(load(SCHED_CLS)).id
            told["map"] = observe.map_(calls.map_create(abi.MAP_TYPE_ARRAY, 4, 8, 16, name="strange_map")).id
        case "pin":
            with calls.held(load(SCHED_CLS)) as fd:
                calls.obj_pin(argument, fd)
                told["program"] = observe.program(fd).id
        case "link":
            with calls.held(load(XDP)) as fd:
                told["program"] = observe.program(fd).id
                told["link"] = observe.link(calls.link_create(fd, socket.if_nametoindex(argument), abi.XDP, 2)).id
        case "tcx":
            with calls.held(load(SCHED_CLS)) as fd:
                told["program"] = observe.program(fd).id
                index = socket.if_nametoindex(argument)
                told["link"] = observe.link(calls.link_create(fd, index, abi.TCX_INGRESS, 0)).id
        case "cgroup":
            directory = os.open(argument, os.O_RDONLY | os.O_DIRECTORY)
            with calls.held(directory), calls.held(load(CGROUP_DEVICE)) as fd:
                told["program"] = observe.program(fd).id
                calls.prog_attach(directory, fd, BPF_CGROUP_DEVICE)
        case "tail":
            array = calls.map_create(abi.MAP_TYPE_PROG_ARRAY, 4, 4, 4, name="tails")
            told["map"] = observe.map_(array).id
            with calls.held(load(SCHED_CLS)) as fd:
                told["program"] = observe.program(fd).id
                calls.map_update(array, struct.pack("=I", 2), struct.pack("=I", fd))
        case "inner":
            with calls.held(calls.map_create(abi.MAP_TYPE_ARRAY, 4, 8, 1, name="inner")) as fd:
                told["inner"] = observe.map_(fd).id
                outer = calls.map_create(abi.MAP_TYPE_HASH_OF_MAPS, 4, 4, 4, inner=fd, name="outer")
                told["map"] = observe.map_(outer).id
                calls.map_update(outer, struct.pack("=I", 7), struct.pack("=I", fd))
        case "event":
            with calls.held(load(TRACEPOINT)) as fd:
                told["program"] = observe.program(fd).id
                fcntl.ioctl(event(), SET_BPF, fd)
    return told


@contextlib.contextmanager
def stranger(
    what: str, argument: str = "", *, enter: list[str] | None = None, name: str = "stranger"
) -> Iterator[Any]:  # Any: JSON
    """A process of one's own that does ``what`` with programs of a name; "pid" is told besides what it tells."""
    words = [*(enter or []), sys.executable, "-m", __name__, what, argument]
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**instance.environment(), "STRANGER": name}, cwd=instance.REPOSITORY,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield {**json.loads(process.stdout.readline()), "pid": process.pid}
    finally:
        process.communicate()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(do(*sys.argv[1:])) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
