"""Every error that skep raises, in one tree.

::

    SkepError                  what failed, why, what to do
    |- InvalidRequest          the caller must change the request
    |  |- BadObject            the bytes are not a loadable BPF object
    |  `- Rejected             the verifier or the kernel refused the program or attachment (keeps the whole log)
    |- NotFound                no such program, link, interface, function, file; carries near misses
    |- AlreadyExists           the same thing is there already
    |- Conflict                right request, wrong moment or state (kind mismatch, in use, foreign program)
    |  `- MapsDiffer           code cannot take over maps that are not what it says they are
    |- Denied                  the caller may not do this (policy, file permissions)
    |  `- Untrusted            nobody whom the trust policy names has signed the image
    |- Unsupported             this kernel or build cannot; names the feature, errno and first release
    |- Exhausted               a limit would be exceeded: sizes, slots, disk
    |- Busy                    somebody else holds the lock for longer than the caller waits
    |- Unavailable             no daemon, a worker died, a registry is away: retry may help
    `- Broken                  kernel and store disagree, or a bug in skep: the administrator must look

A class says who must act; each front end maps classes to its own codes with one table (``rpc/convert.py``,
``cli/exit.py``). Nothing else is raised across a module boundary; foreign exceptions are wrapped where they enter.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SkepError(Exception):
    """A failure told to a person: ``what`` failed, ``why``, and what to ``do`` about it.

    ``errno`` is the kernel's number where the kernel said no, else 0. ``log`` is the verifier's whole log or "".
    """

    def __init__(self, what: str, *, why: str = "", do: str = "", errno: int = 0, log: str = "") -> None:
        super().__init__(what, why, do, errno, log)
        self.what = what
        self.why = why
        self.do = do
        self.errno = errno
        self.log = log

    def __str__(self) -> str:
        text = self.what
        if self.why:
            text += f": {self.why}"
        if self.do:
            text += f" ({self.do})"
        return text


class InvalidRequest(SkepError):
    """The request itself is wrong; the same request can never succeed."""


class BadObject(InvalidRequest):
    """The bytes are not a BPF object that skep can load (not an ELF, wrong machine, truncated, too large)."""


class Rejected(InvalidRequest):
    """The kernel read the program or attachment and refused it; ``log`` holds the whole verifier log."""


class NotFound(SkepError):
    """A named thing does not exist; ``near`` holds up to three names that look like it."""

    def __init__(self, what: str, *, why: str = "", do: str = "", errno: int = 0, near: tuple[str, ...] = ()) -> None:
        if near and not do:
            do = "did you mean " + ", ".join(near) + "?"
        super().__init__(what, why=why, do=do, errno=errno)
        self.near = near


class AlreadyExists(SkepError):
    """The thing to be made is there already."""


class Conflict(SkepError):
    """The request is well formed but does not fit the present state."""


class MapsDiffer(Conflict):
    """An object says something else of a map than the map is that it should share or take over."""


class Denied(SkepError):
    """The caller is known and may not do this."""


class Untrusted(Denied):
    """No signature of the image is accepted: there is none, it is wrong, or it is by somebody else."""


class Unsupported(SkepError):
    """This kernel, build or configuration cannot do it.

    ``feature`` is the kernel's name of what is missing, ``first`` the first Linux release that has it ("6.6").
    """

    def __init__(
        self, what: str, *, feature: str, first: str = "", why: str = "", do: str = "", errno: int = 0
    ) -> None:
        super().__init__(what, why=why, do=do, errno=errno)
        self.feature = feature
        self.first = first


class Exhausted(SkepError):
    """A limit would be exceeded; the text names the limit, the sum and the heaviest parts."""


class Busy(SkepError):
    """A lock was not free within the time the caller was ready to wait."""


class Unavailable(SkepError):
    """A part that skep depends on did not answer; the same request may succeed later."""


class Broken(SkepError):
    """Kernel, pins and store disagree, or skep has a bug; nothing was changed on that assumption."""


def near_misses(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Up to three of ``known`` that look like ``name``, best first."""
    return tuple(difflib.get_close_matches(name, list(known), n=3, cutoff=0.6))
