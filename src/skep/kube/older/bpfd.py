"""bpfd.io/v1alpha1 of 2022 and 2023: BpfProgramConfig in the three shapes that it had, and BpfProgram.

Which of the shapes an object has is only seen by reading it, so the CRD takes each and ``translate`` judges.
"""

from __future__ import annotations

from typing import Final

from skep.kube import members, parts
from skep.kube.older import fields
from skep.kube.shape import Anything, Field, Flag, Many, Number, Record, Rule, Table, Text

GROUP: Final = "bpfd.io"
TYPES: Final = ("XDP", "TC", "TRACEPOINT")
VERDICTS: Final = ("ABORTED", "DROP", "PASS", "TX", "REDIRECT", "DISPATCHER_RETURN")
"""Of XDP; a TC program had the same enum, and no use of it."""
DIRECTIONS: Final = ("NONE", "INGRESS", "EGRESS")

_INTERFACE = Text(shortest=1, longest=128)
_SELECTOR = Record(
    one=True,
    fields=(
        Field(name="interface", shape=_INTERFACE, doc="An interface by name."),
        Field(name="primarynodeinterface", shape=Flag(), doc="The interface of the default route: true."),
    ),
)
"""bpfd's own choice of interfaces."""
_NETWORK = Record(
    fields=(
        Field(name="interfaceselector", shape=_SELECTOR, doc="Which interface."),
        Field(name="interface", shape=_INTERFACE, doc="The interface, as it was written at first."),
        Field(name="priority", shape=members.PRIORITY, required=True, doc="Place in the order, smaller first."),
        Field(name="direction", shape=Text(choices=DIRECTIONS), default="NONE", doc="For TC: which way packets go."),
        Field(name="proceedon", shape=Many(of=Text(choices=VERDICTS), most=6), doc="Verdicts to go on after."),
    ),
    rules=(
        Rule(
            cel="has(self.interfaceselector) != has(self.interface)",
            message="networkmultiattach has either interfaceselector or interface",
            holds=lambda found: ("interfaceselector" in found) != ("interface" in found),
        ),
    ),
)
_SINGLE = Record(fields=(Field(name="name", shape=Text(shortest=1), required=True, doc="The tracepoint."),))
ATTACH_POINT: Final = Record(
    one=True,
    fields=(
        Field(name="interface", shape=_INTERFACE, doc="The interface; the priority stands beside the attachpoint."),
        Field(name="networkmultiattach", shape=_NETWORK, doc="Where, for XDP and TC."),
        Field(name="singleattach", shape=_SINGLE, doc="Where, for TRACEPOINT."),
    ),
)
BYTE_CODE: Final = Record(
    fields=(
        Field(name="imageurl", shape=fields.IMAGE_URL, doc="An image, as it was written at first."),
        Field(
            name="image",
            shape=Record(
                fields=(
                    Field(name="url", shape=fields.IMAGE_URL, required=True, doc="The image."),
                    fields.PULL_POLICY,
                    Field(name="imagepullsecret", shape=parts.NAME, doc="The name of the secret with the login."),
                )
            ),
            doc="A bytecode image.",
        ),
        Field(name="path", shape=Text(shortest=1, longest=4096), doc="An object file on the node."),
    )
)
"""What ``bytecode`` is where it is not a URI."""

CONFIG: Final = Record(
    fields=(
        Field(name="name", shape=Text(shortest=1, longest=128), required=True, doc="The program's ELF section."),
        Field(name="type", shape=Text(choices=TYPES), required=True, doc="The program's type."),
        Field(name="nodeselector", shape=parts.SELECTOR, required=True, doc="On which nodes; {} is all of them."),
        Field(name="priority", shape=members.PRIORITY, doc="Beside attachpoint.interface: place in the order."),
        Field(name="attachpoint", shape=ATTACH_POINT, required=True, doc="Where it is attached."),
        Field(
            name="bytecode",
            shape=Anything(),
            required=True,
            doc="Where it comes from: a URI (image://…, file://…), or an object with imageurl, image or path.",
        ),
    )
)

_WHERE = Record(
    fields=(
        Field(name="interface", shape=Text(), doc="The interface."),
        Field(
            name="networkmultiattach",
            shape=Record(
                fields=(
                    Field(
                        name="interfaceselector",
                        shape=Record(fields=(Field(name="interface", shape=Text(), doc="The interface."),)),
                        doc="Which interface.",
                    ),
                    Field(name="priority", shape=Number(bits=32), doc="Place in the order."),
                    Field(name="direction", shape=Text(choices=DIRECTIONS), doc="Which way packets go."),
                    Field(name="proceedon", shape=Many(of=Text()), doc="Verdicts to go on after."),
                )
            ),
            doc="Where, for XDP and TC.",
        ),
        Field(
            name="singleattach",
            shape=Record(fields=(Field(name="name", shape=Text(), doc="The tracepoint."),)),
            doc="Where, for TRACEPOINT.",
        ),
    )
)
VIEW: Final = Record(
    fields=(
        Field(name="node", shape=Text(), doc="The node."),
        Field(name="type", shape=Text(), doc="The program's type."),
        Field(
            name="programs",
            shape=Table(
                of=Record(
                    fields=(
                        Field(name="attachpoint", shape=_WHERE, doc="Where it is attached."),
                        Field(name="maps", shape=fields.PINS, doc="Where its maps are pinned, by the maps' names."),
                    )
                )
            ),
            doc="By a UUID: where the program is attached, and its maps.",
        ),
    )
)
"""The spec of BpfProgram."""
