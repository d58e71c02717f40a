"""What the tests of images run against: a cache of one's own, the CNCF's registry, and a registry that misbehaves.

Everything listens on loopback and ends with the test that started it.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import os
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skep import errors, model, policy
from skep.image import around, gate, images, registries
from skep.image.reference import Digest
from tests.images import Store
from tests.instance import REPOSITORY

ME = model.Caller(uid=0, gid=0, pid=os.getpid(), origin="direct")
USER, PASSWORD = "skep", "secret"
HTPASSWD = "skep:$2b$04$30bSet8wNoAzl0rQey/22upCeK77gcQz.BuPz6HDoS6nbG11sA0aK\n"
"""``USER`` and ``PASSWORD``, by bcrypt: the one form that the CNCF's registry takes."""
START_SECONDS = 30.0


@functools.cache
def part(name: str) -> str:
    """A program that ``scripts/parts`` builds."""
    done = subprocess.run([REPOSITORY / "scripts/parts", name], capture_output=True, text=True, check=True)
    return f"{done.stdout.strip().splitlines()[-1]}/{name}"


# ---------------------------------------------------------------- skep's side


@dataclass
class Bed:
    """Images with a cache at ``directory``, and what they told."""

    directory: Path
    settings: registries.Registries = field(default_factory=lambda: registries.Registries(timeout=3.0))
    told: list[tuple[str, str, errors.SkepError | None]] = field(default_factory=list)
    loaded: dict[str, tuple[model.ProgramId, ...]] = field(default_factory=dict)
    now: float = 1_800_000_000.0

    def images(self) -> images.Images:
        """As after a start of skep."""
        rest = around.Around(
            access=policy.ANYBODY,
            read=_read,
            loaded=lambda: self.loaded,
            begin=lambda: model.OperationId(1),
            tell=lambda caller, verb, operation, subject, began, failed: self.told.append((verb, subject, failed)),
            clock=lambda: self.now,
        )
        anything = gate.Gate("/nowhere/trust.yaml", gate.Forgetful(), gate.contents, rest.clock)
        return images.Images(str(self.directory), self.settings, rest, anything)

    def pull(
        self, url: str, policy: model.PullPolicy = model.PullPolicy.ALWAYS, login: model.Login | None = None
    ) -> model.Image:
        return self.images().ensure(ME, model.ImageRequest(url=url, policy=policy, login=login))

    def object(self, url: str, digest: str = "") -> bytes:
        source = model.ImageSource(url=url, pull_policy="Never", digest=digest)
        return self.images().object(source)[0]

    def files(self) -> list[str]:
        """Every file of the cache but its lock."""
        return sorted(
            str(path.relative_to(self.directory))
            for path in self.directory.rglob("*")
            if path.is_file() and path.name != "lock"
        )


def _read(caller: model.Caller, path: str, most: int) -> bytes:
    """As the kernel's door reads for a caller, whose rights are this test's."""
    try:
        with open(path, "rb") as file:
            return file.read(most)
    except OSError as error:
        raise errors.NotFound(f"cannot read {path}", why=str(error), do="check the path") from error


# ---------------------------------------------------------------- the CNCF's registry


@dataclass(frozen=True)
class Real:
    """A running registry."""

    host: str
    directory: Path


@contextlib.contextmanager
def real(directory: Path, *, htpasswd: bool = False, certificate: Path | None = None) -> Iterator[Real]:
    """The CNCF's distribution registry; ``certificate`` is a PEM file with key and certificate."""
    port = free_port()
    config = directory / "registry.yml"
    lines = [
        "version: 0.1",
        "log: {level: error}",
        f"storage: {{filesystem: {{rootdirectory: {directory}/registry}}, delete: {{enabled: true}}}}",
        "http:",
        f'  addr: "127.0.0.1:{port}"',
    ]
    if certificate is not None:
        lines.append(f"  tls: {{certificate: {certificate}, key: {certificate}}}")
    if htpasswd:
        (directory / "htpasswd").write_text(HTPASSWD)
        lines.append(f"auth: {{htpasswd: {{realm: test, path: {directory}/htpasswd}}}}")
    config.write_text("\n".join(lines) + "\n")
    quiet = {"OTEL_TRACES_EXPORTER": "none"}
    with (directory / "registry.log").open("wb") as log:
        process = subprocess.Popen([part("registry"), "serve", config], stdout=log, stderr=log, env=quiet)
    try:
        _wait_for(port, process)
        yield Real(f"127.0.0.1:{port}", directory)
    finally:
        process.terminate()
        process.wait(20)


