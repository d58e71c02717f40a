"""What is wrong between skep and those who load programs without it: it is told, and nothing is ever stopped for it."""

from __future__ import annotations

import enum
import fnmatch
from dataclasses import dataclass

from skep.model import ids


class AlertKind(enum.StrEnum):
    """What is the matter."""

    CLASH = "clash"
    """A foreign program defeats an application's, or the other way round."""
    DRIFT = "drift"
    """What skep attached was detached or replaced by somebody else."""
    UNSANCTIONED = "unsanctioned"
    """A foreign program that the administrator's list does not have."""
    SHARES = "shares"
    """A foreign program on the same hook, and what it decides is not known: worth knowing, and no fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sanctioned:
    """Foreign programs that are meant to be there; each field is a pattern with ``*`` and ``?``, and all must fit.

    ``name``: the kernel's 15 characters. ``type``: as in lists ("cgroupdevice"). ``tag``: 16 hexadecimal digits.
    ``process``: name, executable or systemd unit of one that holds it; who only has a pin fits "*" alone.
    """

    name: str = "*"
    type: str = "*"
    tag: str = "*"
    process: str = "*"

    def fits(self, name: str, type: str, tag: str, processes: tuple[str, ...]) -> bool:
        """Whether a program is one of these; ``processes``: all words for those who hold it."""
        pairs = ((name, self.name), (type, self.type), (tag, self.tag))
        return all(fnmatch.fnmatchcase(*pair) for pair in pairs) and any(
            fnmatch.fnmatchcase(word, self.process) for word in ("", *processes)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One thing that is wrong.

    ``hook``: a word out of a small set ("xdp", "cgroup"), for counting. ``place``: "xdp eth0", "" for a program that is
    attached nowhere. ``program`` and ``name``: the foreign one, 0 and "" where there is none. ``applications``: the
    objects or files whose programs it is about (``Managed.key``).
    """

    kind: AlertKind
    hook: str
    place: str = ""
    program: ids.ProgramId = ids.ProgramId(0)
    name: str = ""
    applications: tuple[str, ...] = ()
    message: str
    remedy: str

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes it the same one when it is found again: not the program's number, for who is told of a program
        wants no word each time that it is loaded anew."""
        return (self.kind, self.hook, self.place, self.name, *self.applications)
