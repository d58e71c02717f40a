"""Where a command that works without the daemon logs: where the daemon's lines end up, the system's log.

stderr is the person's; the lines go there only when ``--log`` asks for them.
"""

from __future__ import annotations

import logging
import os
from logging import handlers

from skep import config, log

SYSLOG = "/dev/log"
"""The socket of syslogd or journald (syslog(3))."""


def configure(settings: config.Settings, *, shown: bool) -> None:
    """Log to stderr when ``shown``, else to the system's log."""
    if shown:
        log.configure(settings.log_level, format=settings.log_format, components=settings.log_components)
        return
    root = logging.getLogger()
    root.handlers[:] = [_system(settings)]
    logging.getLogger("skep").setLevel(settings.log_level.upper())
    for name, level in settings.log_components.items():
        logging.getLogger(f"skep.{name}").setLevel(level.upper())


class _System(handlers.SysLogHandler):
    """The system's log. One that is away, as in most containers, must not disturb the command."""

    def handleError(self, record: logging.LogRecord) -> None:  # logging's name
        """Say nothing."""


def _system(settings: config.Settings) -> logging.Handler:
    made = _System(SYSLOG)
    made.ident = f"skep[{os.getpid()}]: "
    made.setFormatter(log.Lines(as_json=settings.log_format == "json", journal=False))
    return made
