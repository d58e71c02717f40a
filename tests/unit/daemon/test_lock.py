"""One owner at a time, among real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from skep import errors
from skep.daemon import lock

HOLD = """
import sys
from skep.daemon import lock
with lock.held(sys.argv[1], sys.argv[2], 1.0):
    print("mine", flush=True)
    sys.stdin.read()
"""


def holder(path: Path, owner: str) -> subprocess.Popen[str]:
    """Another process that owns the instance until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), owner], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(lock.__file__).parents[2])},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "mine\n"
    return process


def test_the_file_names_its_owner_while_it_is_held(tmp_path):
    path = tmp_path / "lock"
    with lock.held(str(path), "direct", 1.0):
        assert path.read_text() == f"direct {os.getpid()}\n"
        assert path.stat().st_mode & 0o777 == 0o600

    assert path.read_text() == ""
    with lock.held(str(path), "daemon", 1.0):
        pass


def test_a_daemon_is_not_waited_for(tmp_path):
    with holder(tmp_path / "lock", "daemon") as process:
        with (
            pytest.raises(errors.Busy, match=f"a daemon owns {tmp_path}: process {process.pid} "),
            lock.held(str(tmp_path / "lock"), "direct", 0),
        ):
            pass
        process.communicate("")


def test_a_command_is_waited_for_only_so_long(tmp_path):
    with holder(tmp_path / "lock", "direct") as process:
        with (
            pytest.raises(errors.Busy, match="another command owns"),
            lock.held(str(tmp_path / "lock"), "direct", 0.02),
        ):
            pass
        process.communicate("")


def test_a_command_that_ends_is_waited_for(tmp_path):
    with holder(tmp_path / "lock", "direct") as process:
        assert process.stdin is not None
        process.stdin.close()

        with lock.held(str(tmp_path / "lock"), "daemon", 20.0):
            assert (tmp_path / "lock").read_text() == f"daemon {os.getpid()}\n"


def test_a_killed_owner_leaves_nothing(tmp_path):
    with holder(tmp_path / "lock", "daemon") as process:
        process.kill()
        process.wait()

        with lock.held(str(tmp_path / "lock"), "direct", 1.0):
            pass


def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "lock").symlink_to("precious")

    with pytest.raises(errors.Denied), lock.held(str(tmp_path / "lock"), "direct", 1.0):
        pass

    assert (tmp_path / "precious").read_text() == "kept"
