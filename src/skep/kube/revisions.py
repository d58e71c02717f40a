"""Revisions of an application: what tells one from another, and how one is stored as a ControllerRevision. Pure.

A revision is the spec without what says where and how fast: the nodes it selects, and its rollout. All are stored in
the operator's namespace, those of namespaced applications too: whoever may write ControllerRevisions in a namespace of
theirs could otherwise have nodes run what admission policies refuse.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from skep.kube import naming

API_VERSION, KIND = "apps/v1", "ControllerRevision"
_APART: Final = ("nodeSelector", "rollout")
_DIGITS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What is known of a stored revision: whose it is (the UID of the application's object), which, and its number.

    ``secret``: the pull secret that it names, as (namespace, name).
    """

    name: str
    of: str
    revision: str
    number: int
    secret: tuple[str, str] | None = None


def of(document: Mapping[str, Any]) -> str:  # Any: JSON
    """The revision of an application's object as the API server has it: digits, the same for the same spec.

    The object's UID counts, so that one of the same name that comes later has revisions of its own.
    """
    return _digest(document["metadata"]["uid"], spec(document))


def spec(document: Mapping[str, Any]) -> dict[str, Any]:  # Any: JSON
    """What a revision is of: the spec without ``nodeSelector`` and ``rollout``."""
    return {name: value for name, value in (document.get("spec") or {}).items() if name not in _APART}


def controller_revision(document: Mapping[str, Any], number: int, namespace: str) -> dict[str, Any]:  # Any: JSON
    """The object that stores what an application is now."""
    about, revision = document["metadata"], of(document)
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": naming.revision_name(about["name"], revision),
            "namespace": namespace,
            "labels": {
                naming.REVISION: revision,
                naming.REVISION_OF: about["uid"],
                naming.OWNED: naming.label(about["name"]),
            },
        },
        "revision": number,
        "data": spec(document),
    }


def stored(document: Mapping[str, Any]) -> Stored:  # Any: JSON
    """What is kept of a stored revision."""
    about = document["metadata"]
    labels = about.get("labels") or {}
    return Stored(
        name=about["name"],
        of=labels.get(naming.REVISION_OF, ""),
        revision=labels.get(naming.REVISION, ""),
        number=int(document.get("revision", 0)),
        secret=secret(document.get("data") or {}),
    )


def secret(spec: Mapping[str, Any]) -> tuple[str, str] | None:  # Any: JSON
    """The pull secret that a spec names, as (namespace, name)."""
    named = ((spec.get("byteCode") or {}).get("image") or {}).get("imagePullSecret")
    return (str(named["namespace"]), str(named["name"])) if named else None


def restored(document: Mapping[str, Any], uid: str, revision: str, nodes: object) -> dict[str, Any] | None:  # Any: JSON
    """The spec of a stored revision, selecting ``nodes``; None if it is not what its name and labels say."""
    data = document.get("data")
    if not isinstance(data, Mapping) or _digest(uid, data) != revision:
        return None
    return {**data, "nodeSelector": nodes}


def _digest(uid: str, spec: Mapping[str, Any]) -> str:  # Any: JSON
    text = json.dumps([uid, spec], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
