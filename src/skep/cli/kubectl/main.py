"""The entry points of the programs ``kubectl-skep`` and ``kubectl_complete-skep``."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

from skep.cli.kubectl import asked, root


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # What was begun is ended also for whoever says so politely: kubectl proxy, and what logs follow.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    root.KUBECTL.main(prog_name=root.NAME, obj=asked.Asked())


def _end(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)


def complete() -> None:
    """Answer kubectl, which asks what may come next (kubectl 1.26 and newer)."""
    from skep.cli.kubectl import complete as completing

    print(completing.answer(sys.argv[1:]))


if __name__ == "__main__":
    main()
