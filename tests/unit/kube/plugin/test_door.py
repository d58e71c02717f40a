"""kubectl proxy ends with whoever started it, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

HOLDER = """
import time
from skep.kube.plugin import door
with door._tied(["sh", "-c", "echo $$; exec sleep 600"]) as process:
    print(process.stdout.readline().strip(), flush=True)
    HOW
"""


def is_there(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("how", ["time.sleep(600)", "pass", "raise SystemExit(3)"], ids=["killed", "done", "failed"])
def test_it_ends_with_its_holder(how: str) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER.replace("HOW", how)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert holder.stdout is not None
    pid = int(holder.stdout.readline())
    if how.startswith("time"):
        assert is_there(pid)
        holder.send_signal(signal.SIGKILL)
    holder.communicate()
    end = time.monotonic() + 20
    while is_there(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not is_there(pid)
