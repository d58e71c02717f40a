"""The composition root: where kernel, store, manager and server are put together, and nothing else is decided.

``open_manager`` is what the daemon and a command without a daemon share: directories, the instance's lock, the sweep.
``serve`` adds the socket, and imports gRPC only when called.
"""

from __future__ import annotations

from skep import config
from skep.daemon.instance import layout_of, open_manager

__all__ = ["layout_of", "open_manager", "serve"]


def serve(settings: config.Settings, *, csi_kubelet: str | None = None) -> int:
    """Run the daemon until SIGTERM or SIGINT; the exit code. A second signal ends it at once with code 1.

    ``csi_kubelet``: kubelet's directory, if the CSI driver is to be served too.
    """
    from skep.daemon import service

    return service.serve(settings, csi_kubelet=csi_kubelet)