def crane(*words: str | Path, **environment: str) -> str:
    """Runs ``crane``; what it prints."""
    done = subprocess.run(
        [part("crane"), *words], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    if done.returncode:
        raise RuntimeError(f"crane {words}: {done.stderr}")
    return done.stdout.strip()


def certificate(directory: Path, *, days: int = 2) -> Path:
    """A key and a certificate for 127.0.0.1 that is its own authority, in one PEM file."""
    path = directory / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", str(days), "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", path, "-out", f"{path}.crt"],
        capture_output=True, check=True,
    )  # fmt: skip
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, "the registry ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError("the registry does not answer")


# ---------------------------------------------------------------- a registry that misbehaves


@dataclass
class Said:
    """One answer: a status, headers and a body; ``stall`` keeps the client waiting in the middle of it."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: int | None = None
    stall: bool = False


@dataclass
class Hostile:
    """Serves a ``Store`` as the repository "bpf/count", except where it is told to answer something else.

    ``says``: path below /v2/bpf/count/ -> what to say, or a function of how often it was asked before.
    """

    store: Store
    says: dict[str, Said | Callable[[int], Said | None]] = field(default_factory=dict)
    token: str = ""
    """Wanted as a bearer token, given at /token to ``USER`` with ``PASSWORD``."""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0
    ending: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}/bpf/count"

    def times(self, path: str) -> int:
        """How often something below the repository was asked for."""
        return sum(each.endswith(f"/{path}") for each, _ in self.asked)

    def answer(self, path: str, headers: dict[str, str]) -> Said:
        before = sum(each == path for each, _ in self.asked)
        self.asked.append((path, headers))
        if path.startswith("/token"):
            return self._token(headers)
        if self.token and headers.get("authorization") != f"Bearer {self.token}":
            realm = f'Bearer realm="http://127.0.0.1:{self.port}/token?x=1",service="test",scope="ignored"'
            return Said(401, {"WWW-Authenticate": realm})
        below = path.partition("/v2/bpf/count/")[2]
        said = self.says.get(below)
        found = said(before) if callable(said) else said
        return self._stored(below) if found is None else found

    def _token(self, headers: dict[str, str]) -> Said:
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if headers.get("authorization") != f"Basic {login}":
            return Said(401)
        return Said(body=b'{"token":"%s"}' % self.token.encode())

    def _stored(self, below: str) -> Said:
        kind, _, which = below.partition("/")
        digest = self.store.tags.get(which, Digest(which))
        if kind not in ("manifests", "blobs") or digest not in self.store.blobs:
            return Said(404)
        return Said(headers={"Content-Type": self.store.types[digest]}, body=self.store.blobs[digest])


@contextlib.contextmanager
def hostile(store: Store, *, pem: Path | None = None, **more: Any) -> Iterator[Hostile]:
    """Starts one; ``pem`` makes it speak TLS."""
    made = Hostile(store, **more)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = urllib.parse.urlsplit(self.path).path
            said = made.answer(path, {name.lower(): value for name, value in self.headers.items()})
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said.body) if said.length is None else said.length))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(said.body)
                self.wfile.flush()
                if said.stall:
                    made.ending.wait(30)
            self.close_connection = said.length is not None

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if pem is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.ending.set()
        server.shutdown()
        server.server_close()
