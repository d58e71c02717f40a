"""What a CustomResourceDefinition of the cluster serves, and what it lacks of ours. Pure.

The API server drops every field that a CRD does not know, without a word: an object that lost half its spec that way
looks as if somebody had written it so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from skep.kube import crd, kinds
from skep.kube.older import kinds as older
from skep.kube.operator import records

Schema: TypeAlias = Mapping[str, Any]
"""An OpenAPI schema, as a CRD has it. Any: JSON."""

GROUPS: Final = frozenset({kinds.GROUP, *(each.group for each in older.KINDS)})
"""Groups of which anything is looked at."""
APPLICATIONS: Final = f"{kinds.APPLICATION.plural}.{kinds.GROUP}"
"""The one CRD whose scope two generations disagree about."""
OURS: Final = {f"{kind.plural}.{kinds.GROUP}": kind for kind in kinds.KINDS}
_APPLY: Final = "apply deploy/crds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A CRD of the cluster. ``name``: "PLURAL.GROUP".

    ``serves``: whether objects of the version that we speak can be asked for; ``refused``: why that will not be.
    ``lacks``: fields of ours that it does not know and the API server therefore drops; of other CRDs none.
    """

    name: str
    namespaced: bool
    serves: bool
    refused: str = ""
    lacks: tuple[str, ...] = ()


def definition(document: Mapping[str, Any]) -> Definition | None:  # Any: JSON
    """What is kept of a CRD; None for one of another group, which concerns nobody here."""
    spec, about = document["spec"], document["metadata"]
    if spec["group"] not in GROUPS:
        return None
    told = {each["type"]: each for each in (document.get("status") or {}).get("conditions") or ()}
    refused = ""
    if not any(each["name"] == kinds.VERSION and each.get("served") for each in spec["versions"]):
        refused = f"does not serve {kinds.VERSION}"
    elif "deletionTimestamp" in about:
        refused = "is being deleted"
    elif told.get("NamesAccepted", {}).get("status") == "False":
        refused = f"was not accepted ({told['NamesAccepted'].get('message', '')})"
    namespaced = spec["scope"] == "Namespaced"
    kind = OURS.get(about["name"])
    lacks: tuple[str, ...] = ()
    if kind is not None and kind.namespaced is namespaced:
        lacks = tuple(lacking(_schema(crd.definition(kind)), _schema(document)))
    return Definition(
        name=about["name"],
        namespaced=namespaced,
        serves=not refused and told.get("Established", {}).get("status") == "True",
        refused=refused,
        lacks=lacks,
    )


def _schema(document: Mapping[str, Any]) -> Schema:
    """The schema of the version that we speak; without one everything is lacking."""
    for each in document["spec"]["versions"]:
        if each["name"] == kinds.VERSION:
            found: Schema = (each.get("schema") or {}).get("openAPIV3Schema") or {}
            return found
    return {}


def lacking(ours: Schema, theirs: Schema, path: str = "") -> Iterator[str]:
    """The fields of ``ours`` that ``theirs`` would drop, the outermost of each: ``spec.programs[].netkit``."""
    if theirs.get("x-kubernetes-preserve-unknown-fields"):
        return
    known, rest = theirs.get("properties") or {}, theirs.get("additionalProperties")
    for name, schema in (ours.get("properties") or {}).items():
        here = f"{path}.{name}" if path else name
        if name in known:
            yield from lacking(schema, known[name], here)
        elif not rest and here not in _EVERYWHERE:
            yield here
    if "items" in ours and isinstance(theirs.get("items"), Mapping):
        yield from lacking(ours["items"], theirs["items"], f"{path}[]")
    if isinstance(ours.get("additionalProperties"), Mapping) and isinstance(rest, Mapping):
        yield from lacking(ours["additionalProperties"], rest, f"{path}.*")


_EVERYWHERE: Final = frozenset({"apiVersion", "kind", "metadata"})
"""What the API server knows of every object, whatever the CRD says."""


def faults(there: Iterable[Definition]) -> tuple[str, ...]:
    """What is wrong with the CRDs of a cluster for those who use our kinds: a sentence for each."""
    by_name = {each.name: each for each in there}
    return tuple(filter(None, (_fault(name, by_name.get(name)) for name in OURS)))


def remarks(there: Iterable[Definition]) -> tuple[str, ...]:
    """What of them is not as it could be, and yet works."""
    if not any(each.name == APPLICATIONS and not each.namespaced for each in there):
        return ()
    return (
        f"CRD {APPLICATIONS} is the one of bpfman 0.5, for the whole cluster: its objects are served, but there can be "
        "no BpfApplication in a namespace; to change that, convert them (skep kube convert), delete that CRD, and "
        f"{_APPLY}",
    )


def _fault(name: str, there: Definition | None) -> str:
    if there is None:
        return f"CRD {name} is not installed: {_APPLY}"
    if there.namespaced is not OURS[name].namespaced:
        return "" if name == APPLICATIONS else f"CRD {name} has the wrong scope: delete it, and {_APPLY}"
    if there.refused:
        return f"CRD {name} {there.refused}: {_APPLY}"
    if there.lacks:
        return f"CRD {name} lacks {records.listed(there.lacks)}, and the API server drops what it lacks: {_APPLY}"
    return ""
