"""What a program of each type says in an object: upstream's fields where it has the type, else the hook's options.

Nothing is listed per type but what upstream's API spells in its own way; a new file in ``skep.hooks`` is a new member.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skep import hooks
from skep.hooks import netkit, perf_event, tcx, valid, xdp
from skep.kube import parts, shape
from skep.kube.shape import Field, Flag, Many, Number, Record, Rule, Text

UPSTREAM = ("XDP", "TC", "TCX", "FEntry", "FExit", "KProbe", "KRetProbe", "UProbe", "URetProbe", "TracePoint")
"""Types as bpfman-operator writes them."""

NAME_PATTERN = "^[a-zA-Z_][a-zA-Z0-9_]*"
"""Upstream's is ``^[a-zA-Z][a-zA-Z0-9_]+.``, which refuses _start and f; whatever it takes, this takes too."""

DEFAULT_PRIORITY = 1000
MOST = 256
"""Programs of an application and links of a program: the API server has to know how often a rule is evaluated."""
PRIORITY = Number(low=0, high=1000, bits=32)

FUNCTION = Text(pattern=NAME_PATTERN)
VERDICTS = {
    "xdp": ("Aborted", "Drop", "Pass", "TX", "ReDirect", "DispatcherReturn"),
    "tc": (
        "UnSpec", "OK", "ReClassify", "Shot", "Pipe", "Stolen", "Queued", "Repeat", "ReDirect", "Trap",
        "DispatcherReturn",
    ),
}  # fmt: skip
"""Upstream's spelling of the verdicts of ``Hook.verdicts``."""
PROCEED_ON = {"xdp": ["Pass", "DispatcherReturn"], "tc": ["Pipe", "DispatcherReturn"]}
DIRECTIONS = ("Ingress", "Egress")
MODE = Field(name="mode", shape=Text(choices=("Attach",)), required=True, doc="What to do with the function: Attach.")

_SPELLED = {each.lower(): each for each in UPSTREAM}
_NAMES = {"interface": "interfaceSelector", "netns": "networkNamespaces", "container_pid": "containers",
          "fn_name": "function", "tracepoint": "name"}  # fmt: skip
"""Options that an object calls otherwise; the others are the option's name in camelCase."""
_PARSED: Mapping[object, shape.Shape] = {
    valid.parse_int: Number(),
    perf_event.parse_cpu: Number(low=0, bits=32),
    valid.parse_bool: Flag(),
    valid.parse_words: Many(of=Text(shortest=1)),
    valid.parse_ints: Many(of=Number()),
    tcx.parse_direction: Text(choices=DIRECTIONS),
    netkit.parse_side: Text(choices=("primary", "peer")),
    xdp.parse_mode: Text(choices=("drv", "skb", "hw")),
}
"""An option's parser -> what its field holds; text for all others."""


def type_name(hook: hooks.Hook[Any]) -> str:  # Any: see hooks.HOOKS
    """A type as objects write it: "XDP", "URetProbe", "CgroupSkb"."""
    return _SPELLED.get(hook.name, "".join(word.capitalize() for word in hook.name.split("_")))


def member_name(hook: hooks.Hook[Any]) -> str:  # Any: see hooks.HOOKS
    """The field that holds a type's body: its name in lower case, as upstream's rules have it."""
    return type_name(hook).lower()


TYPES: Mapping[str, hooks.Hook[Any]] = {type_name(hook): hook for hook in hooks.HOOKS}
"""Every type by its name in objects."""


def field_name(option: hooks.Option) -> str:
    """What an object calls a hook's option."""
    if option.field in _NAMES:
        return _NAMES[option.field]
    first, *rest = option.field.split("_")
    return first + "".join(word.capitalize() for word in rest)


def in_pods(hook: hooks.Hook[Any]) -> bool:  # Any: see hooks.HOOKS
    """Whether such a program's place can lie in a pod, so that namespaced objects may have it."""
    fields = {option.field for option in hook.options}
    return "interface" in fields or "container_pid" in fields


