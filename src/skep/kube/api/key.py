"""The name by which an object of the cluster is known here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Key:
    """Which object of a kind; ``namespace`` is "" for cluster-scoped ones."""

    namespace: str = ""
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def of(object: Mapping[str, Any]) -> Key:  # Any: JSON
    """The key of an object as the API server sends it."""
    metadata = object["metadata"]
    return Key(namespace=metadata.get("namespace") or "", name=metadata["name"])
