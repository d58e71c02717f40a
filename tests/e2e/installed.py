"""The daemon and the command line as processes, the way a service manager and a user run them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skep import paths
from tests.unit.house import source_tree

EXAMPLES = source_tree.ROOT / "examples"
START_SECONDS = 30
STOP_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """A running daemon; ``log`` is the file that its standard error goes to."""

    layout: paths.Layout
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def socket(self) -> str:
        """The path of the socket that clients use."""
        return self.layout.socket

    def run(self, *words: str, prefix: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """``skep WORDS`` against this daemon, whatever it answers."""
        command = [*prefix, sys.executable, "-m", "skep", *words, "--runtime-dir", self.layout.runtime]
        return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)

    def skep(self, *words: str, prefix: Sequence[str] = ()) -> Any:  # Any: whatever JSON the command prints
        """``skep WORDS -o json`` against this daemon, parsed; fails with what was printed."""
        done = self.run(*words, "-o", "json", prefix=prefix)
        assert done.returncode == 0, f"skep {' '.join(words)}: {done.stdout}{done.stderr}\n{self.log.read_text()}"
        return json.loads(done.stdout)


def environment() -> dict[str, str]:
    """The environment of a process that runs this checkout and no other skep."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SKEP_", "BPFMAN_", "NOTIFY_"))}
    return kept | {"PYTHONPATH": str(source_tree.ROOT / "src")}


@contextlib.contextmanager
def daemon(*, prefix: Sequence[str] = (), **settings: str) -> Iterator[Daemon]:
    """A daemon on directories of its own, ready (it said so by sd_notify), ended and cleaned up afterwards.

    ``prefix`` goes before its command, such as ``("unshare", "--net")``; ``settings`` are environment variables.
    """
    home = Path(tempfile.mkdtemp(prefix="skep-e2e-"))
    layout = paths.layout(runtime=f"{home}/run")
    log = home / "log"
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, home)
        stack.callback(shutil.rmtree, layout.pins, ignore_errors=True)
        notify = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        notify.bind(f"{home}/notify")
        notify.settimeout(START_SECONDS)
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "skep", "serve", "--runtime-dir", layout.runtime],
            env=environment() | {"NOTIFY_SOCKET": f"{home}/notify"} | settings,
            stdin=subprocess.DEVNULL,
            stderr=stack.enter_context(log.open("wb")),
        )
        stack.callback(end, process)
        wait_until_ready(notify, log)
        yield Daemon(layout=layout, process=process, log=log)


def wait_until_ready(notify: socket.socket, log: Path) -> None:
    """Return at the daemon's READY=1; AssertionError with its log when that does not come."""
    try:
        while b"READY=1" not in notify.recv(4096).split(b"\n"):
            pass
    except TimeoutError:
        raise AssertionError(f"the daemon did not become ready in {START_SECONDS} s:\n{log.read_text()}") from None


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the daemon to end, as a service manager does, and make sure that it did."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError(f"the daemon did not end within {STOP_SECONDS} s of SIGTERM") from None
