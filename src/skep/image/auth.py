"""Logins out of the files that docker, podman and the containers tools write, and out of credential helpers.

Sources: containers-auth.json(5); docker's ``config.json`` (``auths``, ``credHelpers``, ``credsStore``); the protocol of
docker-credential-helpers: the server's name on stdin, JSON on stdout.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from skep import errors
from skep.image import document
from skep.image.reference import DEFAULT_REGISTRY, Reference
from skep.model.image import Login

MOST_BYTES: Final = 1 << 20
HELPER_SECONDS: Final = 20.0
_DOCKER_HUB: Final = "https://index.docker.io/v1/"
"""docker.io under the name that ``docker login`` gives it."""
_HELPER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_IDENTITY: Final = "<token>"
"""A helper's user name that says that the secret is an identity token."""
_KEPT: Final = (
    "PATH",
    "HOME",
    "USER",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "DOCKER_CONFIG",
    "DBUS_SESSION_BUS_ADDRESS",
)

Reader = Callable[[str], bytes | None]
"""Reads a file; None when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Helper:
    """Ask ``docker-credential-<name>`` about ``server``."""

    name: str
    server: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthFile:
    """One file: ``auths`` by registry, or registry and beginning of the name, as written there."""

    auths: Mapping[str, Login] = field(default_factory=dict, repr=False)
    helpers: Mapping[str, str] = field(default_factory=dict)
    store: str = ""


def files(environ: Mapping[str, str], uid: int) -> tuple[str, ...]:
    """Where a user's logins may be, in the order in which podman and bpfman look; the first that is there counts."""
    home = environ.get("HOME", "")
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}"
    config = environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else "")
    docker = environ.get("DOCKER_CONFIG") or (f"{home}/.docker" if home else "")
    found = (
        environ.get("REGISTRY_AUTH_FILE", ""),
        f"{runtime}/containers/auth.json",
        f"/run/containers/{uid}/auth.json",
        f"{config}/containers/auth.json" if config else "",
        f"{docker}/config.json" if docker else "",
    )
    return tuple(each for each in found if each)


def login(wanted: Reference, paths: tuple[str, ...], read: Reader, environ: Mapping[str, str]) -> Login | None:
    """The login for an image: of the first file that has one for it. None: nobody. InvalidRequest: a broken file."""
    for path in paths:
        data = read(path)
        if data is None:
            continue
        found = lookup(parse(data, path), wanted)
        if isinstance(found, Helper):
            found = ask(found, environ)
        if found is not None:
            return found
    return None


def parse(data: bytes, path: str) -> AuthFile:
    """A file's content. InvalidRequest."""
    try:
        top = document.read(data, MOST_BYTES)
        auths = {name: _entry(fields) for name, fields in document.object(top, "auths").items()}
        helpers = document.strings(top, "credHelpers")
        store = document.text(top, "credsStore")
    except errors.BadObject as error:
        raise errors.InvalidRequest(
            f"the file of logins {path} cannot be read", why=error.why, do="log in again, or correct it"
        ) from error
    return AuthFile(auths={name: each for name, each in auths.items() if each}, helpers=helpers, store=store)


def lookup(file: AuthFile, wanted: Reference) -> Login | Helper | None:
    """What a file has for an image: a helper for its registry, else the entry that fits it best, else the store."""
    server = _DOCKER_HUB if wanted.registry == DEFAULT_REGISTRY else wanted.registry
    for name in (wanted.registry, server):
        if file.helpers.get(name):
            return Helper(name=file.helpers[name], server=server)
    known = {_plain(name): each for name, each in file.auths.items()}
    for name in _from_whole_to_registry(wanted):
        if name in known:
            return known[name]
    return Helper(name=file.store, server=server) if file.store else None


def ask(helper: Helper, environ: Mapping[str, str]) -> Login | None:
    """Run a credential helper. None when it knows nothing; Unavailable when it fails.

    It gets the server's name on stdin, and what it answers is kept out of every message.
    """
    if not _HELPER.match(helper.name):
        raise errors.InvalidRequest(
            f"{helper.name!r} is not the name of a credential helper",
            why="it is part of a program's name",
            do="correct credHelpers or credsStore in the file of logins",
        )
    program = f"docker-credential-{helper.name}"
    try:
        done = subprocess.run(
            [program, "get"],
            input=helper.server.encode(),
            capture_output=True,
            timeout=HELPER_SECONDS,
            env={name: environ[name] for name in _KEPT if name in environ},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = error.strerror or "" if isinstance(error, OSError) else f"no answer within {HELPER_SECONDS:g} s"
        raise errors.Unavailable(
            f"the credential helper {program} does not work", why=why, do="install it, or log in without it"
        ) from error
    if done.returncode != 0:
        if b"not found" in done.stdout + done.stderr:
            return None
        raise errors.Unavailable(
            f"the credential helper {program} does not work",
            why=f"exit status {done.returncode}",
            do=f"see what it says: echo {helper.server} | {program} get",
        )
    try:
        fields = document.read(done.stdout, MOST_BYTES)
        name, secret = document.text(fields, "Username"), document.text(fields, "Secret")
    except errors.BadObject as error:
        raise errors.Unavailable(
            f"the credential helper {program} does not work", why="its answer is not JSON", do="see its documentation"
        ) from error
    return Login(identity_token=secret) if name == _IDENTITY else Login(username=name, password=secret)


def encoded(text: str) -> Login:
    """bpfman's ``--registry-auth``: base64 of "name:password". InvalidRequest, which does not repeat it."""
    found = _decoded(text)
    if found is None:
        raise errors.InvalidRequest(
            "the login is not base64 of name:password", do="make it so: printf '%s' NAME:PASSWORD | base64 -w0"
        )
    return found


def _entry(fields: Any) -> Login | None:  # Any: JSON
    if not isinstance(fields, dict):
        raise document.bad("an entry of auths is not an object")
    token = document.text(fields, "identitytoken")
    if token:
        return Login(identity_token=token)
    auth = document.text(fields, "auth")
    if auth:
        found = _decoded(auth)
        if found is None:
            raise document.bad("an entry of auths is not base64 of name:password")
        return found
    name = document.text(fields, "username")
    return Login(username=name, password=document.text(fields, "password")) if name else None


def _decoded(text: str) -> Login | None:
    try:
        name, colon, password = base64.b64decode(text.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return Login(username=name, password=password.rstrip("\0")) if colon and name else None


def _plain(name: str) -> str:
    """A key of ``auths`` as a registry or a name below one: docker writes URLs."""
    bare = re.sub(r"^https?://", "", name).rstrip("/")
    host, slash, rest = bare.partition("/")
    if slash and re.fullmatch(r"v[12]", rest):
        bare = host
    return DEFAULT_REGISTRY if bare in ("index.docker.io", "registry-1.docker.io") else bare


def _from_whole_to_registry(wanted: Reference) -> Iterator[str]:
    """ "quay.io/a/b", "quay.io/a", "quay.io"."""
    name = wanted.name
    while name:
        yield name
        name = name.rpartition("/")[0]


def environment_reader() -> Reader:
    """Reads files with this process's own rights."""

    def read(path: str) -> bytes | None:
        try:
            with open(path, "rb") as file:
                return file.read(MOST_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise errors.Denied(
                f"the file of logins {path} cannot be read",
                why=error.strerror or os.strerror(error.errno or 0),
                do="make it readable, or let REGISTRY_AUTH_FILE name another",
            ) from error

    return read