def types(*, cluster: bool) -> tuple[hooks.Hook[Any], ...]:  # Any: see hooks.HOOKS
    """The types that a kind may have."""
    return tuple(hook for hook in hooks.HOOKS if cluster or in_pods(hook))


def program(*, cluster: bool) -> Record:
    """One element of ``spec.programs``: a name, a type, and the member of that type."""
    known = types(cluster=cluster)
    return Record(
        fields=(
            Field(
                name="name",
                shape=Text(pattern=NAME_PATTERN, shortest=1, longest=64),
                required=True,
                doc="The program's function in the object.",
            ),
            Field(
                name="type",
                shape=Text(choices=tuple(map(type_name, known))),
                required=True,
                doc="Its type; the field of that name in lower case says the rest.",
            ),
            *(Field(name=member_name(hook), shape=body(hook, cluster=cluster), doc=hook.doc) for hook in known),
        ),
        rules=tuple(member_rule(hook) for hook in known),
    )


def member_rule(hook: hooks.Hook[Any]) -> Rule:  # Any: see hooks.HOOKS
    """A member is there if and only if the type says so; upstream's words."""
    kind, member = type_name(hook), member_name(hook)
    return Rule(
        cel=f"has(self.type) && self.type == '{kind}' ?  has(self.{member}) : !has(self.{member})",
        message=f"{member} configuration is required when type is {member}, and forbidden otherwise",
        holds=lambda found: (member in found) == (found.get("type") == kind),
    )


def body(hook: hooks.Hook[Any], *, cluster: bool) -> Record:  # Any: see hooks.HOOKS
    """What a program of one type says: its function if that is fixed at load, and its links."""
    if hook.unattached:
        return Record(fields=())
    fields = []
    if hook.aimed:
        named = hook.name in ("fentry", "fexit")
        fields.append(
            Field(
                name="function",
                shape=FUNCTION if named else Text(shortest=1),
                required=named,
                doc="What the program is loaded for"
                + ("." if named else "; without it the name of its ELF section decides."),
            )
        )
    once = hook.aimed and not hook.options
    fields.append(
        Field(
            name="links",
            shape=Many(of=Record(fields=(MODE,) if once else link(hook, cluster=cluster)), most=1 if once else MOST),
            doc="Where it is attached; without links it is only loaded.",
        )
    )
    return Record(fields=tuple(fields))


def link(hook: hooks.Hook[Any], *, cluster: bool) -> tuple[Field, ...]:  # Any: see hooks.HOOKS
    """The fields of one link, from the hook's options."""
    return tuple(_field(hook, option, cluster=cluster) for option in hook.options)


def _field(hook: hooks.Hook[Any], option: hooks.Option, *, cluster: bool) -> Field:  # Any: see hooks.HOOKS
    name, doc = field_name(option), option.help
    match option.field:
        case "interface":
            return Field(name=name, shape=parts.INTERFACES, required=True, doc="Which interfaces.")
        case "netns":
            return Field(
                name=name,
                shape=parts.NETWORKS[cluster],
                required=not cluster,
                doc="In whose network namespaces; the host's without it."
                if cluster
                else "In whose network namespaces.",
            )
        case "container_pid":
            return Field(
                name=name,
                shape=parts.CONTAINERS[cluster],
                required=not cluster,
                doc="In which containers the target is looked up.",
            )
        case "priority" if hook.interface is not None:
            return Field(
                name=name, shape=PRIORITY, doc=f"Place in the order, smaller first; {DEFAULT_PRIORITY} if none."
            )
        case "proceed_on":
            return Field(
                name=name, shape=Many(of=Text(choices=VERDICTS[hook.name])), default=PROCEED_ON[hook.name],
                doc="Verdicts after which the next program runs.",
            )  # fmt: skip
        case "fn_name" | "tracepoint":
            return Field(name=name, shape=FUNCTION, required=option.required, doc=doc)
        case "offset":
            return Field(name=name, shape=Number(), default=0, doc=doc)
        case "pid":
            return Field(name=name, shape=Number(bits=32), doc=doc)
    return Field(
        name=name, shape=_PARSED.get(option.parse, Text(shortest=1)), required=option.required, doc=doc
    )  # fmt: skip
