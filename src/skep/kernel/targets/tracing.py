"""Programs whose target was fixed when they were loaded: fentry, fexit, LSM hooks, BTF tracepoints."""

from __future__ import annotations

import errno
from typing import Final

from skep import errors
from skep.hooks import request
from skep.kernel import bpffs, refused, sys
from skep.kernel.targets.place import Made, Place


def _check_loaded(target: request.LoadedTarget) -> None:
    """The program could not have been loaded without its target."""


def _create_loaded(
    pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest, target: request.LoadedTarget
) -> Made:
    try:
        return sys.raw_tracepoint_open(program), None
    except OSError as refusal:
        what = f"cannot attach to {target}"
        match refusal.errno:
            case errno.EBUSY | errno.EEXIST:
                raise errors.AlreadyExists(
                    what,
                    why="this program is there already",
                    do="load it once more to attach it twice",
                    errno=refusal.errno,
                ) from refusal
            case errno.E2BIG:
                raise errors.Exhausted(
                    what, why="38 programs are there already", do="detach one", errno=refusal.errno
                ) from refusal
        raise refused.general(what, refusal, feature=candidate.label, first="5.5") from refusal


LOADED: Final = Place(check=_check_loaded, create=_create_loaded)
