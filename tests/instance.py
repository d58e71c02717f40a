"""A skep of one's own: a daemon on directories of its own, and a network of its own, for tests and benchmarks.

Everything made here is named by the caller's process id and taken away again, also after a failure. Nothing is ever
signalled but the process that was started here.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from skep import paths

REPOSITORY = Path(__file__).resolve().parent.parent
EXAMPLES = REPOSITORY / "examples"
START_SECONDS = 60.0  # in the guest everything takes its time
_numbers = itertools.count(1)


def command() -> list[str]:
    """How to run skep: $SKEP, the checkout's .venv, or the interpreter that runs this."""
    if os.environ.get("SKEP"):
        return [os.environ["SKEP"]]
    installed = REPOSITORY / ".venv/bin/skep"
    if installed.exists():
        return [str(installed)]
    return [sys.executable, "-c", "import sys; from skep.cli.main import main; sys.exit(main())"]


def environment() -> dict[str, str]:
    """The environment of skep's processes: this checkout's source, and nothing of the user's skep or Python.

    PYTHONDONTWRITEBYTECODE, say, would make every start compile every module again.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SKEP_", "BPFMAN_", "PYTHON"))}
    return {**kept, "PYTHONPATH": str(REPOSITORY / "src"), "NO_COLOR": "1"}


@dataclass(frozen=True, slots=True)
class Network:
    """A network namespace with a veth pair inside it; ``near`` is where programs are attached, ``far`` sends."""

    name: str
    near: str = "near"
    far: str = "far"

    @property
    def path(self) -> str:
        """The namespace's file."""
        return f"/run/netns/{self.name}"

    @property
    def enter(self) -> list[str]:
        """The words to put before a command that shall run inside; unlike ``ip netns exec`` they leave /sys alone."""
        return ["nsenter", f"--net={self.path}"]


@contextlib.contextmanager
def network(label: str) -> Iterator[Network]:
    """A namespace ``<label><pid>n<n>`` with both ends of a veth pair up and nothing else sending on them."""
    made = Network(f"{label}{os.getpid()}n{next(_numbers)}")
    _run("ip", "netns", "add", made.name)
    try:
        # No address and no IPv6: then not one packet moves that the test did not send.
        for setting in ("all", "default"):
            _run(*made.enter, "sysctl", "-qw", f"net.ipv6.conf.{setting}.disable_ipv6=1")
        _run("ip", "-n", made.name, "link", "add", made.near, "type", "veth", "peer", "name", made.far)
        for interface in ("lo", made.near, made.far):
            _run("ip", "-n", made.name, "link", "set", interface, "up")
        yield made
    finally:
        _run("ip", "netns", "del", made.name)


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")


@dataclass(frozen=True, slots=True)
class Instance:
    """A running daemon."""

    process: subprocess.Popen[bytes]
    layout: paths.Layout
    log: Path

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        return self.process.pid

    def cli(self, *words: str, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
        """Runs ``skep <words>`` against this daemon; ``more`` is added to the environment."""
        return subprocess.run(
            [*command(), *words], env={**environment(), "SKEP_RUNTIME_DIR": self.layout.runtime, **more},
            capture_output=True, text=True, check=check,
        )  # fmt: skip

    def pins(self) -> tuple[str, ...]:
        """Every path below the pins' root, sorted, without the root."""
        root = self.layout.pins
        found = [
            os.path.relpath(os.path.join(directory, name), root)
            for directory, below, files in os.walk(root)
            for name in (*below, *files)
        ]
        return tuple(sorted(found))


@contextlib.contextmanager
def instance(label: str, *, enter: list[str] | None = None, options: tuple[str, ...] = ()) -> Iterator[Instance]:
    """A daemon that answers, started through ``enter`` (``Network.enter``); pins and directories go with it."""
    home = Path(tempfile.mkdtemp(prefix=f"{label}-{os.getpid()}-"))
    layout = paths.layout(runtime=str(home / "run"))
    log = home / "daemon.log"
    words = [*(enter or []), *command(), "serve", "--runtime-dir", layout.runtime, *options]
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(words, stdout=output, stderr=output, env=environment(), cwd=home)
        try:
            _wait(process, layout.socket, log)
            yield Instance(process, layout, log)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        remove_pins(layout.pins)
        shutil.rmtree(home, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], path: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"skep serve ended with {process.returncode}:\n{log.read_text()}")
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
            probe.connect(path)
            return
        time.sleep(0.01)
    raise RuntimeError(f"skep serve did not listen on {path} in {START_SECONDS:.0f} s:\n{log.read_text()}")


def remove_pins(root: str) -> None:
    """Removes a directory of pins; ``shutil.rmtree`` cannot, because it wants to open them."""
    if not os.path.lexists(root):
        return
    for name in os.listdir(root):
        path = f"{root}/{name}"
        if stat.S_ISDIR(os.lstat(path).st_mode):
            remove_pins(path)
        else:
            os.unlink(path)
    os.rmdir(root)
