"""The entry points of the programs ``kubectl-skep`` and ``kubectl_complete-skep``."""

from __future__ import annotations

import sys

from skep.cli.kubectl import asked, root


def main() -> None:
    """Run the command line and end the process with its exit code."""
    root.KUBECTL.main(prog_name=root.NAME, obj=asked.Asked())


def complete() -> None:
    """Answer kubectl, which asks what may come next (kubectl 1.26 and newer)."""
    from skep.cli.kubectl import complete as completing

    print(completing.answer(sys.argv[1:]))


if __name__ == "__main__":
    main()
