"""What the operator keeps of older objects and of the BpfPrograms that it has made: a few words each. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from skep.kube import naming
from skep.kube.api.key import Key
from skep.kube.older import kinds
from skep.kube.older.kinds import Older
from skep.kube.operator.records import Application, NodeLabel

BY_KIND: Final[Mapping[str, Older]] = {each.kind.name: each for each in (*kinds.OWN, kinds.APPLICATION)}
"""The older kinds that say what is to run, by name: no two generations have one of the same name."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Ref:
    """An older object, whether it is there or not."""

    kind: str
    key: Key

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"

    @property
    def older(self) -> Older:
        """Its kind."""
        return BY_KIND[self.kind]

    @property
    def target(self) -> Key:
        """Where the application is that is made of it."""
        return Key(namespace=self.key.namespace if self.older.target.namespaced else "", name=self.key.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An older object. ``digest``: of what else is taken over besides the spec, whose changes ``generation`` counts."""

    uid: str
    generation: int
    deleted: bool
    held: bool
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A BpfProgram: whose it is (a UID), of which node, and digests of what it says.

    ``since``: when its condition's type last changed. ``held``: somebody's finalizer is there; ours has none.
    """

    owner: str
    node: NodeLabel
    body: str
    told: str
    type: str
    since: str
    held: bool


def seen(document: Mapping[str, Any]) -> Seen | None:  # Any: JSON
    """What is kept of an older object; None for a BpfApplication in its current form."""
    if kinds.of(document) is None:
        return None
    about = document["metadata"]
    return Seen(
        uid=about["uid"],
        generation=about.get("generation", 0),
        deleted="deletionTimestamp" in about,
        held=naming.OPERATOR_FINALIZER in (about.get("finalizers") or ()),
        digest=digest([about.get("labels"), about.get("annotations")]),
    )


def view(document: Mapping[str, Any]) -> View:  # Any: JSON
    """What is kept of a BpfProgram, or would be."""
    about, condition = document["metadata"], _condition(document)
    owners = about.get("ownerReferences") or ()
    told = {key: value for key, value in condition.items() if key != "lastTransitionTime"}
    return View(
        owner=next((str(each["uid"]) for each in owners if each.get("controller")), ""),
        node=NodeLabel((about.get("labels") or {}).get(naming.HOSTNAME, "")),
        body=digest([about.get("labels"), about.get("annotations"), document.get("spec")]),
        told=digest(told),
        type=condition.get("type", ""),
        since=condition.get("lastTransitionTime", ""),
        held=bool(about.get("finalizers")),
    )


def digest(value: object) -> str:
    """A few characters that differ where JSON differs."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _condition(document: Mapping[str, Any]) -> Mapping[str, Any]:  # Any: JSON
    return next(iter((document.get("status") or {}).get("conditions") or ()), {})


def of(application: Application) -> Ref | None:
    """The older object that an application says it was made of; None for any other."""
    origin = application.origin
    if origin is None or origin.kind not in BY_KIND:
        return None
    where = origin.namespace or application.key.namespace
    return Ref(kind=origin.kind, key=Key(namespace=where, name=application.key.name))


def marked(document: Mapping[str, Any], ref: Ref, uid: str) -> dict[str, Any]:  # Any: JSON
    """The application to be applied: with its owner, or where there cannot be one, with labels that name it."""
    about = dict(document["metadata"])
    if ref.key.namespace and not ref.target.namespace:
        about["labels"] = {
            **about.get("labels", {}),
            naming.TRANSLATED_NAMESPACE: ref.key.namespace,
            naming.TRANSLATED_UID: uid,
        }
    else:
        kind = ref.older.kind
        about["ownerReferences"] = [
            {
                "apiVersion": kind.api_version, "kind": kind.name, "name": ref.key.name, "uid": uid,
                "controller": True, "blockOwnerDeletion": True,
            }
        ]  # fmt: skip
    return {**document, "metadata": about}
