"""Fields of the kinds of bpfman 0.2 to 0.5: all in small letters, one attachment described with each program.

The union of an application's programs and the stand-alone kinds say the same, so both are put together from these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from skep.kube import members, parts, shape
from skep.kube.shape import Field, Flag, Many, Number, Octets, Record, Rule, Table, Text

XDP_VERDICTS: Final = ("aborted", "drop", "pass", "tx", "redirect", "dispatcher_return")
TC_VERDICTS: Final = (
    "unspec", "ok", "reclassify", "shot", "pipe", "stolen", "queued", "repeat", "redirect", "trap",
    "dispatcher_return",
)  # fmt: skip

IMAGE_URL: Final = Text(pattern="[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", longest=525)
PULL_POLICY: Final = Field(
    name="imagepullpolicy",
    shape=Text(choices=("Always", "Never", "IfNotPresent")),
    default="IfNotPresent",
    doc="When the registry is asked.",
)
_SECRET = Record(
    fields=(
        Field(name="name", shape=parts.NAME, required=True, doc="The secret's name."),
        Field(name="namespace", shape=parts.NAME, required=True, doc="The secret's namespace."),
    )
)
BYTE_CODE: Final = Record(
    fields=(
        Field(
            name="image",
            shape=Record(
                fields=(
                    Field(name="url", shape=IMAGE_URL, required=True, doc="The image."),
                    PULL_POLICY,
                    Field(name="imagepullsecret", shape=_SECRET, doc="The login for the registry."),
                )
            ),
            doc="A bytecode image.",
        ),
        Field(name="path", shape=Text(longest=4096), doc="An object file on the node."),
    )
)
APPLICATION: Final = (
    Field(name="nodeselector", shape=parts.SELECTOR, required=True, doc="On which nodes; {} is all of them."),
    Field(
        name="globaldata", shape=Table(of=Octets()), doc="Values of global variables: base64, or a list of bytes."
    ),
    Field(name="bytecode", shape=BYTE_CODE, required=True, doc="Where the program comes from: an image, or a path."),
)  # fmt: skip
"""What an application says once, and a stand-alone program too."""

FUNCTION: Final = (
    Field(
        name="bpffunctionname",
        shape=Text(shortest=1, longest=128),
        doc="The program's function in the object.",
    ),
    Field(name="sectionname", shape=Text(shortest=1, longest=128), doc="The same, as it was called until 2023."),
    Field(
        name="mapownerselector",
        shape=parts.SELECTOR,
        default={},
        doc="The program whose maps this one uses, by labels; {} is none.",
    ),
)
FUNCTION_RULE: Final = Rule(
    cel="has(self.bpffunctionname) != has(self.sectionname)",
    message="bpffunctionname is required (or sectionname, as it was called until 2023)",
    holds=lambda found: ("bpffunctionname" in found) != ("sectionname" in found),
)

INTERFACES: Final = Record(
    one=True,
    fields=(
        Field(name="interfaces", shape=Many(of=Text(shortest=1, longest=128)), doc="Interfaces by name."),
        Field(name="primarynodeinterface", shape=Flag(), doc="The interface of the default route: true."),
    ),
)
_SELECTOR = Field(name="interfaceselector", shape=INTERFACES, required=True, doc="Which interfaces.")
_PODS = Field(name="pods", shape=parts.LINK_SELECTOR, required=True, doc="The pods, by their labels.")
_CONTAINER_NAMES = Field(name="containernames", shape=Many(of=Text()), doc="The pods' containers; none means all.")
_PRIORITY = Field(
    name="priority", shape=members.PRIORITY, required=True, doc="Place in the order from 0 to 1000, smaller first."
)
_DIRECTION = Field(
    name="direction", shape=Text(choices=("ingress", "egress")), required=True, doc="Which way packets go."
)


def containers(*, cluster: bool) -> Field:
    """In which containers, or in whose network namespaces; a namespaced object has to say."""
    namespace = Field(name="namespace", shape=Text(), default="", doc="The pods' namespace; empty means all.")
    fields = ((namespace,) if cluster else ()) + (_PODS, _CONTAINER_NAMES)
    return Field(name="containers", shape=Record(fields=fields), required=not cluster, doc="In which containers.")


def _proceed_on(verdicts: tuple[str, ...], default: list[str]) -> Field:
    return Field(
        name="proceedon",
        shape=Many(of=Text(choices=verdicts), most=len(verdicts)),
        default=default,
        doc="Verdicts after which the next program runs.",
    )


_OFFSET = Field(name="offset", shape=Number(low=0), default=0, doc="Bytes behind the function's beginning.")
_RETURN = Field(name="retprobe", shape=Flag(), default=False, doc="Whether it runs when the function returns.")
RETURN_RULE: Final = Rule(
    cel="!has(self.retprobe) || self.retprobe == false || !has(self.offset) || self.offset == 0",
    message="offset cannot be set for kretprobes",
    holds=lambda found: not found.get("retprobe") or not found.get("offset"),
)
_FUNC_NAME = Text(shortest=1, longest=256)
_FUNC_NAMES = Field(
    name="func_names", shape=Many(of=_FUNC_NAME, fewest=1, most=64), doc="Several functions, as until March 2024."
)  # fmt: skip
KPROBE_RULE: Final = Rule(
    cel="has(self.func_name) != has(self.func_names)",
    message="func_name is required (or the list func_names, as it was until 2024)",
    holds=lambda found: ("func_name" in found) != ("func_names" in found),
)
_AIM = Field(name="func_name", shape=_FUNC_NAME, required=True, doc="The kernel's function.")


def attachment(type: str, *, cluster: bool) -> tuple[Field, ...]:
    """The fields of one attachment. ``type``: xdp, tc, tcx, fentry, fexit, kprobe, uprobe, tracepoint."""
    where = (_SELECTOR, containers(cluster=cluster))
    match type:
        case "xdp":
            return (*where, _PRIORITY, _proceed_on(XDP_VERDICTS, ["pass", "dispatcher_return"]))
        case "tc":
            return (*where, _PRIORITY, _DIRECTION, _proceed_on(TC_VERDICTS, ["pipe", "dispatcher_return"]))
        case "tcx":
            return (*where, _DIRECTION, _PRIORITY)
        case "fentry" | "fexit":
            return (_AIM,)
        case "tracepoint":
            names = Many(of=Text(shortest=1, longest=256), fewest=1, most=64)
            return (Field(name="names", shape=names, required=True, doc="Tracepoints, such as sched/sched_switch."),)
        case "kprobe":
            one = Field(name="func_name", shape=_FUNC_NAME, doc="The kernel's function.")
            return (one, _FUNC_NAMES, _OFFSET, _RETURN)
    return (
        Field(name="func_name", shape=_FUNC_NAME, doc="The function in the target."),
        _OFFSET,
        Field(name="target", shape=Text(shortest=1, longest=4096), required=True, doc="A library's name, or a path."),
        _RETURN,
        Field(name="pid", shape=Number(bits=32), doc="Only this process."),
        containers(cluster=cluster),
    )


def rules(type: str) -> tuple[Rule, ...]:
    """What the fields of a program of a type say about each other."""
    match type:
        case "kprobe":
            return (FUNCTION_RULE, KPROBE_RULE, RETURN_RULE)
    return (FUNCTION_RULE,)


def program(type: str, *, cluster: bool) -> Record:
    """A program and its attachment, as a member of an application's union has it."""
    return Record(fields=(*FUNCTION, *attachment(type, cluster=cluster)), rules=rules(type))


