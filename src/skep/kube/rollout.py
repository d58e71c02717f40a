"""Staged rollouts as shapes: how people ask for one (``spec.rollout``), and are told of it (``status.rollout``)."""

from __future__ import annotations

from typing import Final

from skep.kube import parts, shape
from skep.kube.shape import Field, Flag, Many, Number, Record, Share, Text

PHASES: Final = ("Progressing", "Paused", "Returning", "Returned", "Complete")
DAY: Final = 86_400
"""Seconds."""

WANTED = Record(
    fields=(
        Field(
            name="maxUnavailable",
            shape=Share(),
            default=1,
            doc="How many nodes may be without the application while it changes; a percentage is rounded up.",
        ),
        Field(
            name="order",
            shape=Many(of=parts.SELECTOR, most=8),
            doc="Which nodes are first, by their labels: all of one selector, then those of the next, then the rest.",
        ),
        Field(
            name="onFailure",
            shape=Text(choices=("Pause", "Return")),
            default="Pause",
            doc="When a node refuses the change: Pause, or Return all nodes to the version that was good before.",
        ),
        Field(
            name="minReadySeconds",
            shape=Number(low=0, high=DAY, bits=32),
            default=0,
            doc="How long a node has to run a change without an error before the next one is changed.",
        ),
        Field(name="paused", shape=Flag(), default=False, doc="No further node is changed while this is true."),
    )
)
"""``spec.rollout``."""

STATUS = Record(
    fields=(
        Field(name="phase", shape=Text(choices=PHASES), required=True, doc="How far it is."),
        Field(name="revision", shape=Text(longest=63), required=True, doc="The revision of the spec."),
        Field(name="previous", shape=Text(longest=63), doc="The newest one that was good on all nodes before."),
        Field(name="updated", shape=Number(low=0, bits=32), doc="How many nodes run the revision."),
        Field(name="ready", shape=Number(low=0, bits=32), doc="How many of them do well, for minReadySeconds."),
        Field(name="total", shape=Number(low=0, bits=32), doc="How many nodes there are."),
        Field(name="failed", shape=Many(of=Text(), most=10), doc="Nodes that refused it, ten at most."),
        Field(name="cause", shape=Text(longest=1000), doc="What the first of them said."),
        Field(name="message", shape=Text(longest=2000), doc="For a person."),
        Field(name="since", shape=shape.Time(), doc="When the phase began."),
        Field(name="storedIn", shape=Text(longest=63), doc="The namespace with the ControllerRevisions."),
    )
)
"""``status.rollout``."""
