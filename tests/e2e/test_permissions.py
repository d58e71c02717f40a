"""Who may see what: the modes of every directory, socket, database and note, whatever the umask was."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests import bpf_build, instance

NOBODY = 65534
LOOK = """
import os, sys
os.setgroups([]); os.setresgid(*[int(sys.argv[1])] * 3); os.setresuid(*[int(sys.argv[1])] * 3)
for path in sys.argv[2:]:
    try:
        os.listdir(path)
        print("open")
    except PermissionError:
        print("closed")
"""


def mode(path: str) -> str:
    return oct(stat.S_IMODE(os.lstat(path).st_mode))


def as_nobody(*directories: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(NOBODY), *directories], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize("umask", ["000", "077"])
def test_modes_do_not_depend_on_the_umask(umask: str) -> None:
    words = ["sh", "-c", f'umask {umask}; exec "$@"', "sh"]
    with instance.instance("modes", enter=words) as running:
        object = str(bpf_build.build("every_type"))
        running.cli("program", "load", "file", object, "--programs", "tracepoint:on_tracepoint", "-m", "secret=hunter2")
        layout = running.layout
        assert {path: mode(path) for path in (layout.runtime, layout.private, layout.state, layout.socket)} == {
            layout.runtime: "0o755", layout.private: "0o700", layout.state: "0o700", layout.socket: "0o660",
        }  # fmt: skip
        files = [f"{layout.runtime}/lock", *(str(one) for one in Path(layout.state).iterdir())]
        assert len(files) >= 3
        assert {mode(path) for path in files} == {"0o600"}

        assert mode(layout.pins) == "0o755"
        assert mode(f"{layout.pins}/notes") == "0o700"
        pinned = [f"{top}/{name}" for top, _, names in os.walk(layout.pins) for name in names]
        kept = {path: mode(path) for path in pinned if not os.path.islink(path)}
        assert kept
        assert set(kept.values()) == {"0o600"}, kept


def test_what_a_note_tells_is_roots_alone(tmp_path: Path) -> None:
    """A symbolic link can be read by whoever may search its directory."""
    with instance.instance("notes") as running:
        object = str(bpf_build.build("every_type"))
        done = running.cli(
            "program", "load", "file", object, "--programs", "tracepoint:on_tracepoint", "-m", "secret=hunter2",
            "-o", "json",
        )  # fmt: skip
        assert json.loads(done.stdout)["programs"]
        notes = f"{running.layout.pins}/notes"
        (note,) = os.listdir(f"{notes}/programs")
        assert os.readlink(f"{notes}/programs/{note}")
        os.chmod(Path(running.layout.runtime).parent, 0o755)  # only the test's own directory above was closed
        assert as_nobody(notes, f"{notes}/programs", running.layout.state, f"{running.layout.pins}/progs") == [
            "closed", "closed", "closed", "open",
        ]  # fmt: skip


def test_notes_that_an_older_skep_left_open_are_closed() -> None:
    with instance.instance("older") as running:
        notes = f"{running.layout.pins}/notes"
        os.chmod(notes, 0o755)
        running.process.kill()
        running.process.wait()
        running.cli("--direct", "program", "list")
        assert mode(notes) == "0o700"
