"""The process ``skep kube csi``: both sockets, and the daemon behind its own."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import skep
from skep import errors, model
from skep.kernel import abi, mountinfo, rights
from skep.kube.csi import driver, endpoint, registration
from skep.rpc import client

log = logging.getLogger("skep.csi")

KUBELET: Final = "/var/lib/kubelet"
NEEDED: Final = frozenset({abi.CAP_SYS_ADMIN, abi.CAP_CHOWN})
"""To mount, and to open pins where unprivileged bpf(2) is off; to give pins to a pod's group."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_LOOK_SECONDS: Final = 2.0
"""How soon a socket that has gone is seen."""
_CALL_SECONDS: Final = 20.0
_PROBE_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sockets:
    """``csi``: the driver's; ``plugins``: kubelet's directory of registrations, None to leave that to somebody else."""

    csi: str
    plugins: str | None


def behind(address: Callable[[], str | None]) -> driver.Source:
    """The daemon whose socket ``address`` finds, at each call anew: it may come later than the driver, or again."""

    @contextlib.contextmanager
    def connected(seconds: float) -> Iterator[client.Client]:
        found = address()
        if found is None:
            raise errors.Unavailable(
                "no skep daemon answers", why="nothing listens on its socket", do="see whether it runs on this node"
            )
        with client.Client(found, timeout=seconds) as daemon:
            yield daemon

    def programs() -> tuple[model.Program | model.ForeignProgram, ...]:
        with connected(_CALL_SECONDS) as daemon:
            return daemon.programs(model.ProgramFilter(managed_only=True))

    def ready() -> None:
        with connected(_PROBE_SECONDS) as daemon:
            daemon.version()

    return driver.Source(programs=programs, ready=ready)


def serve(settings: driver.Settings, sockets: Sockets, source: driver.Source) -> int:
    """Run until SIGTERM or SIGINT; the exit code. What is mounted stays."""
    os.umask(0o077)
    rights.keep(NEEDED)
    # Blocked here and so in every thread that gRPC starts: nobody but the wait below gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    _look_at_propagation(settings.kubelet)
    with contextlib.ExitStack() as stack:
        csi = endpoint.Endpoint(sockets.csi, driver.Services(settings, source).add)
        csi.start()
        stack.callback(csi.stop)
        registrar = None if sockets.plugins is None else registration.Registrar(sockets.plugins, sockets.csi)
        if registrar is not None:
            registrar.start()
            stack.callback(registrar.stop)
        log.info(
            "serving",
            extra={
                "version": skep.__version__,
                "socket": sockets.csi,
                "node": settings.node,
                "kubelet": settings.kubelet,
            },
        )
        while signal.sigtimedwait(_SIGNALS, _LOOK_SECONDS) is None:
            if csi.check():
                log.warning("the driver's socket had gone, and was made again", extra={"socket": csi.path})
            if registrar is not None:
                registrar.check(time.monotonic())
        log.info("ending")
    return 0


def _look_at_propagation(kubelet: str) -> None:
    """Warn when mounts made here would be seen here only: kubelet's pods would get an empty directory."""
    pods = f"{kubelet}/pods/"
    above = [mount for mount in mountinfo.mounts() if pods.startswith(mount.point.rstrip("/") + "/")]
    # Handed into a container it is a mount of its own; a host's own root need not be shared with anybody.
    if above and above[-1].point != "/" and not above[-1].shared:
        log.warning(
            "what this driver mounts will not be seen by pods",
            extra={"why": f"{above[-1].point} is not shared", "do": "mount it with Bidirectional propagation"},
        )
