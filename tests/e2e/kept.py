"""A daemon on directories that outlive it, so that a test can end it and see what the next one finds."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skep import errors, paths
from skep.rpc.client import Client
from tests import instance

SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Home:
    """The directories below one; ``closing`` removes their pins."""

    directory: Path

    @property
    def layout(self) -> paths.Layout:
        return paths.layout(runtime=str(self.directory / "run"))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``skep WORDS``, whatever it answers."""
        environment = {**instance.environment(), "SKEP_RUNTIME_DIR": self.layout.runtime}
        return subprocess.run(
            [*instance.command(), *words], env=environment, capture_output=True, text=True, check=False, timeout=SECONDS
        )

    def told(self, *words: str) -> Any:  # Any: whatever JSON the command prints
        """``skep WORDS -o json``, parsed."""
        done = self.run(*words, "-o", "json")
        assert done.returncode == 0, f"skep {' '.join(words)}: {done.stderr}"
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def daemon(self, *enter: str) -> Iterator[subprocess.Popen[bytes]]:
        """A daemon that answers, started through ``enter``, asked to end afterwards if it still lives."""
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen(
                [*enter, *instance.command(), "serve", "--runtime-dir", self.layout.runtime],
                env=instance.environment(), stdout=log, stderr=log,
            )  # fmt: skip
        try:
            self._until_it_answers(process)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(SECONDS)
            finally:
                process.kill()

    def _until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + SECONDS
        with Client(self.layout.socket, timeout=SECONDS) as client:
            while True:
                assert process.poll() is None, (self.directory / "log").read_text()
                try:
                    assert client.version().pid == process.pid
                    return
                except errors.Unavailable:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)


@contextlib.contextmanager
def home(directory: Path) -> Iterator[Home]:
    """Directories below ``directory``; their pins go when the block ends."""
    made = Home(directory)
    try:
        yield made
    finally:
        instance.remove_pins(made.layout.pins)
