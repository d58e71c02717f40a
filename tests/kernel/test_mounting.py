"""BPF file systems of one's own, and who gets at a map through them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import errors
from skep.kernel import mounting
from tests import instance


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="skepmount-") as made:
        os.chmod(made, 0o755)
        (Path(made) / "pod").mkdir()
        yield Path(made)


def test_a_file_system_is_filled_unseen_and_shown_whole(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernel.mounted", str(home)], capture_output=True, text=True, check=False,
        cwd=instance.REPOSITORY, env={**os.environ, "PYTHONPATH": f"{instance.REPOSITORY}/src:{instance.REPOSITORY}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "thrown away": [True, True, []],
        "writable": ["bpf", "test/writable #1", False, ["counter"]],
        "writable, group": [[77, "written"], [77, "EPERM"]],
        "writable, other": ["EACCES", "EACCES"],
        "sealed": ["bpf", "test/sealed #1", True, ["counter"]],
        "sealed, group": ["EROFS", [77, "EPERM"]],
        "sealed, other": ["EACCES", "EACCES"],
        "below": "test/writable #1",
        "at last": None,
    }
    assert list((home / "pod").iterdir()) == []


def test_places_are_reached_by_directories_alone(home: Path) -> None:
    (home / "pod/link").symlink_to("/etc")
    (home / "pod/file").write_text("")
    for path in ("pod/link/x", "pod/file/x"):
        with pytest.raises(errors.InvalidRequest), mounting.place(str(home), f"{home}/{path}"):
            pass
    for name in ("link", "file"):
        with mounting.place(str(home), f"{home}/pod/{name}") as place, pytest.raises(errors.InvalidRequest):
            place.mounted()
    with pytest.raises(FileNotFoundError), mounting.place(str(home), f"{home}/missing/x"):
        pass
    with mounting.place(str(home), f"{home}/pod/missing") as place:
        assert place.mounted() is None
