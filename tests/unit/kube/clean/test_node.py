"""Cleaning a node: it waits for who uses it, refuses what would be lost, and removes all of it and nothing else."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from pathlib import Path

import pytest

from skep import errors
from skep.kube.clean import cleaner, node

SOCKET = "var/lib/kubelet/plugins/csi.bpfman.io/csi.sock"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node that skep has run on, as the working directory: a socket's path has 107 characters at most."""
    monkeypatch.chdir(tmp_path)
    for each in (*cleaner.DIRECTORIES, "/sys/fs/bpf/skep/progs", "/sys/fs/bpf/others", "/var/lib/other"):
        (tmp_path / each.lstrip("/")).mkdir(parents=True, exist_ok=True)
    for each in ("run/skep/lock", "var/lib/skep/skep.db", "sys/fs/bpf/others/prog"):
        (tmp_path / each).touch()
    return tmp_path


def left(host: Path) -> list[str]:
    return [each for each in cleaner.DIRECTORIES if (host / each.lstrip("/")).exists()]


def test_all_is_removed_and_nothing_else(host: Path) -> None:
    said: list[str] = []
    node.clean(".", said.append)
    assert left(host) == []
    assert said == [f"removed {each}" for each in cleaner.DIRECTORIES]
    assert (host / "sys/fs/bpf/others/prog").exists() and (host / "var/lib/other").exists()
    node.clean(".", said.append)
    assert len(said) == len(cleaner.DIRECTORIES), "there is nothing to say of a clean node"


def test_it_waits_for_daemon_and_driver(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "EVERY", 0.001)
    said: list[str] = []
    with socket.socket(socket.AF_UNIX) as listening, (host / "run/skep/lock").open() as held:
        listening.bind(SOCKET)
        listening.listen()
        fcntl.flock(held, fcntl.LOCK_EX)
        ends = {"the CSI driver still runs": listening.close, "the daemon still runs": held.close}

        def say(text: str) -> None:
            said.append(text)
            for who, end in ends.items():
                if text.startswith(who):
                    assert len(left(host)) == len(cleaner.DIRECTORIES)
                    threading.Timer(0.01, end).start()

        node.clean(".", say)
    assert [text.split(";")[0] for text in said[:2]] == list(ends)
    assert left(host) == []


def test_what_nobody_unloaded_is_not_thrown_away(host: Path) -> None:
    (host / "sys/fs/bpf/skep/progs/7-1").touch()
    os.symlink("progs/7-1", host / "sys/fs/bpf/skep/prog_7")
    with pytest.raises(errors.Conflict, match="progs/7-1"):
        node.clean(".", lambda text: None)
    assert len(left(host)) == len(cleaner.DIRECTORIES)
