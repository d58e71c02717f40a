"""``scripts/container-image OUT [NAME]``: OUT is a directory, or a tar file (``.tar``); prints the digest."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from scripts.container import image

NAME = "localhost/skep:latest"


def main(arguments: list[str]) -> None:
    """Makes the image and prints its digest."""
    if not 1 <= len(arguments) <= 2 or arguments[0].startswith("-"):
        raise SystemExit("usage: scripts/container-image OUT[.tar] [NAME:TAG]")
    name = arguments[1] if len(arguments) > 1 else NAME
    built = image.built(image.cache(), int(os.environ.get("SOURCE_DATE_EPOCH", "0")))
    print(f"{image.write(built, Path(arguments[0]), name)} {name}")


if __name__ == "__main__":
    main(sys.argv[1:])
