"""A pod's process: ``python -m tests.kube.csi_pod TARGET UID GID GROUPS``, questions on stdin, answers on stdout.

It has a mount namespace of its own in which the volume is at /mnt, as a container's runtime makes it, and no right but
those of its ids. It imports nothing later on: the interpreter's files may be closed to its user.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import struct
import sys

from skep.kernel import abi
from skep.kernel import sys as calls

_MS_BIND, _MS_REC, _MS_SLAVE = 0x1000, 0x4000, 0x80000
_AT = "/mnt"


def main(target: str, uid: str, gid: str, groups: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(abi.CLONE_NEWNS) == 0
    assert libc.mount(None, b"/", None, _MS_REC | _MS_SLAVE, None) == 0
    assert libc.mount(os.fsencode(target), os.fsencode(_AT), None, _MS_BIND, None) == 0
    os.setgroups([int(each) for each in groups.split(",") if each])
    os.setresgid(int(gid), int(gid), int(gid))
    os.setresuid(int(uid), int(uid), int(uid))
    for line in sys.stdin:
        question = json.loads(line)
        try:
            told: object = answer(**question)
        except OSError as error:
            told = errno.errorcode[error.errno or 0]
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


def answer(verb: str, map: str, key: int, read_only: bool) -> object:
    if verb == "list":
        return sorted(os.listdir(_AT))
    if verb == "open":
        os.close(os.open(f"{_AT}/{map}", os.O_RDONLY))
        return "opened"
    if verb == "rights":
        with open("/proc/self/status", encoding="utf-8") as file:
            return next(line.split()[1] for line in file if line.startswith("CapEff:"))
    path = ctypes.create_string_buffer(os.fsencode(f"{_AT}/{map}"))
    flags = abi.F_RDONLY if read_only else 0
    fd = calls.bpf(abi.OBJ_GET, struct.pack("=QIIII", ctypes.addressof(path), 0, flags, 0, 0))
    with calls.held(fd):
        if verb == "write":
            calls.map_update(fd, struct.pack("=I", key), struct.pack("=Q", 1_000_000))
            return "written"
        value = ctypes.create_string_buffer(8)
        calls.map_lookup(fd, struct.pack("=I", key), value)
        return struct.unpack("=Q", value.raw)[0]


if __name__ == "__main__":
    main(*sys.argv[1:])
