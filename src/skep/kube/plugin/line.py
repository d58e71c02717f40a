"""Lines of logs, and which of them are about an application. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable


def about(key: str) -> Callable[[str], bool]:
    """Whether a line is about an application (KIND/[NAMESPACE/]NAME).

    Agents and daemons name it so, the operator by [NAMESPACE/]NAME alone; what only ends or begins like it is another.
    """
    named = re.escape(key.partition("/")[2])
    found = re.compile(rf"(?<![\w./-])(?:{re.escape(key)}|{named})(?![\w-]|[./]\w)")
    return lambda line: found.search(line) is not None
