"""``scripts/container-image OUT [NAME]``: OUT is a directory, or a tar file (``.tar``); prints the image's digest.

``scripts/container-image --files DIRECTORY`` writes the image's files instead, for whoever has an engine.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from scripts.container import image


def main() -> None:
    """Makes the image and prints its digest."""
    parser = argparse.ArgumentParser(prog="scripts/container-image", description="Makes skep's container image.")
    parser.add_argument("out", type=Path, help="an OCI layout: a directory, or one file if it ends in .tar")
    parser.add_argument("name", nargs="?", default="localhost/skep:latest", help="the image's name, with a tag")
    parser.add_argument("--files", action="store_true", help="write the image's files into OUT, and no image")
    wanted = parser.parse_args()
    built = image.built(image.cache(), int(os.environ.get("SOURCE_DATE_EPOCH", "0")))
    if wanted.files:
        image.unpack(built, wanted.out)
    else:
        print(f"{image.write(built, wanted.out, wanted.name)} {wanted.name}")


if __name__ == "__main__":
    main()
