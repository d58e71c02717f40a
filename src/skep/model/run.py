"""Programs run on request, and iterators read: what a caller asks, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from skep.model import ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Run a loaded program ``repeat`` times on a packet, a context or both, without attaching it."""

    program: ids.ProgramId
    packet: bytes = b""
    """Beginning with its Ethernet header."""
    context: bytes = b""
    """The program's context as the kernel lays it out for this type (``struct xdp_md``, ``struct __sk_buff`` …)."""
    repeat: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What came of a run. ``answer`` is the last run's, signed; ``verdict`` its name, "" for a number without one."""

    operation: ids.OperationId
    program: ids.ProgramId
    answer: int
    verdict: str
    times: int
    """How often it ran; fewer than asked when the time was up."""
    duration_ns: int | None
    """Of one run, on average; None for types that the kernel does not measure."""
    packet: bytes
    """As the program left it."""
    context: bytes
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadIterator:
    """Read what an iterator prints: a link's, or a program's by a link that lasts for this reading only.

    ``attachment``: for a program, what to go through (the hook's dataclass); None: everything of its kind.
    """

    link: ids.LinkId | None = None
    program: ids.ProgramId | None = None
    attachment: object = None
    limit: int = 0
    """End after so many bytes; 0: at the iterator's end."""
