"""HTTP for registries: timeouts, retries, redirects, proxies and certificates, and every failure as one of ours.

On urllib3, which is imported here and nowhere else: only the process that pulls, and ``skep image push``, pay for it.
"""

from __future__ import annotations

import contextlib
import email.utils
import re
import ssl
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import urllib3

from skep import errors
from skep.image.access import Access
from skep.image.reference import is_loopback

TRIES: Final = 3
"""Of one request that a registry is too busy for."""
LONGEST_WAIT: Final = 20.0
"""Seconds of Retry-After that are waited for; longer ones are told to the user."""
_REDIRECTS: Final = 5
_PIECE: Final = 256 * 1024
_BUSY: Final = frozenset({429, 500, 502, 503, 504})
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
AGENT: Final = "skep"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose body is still to be read; close it."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    url: str
    raw: urllib3.BaseHTTPResponse

    def pieces(self, most: int) -> Iterator[bytes]:
        """The body as it comes. Exhausted above ``most`` bytes, Unavailable when it breaks off or stalls."""
        size = 0
        with _told(self.url):
            for piece in self.raw.stream(_PIECE, decode_content=False):
                size += len(piece)
                if size > most:
                    raise errors.Exhausted(
                        f"{host_of(self.url)} sent more than {most} bytes",
                        why=f"{shown(self.url)} may not have more",
                        do="see whether it is the right image, and whether something stands before the registry",
                    )
                yield piece

    def body(self, most: int) -> bytes:
        """The whole body."""
        with self:
            return b"".join(self.pieces(most))

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.raw.close()


