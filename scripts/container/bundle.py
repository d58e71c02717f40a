"""``scripts/bundle-image OUT [NAME]``: the OLM bundle deploy/olm as an image, made without a container engine.

What it holds are files and labels; nothing of it runs. The same bundle gives the same digest.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from scripts.container import image
from scripts.container.tree import File, Tree, archive, compressed
from skep.image.making import Built

OLM = image.CHECKOUT / "deploy/olm"
PARTS = ("manifests", "metadata", "tests/scorecard")


def built(olm: Path) -> Built:
    """The image's bytes."""
    files: Tree = {
        path.relative_to(olm).as_posix(): File(data=path.read_bytes(), mode=0o644)
        for name in PARTS
        for path in sorted((olm / name).rglob("*.yaml"))
    }
    labels = yaml.safe_load((olm / "metadata/annotations.yaml").read_text())["annotations"]
    return image.assembled([compressed(archive(files, seconds=0))], {"Labels": labels}, seconds=0)


def main() -> None:
    """Makes the image and prints its digest."""
    parser = argparse.ArgumentParser(prog="scripts/bundle-image", description="Makes the OLM bundle's image.")
    parser.add_argument("out", type=Path, help="an OCI layout: a directory, or one file if it ends in .tar")
    parser.add_argument("name", nargs="?", default="localhost/skep-bundle:latest", help="the image's name, with a tag")
    wanted = parser.parse_args()
    print(f"{image.write(built(OLM), wanted.out, wanted.name)} {wanted.name}")


if __name__ == "__main__":
    main()
