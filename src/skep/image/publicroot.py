"""The trusted root of Sigstore's public instance, and where it signs, through sigstore-python, which follows TUF.

An optional dependency, imported here and in ``ceremony`` alone: whoever has the root in a file needs neither it nor a
network.
"""

from __future__ import annotations

from dataclasses import dataclass

from skep import errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Public:
    """Both as JSON."""

    root: bytes
    signing_config: bytes


def fetch(*, offline: bool) -> Public:
    """The files of today. ``offline``: as fetched last, or as they came with sigstore-python; nobody is asked.

    Raises Unsupported without sigstore-python, Unavailable when its repository cannot be reached.
    """
    try:
        from sigstore.errors import Error
        from sigstore.models import ClientTrustConfig
    except ImportError as error:
        raise errors.Unsupported(
            "the trusted root of Sigstore's public instance cannot be had",
            feature="sigstore",
            why="sigstore-python is not installed",
            do="name a file: --trusted-root FILE, or install skep[sigstore]",
        ) from error
    try:
        # sigstore-python has no public way from what it read to the files.
        inner = ClientTrustConfig.production(offline=offline)._inner
        return Public(
            root=inner.trusted_root.to_json().encode(), signing_config=inner.signing_config.to_json().encode()
        )
    except (Error, OSError) as error:
        raise errors.Unavailable(
            "the trusted root of Sigstore's public instance cannot be fetched",
            why=str(error).splitlines()[0] if str(error) else type(error).__name__,
            do="name a file: --trusted-root FILE, or use the one that was fetched last: --offline",
        ) from error
