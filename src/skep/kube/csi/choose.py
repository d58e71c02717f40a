"""Which maps a pod means: programs of an application that it may use, and their maps by name. Pure.

Who may use what: the maps of a BpfApplication are for pods of its own namespace; those of a ClusterBpfApplication, and
of programs that no object stands for (`skep program load -a`), for all pods. Of applications with one name the pod's
namespace's comes first, then the cluster's, then what no object stands for, each with its lowest program id first. One
application is chosen and its maps are never mixed with another's.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Final

from skep import errors, model
from skep.kube import host, kinds, reconcile

NAME: Final = "bpfman.io/ProgramName"
"""Metadata that bpfman-operator gives programs: the application's name."""
_NAMES: Final = (NAME, host.APPLICATION)


class _Rank(enum.IntEnum):
    """How near an application is to a pod."""

    OWN_NAMESPACE = 0
    CLUSTER = 1
    NO_OBJECT = 2


def maps(
    wanted: tuple[str, ...], program: str, namespace: str | None, loaded: Iterable[model.Program | model.ForeignProgram]
) -> Mapping[str, model.MapPin]:
    """The pins of the maps ``wanted`` of the application ``program``, for a pod of ``namespace`` (None: unknown).

    NotFound when no such application is loaded that the pod may use, and when it has no such map.
    """
    managed = [each for each in loaded if isinstance(each, model.Program) and _lives(each)]
    named = sorted((each for each in managed if program in _names(each)), key=lambda each: each.record.id)
    allowed = [(rank, each) for each in named if (rank := _rank(each, namespace)) is not None]
    if not allowed:
        raise _none(program, namespace, named, managed)
    best = min(rank for rank, _ in allowed)
    chosen = next(_key(each) for rank, each in allowed if rank is best)
    mine = [each for rank, each in allowed if rank is best and _key(each) == chosen]
    found: dict[str, model.MapPin] = {}
    for each in mine:
        for one in each.record.maps:
            if not one.internal:
                found.setdefault(one.name, one.pin)
    for name in wanted:
        if name not in found:
            near = errors.near_misses(name, found)
            raise errors.NotFound(
                f"no map {name!r} in application {program}",
                why=f"its maps are {', '.join(sorted(found))}" if found else "it has none",
                near=near,
                do="" if near else "name maps as the C source does",
            )
    return {name: found[name] for name in wanted}


def _lives(program: model.Program) -> bool:
    return program.status.kernel is not None and not program.status.stale


def _names(program: model.Program) -> frozenset[str]:
    metadata = program.record.metadata
    return frozenset(metadata[key] for key in _NAMES if key in metadata)


def _key(program: model.Program) -> str:
    """The object that a program stands in for, "" for none; see ``resources.Application.key``."""
    return program.record.metadata.get(reconcile.OWNER, "")


def _rank(program: model.Program, namespace: str | None) -> _Rank | None:
    """None: not for pods of this namespace."""
    key = _key(program)
    kind, _, rest = key.partition("/")
    if kind == kinds.APPLICATION.name:
        return _Rank.OWN_NAMESPACE if namespace is not None and rest.partition("/")[0] == namespace else None
    return _Rank.CLUSTER if key else _Rank.NO_OBJECT


def _none(
    program: str, namespace: str | None, named: list[model.Program], managed: list[model.Program]
) -> errors.NotFound:
    usable = {name for each in managed if _rank(each, namespace) is not None for name in _names(each)}
    if named:
        where = "unknown, since the CSIDriver has no podInfoOnMount" if namespace is None else namespace
        why = f"one is loaded for another namespace; the pod's is {where}"
    else:
        why = "nothing of that name is loaded on this node yet"
    near = errors.near_misses(program, usable)
    return errors.NotFound(
        f"no application {program!r} for this pod",
        why=why,
        near=near,
        do="" if near else "see the application's status; kubelet tries again",
    )
