"""A container as a test needs one: a directory with a program and the libraries that it takes, and a process in it.

``python -m tests.kernel.container HOW ROOT PROGRAM`` becomes PROGRAM with ROOT as its root: in a mount namespace of its
own ("pivot"), or by chroot alone ("chroot").
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_MS_BIND, _MS_REC, _MS_PRIVATE, _MNT_DETACH, _CLONE_NEWNS = 0x1000, 0x4000, 0x40000, 2, 0x20000
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}[os.uname().machine]


def command(root: Path, program: str, *, how: str = "pivot") -> Sequence[str]:
    """The words that start a program in the directory."""
    return (sys.executable, "-m", "tests.kernel.container", how, str(root), program)


def fill(root: Path, program: Path, *, libraries: str, cache: bool = True) -> None:
    """Copy a program to /bin/probes, its libraries to the directory ``libraries``, the linker to where it must be."""
    (root / "bin").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "proc").mkdir()
    place = root / libraries.strip("/")
    place.mkdir(parents=True)
    shutil.copy(program, root / "bin" / "probes")
    told = subprocess.run(["ldd", str(program)], text=True, stdout=subprocess.PIPE, check=False)  # 1: it is static
    for line in told.stdout.splitlines() if told.returncode == 0 else ():
        words = line.split()
        if "=>" in words:
            shutil.copy(words[2], place / words[0])
        elif words[0].startswith("/"):
            there = root / words[0].strip("/")
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(words[0], there)
    if cache:
        subprocess.run(["ldconfig", "-r", str(root), "-X", libraries], check=True)


def main(how: str, root: str, program: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)

    def call(answer: int) -> None:
        if answer != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    if how == "chroot":
        os.chroot(root)
    else:
        call(libc.unshare(_CLONE_NEWNS))
        call(libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None))
        call(libc.mount(root.encode(), root.encode(), None, _MS_BIND | _MS_REC, None))
        call(libc.mount(b"proc", f"{root}/proc".encode(), b"proc", 0, None))
        os.chdir(root)
        call(libc.syscall(_PIVOT_ROOT, b".", b"."))
        call(libc.umount2(b".", _MNT_DETACH))
    os.chdir("/")
    os.execv(program, [program])


if __name__ == "__main__":
    main(*sys.argv[1:])
