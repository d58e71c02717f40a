"""Times as people and programs read them: RFC 3339 in UTC, and ages such as "5m". Pure: the present is an argument."""

from __future__ import annotations

import datetime


def stamp(seconds: float, *, whole: bool = False) -> str:
    """RFC 3339 in UTC of seconds since the epoch, with microseconds unless ``whole``."""
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    text = moment.isoformat(timespec="seconds" if whole else "microseconds")
    return text.removesuffix("+00:00") + "Z"


def age(seconds: float) -> str:
    """A span in its largest unit: "42s", "5m", "3h", "12d"; negative spans count as 0."""
    span = max(0, int(seconds))
    if span < 120:
        return f"{span}s"
    if span < 2 * 3600:
        return f"{span // 60}m"
    if span < 48 * 3600:
        return f"{span // 3600}h"
    return f"{span // 86400}d"
