"""Calls of the daemon's methods with messages in and out; what fails comes back as the exception that it raised.

Light on purpose: the messages are imported when the first call is made, and ``call`` stands in for the grpc package,
whose import alone takes 60 ms.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from skep import errors

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from skep.rpc import call

_SERVICE = "/skep.v1.Skep/"

T = TypeVar("T", bound="Message")


class Calls:
    """Connections to the daemon behind ``path``, as many as there are calls at once."""

    def __init__(self, path: str, timeout: float | None) -> None:
        self._path = path
        self._timeout = timeout
        self._idle: list[call.Connection] = []
        self._streaming: set[call.Connection] = set()
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the connections, and the streams that other threads read; the next call opens a new one."""
        with self._lock:
            idle, self._idle = self._idle, []
            for streaming in self._streaming:
                streaming.interrupt()
        for connection in idle:
            connection.close()

    def ask(
        self,
        name: str,
        make: Callable[[], Message],
        answer: type[T],
        metadata: tuple[tuple[str, str], ...] = (),
        more: Iterable[Message] = (),
    ) -> T:
        """One call with the request that ``make`` makes and the messages after it; what fails comes back as the
        exception that the daemon raised."""
        from google.protobuf.message import DecodeError

        from skep.rpc import call, status

        try:
            request = make()
        except (ValueError, TypeError) as error:  # a number that does not fit its field
            raise errors.InvalidRequest(
                "the request cannot be sent", why=str(error), do="use a client and a daemon of the same release"
            ) from error
        heads = ((status.LOG_KEY, str(status.LOG_BYTES)), *metadata)
        try:
            connection = self._connection()
            try:
                told = connection.call(_SERVICE + name, _encoded(request, more), heads, self._timeout)
            finally:
                self._keep(connection)
        except call.Failed as failed:
            raise status.restore(failed.code, failed.text, failed.metadata) from failed
        try:
            return answer.FromString(told)
        except DecodeError as error:
            raise errors.Unavailable(
                "the daemon's answer cannot be read", why=str(error), do="use a client and a daemon of the same release"
            ) from error

    def stream(self, name: str, make: Callable[[], Message], answer: type[T]) -> Iterator[T]:
        """A call that is answered with many messages, on a connection of its own while it lasts."""
        from google.protobuf.message import DecodeError

        from skep.rpc import call, status

        try:
            request = make()
        except (ValueError, TypeError) as error:
            raise errors.InvalidRequest(
                "the request cannot be sent", why=str(error), do="correct the value it names"
            ) from error
        heads = ((status.LOG_KEY, str(status.LOG_BYTES)),)
        try:
            connection = self._connection()
            with self._lock:
                self._streaming.add(connection)
            try:
                messages = connection.stream(_SERVICE + name, _encoded(request, ()), heads, self._timeout)
                with contextlib.closing(messages):
                    for told in messages:
                        yield answer.FromString(told)
            finally:
                with self._lock:
                    self._streaming.discard(connection)
                self._keep(connection)
        except call.Failed as failed:
            raise status.restore(failed.code, failed.text, failed.metadata) from failed
        except DecodeError as error:
            raise errors.Unavailable(
                "the daemon's answer cannot be read", why=str(error), do="use the same release of skep on both sides"
            ) from error

    def _connection(self) -> call.Connection:
        """One that no other thread uses."""
        from skep.rpc import call

        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                if connection.usable:
                    return connection
                connection.close()
        return call.Connection(self._path)

    def _keep(self, connection: call.Connection) -> None:
        with self._lock:
            self._idle.append(connection)


def _encoded(request: Message, more: Iterable[Message]) -> Iterator[bytes]:
    yield request.SerializeToString()
    for message in more:
        yield message.SerializeToString()
