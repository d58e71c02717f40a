"""Lines of the kernel's trace buffer: what programs wrote, and nothing else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from skep import errors
from skep.kernel import printk

LINE = "            ping-12      [001] ..s2.   17.04: bpf_trace_printk: port 9999"


def test_only_what_programs_wrote_is_told(tmp_path: Path) -> None:
    pipe = tmp_path / "trace_pipe"
    pipe.write_text(f"# tracer: nop\n{LINE}\n  bash-1 [000] d..2. 17.05: sched_switch: prev=1\n{LINE}2\n")
    assert list(printk.lines(str(pipe))) == [LINE.strip(), LINE.strip() + "2"]


def test_a_pipe_that_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(errors.Busy, match="end what else reads it"):
        list(printk.lines(str(tmp_path)))
