"""What a kernel that refuses something would need: build options, a release, a policy. For people."""

from __future__ import annotations

import errno
import functools
import gzip
import os
from collections.abc import Iterable, Mapping
from typing import Final

_CAPABILITIES: Final = {12: "CAP_NET_ADMIN", 21: "CAP_SYS_ADMIN", 38: "CAP_PERFMON", 39: "CAP_BPF"}
"""linux/capability.h; CAP_SYS_ADMIN stands for the last two where they do not exist (before 5.8)."""
_LOCKDOWN: Final = "/sys/kernel/security/lockdown"


def told(code: int, options: tuple[str, ...], first: str) -> str:
    """What is missing where the kernel answered ``code``, for something with build ``options`` since ``first``."""
    if code in (errno.EPERM, errno.EACCES):
        return _policy()
    absent = unset(options, built())
    if absent:
        return f"a kernel built with {', '.join(absent)}"
    words = [f"Linux {first}"] if first else []
    if built() is None and options:
        words.append(f"a kernel built with {', '.join(_spelled(options))}")
    return " and ".join(words)


def unset(options: tuple[str, ...], config: Mapping[str, str] | None) -> tuple[str, ...]:
    """Those of ``options`` that a kernel was built without; none where nobody knows."""
    return () if config is None else _spelled(one for one in options if config.get(one) not in ("y", "m"))


@functools.cache
def built() -> Mapping[str, str] | None:
    """The running kernel's build options without their prefix; None where it does not tell them."""
    try:
        with gzip.open("/proc/config.gz", "rt", encoding="ascii", errors="replace") as file:
            return parsed(file)
    except OSError:
        pass
    try:
        with open(f"/boot/config-{os.uname().release}", encoding="ascii", errors="replace") as file:
            return parsed(file)
    except OSError:
        return None


def parsed(lines: Iterable[str]) -> Mapping[str, str]:
    """ "CONFIG_BPF=y" -> {"BPF": "y"}; what is not set is left out."""
    pairs = (line.rstrip().partition("=") for line in lines if line.startswith("CONFIG_"))
    return {name.removeprefix("CONFIG_"): value for name, _, value in pairs}


def _policy() -> str:
    """Why the kernel may forbid what it has."""
    lacking = [name for bit, name in _CAPABILITIES.items() if not _effective() >> bit & 1]
    if lacking:
        return f"{', '.join(lacking)} for skep"
    try:
        with open(_LOCKDOWN, encoding="ascii") as file:
            mode = file.read().partition("[")[2].partition("]")[0]
    except OSError:
        mode = ""
    if mode not in ("", "none"):
        return f"a kernel that is not locked down (lockdown={mode})"
    return "a kernel whose policy allows it"


def _effective() -> int:
    with open("/proc/thread-self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("CapEff:"):
                return int(line.split()[1], 16)
    return 0


def _spelled(options: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"CONFIG_{one}" for one in options)
