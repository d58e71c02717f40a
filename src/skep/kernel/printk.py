"""What programs write with ``bpf_printk``: lines of the kernel's trace buffer, as they come.

The buffer is one for the whole machine, and reading takes a line out of it: of two readers each gets a part
(Documentation/trace/ftrace.rst, ``trace_pipe``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from skep import errors
from skep.kernel import perf

MARK: Final = "bpf_trace_printk: "
"""What stands before the text of such a line (include/trace/events/bpf_trace.h; Linux 5.9)."""


def lines(path: str = "") -> Iterator[str]:
    """The lines that are there, and those that come, without end. ``path``: of another trace_pipe than the kernel's.

    Denied without the right to read it; Unsupported where tracefs is not mounted; Busy where another reader has it.
    """
    where = path or f"{perf.tracefs()}/trace_pipe"
    try:
        with open(where, encoding="utf-8", errors="replace") as pipe:
            for line in pipe:
                if MARK in line:
                    yield line.strip()
    except PermissionError as error:
        raise errors.Denied(f"read {where}", why=error.strerror or "", do="be root", errno=error.errno or 0) from error
    except OSError as error:
        raise errors.Busy(
            f"read {where}", why=error.strerror or str(error), do="end what else reads it: fuser shows it",
            errno=error.errno or 0,
        ) from error  # fmt: skip
