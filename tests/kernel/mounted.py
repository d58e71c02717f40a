"""What a BPF file system of one's own does here: ``python -m tests.kernel.mounted DIRECTORY``, JSON on stdout.

In a mount namespace of its own, so that nothing of it is seen elsewhere.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import struct
import sys
from collections.abc import Callable

from skep.kernel import abi, mountinfo, mounting
from skep.kernel import sys as calls

_MS_REC, _MS_PRIVATE = 0x4000, 0x40000
_GROUP, _OTHER = 4321, 4322
_KEY = struct.pack("=I", 0)


def main(home: str) -> dict[str, object]:
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(abi.CLONE_NEWNS) == 0
    assert libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None) == 0
    counter = calls.map_create(abi.MAP_TYPE_ARRAY, 4, 8, 1, name="counter")
    calls.map_update(counter, _KEY, struct.pack("=Q", 77))
    told: dict[str, object] = {}
    before = sorted(os.listdir("/proc/self/fd"))
    with mounting.place(home, f"{home}/pod/maps") as place:
        with mounting.fresh("unseen") as made:
            made.pin("counter", counter, gid=0, mode=0o600)
        told["thrown away"] = (place.make(), place.mounted() is None, list(place.names()))
        for name, seal in (("writable", False), ("sealed", True)):
            with mounting.fresh(f"test/{name} #1") as made:
                made.own(_GROUP, 0o750)
                made.pin("counter", counter, gid=_GROUP, mode=0o660)
                if seal:
                    made.seal()
                made.show(place)
            seen = place.mounted()
            assert seen is not None
            assert seen.point == f"{home}/pod/maps"
            told[name] = (seen.type, seen.source, seen.read_only, sorted(place.names()))
            for who, group in (("group", _GROUP), ("other", _OTHER)):
                told[f"{name}, {who}"] = (
                    child(group, lambda: use(f"{home}/pod/maps/counter", 0)),
                    child(group, lambda: use(f"{home}/pod/maps/counter", abi.F_RDONLY)),
                )
        busy = os.open(f"{home}/pod/maps", os.O_RDONLY)
        place.unmount()  # while somebody looks at it
        os.close(busy)
        below = place.mounted()
        told["below"] = below and below.source
        place.unmount()
        told["at last"] = place.mounted()
        place.remove()
        place.remove()
    assert sorted(os.listdir("/proc/self/fd")) == before, "no descriptor is left"
    assert [each for each in mountinfo.mounts() if each.point.startswith(home)] == []
    return told


def use(path: str, flags: int) -> tuple[object, object]:
    """What reading and writing through a pin give."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    fd = calls.bpf(abi.OBJ_GET, struct.pack("=QIIII", ctypes.addressof(name), 0, flags, 0, 0))
    value = ctypes.create_string_buffer(8)
    calls.map_lookup(fd, _KEY, value)
    try:
        calls.map_update(fd, _KEY, value.raw)
    except OSError as error:
        return struct.unpack("=Q", value.raw)[0], errno.errorcode[error.errno or 0]
    return struct.unpack("=Q", value.raw)[0], "written"


def child(group: int, work: Callable[[], object]) -> object:
    """What a process without rights gets, of user 1000 and a group."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgroups([group])
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)
        try:
            told = work()
        except OSError as error:
            told = errno.errorcode[error.errno or 0]
        os.write(writing, json.dumps(told).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return json.loads(said)


if __name__ == "__main__":
    json.dump(main(sys.argv[1]), sys.stdout)
