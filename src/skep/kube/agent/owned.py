"""What says that a program is this agent's: metadata that programs are loaded with. Pure.

``skep apply`` on the same host may apply an application of the same name: the two have different owners, and neither
touches the other's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from skep import errors, model
from skep.kube import host, reconcile, resources
from skep.kube.agent import expand

AGENT: Final = "skep/agent"
"""Metadata of programs: the node whose agent loaded them."""
PROGRAM_NAME: Final = "bpfman.io/ProgramName"
"""Metadata of programs: the application's name, by which the CSI driver finds their maps."""


def owner(key: str, node: str) -> str:
    """Under which owner (``reconcile.OWNER``) an application's programs are; ``key``: ``Application.key``."""
    return f"{key}@{node}"


def key(program: model.Program, node: str) -> str | None:
    """The key of the application that a program of this agent is of; None for another's."""
    metadata = program.record.metadata
    found, _, of = metadata.get(reconcile.OWNER, "").rpartition("@")
    return found if found and of == node and metadata.get(AGENT) == node else None


def metadata(application: resources.Application, node: str, uid: str) -> dict[str, str]:
    """What an application's programs are labelled with; ``uid``: the state object's."""
    return {
        **host.metadata(application),
        PROGRAM_NAME: application.name,
        expand.UUID: uid,
        reconcile.OWNER: owner(application.key, node),
        AGENT: node,
    }


def lender(
    application: resources.Application, owners: Iterable[str], node: str, loaded: Iterable[model.Program]
) -> model.ProgramId | None:
    """The program whose maps ``application`` is to use, of those of the applications ``owners`` (keys) on this node.

    None if none of them is loaded yet; Conflict if they have different maps.
    """
    meant = {owner(each, node) for each in owners}
    fitting = [
        each for each in loaded if each.status.kernel is not None and each.record.metadata.get(reconcile.OWNER) in meant
    ]
    if len({each.record.set for each in fitting}) > 1:
        names = sorted({key(each, node) or each.record.name for each in fitting})
        raise errors.Conflict(
            f"spec.mapOwnerSelector of {application.key} fits programs with different maps",
            why="it fits " + ", ".join(names),
            do="select one application",
        )
    return fitting[0].record.id if fitting else None
