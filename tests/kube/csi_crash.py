"""Kills the driver's work at every step: ``python -m tests.kube.csi_crash KUBELET TARGET PIN``, JSON on stdout.

A step is a call in the modules that touch the kernel. A child for each is killed (SIGKILL) before its n-th step, until
one comes through; after each, what is left is told, and then done again to the end.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from skep import model
from skep.kernel import mountinfo, mounting
from skep.kernel import sys as calls
from skep.kube.csi import request, volume

_WATCHED = {module.__file__ for module in (mounting, mountinfo, calls, volume)}


def main(kubelet: str, target: str, pin: str) -> None:
    wanted = request.Publish(
        volume=request.Volume(id="crash", target=target), program="counter", maps=("hits",), read_only=True, group=7,
        namespace=None, pod="",
    )  # fmt: skip

    def publish() -> None:
        volume.publish(wanted, kubelet, lambda: {"hits": model.MapPin(pin)})

    def unpublish() -> None:
        volume.unpublish(wanted.volume, kubelet)

    told: dict[str, list[tuple[bool, list[str], bool]]] = {"publish": [], "unpublish": []}
    for name, work, before in (("publish", publish, unpublish), ("unpublish", unpublish, publish)):
        for step in itertools.count(1):
            before()
            if not killed(work, step):
                break
            left = state(target)
            work()
            done = state(target)
            told[name].append((*left, done == ((True, ["hits"]) if work is publish else (False, []))))
    unpublish()
    json.dump(told, sys.stdout)


def state(target: str) -> tuple[bool, list[str]]:
    """Whether the directory is there, and what is pinned in what is mounted on it."""
    mounts = [mount for mount in mountinfo.mounts() if mount.point == target]
    assert len(mounts) <= 1
    names = sorted(name for name in os.listdir(target) if "." not in name) if mounts else []
    return Path(target).is_dir(), names


def killed(work: Callable[[], None], step: int) -> bool:
    """Do it in a child that is killed before its n-th step; False when it has fewer."""
    child = os.fork()
    if child == 0:
        left = step

        def look(frame: FrameType, event: str, _: object) -> None:
            nonlocal left
            if event in ("call", "c_call") and frame.f_code.co_filename in _WATCHED:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(look)
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


if __name__ == "__main__":
    main(*sys.argv[1:])
