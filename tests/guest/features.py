"""Prints what ``skep feature -o json`` says of the kernel that runs this, the guest's or this machine's."""

from __future__ import annotations

import sys

from tests import instance


def main() -> None:
    """Start a daemon and ask it."""
    with instance.instance("skepfeature") as skep:
        sys.stdout.write(skep.cli("feature", "-o", "json").stdout)


if __name__ == "__main__":
    main()