class Http:
    """Requests with one ``Access``. ``pause`` waits so many seconds."""

    def __init__(self, access: Access, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._access = access
        self._pause = pause
        self._timeout = urllib3.Timeout(connect=access.connect_seconds, read=access.read_seconds)
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._context = _context(access.certificates)

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """Ask until there is an answer that is neither a redirect nor "too busy": whatever its status then is.

        Credentials in ``headers`` go to the host of ``url`` only. Unavailable.
        """
        left = dict(headers or {})
        for _ in range(_REDIRECTS):
            answer = self._patiently(method, url, left, body)
            target = answer.headers.get("location", "")
            if answer.status not in _MOVED or not target or method not in ("GET", "HEAD"):
                return answer
            with answer:
                following = urllib.parse.urljoin(url, target)
            _check_redirect(url, following)
            if _origin(url) != _origin(following):
                left = {name: value for name, value in left.items() if name.lower() != "authorization"}
            url = following
        raise errors.Unavailable(
            f"{host_of(url)} sends us from place to place",
            why=f"{_REDIRECTS} redirects, the last to {shown(url)}",
            do="ask whoever runs the registry",
        )

    def _patiently(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """``_once``, again when the registry is too busy and says, or does not say, for how long."""
        for attempt in range(1, TRIES + 1):
            answer = self._once(method, url, headers, body)
            if answer.status not in _BUSY or attempt == TRIES:
                return answer
            wait = retry_after(answer.headers.get("retry-after", ""), attempt, time.time())
            if wait > LONGEST_WAIT:
                return answer
            answer.raw.close()
            self._pause(wait)
        raise AssertionError("unreachable")

    def _once(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        every = {"User-Agent": AGENT, "Accept-Encoding": "identity", **headers}
        with _told(url):
            raw = self._pool(url).request(
                method,
                url,
                headers=every,
                body=body,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
        found = {name.lower(): value for name, value in raw.headers.items()}
        return Answer(raw.status, found, url, raw)

    def _pool(self, url: str) -> urllib3.PoolManager:
        proxy = proxy_of(url, self._access)
        if proxy not in self._pools:
            if proxy:
                self._pools[proxy] = urllib3.ProxyManager(
                    _without_login(proxy),
                    proxy_headers=_proxy_login(proxy),
                    timeout=self._timeout,
                    ssl_context=self._context,
                )
            else:
                self._pools[proxy] = urllib3.PoolManager(timeout=self._timeout, ssl_context=self._context)
        return self._pools[proxy]


def proxy_of(url: str, access: Access) -> str:
    """The proxy for a URL, "" for none. Loopback is never behind one."""
    scheme, host = urllib.parse.urlsplit(url).scheme, host_of(url)
    if is_loopback(host):
        return ""
    if _bypassed(host, access.no_proxy):
        return ""
    found = access.proxies.get(scheme) or access.proxies.get("all", "")
    return found if not found or "://" in found else f"http://{found}"


def _bypassed(host: str, no_proxy: str) -> bool:
    """Whether NO_PROXY names a host, with or without its port, or a domain above it; "*" names all."""
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    for entry in (each.strip().lower() for each in no_proxy.split(",")):
        bare = entry.removeprefix("*").removeprefix(".")
        if entry == "*" or (bare and (bare in (host, name) or name.endswith(f".{bare}"))):
            return True
    return False


def retry_after(value: str, attempt: int, now: float) -> float:
    """Seconds to wait: a number or a date of the header (RFC 9110, 10.2.3), else half a second, doubled each time."""
    if value.strip().isdigit():
        return float(value.strip()[:9])
    if value:
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    return float(0.5 * 2 ** (attempt - 1))


def host_of(url: str) -> str:
    """Host and port of a URL."""
    return urllib.parse.urlsplit(url).netloc.rpartition("@")[2]


def shown(url: str) -> str:
    """A URL without its query, which may be signed, and without a password."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{host_of(url)}{parts.path}"


def is_not_tls(error: BaseException | None) -> bool:
    """Whether a TLS handshake failed because the other side does not speak TLS at all."""
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, ssl.SSLError) and (
            "WRONG_VERSION_NUMBER" in str(error) or "RECORD_LAYER_FAILURE" in str(error) or "HTTP_REQUEST" in str(error)
        ):
            return True
        reason = getattr(error, "reason", None)  # urllib3 keeps the exception there, ssl a word
        error = error.__cause__ or error.__context__ or (reason if isinstance(reason, BaseException) else None)
        seen += 1
    return False


def _context(certificates: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if certificates:
        try:
            context.load_verify_locations(cadata=certificates)
        except (ssl.SSLError, ValueError) as error:
            raise errors.InvalidRequest(
                "the certificates for registries cannot be read",
                why=str(error),
                do="let registries.ca_file name a file of PEM certificates",
            ) from error
    return context


def _origin(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc


def _check_redirect(url: str, following: str) -> None:
    """From TLS to plain HTTP would hand the image to whoever sits between; from a registry to this host's own
    services would let it speak to them in our name."""
    parts = urllib.parse.urlsplit(following)
    allowed = parts.scheme == "https" or (parts.scheme == "http" and url.startswith("http:"))
    inward = is_loopback(host_of(following)) and not is_loopback(host_of(url))
    if not allowed or inward or not parts.netloc:
        raise errors.Unavailable(
            f"{host_of(url)} sends us to {shown(following)[:200]}",
            why="it is this very host" if inward else "a registry may not lead from TLS to something else",
            do="ask whoever runs the registry",
        )


@contextlib.contextmanager
def _told(url: str) -> Iterator[None]:
    """urllib3's exceptions as ours."""
    try:
        yield
    except urllib3.exceptions.HTTPError as error:
        raise _explain(url, error) from error
    except (OSError, ValueError) as error:
        raise errors.Unavailable(
            f"{host_of(url)} cannot be asked", why=str(error)[:300], do="see whether the name is right"
        ) from error


def _explain(url: str, error: urllib3.exceptions.HTTPError) -> errors.SkepError:
    host = host_of(url)
    reason = getattr(error, "reason", None) or error
    if isinstance(error, urllib3.exceptions.ProxyError) or isinstance(reason, urllib3.exceptions.ProxyError):
        return errors.Unavailable(
            f"{host} cannot be reached through the proxy",
            why=_brief(reason),
            do="see HTTPS_PROXY and NO_PROXY of the daemon",
        )
    if isinstance(reason, (ssl.SSLError, urllib3.exceptions.SSLError)):
        if is_not_tls(error):
            return errors.Unavailable(
                f"{host} does not speak TLS",
                why="plain HTTP is for loopback, or for registries that the configuration names",
                do=f'let registries.plain_http name "{host}" if its network can be trusted',
            )
        return errors.Unavailable(
            f"the certificate of {host} is not trusted",
            why=_brief(reason),
            do="let registries.ca_file name the authority's certificate, or correct the registry's",
        )
    if isinstance(reason, urllib3.exceptions.NameResolutionError):
        return errors.Unavailable(
            f"{host} has no address", why=_brief(reason), do="see whether the name is right and DNS answers"
        )
    if isinstance(reason, urllib3.exceptions.NewConnectionError):  # which is a kind of timeout, for urllib3
        return errors.Unavailable(
            f"{host} cannot be reached", why=_brief(reason), do="see whether it runs and a route leads there"
        )
    if isinstance(reason, urllib3.exceptions.TimeoutError):
        return errors.Unavailable(
            f"{host} stalls", why="it did not answer in time", do="try again, or see whether it can be reached"
        )
    if isinstance(error, (urllib3.exceptions.ProtocolError, urllib3.exceptions.IncompleteRead)):
        return errors.Unavailable(f"{host} broke off", why=_brief(error), do="try again")
    return errors.Unavailable(
        f"{host} cannot be reached", why=_brief(reason), do="see whether it runs and a route leads there"
    )


def _brief(error: object) -> str:
    """urllib3's text without the connection that it begins with: the host is told already."""
    text = re.sub(r"^(<[^>]*>|HTTPS?Connection(Pool)?\([^)]*\)): ", "", str(error))
    return text.removeprefix("Failed to establish a new connection: ")[:300]


def _without_login(proxy: str) -> str:
    parts = urllib.parse.urlsplit(proxy)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _proxy_login(proxy: str) -> Mapping[str, str]:
    parts = urllib.parse.urlsplit(proxy)
    if not parts.username:
        return {}
    name, password = urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or "")
    return urllib3.make_headers(proxy_basic_auth=f"{name}:{password}")
