"""The older kinds as values, like ``skep.kube.kinds``, each with the current kind that it is translated into."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from skep.kube import kinds
from skep.kube.kinds import Column, Kind
from skep.kube.older import bpfd, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Older:
    """An older kind that says what is to run. ``type``: as its BpfPrograms tell it ("xdp", "application").

    ``target``: what the operator makes of an object of it; ``view``: what tells of it for each node.
    """

    kind: Kind
    type: str
    target: Kind
    view: Kind


_AGE = Column(name="Age", path=".metadata.creationTimestamp", type="date")
_STATUS = Column(name="Status", path=".status.conditions[0].reason")
_NODES = Column(name="NodeSelector", path=".spec.nodeselector")
_FUNCTION = Column(name="BpfFunctionName", path=".spec.bpffunctionname")


def _wide(name: str, field: str, type: str = "string") -> Column:
    return Column(name=name, path=f".spec.{field}", type=type, wide=True)


_PRIORITY = _wide("Priority", "priority")
_INTERFACES = _wide("InterfaceSelector", "interfaceselector")
_DIRECTION = _wide("Direction", "direction")
_PROCEED_ON = _wide("ProceedOn", "proceedon")
_AIM = _wide("FunctionName", "func_name")
_OFFSET, _RETURN = _wide("Offset", "offset", "integer"), _wide("RetProbe", "retprobe", "boolean")
_COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "xdp": (_PRIORITY, _INTERFACES, _PROCEED_ON),
    "tc": (_STATUS, _PRIORITY, _DIRECTION, _INTERFACES, _PROCEED_ON),
    "tcx": (_STATUS, _DIRECTION, _INTERFACES, _PRIORITY),
    # Upstream's column looks for a field `name`, which there never was.
    "tracepoint": (_STATUS, _wide("TracePoint", "names")),
    "kprobe": (_STATUS, _AIM, _OFFSET, _RETURN),
    "uprobe": (_STATUS, _AIM, _OFFSET, _wide("Target", "target"), _RETURN, _wide("Pid", "pid", "integer")),
    "fentry": (_STATUS, _AIM),
    "fexit": (_STATUS, _AIM),
}
"""Of `kubectl get`, behind the first two. XdpProgram's are those that bpfman's own instructions show, without a status;
`kubectl get bpfprograms` has it."""

_VIEW_COLUMNS = (
    Column(name="Type", path=".spec.type"),
    _STATUS,
    Column(name="Node", path=r".metadata.labels.kubernetes\.io/hostname", wide=True),
    Column(name="Message", path=".status.conditions[0].message", wide=True),
    _AGE,
)


def _kind(name: str, doc: str, *, cluster: bool, spec: Any, columns: tuple[Column, ...]) -> Kind:  # Any: a shape
    return Kind(
        name=name, plural=f"{name.lower()}s", short="", namespaced=not cluster, doc=doc,
        spec=spec, status=fields.STATUS, columns=columns, categories=("bpf-older",),
    )  # fmt: skip


PROGRAM: Final = dataclasses.replace(
    _kind(
        "BpfProgram", "What became of a program at one attach point of one node; written by the operator.",
        cluster=True, spec=fields.VIEW, columns=_VIEW_COLUMNS,
    ),
    # bpfd.io has the plural too and comes first in the alphabet, so that `kubectl get bpfprograms` would mean its own.
    # kubectl looks for categories before it looks for kinds.
    categories=("bpf-older", "bpfprograms", "bpfprogram"),
)  # fmt: skip
NS_PROGRAM: Final = _kind(
    "BpfNsProgram", "What became of a namespaced program at one attach point; written by the operator.",
    cluster=False, spec=fields.VIEW, columns=_VIEW_COLUMNS,
)  # fmt: skip
BPFD_PROGRAM: Final = Kind(
    name="BpfProgram", plural="bpfprograms", short="", namespaced=False, group=bpfd.GROUP,
    doc="What became of a BpfProgramConfig on one node; written by the operator.",
    spec=bpfd.VIEW, status=fields.STATUS, categories=("bpf-older",),
    columns=(
        Column(name="Type", path=".spec.type"),
        Column(name="Node", path=".spec.node"),
        _STATUS,
        _AGE,
    ),
)  # fmt: skip


def _alone(type: str, *, cluster: bool = True) -> Older:
    name = f"{type.capitalize()}{'' if cluster else 'Ns'}Program"
    where = "one program and where it is attached" + ("" if cluster else " in pods of its namespace")
    return Older(
        kind=_kind(
            name, f"The older form of an application with {where}; the operator makes one of it.",
            cluster=cluster, spec=fields.alone(type, cluster=cluster), columns=(_FUNCTION, _NODES, *_COLUMNS[type]),
        ),
        type=type,
        target=kinds.CLUSTER_APPLICATION if cluster else kinds.APPLICATION,
        view=PROGRAM if cluster else NS_PROGRAM,
    )  # fmt: skip


NS_APPLICATION: Final = Older(
    kind=_kind(
        "BpfNsApplication", "The older form of a BpfApplication; the operator makes one of it.",
        cluster=False, spec=fields.application(cluster=False), columns=(_NODES, _STATUS, _AGE),
    ),
    type="application", target=kinds.APPLICATION, view=NS_PROGRAM,
)  # fmt: skip
APPLICATION: Final = Older(
    kind=_kind(
        "BpfApplication", "The older, cluster-wide form of what is a ClusterBpfApplication now.",
        cluster=True, spec=fields.application(cluster=True), columns=(_NODES, _STATUS, _AGE),
    ),
    type="application", target=kinds.CLUSTER_APPLICATION, view=PROGRAM,
)  # fmt: skip
"""Its CRD is not among those that are installed: the current, namespaced one has its name, and takes its form too.
Where upstream's is still installed, its objects are cluster-wide."""
CONFIG: Final = Older(
    kind=Kind(
        name="BpfProgramConfig", plural="bpfprogramconfigs", short="", namespaced=False, group=bpfd.GROUP,
        doc="bpfd's form of an application with one program; the operator makes one of it.",
        spec=bpfd.CONFIG, status=fields.STATUS, categories=("bpf-older",),
        columns=(
            Column(name="Type", path=".spec.type"),
            Column(name="Section", path=".spec.name"),
            _NODES,
            _STATUS,
            _wide("AttachPoint", "attachpoint"),
            _AGE,
        ),
    ),
    type="config", target=kinds.CLUSTER_APPLICATION, view=BPFD_PROGRAM,
)  # fmt: skip

