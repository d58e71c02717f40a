"""What a process no longer sees, and what it still does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import instance

pytestmark = pytest.mark.native  # one system call, the same in the guest

LOOK = """
import json, os, sys, threading
from skep.kernel import landlock

def told(path):
    try:
        return "seen" if (os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1)) else "empty"
    except PermissionError:
        return "refused"

before = told("/proc/1/status"), told("/sys/kernel")
hidden = landlock.hide({"proc", "sys"})
found = {}
paths = (
    "/proc/1/status", "/proc/1/cmdline", "/proc", "/sys/kernel", "/proc/self/status", "/etc/passwd", os.environ["OWN"],
)
thread = threading.Thread(target=lambda: found.update({path: told(path) for path in paths}))
thread.start()
thread.join()
with open(os.environ["OWN"], "a") as own:
    own.write("still mine")
print(json.dumps([before, hidden, found]))
"""


def available() -> bool:
    """Whether this kernel can; asked by a process that ends, since it cannot be undone."""
    words = [sys.executable, "-c", "from skep.kernel import landlock; raise SystemExit(not landlock.hide(set()))"]
    return subprocess.run(words, check=False, env=instance.environment()).returncode == 0


@pytest.fixture(scope="module", autouse=True)
def can() -> None:
    if not available():
        pytest.skip("this kernel has no Landlock")


def test_what_is_hidden_is_hidden_from_threads_too_and_the_rest_is_not(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("mine\n")
    done = subprocess.run(
        [sys.executable, "-c", LOOK], capture_output=True, text=True, check=True,
        env={**instance.environment(), "OWN": str(own)},
    )  # fmt: skip
    before, hidden, found = json.loads(done.stdout)
    assert (before, hidden) == (["seen", "seen"], True)
    assert found == {
        "/proc/1/status": "refused", "/proc/1/cmdline": "refused", "/proc": "refused", "/sys/kernel": "refused",
        "/proc/self/status": "seen", "/etc/passwd": "seen", str(own): "seen",
    }  # fmt: skip
    assert own.read_text() == "mine\nstill mine"
