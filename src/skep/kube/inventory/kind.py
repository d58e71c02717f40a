"""The shape of NodeBpfInventory's status. Lists are bounded by the object's size, see ``status``."""

from __future__ import annotations

from skep.kube import parts
from skep.kube.shape import Field, Flag, Many, Number, Record, Text
from skep.model import AlertKind

MOST_OBJECTS = 10_000
"""Of each kind; an object of a megabyte has no room for more."""
MOST_NAMED = 8
"""Processes, pins and cgroups of one owner, and places of one program."""
MOST_FINDINGS = 64
LONGEST = 256
"""Characters of a name, a path or a place; longer ones are cut."""

_WORDS = Many(of=Text(longest=LONGEST), most=MOST_NAMED)
_MEMORY = Field(
    name="memory",
    shape=Text(pattern=r"^[0-9]+(\.[0-9])?(Ki|Mi|Gi|Ti)?$", longest=16),
    doc="Bytes that the kernel charges, in steps.",
)


def _number(name: str, doc: str, *, required: bool = False) -> Field:
    return Field(name=name, shape=Number(low=0), required=required, doc=doc)


def _text(name: str, doc: str, *, required: bool = False) -> Field:
    return Field(name=name, shape=Text(longest=LONGEST), required=required, doc=doc)


POD = Record(
    fields=(
        _text("uid", "The pod's UID.", required=True),
        _text("namespace", "Its namespace, if the agent knows the pod."),
        _text("name", "Its name, if the agent knows the pod."),
        _text("container", "The container's name, else the container runtime's id."),
    )
)

_PLACE_IN_SYSTEM = (
    _text("unit", "The systemd unit."),
    Field(name="pod", shape=POD, doc="The pod."),
)

PROCESS = Record(
    fields=(
        _number("pid", "Its number on the node.", required=True),
        _text("command", "Its name."),
        _text("executable", "The file it runs."),
        *_PLACE_IN_SYSTEM,
    )
)

GROUP = Record(fields=(_text("path", "The cgroup.", required=True), *_PLACE_IN_SYSTEM))

OWNER = Record(
    fields=(
        Field(name="managed", shape=Flag(), required=True, doc="Whether it is skep's."),
        _text("application", "For managed: the application, several in a chain with commas."),
        _text("applied", "For managed: the object that wants it: KIND/[NAMESPACE/]NAME."),
        _text("chain", "For managed: the chain that it is a part of."),
        Field(
            name="processes",
            shape=Many(of=PROCESS, most=MOST_NAMED),
            doc="For foreign: processes that keep it in the kernel.",
        ),
        Field(name="pins", shape=_WORDS, doc="For foreign: pins that keep it in the kernel."),
        Field(
            name="cgroups", shape=Many(of=GROUP, most=MOST_NAMED), doc="For foreign: cgroups that it is attached to."
        ),
        _text("through", "For foreign: what those hold of it, when it is not the object itself."),
    )
)

_OWNER = Field(name="owner", shape=OWNER, required=True, doc="Who keeps it in the kernel.")

PROGRAM = Record(
    fields=(
        _number("id", "The kernel's number.", required=True),
        _text("name", "In full for managed ones, else the kernel's 15 characters."),
        _text("type", "The program type.", required=True),
        _text("tag", "The kernel's digest of its instructions."),
        Field(name="places", shape=_WORDS, doc="Where it is attached."),
        Field(name="unsanctioned", shape=Flag(), doc="True: it is somebody else's, and not in the list."),
        _MEMORY,
        _OWNER,
    )
)

LINK = Record(
    fields=(
        _number("id", "The kernel's number.", required=True),
        _text("type", "The link type.", required=True),
        _number("programId", "The program that it runs."),
        _text("place", "Where it is attached."),
        _OWNER,
    )
)

MAP = Record(
    fields=(
        _number("id", "The kernel's number.", required=True),
        _text("name", "The kernel's 15 characters."),
        _text("type", "The map type.", required=True),
        Field(name="programIds", shape=Many(of=Number(low=0), most=MOST_OBJECTS), doc="Programs that use it."),
        _MEMORY,
        _OWNER,
    )
)

FINDING = Record(
    fields=(
        Field(
            name="kind", shape=Text(choices=tuple(each.value for each in AlertKind)), required=True,
            doc="What is the matter; programs that share a hook are no fault.",
        ),
        _text("hook", "On what kind of hook.", required=True),
        _text("place", "Where."),
        _number("programId", "The kernel's number of the foreign program."),
        _text("name", "Its name."),
        Field(name="applications", shape=_WORDS, doc="The objects whose programs it is about: KIND/[NAMESPACE/]NAME."),
        Field(name="message", shape=Text(longest=1024), required=True, doc="For a person."),
        _text("remedy", "What to do."),
    )
)  # fmt: skip

STATUS = Record(
    fields=(
        _text("node", "The node.", required=True),
        _text("kernel", "Its kernel's release."),
        Field(
            name="counts",
            shape=Record(
                fields=(
                    _number("programs", "All programs.", required=True),
                    _number("managed", "Programs that are skep's.", required=True),
                    _number("foreign", "Programs that are not.", required=True),
                    _number(
                        "unsanctioned", "Those of them that spec.inventory.sanctioned of the Config does not have."
                    ),
                    _number("findings", "What is wrong, and what is worth knowing."),
                    _number("links", "All links.", required=True),
                    _number("maps", "All maps.", required=True),
                )
            ),
            required=True,
            doc="How many there are, those that are left out below included.",
        ),
        _MEMORY,
        Field(
            name="conditions", shape=parts.CONDITIONS, doc="Clean: whether nothing is wrong between skep and others."
        ),
        Field(name="findings", shape=Many(of=FINDING, most=MOST_FINDINGS), doc="What is wrong, the worst first."),
        Field(name="programs", shape=Many(of=PROGRAM, most=MOST_OBJECTS), doc="The programs, managed ones first."),
        Field(name="links", shape=Many(of=LINK, most=MOST_OBJECTS), doc="The links, managed ones first."),
        Field(name="maps", shape=Many(of=MAP, most=MOST_OBJECTS), doc="The maps, managed ones first."),
        Field(
            name="leftOut",
            shape=Record(
                fields=(
                    _number("programs", "Programs."),
                    _number("links", "Links."),
                    _number("maps", "Maps."),
                )
            ),
            doc="How many are not listed here, because an object may not be larger; the node's own list has them.",
        ),
        _number("unreadProcesses", "Processes that the daemon may not look into; what they hold seems nobody's."),
        Field(name="notLookedAt", shape=_WORDS, doc="What was too much to be looked at whole."),
    )
)
