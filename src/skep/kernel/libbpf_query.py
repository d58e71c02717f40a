"""The one question that the daemon itself asks libbpf: who is on an interface's XDP hook. No user bytes go there."""

from __future__ import annotations

import functools
import threading

from skep import errors
from skep.kernel import libbpf

_lock = threading.Lock()


def xdp(ifindex: int) -> tuple[int, ...]:
    """Ids of programs on the XDP hook of an interface in the calling thread's network namespace."""
    with _lock:
        library = _library()
    return library.xdp_query(ifindex)


@functools.cache
def _library() -> libbpf.Library:
    try:
        return libbpf.Library()
    except OSError as missing:
        raise errors.Unsupported(
            "libbpf cannot be used", feature="libbpf.so.1", why=str(missing), do="install libbpf 1.1 or later"
        ) from missing
