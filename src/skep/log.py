"""Log lines on stderr: one line each, with fields, as text or JSON; for the journal with its priorities.

The text form is ``time level logger message key=value …``. Under systemd the journal adds the time, and a prefix such
as ``<6>`` tells it the priority (sd-daemon(3)). Whatever a caller put into a value, a line stays one line.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

_PLAIN = re.compile(r"[^\s\"'=\\\x00-\x1f\x7f]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x80-\x9f\u2028\u2029]")
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7))
"""Level -> syslog(3) priority."""


def configure(level: str, *, format: str, components: Mapping[str, str], stream: TextIO | None = None) -> None:
    """Log to ``stream`` (stderr). ``components`` maps loggers below ``skep`` to levels of their own; libraries are
    heard from warnings on."""
    target = stream or sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(Lines(as_json=format == "json", journal=is_journal(target, os.environ)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("skep").setLevel(level.upper())
    for name, own in components.items():
        logging.getLogger(f"skep.{name.removeprefix('skep.')}").setLevel(own.upper())


def is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether a stream goes straight to the journal: JOURNAL_STREAM names its device and inode (systemd.exec(5))."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM", "") == f"{found.st_dev}:{found.st_ino}"


class Lines(logging.Formatter):
    """One line per record; the fields are what ``extra=`` carried."""

    def __init__(self, *, as_json: bool, journal: bool) -> None:
        super().__init__()
        self._json = as_json
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """The record's line, without its newline."""
        fields = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info and record.exc_info[0] is not None:
            fields["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        line = self._as_json(record, fields) if self._json else self._as_text(record, fields)
        return f"<{_priority(record.levelno)}>{line}" if self._journal else line

    def _as_json(self, record: logging.LogRecord, fields: dict[str, Any]) -> str:  # Any: whatever was logged
        head = {
            "time": _time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        return json.dumps(head | fields, default=str)

    def _as_text(self, record: logging.LogRecord, fields: dict[str, Any]) -> str:  # Any: whatever was logged
        words = [] if self._journal else [_time(record.created)]
        words += [record.levelname.lower(), record.name, _escape(record.getMessage())]
        words += [f"{key}={_value(value)}" for key, value in fields.items()]
        return " ".join(words)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _priority(level: int) -> int:
    return next((number for threshold, number in _PRIORITIES if level >= threshold), 7)


def _value(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _escape(text: str) -> str:
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), text)
