"""What programs can be loaded for whose target the kernel wants at load: suggestions for a name that is none."""

from __future__ import annotations

import re
from typing import Final

from skep import errors, steps
from skep.kernel import abi, kprobe, perf

_BTF: Final = "/sys/kernel/btf/vmlinux"
_LIMIT: Final = 64 << 20  # bytes of the kernel's types; a distribution's has 6 MiB


def near(program: steps.ProgramLoad, target: str) -> tuple[str, ...]:
    """Up to three targets that look like one that there is not."""
    if program.prog_type == abi.PROG_TYPE_LSM:
        return errors.near_misses(target, _named(b"bpf_lsm_"))
    match program.expected_attach_type:
        case abi.TRACE_ITER:
            return errors.near_misses(target, _named(b"bpf_iter_"))
        case abi.TRACE_RAW_TP:
            return errors.near_misses(target, perf.events())
        case _:
            return kprobe.near(target)


def _named(prefix: bytes) -> list[str]:
    """The rest of every name in the kernel's types that begins so. Its strings are searched, which takes milliseconds;
    parsing the types would take seconds."""
    try:
        with open(_BTF, "rb") as file:
            data = file.read(_LIMIT)
    except OSError:
        return []
    return sorted({found.decode() for found in re.findall(rb"\0" + prefix + rb"([a-z0-9_]+)(?=\0)", data)})
