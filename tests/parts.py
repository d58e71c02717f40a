"""The programs that ``scripts/parts`` builds, and how a test starts one of them: on loopback, until it answers."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]


def part(name: str) -> Path:
    """The program, built when it is not there yet."""
    done = subprocess.run([CHECKOUT / "scripts/parts", name], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{name} cannot be built: {done.stderr.strip()[-2000:]}")
    return Path(done.stdout.strip()) / name


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Server:
    """A program that runs until it is closed; its output is in ``log``."""

    def __init__(self, log: Path, *command: str | Path, environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [str(each) for each in command],
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=log.parent,
            )

    def wait_until_it_listens(self, port: int, seconds: float = 60) -> None:
        """Until somebody may connect to a port on loopback."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
                return
            time.sleep(0.05)
        raise AssertionError(f"nobody listens on port {port}:\n{self.log.read_text()[-3000:]}")

    def wait_for(self, url: str, seconds: float = 60) -> bytes:
        """Until the address answers at all; what it said."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(url, timeout=5) as response:
                    said: bytes = response.read()
                    return said
            except urllib.error.HTTPError as error:
                return error.read()
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
        raise AssertionError(f"{url} does not answer:\n{self.log.read_text()[-3000:]}")

    @staticmethod
    def pause() -> None:
        """A moment, between two looks at something that starts."""
        time.sleep(0.05)

    def close(self, seconds: float = 10) -> None:
        """Stop it."""
        self._process.terminate()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
