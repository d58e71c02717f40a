"""An object of an older kind -> the object of the current kind that means the same. Pure.

What it makes is read as anything else is (``resources.read``), so what could run nowhere is refused here already.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from skep import errors
from skep.kube import kinds as current
from skep.kube import naming, resources, shape
from skep.kube.older import config, fields, kinds, program
from skep.kube.older.kinds import Older

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""kubectl's own annotation: the older object once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """The current object. ``notes``: what the older one says that the current one cannot, a sentence each."""

    older: Older
    document: Mapping[str, Any]  # Any: JSON
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """ClusterBpfApplication or BpfApplication."""
        return self.older.target.name

    @property
    def name(self) -> str:
        """The older object's name, so that whoever looks for that finds it."""
        return str(self.document["metadata"]["name"])

    @property
    def namespace(self) -> str | None:
        """None for a ClusterBpfApplication."""
        namespace = self.document["metadata"].get("namespace")
        return None if namespace is None else str(namespace)

    @property
    def label(self) -> str:
        """The value of ``naming.TRANSLATED_FROM``."""
        return self.older.kind.name

    def marked(self) -> dict[str, Any]:  # Any: JSON
        """The object with the labels by which the operator knows it again."""
        about = self.document["metadata"]
        labels = {**about.get("labels", {}), naming.TRANSLATED_FROM: self.label}
        return {**self.document, "metadata": {**about, "labels": labels}}


def translate(document: object) -> Translated:
    """The current object of one of an older kind. InvalidRequest for whatever cannot be one."""
    older = kinds.of(document)
    if older is None or not isinstance(document, Mapping):
        raise _not_older(document)
    about = _about(older, document.get("metadata"))
    if not isinstance(document.get("spec"), Mapping):
        raise errors.InvalidRequest("spec is missing", why="it says what to load and where", do="fill it in")
    assert older.kind.spec is not None
    # The CRD of the current BpfApplication fills this in.
    given = {
        key: value for key, value in document["spec"].items() if older is not kinds.APPLICATION or key != "mapPolicy"
    }
    spec = shape.read(older.kind.spec, given, "spec")
    made = config.spec(spec) if older is kinds.CONFIG else _spec(older, spec)
    whole = {
        "apiVersion": current.API_VERSION,
        "kind": older.target.name,
        "metadata": about,
        "spec": made.spec,
    }
    _check(older, whole)
    return Translated(older=older, document=whole, notes=tuple(dict.fromkeys(made.notes)))


def _not_older(document: object) -> errors.InvalidRequest:
    named = (
        "/".join(str(document.get(each)) for each in ("apiVersion", "kind")) if isinstance(document, Mapping) else ""
    )
    known = sorted({each.kind.name for each in (*kinds.OWN, kinds.APPLICATION)})
    return errors.InvalidRequest(
        f"{named[:200] or 'the document'} is of no older kind that says what to run",
        why="these do: " + ", ".join(known),
        do="leave it as it is if it is a current one",
    )


def _about(older: Older, given: object) -> dict[str, Any]:  # Any: JSON
    """The metadata that stays: names, labels, annotations."""
    if isinstance(given, Mapping):
        given = {key: value for key, value in given.items() if key not in resources.SERVERS}
    read = shape.read(resources.METADATA, given if given is not None else {}, "metadata")
    about: dict[str, Any] = {"name": read["name"]}
    if older.target.namespaced:
        about["namespace"] = read.get("namespace", "default")
    elif "namespace" in read and older is not kinds.APPLICATION:
        raise shape.wrong("metadata.namespace", read["namespace"], f"a {older.kind.name} is in no namespace")
    # Map owners were selected by the labels of their BpfPrograms, of which this was the one that named them.
    about["labels"] = {**read.get("labels", {}), naming.OWNED: naming.label(read["name"])}
    annotations = {key: value for key, value in read.get("annotations", {}).items() if key != LAST_APPLIED}
    if annotations:
        about["annotations"] = annotations
    return about


def _spec(older: Older, spec: Mapping[str, Any]) -> program.Made:  # Any: JSON
    cluster = not older.target.namespaced
    if older.type == "application":
        elements = [
            (
                each["type"],
                each[fields.BODIES[each["type"]][0]],
                f"spec.programs[{index}].{fields.BODIES[each['type']][0]}",
            )
            for index, each in enumerate(spec["programs"])
        ]
    else:
        elements = [(program.ALONE[older.type], spec, "spec")]
    made = program.merged([program.one(*each, cluster=cluster) for each in elements])
    owner, notes = program.map_owner([(body, path) for _, body, path in elements])
    found: dict[str, Any] = {
        "nodeSelector": spec["nodeselector"],
        "byteCode": program.byte_code(spec["bytecode"]),
        **({"globalData": _octets(spec["globaldata"])} if spec.get("globaldata") else {}),
        **({"mapOwnerSelector": owner} if owner else {}),
        "programs": list(made.programs),
    }
    return program.Made(spec=found, notes=(*made.notes, *notes))


def _octets(data: Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(value).decode() for name, value in data.items()}


def _check(older: Older, document: Mapping[str, Any]) -> None:  # Any: JSON
    """InvalidRequest unless the current object could be applied."""
    try:
        resources.read(document)
    except errors.InvalidRequest as error:
        raise errors.InvalidRequest(
            f"the {older.target.name} that it would be is wrong: {error.what}",
            why=error.why,
            do=error.do or "correct the object",
        ) from error
