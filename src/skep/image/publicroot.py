"""The trusted root of Sigstore's public instance, through sigstore-python, which follows TUF.

An optional dependency, imported here alone: whoever has the root in a file needs neither it nor a network.
"""

from __future__ import annotations

from skep import errors


def fetch(*, offline: bool) -> bytes:
    """The root as JSON. ``offline``: as it was fetched last, or came with sigstore-python; nobody is asked.

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
        config = ClientTrustConfig.production(offline=offline)
        # sigstore-python has no public way from its root to the file that it was made from.
        return config.trusted_root._inner.to_json().encode()
    except (Error, OSError) as error:
        raise errors.Unavailable(
            "the trusted root of Sigstore's public instance cannot be fetched",
            why=str(error).splitlines()[0] if str(error) else type(error).__name__,
            do="name a file: --trusted-root FILE, or use the one that was fetched last: --offline",
        ) from error
