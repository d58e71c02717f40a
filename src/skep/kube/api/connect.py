"""The connection to an API server: from a kubeconfig or from within a pod, with credentials that change under it.

A token file is read again when the API server refuses what it held (lightkube does that); certificates are read again
when their files change. A connection whose other end has gone without a word is noticed by TCP keepalive, within a
minute: a watch may be silent for many minutes, so that no timeout of reading could tell.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

import httpx2
import lightkube
import msgspec
import yaml
from lightkube.config import client_adapter, kubeconfig
from lightkube.core import exceptions, generic_client, selector
from lightkube.models import meta_v1

from skep import errors
from skep.kube.api import answers, served
from skep.kube.api.key import Key
from skep.kube.api.merge import Object

log = logging.getLogger("skep.kube.api")

EVERYWHERE: Final = "*"
"""All namespaces, as lightkube says it."""
PAGE: Final = 500
"""Objects asked for at once; client-go's number."""
_TIMEOUT: Final = httpx2.Timeout(30.0, connect=5.0)
"""Seconds for each read and write of a request that is no watch."""
_SLACK: Final = 30.0
"""Seconds that an API server may be late with the end of a watch."""
_LIMITS: Final = httpx2.Limits(max_connections=100, max_keepalive_connections=10, keepalive_expiry=90.0)
_SOCKET: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 60_000),
)
"""tcp(7): seconds, seconds, times, milliseconds."""

Labels = Mapping[str, str | None]
"""A selector: each label has this value; None: it is there."""


class Api(lightkube.AsyncClient):
    """lightkube's client, with the errors of skep and with watches that can go on for days.

    lightkube's own watch asks for no bookmarks, and splits what it reads at every character that Unicode calls a line's
    end, so that one object with U+0085 in an annotation would end it.
    """

    async def __aenter__(self) -> Self:
        return self

    async def ask(
        self,
        verb: str,
        resource: served.Resource | served.Status,
        key: Key,
        *,
        body: Object | None = None,
        content_type: str | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Object:
        """One request about one object; ``verb`` is get, post, put, patch or delete. Raises skep's errors."""
        what = f"{verb} {served.name(resource)} {key}"
        # call-overload: its only overload is for people who write keywords; a dict is what it is.
        data = body if body is None or verb == "patch" else resource(body)  # type: ignore[call-overload]
        with answers.told(what):
            answer = await self._client.request(
                verb,
                res=resource,
                obj=data,
                name=key.name,
                namespace=key.namespace or None,
                headers={"Content-Type": content_type} if content_type else None,
                params=dict(params or {}),
            )
        return answer if isinstance(answer, dict) else {}

    async def kinds(self, group: str, version: str) -> list[Object]:
        """The kinds of a group that the API server serves, as discovery lists them; [] if it has no such group."""
        wanted = generic_client.BasicRequest(method="GET", url=f"/apis/{group}/{version}")
        try:
            with answers.told(f"list the kinds of {group}/{version}"):
                response = await self._client.send(self._client.build_adapter_request(wanted))  # type: ignore[no-untyped-call]
                self._client.raise_for_status(response)  # type: ignore[no-untyped-call]
                read = response.json()
        except errors.NotFound:
            return []
        found = read.get("resources") if isinstance(read, dict) else None
        return [each for each in found or [] if isinstance(each, dict)]

    async def pages(
        self,
        resource: served.Resource,
        *,
        namespace: str | None = None,
        labels: Labels | None = None,
        fields: Mapping[str, str] | None = None,
        page: int | None = PAGE,
    ) -> AsyncIterator[tuple[str, list[Object]]]:
        """All objects of a kind, page by page, each with the resource version of the whole list.

        ``namespace`` None: all of them. Raises lightkube's errors (``answers.FOREIGN``).
        """
        request = self._client.prepare_request(
            "list",
            res=resource,
            namespace=_where(resource, namespace),
            params={"limit": page, **_selected(labels, fields)},
        )
        try:
            async for version, objects in self._client.list_chunks(request):
                for object in objects:
                    if not isinstance(object["metadata"]["name"], str):
                        raise TypeError
                yield version or "", objects
        except (TypeError, KeyError) as error:
            raise httpx2.RemoteProtocolError("what came in a list is no object") from error

    async def changes(
        self,
        resource: served.Resource,
        *,
        since: str,
        seconds: int,
        opened: Callable[[], None],
        namespace: str | None = None,
        labels: Labels | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[tuple[str, Object], None]:
        """What happened since a resource version: ADDED, MODIFIED, DELETED or BOOKMARK, and the object.

        ``opened`` is called when the API server has accepted it; the API server ends it after so many ``seconds``.
        Raises lightkube's errors (``answers.FOREIGN``).
        """
        request = self._client.prepare_request(
            "list",
            res=resource,
            namespace=_where(resource, namespace),
            watch=True,
            params={
                "allowWatchBookmarks": "true",
                "resourceVersion": since,
                "timeoutSeconds": str(seconds),
                **_selected(labels, fields),
            },
        )
        request.timeout = httpx2.Timeout(_TIMEOUT.read, connect=_TIMEOUT.connect, read=seconds + _SLACK)
        # no-untyped-call: lightkube has not written the types of these two.
        sent = self._client.send(self._client.build_adapter_request(request), stream=True)  # type: ignore[no-untyped-call]
        response: httpx2.Response = await sent
        try:
            if response.is_error:
                await response.aread()
                self._client.raise_for_status(response)  # type: ignore[no-untyped-call]
            opened()
            async for line in _lines(response):
                yield _event(line)
        finally:
            await response.aclose()


def connect(path: str | None = None) -> Api:
    """A client for the cluster of a kubeconfig; None: the cluster we run in, else $KUBECONFIG or ~/.kube/config.

    Nothing is asked yet. Raises InvalidRequest for a configuration that cannot be used. Proxies of the environment are
    not: the API server is asked directly.
    """
    with usable(path):
        config = configuration(path)
        return Api(config, timeout=_TIMEOUT, trust_env=False, transport=_Transport(config))


def configuration(path: str | None = None) -> kubeconfig.SingleConfig:
    """What ``connect`` goes by; to be read within ``usable``."""
    where = _where_from(path)
    config = _read(Path(where).expanduser()) if where else kubeconfig.KubeConfig.from_service_account().get()
    if config is None or config.user is None:
        raise exceptions.ConfigError("its context names no user")
    return config


@contextlib.contextmanager
def usable(path: str | None) -> Iterator[None]:
    """Say as InvalidRequest why a configuration cannot be used."""
    try:
        yield
    except (*answers.FOREIGN, OSError, ValueError, yaml.YAMLError, LookupError) as error:
        why = f"it says nothing of {error}" if isinstance(error, LookupError) else str(error)
        raise errors.InvalidRequest(
            f"connect to the cluster of {_where_from(path) or 'this pod'}",
            why=why,
            do="name a kubeconfig with --kubeconfig",
        ) from error


def _where_from(path: str | None) -> str | None:
    """The kubeconfig's path, None within a pod."""
    return path or (None if _in_a_pod() else os.environ.get("KUBECONFIG") or kubeconfig.DEFAULT_KUBECONFIG)


def _in_a_pod() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ and Path(kubeconfig.SERVICE_ACCOUNT, "token").exists()


def _read(path: Path) -> kubeconfig.SingleConfig | None:
    read = yaml.safe_load(path.read_text())
    if not isinstance(read, dict):
        raise exceptions.ConfigError("it is no kubeconfig")
    return kubeconfig.KubeConfig.from_dict(read, fname=path).get()


def _event(line: bytes) -> tuple[str, Object]:
    """One event of a watch; raises what its last one says went wrong, and an error for what is none."""
    try:
        read = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise httpx2.RemoteProtocolError("what came in a watch is no JSON") from error
    match read:
        case {"type": "ERROR", "object": dict(status)}:
            raise exceptions.ApiError(status=msgspec.convert(status, meta_v1.Status))
        case {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str()}} as object}:
            return "BOOKMARK", object
        case {"type": str(kind), "object": {"metadata": {"resourceVersion": str(), "name": str()}} as object}:
            return kind, object
        case _:
            raise httpx2.RemoteProtocolError("what came in a watch is no event")


