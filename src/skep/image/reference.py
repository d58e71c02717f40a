"""Names of images as people write them: ``[REGISTRY/]NAME[:TAG][@DIGEST]``, and the digests in them. Pure.

The grammar is that of the CNCF distribution project (``reference`` package); the defaults are those of docker:
``docker.io``, ``library/`` and ``latest``.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Final, NewType

from skep import errors

Digest = NewType("Digest", str)
"""``sha256:<64 hex>`` or ``sha512:<128 hex>``; made by ``digest`` and ``digest_of`` only."""
Tag = NewType("Tag", str)
"""A tag, ``[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}``; made by ``tag`` only."""

DEFAULT_REGISTRY: Final = "docker.io"
DEFAULT_TAG: Final = Tag("latest")
LONGEST: Final = 4096
"""Characters that a reference may have at all."""
_LONGEST_NAME: Final = 255

_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME: Final = re.compile(rf"{_PART}(?:/{_PART})*\Z")
_LABEL: Final = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_HOST: Final = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+\])(?::([0-9]{{1,5}}))?\Z")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_DIGEST: Final = re.compile(r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One image in one registry. ``tag`` and ``digest`` are never both None; with both, the digest decides."""

    registry: str
    """Host with an optional port, "docker.io" or "[::1]:5000", in lower case."""
    repository: str
    """The name below the registry, "library/busybox"."""
    tag: Tag | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        text = f"{self.registry}/{self.repository}"
        if self.tag is not None:
            text += f":{self.tag}"
        if self.digest is not None:
            text += f"@{self.digest}"
        return text

    @property
    def which(self) -> Tag | Digest:
        """What to ask the registry for."""
        return self.digest or self.tag or DEFAULT_TAG

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest: what mirrors and policies match."""
        return f"{self.registry}/{self.repository}"

    def at(self, digest: Digest) -> Reference:
        """The same image, held to a digest."""
        return replace(self, digest=digest)


def parse(text: str) -> Reference:
    """The image that ``text`` names. InvalidRequest says which part is wrong."""
    if not text or len(text) > LONGEST or not text.isprintable() or " " in text:
        raise _wrong(text, "it is empty, too long, or has spaces or control characters")
    if "://" in text:
        raise _wrong(text, "it is a URL", do=f"leave out {text.split('://', 1)[0]}://")
    rest, at, written = text.partition("@")
    found = digest(written) if at else None
    slash = rest.rfind("/")
    colon = rest.find(":", slash + 1)
    marked = tag(rest[colon + 1 :]) if colon >= 0 else None
    name = rest if colon < 0 else rest[:colon]
    registry, repository = _split(name)
    if not _valid_host(registry):
        raise _wrong(text, f"{registry!r} is not the name of a registry")
    if repository != repository.lower():
        raise _wrong(text, "the name has upper-case letters", do=f"write {repository.lower()}")
    if not _NAME.match(repository) or len(repository) > _LONGEST_NAME:
        raise _wrong(text, f"{repository!r} is not the name of an image")
    if marked is None and found is None:
        marked = DEFAULT_TAG
    return Reference(registry=registry, repository=repository, tag=marked, digest=found)


def digest(text: str) -> Digest:
    """The digest that ``text`` is. InvalidRequest."""
    if not _DIGEST.match(text):
        raise errors.InvalidRequest(
            f"{text[:140]!r} is not a digest",
            why="it is not sha256: and 64, or sha512: and 128, hexadecimal digits in lower case",
            do="copy it whole, as the registry or 'skep image list' shows it",
        )
    return Digest(text)


def is_digest(text: str) -> bool:
    """Whether ``text`` is a digest; a tag never is, for it has no colon."""
    return _DIGEST.match(text) is not None


def tag(text: str) -> Tag:
    """The tag that ``text`` is. InvalidRequest."""
    if not _TAG.match(text):
        raise errors.InvalidRequest(
            f"{text[:140]!r} is not a tag",
            why="a tag has 1 to 128 letters, digits, '_', '.' and '-', and begins with none of the last two",
            do="see 'skep image list', or what your registry shows",
        )
    return Tag(text)


def digest_of(data: bytes, like: Digest | None = None) -> Digest:
    """The digest of ``data``, by SHA-256 or by the algorithm of ``like``."""
    algorithm = "sha256" if like is None else algorithm_of(like)
    return Digest(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")


def algorithm_of(digest: Digest) -> str:
    """hashlib's name: "sha256" or "sha512"."""
    return digest.partition(":")[0]


def hex_of(digest: Digest) -> str:
    """The digits alone: the file's name in an OCI layout."""
    return digest.partition(":")[2]


def fallback_tag(digest: Digest, suffix: str = "") -> Tag:
    """``sha256-<hex>``: where a registry without the referrers API keeps what refers to ``digest`` (OCI distribution
    1.1, "referrers tag schema"); with ``.sig`` or ``.att``, cosign's older place."""
    return Tag(f"{algorithm_of(digest)}-{hex_of(digest)}{suffix}")


def is_loopback(registry: str) -> bool:
    """Whether a registry is this very host, so that plain HTTP reaches nobody else."""
    host = host_of(registry)
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(registry: str) -> str:
    """The host of ``host[:port]``, an IPv6 address without its brackets."""
    if registry.startswith("["):
        return registry[1 : registry.find("]")]
    return registry.partition(":")[0]


def _split(name: str) -> tuple[str, str]:
    """Registry and repository. The first part is a registry when it could not be a name: a dot, a port, capitals."""
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        registry, repository = first.lower(), rest
    else:
        registry, repository = DEFAULT_REGISTRY, name
    if registry == "index.docker.io":
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = f"library/{repository}"
    return registry, repository


def _valid_host(registry: str) -> bool:
    matched = _HOST.match(registry)
    if not matched or (matched.group(1) and not 0 < int(matched.group(1)) < 65536):
        return False
    if registry.startswith("["):
        try:
            ipaddress.IPv6Address(host_of(registry))
        except ValueError:
            return False
    return True


def _wrong(text: str, why: str, *, do: str = "write [REGISTRY/]NAME[:TAG][@DIGEST]") -> errors.InvalidRequest:
    return errors.InvalidRequest(f"{text[:200]!r} does not name an image", why=why, do=do)
