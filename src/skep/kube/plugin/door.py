"""The way to the cluster: ``kubectl proxy`` on a socket of our own, so that whoever kubectl is logged in as, we are.

kubectl knows several files in KUBECONFIG, credential plugins that ask a person, proxies and impersonation; nothing here
does. One process for all questions: starting kubectl takes longer than most answers. It serves no other user: its
socket is in a directory that is ours alone, and it takes no request that changes anything.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any, Self, TypeVar

from skep import errors
from skep.kube.plugin import resource
from skep.kube.plugin.resource import Resource

T = TypeVar("T")
Object = dict[str, Any]
"""An object, or a part of one. Any: JSON."""
PAGE = 500
"""Objects asked for at once; client-go's number."""
LARGE_PAGE = 50
"""The same of objects that may have a megabyte each."""
SECONDS = 30.0
"""How long an answer may take."""
AT_ONCE = 8
"""Questions asked at a time."""


class Door(contextlib.AbstractContextManager["Door"]):
    """A cluster, read as kubectl would. Raises ``skep.errors`` only.

    ``flags``: kubectl's own, such as --context. ``tell`` gets what kubectl, or a credential plugin of its, has to say
    to the person.
    """

    def __init__(self, flags: Sequence[str] = (), *, tell: Callable[[str], None], seconds: float = SECONDS) -> None:
        self._flags = tuple(flags)
        self._tell = tell
        self._seconds = seconds
        self._held = contextlib.ExitStack()
        self._socket = ""
        self._said: list[str] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._held.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def command(self, *words: str) -> list[str]:
        """A command of kubectl's, for the same cluster and user."""
        return [program(), *words[:1], *self._flags, *words[1:]]

    def namespace(self) -> str:
        """The namespace that the context means."""
        words = self.command("config", "view", "--minify", "-o", "jsonpath={..namespace}")
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return done.stdout.strip() or "default"

    def get(self, kind: Resource, name: str, *, namespace: str = "") -> Object:
        """One object; raises NotFound."""
        what = f"get {kind.kind} {'/'.join(filter(None, (namespace, name)))}"
        return self._ask(what, kind.path(namespace=namespace, name=name))

    def find(self, kind: Resource, name: str, *, namespace: str = "") -> Object | None:
        """One object, or None; NotFound if the cluster does not know its kind."""
        try:
            return self.get(kind, name, namespace=namespace)
        except resource.UnknownKind:
            raise
        except errors.NotFound:
            return None

    def every(
        self,
        kind: Resource,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        fields: str = "",
        page: int = PAGE,
    ) -> Iterator[Object]:
        """All objects of a kind, asked for page by page as they are taken. ``namespace`` None: of all of them."""
        query = {"limit": str(page)}
        if labels:
            query["labelSelector"] = ",".join(f"{key}={value}" for key, value in labels.items())
        if fields:
            query["fieldSelector"] = fields
        where = f" in {namespace}" if namespace else ""
        while True:
            answer = self._ask(f"list {kind.plural}{where}", kind.path(namespace=namespace, query=query))
            for item in answer.get("items") or ():
                yield {"apiVersion": answer.get("apiVersion"), "kind": kind.kind, **item}
            following = (answer.get("metadata") or {}).get("continue")
            if not following:
                return
            query["continue"] = following

    def together(self, *questions: Callable[[], T]) -> list[T]:
        """What several questions are answered with, asked at the same time."""
        with futures.ThreadPoolExecutor(AT_ONCE) as pool:
            return [each.result() for each in [pool.submit(question) for question in questions]]

    def _start(self) -> None:
        directory = self._held.enter_context(tempfile.TemporaryDirectory(prefix="kubectl-skep-"))
        self._socket = str(Path(directory, "socket"))
        words = self.command("proxy", "--unix-socket", self._socket, "--reject-methods", "^(POST|PUT|PATCH|DELETE)$")
        process = self._held.enter_context(_tied(words))
        assert process.stdout is not None and process.stderr is not None
        reader = threading.Thread(target=self._read, args=(process.stderr,), daemon=True)
        reader.start()
        if not any(line.startswith("Starting to serve") for line in process.stdout):
            reader.join(5)
            raise resource.unreachable("talk to the cluster", "\n".join(self._said))

    def _read(self, stream: Any) -> None:  # Any: IO[str], which typing has only for annotations
        for line in stream:
            said = line.rstrip("\n")
            self._said.append(said)
            # The proxy's log of what it could not do comes back as our answer; what else is said is for the person.
            if not _is_log(said) and self._socket and Path(self._socket).exists():
                self._tell(said)

    def _ask(self, what: str, path: str) -> Object:
        connection = _Connection(self._socket, self._seconds)
        try:
            connection.request("GET", path, headers={"Accept": "application/json"})
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            why = f"no answer within {self._seconds:g} s" if isinstance(error, TimeoutError) else str(error)
            raise resource.unreachable(what, why) from error
        finally:
            connection.close()
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if response.status == 200 and isinstance(answer, dict):
            return answer
        status = answer if isinstance(answer, dict) else None
        raise resource.refused(what, response.status, status, body[:1000].decode(errors="replace"))


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def program() -> str:
    """kubectl's path; raises NotFound."""
    if found := shutil.which("kubectl"):
        return found
    raise errors.NotFound(
        "kubectl", why="no such program is in PATH", do="install it: https://kubernetes.io/docs/tasks/tools/"
    )


def _is_log(line: str) -> bool:
    """Whether klog wrote it: "E1121 23:14:01.000000"."""
    return len(line) > 5 and line[0] in "EWIF" and line[1:5].isdecimal()


@contextlib.contextmanager
def _tied(words: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A program that ends with this process, however that ends: a shell waits for the end of a pipe that we hold.

    It has our standard input, for a credential plugin may ask a person.
    """
    try:
        asked = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError:
        asked = os.open(os.devnull, os.O_RDONLY)
    try:
        source = f"<&{asked}" if asked < 10 else "</dev/null"  # POSIX's shells take one digit
        process = subprocess.Popen(
            ["sh", "-c", _TIED.replace("INPUT", source), "sh", *words], pass_fds=(asked,), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    finally:
        os.close(asked)
    with process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.close()


_TIED = '"$@" INPUT & program=$!; exec >/dev/null 2>&1; read -r end; kill $program; wait $program'
"""The shell gives its outputs away, so that theirs end with the program."""
