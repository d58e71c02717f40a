"""What one kind of place offers to ``attaching``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from skep import errors, model
from skep.hooks import request
from skep.kernel import bpffs

T = TypeVar("T")
Made = tuple[int, model.Interface | None]
"""A link's descriptor, and the interface it is on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place(Generic[T]):
    """``check`` raises when the target is not there; ``create`` makes a link from a program's descriptor.

    ``expand``: what a target stands for, where that may be several; it raises what ``check`` raises.
    ``lost`` tells what a link has lost of its target where the kernel's link info does not (processes: see ``lost`` of
    the package).
    ``start``: what is to be done when that is pinned; for what has no link, and stays in the kernel if nobody knows it.
    """

    check: Callable[[T], None]
    create: Callable[[bpffs.Bpffs, int, request.LinkRequest, T], Made]
    expand: Callable[[T], tuple[request.Target, ...]] | None = None
    lost: Callable[[T], model.Loss | None] | None = None
    start: Callable[[bpffs.Bpffs, int, T], None] | None = None


class NextPlease(Exception):
    """This candidate cannot work here, another may."""

    def __init__(self, short: str, error: errors.SkepError) -> None:
        super().__init__(short)
        self.short = short
        self.error = error
