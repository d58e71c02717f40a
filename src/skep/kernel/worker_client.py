"""The daemon's side of the loader: starts it, asks it, and survives its death.

One request at a time. Whatever the loader answers is checked: it has read user bytes.
"""

from __future__ import annotations

import _socket
import atexit
import contextlib
import json
import os
import pathlib
import queue
import select
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final

from skep import errors
from skep.kernel import wire

_SOURCE: Final = str(pathlib.Path(__file__).parents[2])
_PROGRAM: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); from skep.kernel import worker; worker.main(3, int(sys.argv[2]))"
)
_CHILD_FD: Final = 3
_GRACE_MS: Final = 500
_CRASHED: Final = "the loader crashed on this object"


class Answer:
    """What the loader sent: a checked JSON object, blobs, and descriptors that close with ``close``."""

    def __init__(self, message: wire.Message) -> None:
        self.blobs = message.document.blobs
        self.fds = list(message.fds)
        self.head: dict[str, Any] = {}  # Any: JSON; ``loading`` reads its fields with checks
        try:
            head = json.loads(message.document.head)
        except ValueError as damaged:
            self.close()
            raise wire.Garbled("the head is not JSON") from damaged
        if not isinstance(head, dict):
            self.close()
            raise wire.Garbled("the head is not an object")
        self.head = head

    def close(self) -> None:
        """Close every descriptor."""
        while self.fds:
            os.close(self.fds.pop())


class Loader:
    """A loader process, started when first needed and again after it died.

    ``timeout``: seconds that one object may take, the verifier included; then the process is killed.
    """

    def __init__(self, timeout: float = 60.0) -> None:
        self._timeout = timeout
        self._lock = threading.Lock()
        self._process: _Process | None = None
        atexit.register(self.close)

    @property
    def pid(self) -> int | None:
        """The process that serves now."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the process ahead of the first request, without waiting for it."""
        with self._lock:
            if self._process is None:
                self._process = _Process(self._timeout)

    def close(self) -> None:
        """End the process; the next request starts another."""
        with self._lock:
            self._drop()

    @contextlib.contextmanager
    def ask(self, head: dict[str, Any], blobs: tuple[bytes, ...], fds: Sequence[int]) -> Iterator[Answer]:
        """Send a request; the answer's descriptors close when the block ends, the loader's too. One block at a time.

        ``Unavailable``: it died or stalled.
        """
        document = wire.Document(json.dumps(head).encode(), blobs)
        with self._lock:
            answer = self._exchange(document, list(fds))
            try:
                yield answer
            finally:
                answer.close()
                self._finish()

    def _exchange(self, document: wire.Document, fds: list[int]) -> Answer:
        if self._process is not None and self._process.ended():
            self._drop()  # it died between requests: not this object's fault
        if self._process is None:
            self._process = _Process(self._timeout)
        if not self._process.ready():
            how = self._drop()
            raise errors.Unavailable(
                "the loader cannot be started",
                why=how or "it did not get ready in time",
                do="see skep's log; it needs Python with ctypes and libbpf.so.1, 1.1 or later",
            )
        channel = self._process.channel
        try:
            wire.send(channel, document, fds)
            message = wire.receive(channel)
            if message is None:
                raise ConnectionResetError
            return Answer(message)
        except (BlockingIOError, TimeoutError) as late:
            self._drop()
            raise errors.Unavailable(
                "the object was not loaded",
                why=f"the loader did not answer within {self._timeout:g} seconds and was stopped",
                do="simplify the object; skep is ready for others",
            ) from late
        except (OSError, wire.Garbled) as broken:
            how = self._drop()
            raise errors.Unavailable(
                "the object was not loaded",
                why=f"{_CRASHED} ({how})" if how else _CRASHED,
                do="compile the object again; skep is ready for others",
            ) from broken

    def _finish(self) -> None:
        """Wait until the loader holds nothing of the request either, or is gone. It closes while we use the answer."""
        if self._process is None:
            return
        finished = False
        with contextlib.suppress(OSError):
            finished = wire.await_finish(self._process.channel)
        if not finished:
            self._drop()

    def _drop(self) -> str:
        process, self._process = self._process, None
        return process.end() if process else ""


