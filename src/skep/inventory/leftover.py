"""Ids that pins carry: a store that begins anew must not give them out again."""

from __future__ import annotations

import re
from typing import TypedDict

from skep import paths
from skep.kernel import door


class Highest(TypedDict):
    """The highest number of each kind that a pin's name carries, 0 without any."""

    program: int
    link: int
    map_set: int


def highest(kernel: door.Kernel, pins: paths.Pins) -> Highest:
    """Read the names of our pins: ``progs/<key>-<generation>``, ``links/<id>…``, ``notes/links/<id>``,
    ``sets/<set>/…``, ``private/<set>/…``."""

    def last(*directories: str) -> int:
        found = 0
        for name in directories:
            top = pins.directory(name)
            for pin in kernel.pins(top):
                number = re.match(r"\d+", pin.removeprefix(f"{top}/"))
                found = max(found, int(number[0]) if number else 0)
        return found

    return Highest(program=last("progs"), link=last("links", "notes/links"), map_set=last("sets", "private"))
