"""What a registry asks for with 401, and the token that answers it.

Sources: RFC 9110, section 11 (challenges), and the distribution project's "Token Authentication Specification" and
"OAuth2 token authentication".
"""

from __future__ import annotations

import base64
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from skep import errors
from skep.image import document
from skep.image.http import Http, host_of, shown
from skep.model.image import Login

MOST_TOKEN: Final = 1 << 20
_PARAMETER: Final = re.compile(r'\s*,?\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^",\s]+))')


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One challenge: its scheme in lower case ("bearer", "basic") and its parameters."""

    scheme: str
    parameters: Mapping[str, str]


def parse(header: str) -> Challenge | None:
    """The first challenge of a WWW-Authenticate header that we can answer, bearer before basic; None without one."""
    found: dict[str, dict[str, str]] = {}
    # A header may hold several challenges; parameters belong to the scheme before them.
    starts = [(match.start(), match.group(1)) for match in re.finditer(r"(?:^|,\s*)(Bearer|Basic)\b", header, re.I)]
    for at, (start, scheme) in enumerate(starts):
        end = starts[at + 1][0] if at + 1 < len(starts) else len(header)
        text = header[header.index(scheme, start) + len(scheme) : end]
        parameters = {
            match.group(1).lower(): re.sub(r"\\(.)", r"\1", match.group(2)) if match.group(2) is not None else match[3]
            for match in _PARAMETER.finditer(text)
        }
        found.setdefault(scheme.lower(), parameters)
    for scheme in ("bearer", "basic"):
        if scheme in found:
            return Challenge(scheme=scheme, parameters=found[scheme])
    return None


def basic(login: Login) -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{login.username}:{login.password}".encode()).decode("ascii")


def token(http: Http, challenge: Challenge, scope: str, login: Login | None, registry_url: str) -> str:
    """A bearer token for ``scope``. Denied when the login is refused; Unavailable.

    The service that gives tokens is named by the registry; it gets the login over TLS only, unless the registry itself
    is spoken to without.
    """
    realm = challenge.parameters.get("realm", "")
    parts = urllib.parse.urlsplit(realm)
    if parts.scheme != "https" and not (parts.scheme == "http" and registry_url.startswith("http:")):
        raise errors.Unavailable(
            f"{host_of(registry_url)} wants a token from {shown(realm)[:200] or 'nowhere'}",
            why="a login is sent over TLS only",
            do="ask whoever runs the registry",
        )
    query = {"scope": scope}
    if "service" in challenge.parameters:
        query["service"] = challenge.parameters["service"]
    if login is not None and login.identity_token:
        form = {**query, "grant_type": "refresh_token", "refresh_token": login.identity_token, "client_id": "skep"}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = http.request("POST", realm, headers, urllib.parse.urlencode(form).encode())
    else:
        headers = {} if login is None else {"Authorization": basic(login)}
        joint = "&" if parts.query else "?"
        answer = http.request("GET", f"{realm}{joint}{urllib.parse.urlencode(query)}", headers)
    with answer:
        if answer.status in (400, 401, 403):
            raise denied(host_of(registry_url), login, f"{host_of(realm)} answered {answer.status}")
        if answer.status != 200:
            raise errors.Unavailable(
                f"{host_of(realm)} gives no token for {host_of(registry_url)}",
                why=f"it answered {answer.status}",
                do="try again later",
            )
        fields = document.read(answer.body(MOST_TOKEN), MOST_TOKEN)
    given = document.text(fields, "token") or document.text(fields, "access_token")
    if not given or not given.isprintable():
        raise errors.Unavailable(
            f"{host_of(realm)} gives no token for {host_of(registry_url)}",
            why="its answer has none",
            do="ask whoever runs the registry",
        )
    return given


def denied(registry: str, login: Login | None, why: str) -> errors.Denied:
    """The login was refused, or there was none."""
    if login is None:
        return errors.Denied(
            f"{registry} does not give the image to just anybody",
            why=f"{why}; no login for it was found",
            do="check the name, or log in: 'docker login', 'podman login' or --registry-auth; with sudo, root's logins "
            "count",
        )
    who = f"{login.username!r}" if login.username else "the identity token"
    return errors.Denied(
        f"{registry} refuses the login",
        why=f"{why} to {who}",
        do="check the name of the image; log in again if the password has changed",
    )