def alone(type: str, *, cluster: bool) -> Record:
    """The same as the spec of a kind of its own."""
    inner = program(type, cluster=cluster)
    return Record(fields=(*inner.fields, *APPLICATION), rules=inner.rules)


BODIES: Final[Mapping[str, tuple[str, str]]] = {
    "XDP": ("xdp", "xdp"), "TC": ("tc", "tc"), "TCX": ("tcx", "tcx"), "Fentry": ("fentry", "fentry"),
    "Fexit": ("fexit", "fexit"), "Kprobe": ("kprobe", "kprobe"), "Kretprobe": ("kretprobe", "kprobe"),
    "Uprobe": ("uprobe", "uprobe"), "Uretprobe": ("uretprobe", "uprobe"), "Tracepoint": ("tracepoint", "tracepoint"),
}  # fmt: skip
"""The types of the union -> its member, and the fields that this has."""
IN_PODS: Final = ("XDP", "TC", "TCX", "Uprobe", "Uretprobe")
"""Those of a namespaced application."""


def types(*, cluster: bool) -> tuple[str, ...]:
    """The types that an application's programs may have."""
    return tuple(BODIES) if cluster else IN_PODS


def application(*, cluster: bool) -> Record:
    """Several programs out of one object."""
    known = types(cluster=cluster)
    element = Record(
        fields=(
            Field(name="type", shape=Text(choices=known), required=True, doc="Its type; the field so called has more."),
            *(
                Field(
                    name=BODIES[each][0], shape=program(BODIES[each][1], cluster=cluster), doc=f"Of a {each} program."
                )
                for each in known
            ),
        ),
        rules=tuple(_member_rule(each) for each in known),
    )
    programs = Many(of=element, fewest=1, most=members.MOST)
    return Record(fields=(*APPLICATION, Field(name="programs", shape=programs, required=True, doc="The programs.")))


def _member_rule(type: str) -> Rule:
    member = BODIES[type][0]
    return Rule(
        cel=f"has(self.type) && self.type == '{type}' ?  has(self.{member}) : !has(self.{member})",
        message=f"{member} configuration is required when type is {member}, and forbidden otherwise",
        holds=lambda found: (member in found) == (found.get("type") == type),
    )


STATUS: Final[shape.Shape] = Record(
    fields=(Field(name="conditions", shape=parts.CONDITIONS, doc="One condition, whose type is the state."),)
)
PINS: Final = Table(of=Text())
"""The pins of a program's maps, by the maps' names."""

VIEW: Final = Record(
    fields=(
        Field(name="type", shape=Text(), doc="The program's type."),
        Field(name="maps", shape=PINS, doc="Where the program's maps are pinned on the node, by the maps' names."),
    )
)
"""The spec of BpfProgram and BpfNsProgram."""


def bodies(document: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:  # Any: JSON
    """The bodies of an object's programs, of whatever kind: the spec itself, or the members of its union."""
    spec = document.get("spec") or {}
    if "programs" not in spec:
        return (spec,)
    return tuple(each.get(BODIES.get(each.get("type", ""), ("",))[0]) or {} for each in spec["programs"])
