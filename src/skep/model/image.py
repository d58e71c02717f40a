"""Bytecode images: what a caller asks for, and what the cache holds."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from skep.model import ids
from skep.model.capability import ProgramCapabilities


class PullPolicy(enum.StrEnum):
    """When a registry is asked. Kubernetes' and bpfman's names and order (0, 1, 2 in bpfman.v1)."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who to be at a registry: name and password, or an identity token (OAuth2 refresh token) of ``docker login``."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """An image to have in the cache.

    ``url`` is a reference, ``[REGISTRY/]NAME[:TAG][@DIGEST]``, or ``oci:PATH[:TAG]`` or ``docker-archive:PATH[:TAG]``
    with an absolute path on the daemon's host. ``login`` None leaves it to the daemon to find one.
    """

    url: str
    policy: PullPolicy = PullPolicy.IF_NOT_PRESENT
    login: Login | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PullProgress:
    """How far a pull is, in bytes of blobs; ``digest`` once it is known what is pulled."""

    done: int = 0
    total: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image in the cache."""

    digest: str
    """Of what the tag led to: an index, or the manifest itself."""
    manifest: str
    """Digest of the manifest for this host; the same as ``digest`` without an index."""
    names: tuple[str, ...]
    """References that led here when they were last pulled, "docker.io/library/x:latest"; empty when they moved on."""
    platform: str
    """"linux/amd64" where an index says so, else ""."""
    size: int
    """Bytes in the cache, what other images share included."""
    programs: Mapping[str, str] = field(default_factory=dict)
    """Function -> type, in the words of the image's labels."""
    maps: Mapping[str, str] = field(default_factory=dict)
    labelled: bool = False
    """Whether the image says anything about what is in it."""
    evidence: int = 0
    """Signatures and attestations that were fetched with it."""
    pulled_at: float
    """Seconds since the epoch (UTC)."""
    used_at: float
    loaded: tuple[ids.ProgramId, ...] = ()
    """Managed programs that came out of it."""
    fresh: bool = False
    """Whether a registry was asked just now; False when the cache had it."""
    damage: str = ""
    """What is wrong with it in the cache, "" when nothing is."""
    capabilities: tuple[ProgramCapabilities, ...] = ()
    """What its programs can do, worked out from their code; () in lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What ``image prune`` removed, or would remove."""

    digests: tuple[str, ...]
    freed: int
    """Bytes."""