class _Transport(httpx2.AsyncBaseTransport):
    """Connections with the certificates that are in the files now."""

    def __init__(self, config: kubeconfig.SingleConfig) -> None:
        self._config = config
        self._files = tuple(Path(each) for each in _certificates(config))
        self._read = self._stamp()
        self._connections = self._made()
        self._retired: httpx2.AsyncHTTPTransport | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await self._renew()
        response = await self._connections.handle_async_request(request)
        # lightkube looks at it without asking whether it is there; a proxy's or a dying server's answer has none.
        response.headers.setdefault("Content-Type", "")
        return response

    async def aclose(self) -> None:
        if self._retired:
            await self._retired.aclose()
        await self._connections.aclose()

    async def _renew(self) -> None:
        stamp = self._stamp()
        if stamp == self._read:
            return
        try:
            made = self._made()
        except (OSError, ssl.SSLError) as error:
            # Of a pair, one file is written before the other; until they fit, what we have is good.
            log.debug("certificates not read again: %s", error)
            return
        # What runs on the old connections, watches above all, runs on; the next renewal is hours away.
        old, self._retired, self._connections, self._read = self._retired, self._connections, made, stamp
        if old:
            await old.aclose()

    def _made(self) -> httpx2.AsyncHTTPTransport:
        user = self._config.user
        assert user is not None  # connect() has looked
        context = client_adapter.verify_cluster(self._config.cluster, user, self._config.abs_file, trust_env=False)
        return httpx2.AsyncHTTPTransport(verify=context, trust_env=False, limits=_LIMITS, socket_options=_SOCKET)

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        """Of each file the inode and time of change; kubelet replaces files by renaming."""
        stamps = []
        for path in self._files:
            try:
                status = os.stat(path)
            except OSError:
                stamps.append((0, 0))
            else:
                stamps.append((status.st_ino, status.st_mtime_ns))
        return tuple(stamps)


def _certificates(config: kubeconfig.SingleConfig) -> list[Any]:  # Any: str or Path, as lightkube has it
    user = config.user
    named = (config.cluster.certificate_auth, user and user.client_cert, user and user.client_key)
    return [config.abs_file(each) for each in named if each]


def _where(resource: served.Resource, namespace: str | None) -> str | None:
    if not served.is_namespaced(resource):
        return None
    return namespace or EVERYWHERE


def _selected(labels: Labels | None, fields: Mapping[str, str] | None) -> dict[str, str]:
    chosen = {}
    if labels:
        chosen["labelSelector"] = selector.build_selector(dict(labels))
    if fields:
        chosen["fieldSelector"] = selector.build_selector(dict(fields), for_fields=True)
    return chosen


async def _lines(response: httpx2.Response) -> AsyncIterator[bytes]:
    """The lines of a watch: what ends with ``\\n``, and nothing else ends one."""
    rest = bytearray()
    async for chunk in response.aiter_bytes():
        first, *more = chunk.split(b"\n")
        rest += first
        for part in more:
            if rest:
                yield bytes(rest)
            rest[:] = part
    if rest:
        yield bytes(rest)
