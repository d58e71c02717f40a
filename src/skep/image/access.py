"""How a registry is reached: logins, mirrors, proxies, certificates, and where plain HTTP is allowed. Values only.

They travel to the process that pulls through its socket, never in arguments, environment or logs: ``repr`` hides
secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from skep.image import document
from skep.image.reference import DEFAULT_REGISTRY, Reference, is_loopback
from skep.model.image import Login

DOCKER_HOST: Final = "registry-1.docker.io"
"""Where docker.io's registry answers."""
_MOST: Final = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What one request for one image needs. ``logins`` by registry host; None is nobody."""

    logins: Mapping[str, Login] = field(default_factory=dict, repr=False)
    mirrors: tuple[str, ...] = ()
    """``HOST[:PORT][/PREFIX]``, asked in order before the registry itself."""
    plain_http: frozenset[str] = frozenset()
    """Registries that may be asked without TLS; loopback always may."""
    certificates: str = ""
    """PEM of authorities that are trusted besides the system's."""
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Scheme -> URL, as in HTTP_PROXY and HTTPS_PROXY; may hold a password."""
    no_proxy: str = ""
    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    """Longest silence of a registry in the middle of an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One place that serves a repository: where to connect, under which name it stands there."""

    registry: str
    """As people write it: the key of logins, and what is shown."""
    host: str
    repository: str
    may_be_plain: bool
    mirror: bool = False


def endpoints(reference: Reference, access: Access) -> tuple[Endpoint, ...]:
    """Where to ask for an image, in order: mirrors, then the registry."""
    found = []
    for mirror in access.mirrors:
        host, _, prefix = mirror.partition("/")
        repository = f"{prefix}/{reference.repository}" if prefix else reference.repository
        found.append(_endpoint(host, repository, access, mirror=True))
    return (*found, _endpoint(reference.registry, reference.repository, access, mirror=False))


def pack(one: Access) -> dict[str, Any]:  # Any: JSON
    """For the socket."""
    return {
        "logins": {
            host: {"username": each.username, "password": each.password, "identity_token": each.identity_token}
            for host, each in one.logins.items()
        },
        "mirrors": list(one.mirrors),
        "plain_http": sorted(one.plain_http),
        "certificates": one.certificates,
        "proxies": dict(one.proxies),
        "no_proxy": one.no_proxy,
        "connect_seconds": one.connect_seconds,
        "read_seconds": one.read_seconds,
    }


def unpack(fields: Mapping[str, Any]) -> Access:
    """What ``pack`` made."""
    return Access(
        logins={host: Login(**each) for host, each in document.object(fields, "logins").items()},
        mirrors=tuple(document.array(fields, "mirrors")),
        plain_http=frozenset(document.array(fields, "plain_http")),
        certificates=document.text(fields, "certificates"),
        proxies=document.strings(fields, "proxies"),
        no_proxy=document.text(fields, "no_proxy"),
        connect_seconds=float(fields["connect_seconds"]),
        read_seconds=float(fields["read_seconds"]),
    )


def _endpoint(registry: str, repository: str, access: Access, *, mirror: bool) -> Endpoint:
    return Endpoint(
        registry=registry,
        host=DOCKER_HOST if registry == DEFAULT_REGISTRY else registry,
        repository=repository,
        may_be_plain=is_loopback(registry) or registry in access.plain_http,
        mirror=mirror,
    )
