"""An image as JSON."""

from __future__ import annotations

from skep import model
from skep.cli import when


def full(image: model.Image) -> dict[str, object]:
    """What ``image pull``, ``image inspect`` and ``image list`` answer for each image."""
    return {
        "digest": image.digest,
        "manifest": image.manifest,
        "names": list(image.names),
        "platform": image.platform or None,
        "size": image.size,
        "programs": dict(sorted(image.programs.items())),
        "maps": dict(sorted(image.maps.items())),
        "labelled": image.labelled,
        "evidence": image.evidence,
        "pulled_at": when.stamp(image.pulled_at),
        "used_at": when.stamp(image.used_at),
        "loaded": list(image.loaded),
        "fresh": image.fresh,
        "damage": image.damage or None,
    }