class _Process:
    """One loader process and the socket to it."""

    def __init__(self, timeout: float) -> None:
        ours, theirs = _pair()
        seconds = int(timeout)
        interval = wire.timeval(seconds, int((timeout - seconds) * 1e6))
        for option in (_socket.SO_RCVTIMEO, _socket.SO_SNDTIMEO):
            ours.setsockopt(_socket.SOL_SOCKET, option, interval)
        self.channel = ours
        self._ready = False
        try:
            self.pid = _starter.start(theirs.fileno())
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()

    def ready(self) -> bool:
        """Wait until it has started; False when it could not."""
        if not self._ready:
            with contextlib.suppress(OSError):
                self._ready = wire.await_finish(self.channel)
        return self._ready

    def ended(self) -> bool:
        """Whether the process has ended (it stays to be reaped by ``end``)."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def end(self) -> str:
        """Close the socket, make sure it ends, reap it; how it ended by itself ("SIGSEGV"), "" when killed here."""
        self.channel.close()
        watch = os.pidfd_open(self.pid)
        try:
            # It ends by itself when its socket closes; one that is crashing may not be waitable yet.
            poll = select.poll()
            poll.register(watch, select.POLLIN)
            if not poll.poll(_GRACE_MS):
                os.kill(self.pid, signal.SIGKILL)
        finally:
            os.close(watch)
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code >= 0:
            return f"exit status {code}" if code else ""
        return "" if code == -signal.SIGKILL else signal.Signals(-code).name


class _Starter:
    """Starts processes from one thread that never ends.

    PR_SET_PDEATHSIG fires when the *thread* that started a process ends, not the process.
    """

    def __init__(self) -> None:
        self._wanted: queue.SimpleQueue[tuple[int, queue.SimpleQueue[int | OSError]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._owner = 0

    def start(self, fd: int) -> int:
        """Start a loader with ``fd`` as its socket; its pid."""
        with self._lock:
            if self._owner != os.getpid():  # first use, or after a fork: threads do not survive one
                self._wanted = queue.SimpleQueue()
                threading.Thread(target=self._run, args=(self._wanted,), name="skep-starter", daemon=True).start()
                self._owner = os.getpid()
        answer: queue.SimpleQueue[int | OSError] = queue.SimpleQueue()
        self._wanted.put((fd, answer))
        result = answer.get()
        if isinstance(result, OSError):
            raise errors.Unavailable(
                "the loader cannot be started",
                why=str(result),
                do="see the limits of the service",
                errno=result.errno or 0,
            ) from result
        return result

    @staticmethod
    def _run(wanted: queue.SimpleQueue[tuple[int, queue.SimpleQueue[int | OSError]]]) -> None:
        while True:
            fd, answer = wanted.get()
            try:
                answer.put(_spawn(fd))
            except OSError as refused:
                answer.put(refused)


_starter: Final = _Starter()


def _spawn(fd: int) -> int:
    """No shell, no inherited descriptors but the socket and stderr, no environment but the library path."""
    arguments = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _PROGRAM, _SOURCE, str(os.getpid())]
    kept = ("LD_LIBRARY_PATH", "SKEP_LIBBPF")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    return os.posix_spawn(
        sys.executable,
        arguments,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, fd, _CHILD_FD),
        ],
        setsigmask=[],
        setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGPIPE],
    )


def _pair() -> tuple[_socket.socket, _socket.socket]:
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
    if theirs.fileno() == _CHILD_FD:  # dup2 onto itself would leave it to be closed at exec
        moved = _socket.socket(fileno=os.dup(theirs.fileno()))
        theirs.close()
        theirs = moved
    return ours, theirs
