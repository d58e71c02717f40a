"""How this host reaches registries: what the configuration and the environment say, read anew for each pull."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from skep import errors
from skep.config import Settings
from skep.image import access, auth
from skep.image.access import Access
from skep.image.reference import Reference
from skep.model.image import Login

AUTH_FILE: Final = "/etc/skep/auth.json"
CA_FILE: Final = "/etc/skep/registries.pem"
CERTIFICATE_DIRECTORIES: Final = ("/etc/containers/certs.d", "/etc/docker/certs.d")
"""``<directory>/<registry>/*.crt``: authorities of one registry, where docker and podman have them."""
MOST_CERTIFICATES: Final = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Registries:
    """``[registries]`` of the configuration."""

    auth_file: str | None = None
    """None: ``AUTH_FILE``, then where docker and podman look for root's."""
    ca_file: str | None = None
    """None: ``CA_FILE`` if it is there."""
    plain_http: tuple[str, ...] = ()
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    timeout: float = 30.0
    """Longest silence of a registry, in seconds."""


def of(settings: Settings) -> Registries:
    """What the settings say."""
    return Registries(
        auth_file=settings.registry_auth_file,
        ca_file=settings.registry_ca_file,
        plain_http=settings.registry_plain_http,
        mirrors=settings.registry_mirrors,
        timeout=settings.registry_timeout,
    )


def access_to(
    wanted: Reference, settings: Registries, login: Login | None, environ: Mapping[str, str] | None = None
) -> Access:
    """How to reach one image. ``login`` None: find one. InvalidRequest, Denied, Unavailable: a file or a helper."""
    environ = os.environ if environ is None else environ
    mirrors = settings.mirrors.get(wanted.registry, ())
    return Access(
        logins=_logins(wanted, mirrors, settings, login, environ),
        mirrors=mirrors,
        plain_http=frozenset(settings.plain_http),
        certificates=_certificates(wanted, mirrors, settings),
        proxies=_proxies(environ),
        no_proxy=environ.get("NO_PROXY") or environ.get("no_proxy") or "",
        connect_seconds=min(10.0, settings.timeout),
        read_seconds=settings.timeout,
    )


def _logins(
    wanted: Reference,
    mirrors: tuple[str, ...],
    settings: Registries,
    login: Login | None,
    environ: Mapping[str, str],
) -> dict[str, Login]:
    """By registry. The caller's login is for the registry alone: a mirror is the administrator's."""
    paths = (settings.auth_file,) if settings.auth_file else (AUTH_FILE, *auth.files(environ, os.geteuid()))
    read = auth.environment_reader()
    found: dict[str, Login] = {}
    for endpoint in access.endpoints(wanted, Access(mirrors=mirrors)):
        if not endpoint.mirror and login is not None:
            found[endpoint.registry] = login
            continue
        place = Reference(registry=endpoint.registry, repository=endpoint.repository, tag=wanted.tag)
        one = auth.login(place, paths, read, environ)
        if one is not None:
            found[endpoint.registry] = one
    return found


def _certificates(wanted: Reference, mirrors: tuple[str, ...], settings: Registries) -> str:
    files = [settings.ca_file] if settings.ca_file else [CA_FILE] if os.path.exists(CA_FILE) else []
    for registry in (wanted.registry, *(mirror.partition("/")[0] for mirror in mirrors)):
        for directory in CERTIFICATE_DIRECTORIES:
            files += sorted(glob.glob(f"{directory}/{glob.escape(registry)}/*.crt"))
    return "\n".join(_text(path) for path in files)


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read(MOST_CERTIFICATES)
    except (OSError, UnicodeDecodeError) as error:
        raise errors.InvalidRequest(
            f"the certificates in {path} cannot be read",
            why=str(error),
            do="let registries.ca_file name a file of PEM certificates",
        ) from error


def _proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Scheme -> proxy. HTTP_PROXY in capitals too: this is no CGI program."""
    found = {}
    for scheme in ("http", "https", "all"):
        value = environ.get(f"{scheme.upper()}_PROXY") or environ.get(f"{scheme}_proxy")
        if value:
            found[scheme] = value
    return found