OWN: Final = (
    *(_alone(type) for type in ("xdp", "tc", "tcx", "tracepoint", "kprobe", "uprobe", "fentry", "fexit")),
    *(_alone(type, cluster=False) for type in ("xdp", "tc", "tcx", "uprobe")),
    NS_APPLICATION,
    CONFIG,
)
"""The older kinds that have a CRD of their own and say what is to run."""
VIEWS: Final = (PROGRAM, NS_PROGRAM, BPFD_PROGRAM)
"""What the operator writes of them for each node."""
KINDS: Final = (*(each.kind for each in OWN), *VIEWS)
"""The CRDs."""

_BY_NAME: Mapping[tuple[str, str], Older] = {
    (each.kind.api_version, each.kind.name): each for each in (*OWN, APPLICATION)
}


def by_name(api_version: object, name: object) -> Older | None:
    """An older kind by apiVersion and kind; BpfApplication is the older one here, whatever form an object has."""
    return _BY_NAME.get((api_version, name)) if isinstance(api_version, str) and isinstance(name, str) else None


def of(document: object) -> Older | None:  # Any: JSON
    """The older kind that an object is of; None for any other, also for a BpfApplication in its current form."""
    if not isinstance(document, Mapping):
        return None
    found = by_name(document.get("apiVersion"), document.get("kind"))
    return None if found is APPLICATION and not is_older_form(document) else found


def is_older_form(document: Mapping[str, Any]) -> bool:  # Any: JSON
    """Whether a BpfApplication is in the older form: its fields are in small letters."""
    spec = document.get("spec")
    return isinstance(spec, Mapping) and not _CURRENT & spec.keys() and bool(_FORMER & spec.keys())


_FORMER = {"bytecode", "nodeselector", "globaldata"}
_CURRENT = {"byteCode", "nodeSelector", "globalData", "mapOwnerSelector"}
