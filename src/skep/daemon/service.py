"""The daemon's life: start, tell systemd, serve, end on a signal."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator

import skep
from skep import config, log, paths
from skep.daemon import instance, restore
from skep.rpc import listen

logger = logging.getLogger("skep.daemon")


def serve(settings: config.Settings, *, csi_kubelet: str | None = None) -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    log.configure(settings.log_level, format=settings.log_format, components=settings.log_components)
    began = time.monotonic()
    wait_for_the_end = on_signals()
    # gRPC's own messages to stderr would break our lines; its fork handlers cost and are not needed.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    from skep.rpc import server

    layout = instance.layout_of(settings)
    passed = listen.activated(os.environ)
    with contextlib.ExitStack() as stack:
        managed = stack.enter_context(
            instance.open_manager(settings, owner="daemon", lock_timeout=settings.lock_timeout)
        )
        listener = passed or stack.enter_context(_listening(settings, layout))
        served = server.Server(managed, listener, layout, lock_timeout=settings.lock_timeout)
        stack.callback(served.stop)
        stack.enter_context(_announced(layout, layout.socket if passed is None else passed.getsockname()))
        if csi_kubelet is not None:
            from skep.daemon import csi

            driver = stack.enter_context(csi.served(managed, layout, csi_kubelet))
            logger.info("serving CSI", extra={"socket": driver, "kubelet": csi_kubelet})
        restorer = restore.Restorer(managed, layout.applications)
        stack.callback(restorer.stop)
        # What was imported lives as long as we do: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        if settings.metrics_address:
            from skep.daemon import measured

            stack.enter_context(measured.measured(settings.metrics_address, managed))
        served.start()
        stack.callback(listen.notify, os.environ, "STOPPING=1")
        listen.notify(os.environ, f"READY=1\nSTATUS=Serving on {listener.getsockname()}")
        logger.info(
            "serving",
            extra={
                "version": skep.__version__,
                "socket": listener.getsockname(),
                "activated": passed is not None,
                "runtime_dir": layout.runtime,
                "pins": layout.pins,
                "start_ms": round((time.monotonic() - began) * 1000, 1),
            },
        )
        restorer.start()
        wait_for_the_end(restorer.reload)
        logger.info("ending")
    logger.info("ended")
    return 0


def on_signals() -> Callable[[Callable[[], None]], None]:
    """From now on SIGTERM and SIGINT do not end the process; a function that returns after the first one, and calls
    what it is given at each SIGHUP. The second SIGTERM or SIGINT ends the process at once.

    It waits for a pipe that the interpreter's own handler writes to, and not for a ``threading.Event``: a handler that
    runs while its thread holds the event's lock would wait for itself, and a signal that another thread gets would not
    wake the one that waits.
    """
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    seen = 0

    def handle(number: int, frame: object) -> None:
        nonlocal seen
        seen += number != signal.SIGHUP
        if seen > 1:
            os._exit(1)

    def wait(hung_up: Callable[[], None]) -> None:
        while not seen:
            if os.read(awake, 1)[0] == signal.SIGHUP:
                hung_up()

    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, handle)
    return wait


@contextlib.contextmanager
def _listening(settings: config.Settings, layout: paths.Layout) -> Iterator[socket.socket]:
    """A socket of our own, whose file goes with us."""
    instance.make_directory(os.path.dirname(layout.socket), 0o755)
    listener = listen.listen(layout.socket, mode=settings.socket_mode, group=settings.socket_group)
    inode = listen.identity(layout.socket)
    try:
        yield listener
    finally:
        listen.remove(layout.socket, inode)


@contextlib.contextmanager
def _announced(layout: paths.Layout, address: str) -> Iterator[None]:
    """``<runtime>/socket`` names the socket while we serve."""
    fresh = layout.socket_file + "~"
    with open(fresh, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(address + "\n")
    os.replace(fresh, layout.socket_file)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(layout.socket_file)
