"""Pieces of several kinds: label selectors, conditions, the choice of interfaces, namespaces, containers."""

from __future__ import annotations

from skep.kube import shape
from skep.kube.shape import Field, Flag, Many, Number, Record, Rule, Table, Text

NAME = Text(shortest=1)

_SELECTOR_RULE = Rule(
    cel="(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
    message="In and NotIn compare with one or more values, Exists and DoesNotExist with none",
    holds=lambda found: (found["operator"] in ("In", "NotIn")) is bool(found.get("values")),
)


def _selector(*rules: Rule, most: int | None = None) -> Record:
    return Record(
        atomic=True,
        fields=(
            Field(name="matchLabels", shape=Table(of=Text()), doc="Labels that have to be there with these values."),
            Field(
                name="matchExpressions",
                doc="Conditions on labels; all have to hold.",
                shape=Many(
                    of=Record(
                        fields=(
                            Field(name="key", shape=NAME, required=True, doc="The label."),
                            Field(
                                name="operator",
                                shape=Text(choices=("In", "NotIn", "Exists", "DoesNotExist")),
                                required=True,
                                doc="How it is compared.",
                            ),
                            Field(name="values", shape=Many(of=Text()), doc="For In and NotIn: the values."),
                        ),
                        rules=rules,
                    ),
                    most=most,
                ),
            ),
        ),
    )


SELECTOR = _selector(_SELECTOR_RULE, most=64)
"""Kubernetes' LabelSelector; {} selects everything."""

LINK_SELECTOR = _selector()
"""The same within a link: so many links may there be that the API server grants no rule for each of their conditions.
An admission policy has it instead (``policy``)."""

CONDITIONS = Many(
    keys=("type",),
    of=Record(
        fields=(
            Field(name="type", shape=Text(shortest=1, longest=316), required=True, doc="What is told."),
            Field(name="status", shape=Text(choices=("True", "False", "Unknown")), required=True, doc="Whether it is."),
            Field(name="observedGeneration", shape=Number(low=0), doc="The generation of the spec it was told of."),
            Field(name="lastTransitionTime", shape=shape.Time(), required=True, doc="When the status last changed."),
            Field(
                name="reason",
                shape=Text(pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", shortest=1, longest=1024),
                required=True,
                doc="One word for it.",
            ),
            Field(name="message", shape=Text(longest=32768), required=True, doc="For a person."),
        )
    ),
)
"""metav1.Condition."""

INTERFACES = Record(
    one=True,
    fields=(
        Field(
            name="interfaces",
            shape=Many(of=Text(shortest=1, longest=128), fewest=1),
            doc="Interfaces by name, or by a pattern such as veth*.",
        ),
        Field(
            name="primaryNodeInterface",
            shape=Flag(),
            doc="The interface of the default route. Only true is accepted.",
        ),
        Field(
            name="interfacesDiscoveryConfig",
            doc="Interfaces as they come and go.",
            shape=Record(
                fields=(
                    Field(
                        name="interfaceAutoDiscovery",
                        shape=Flag(),
                        default=False,
                        doc="Has to be true; otherwise no interface is selected.",
                    ),
                    Field(
                        name="excludeInterfaces",
                        shape=Many(of=Text()),
                        default=["lo"],
                        doc="Names that are left out.",
                    ),
                    Field(
                        name="allowedInterfaces",
                        shape=Many(of=Text()),
                        doc="Names, or regular expressions between slashes; none means all.",
                    ),
                ),
                rules=(
                    Rule(
                        cel="has(self.interfaceAutoDiscovery) && self.interfaceAutoDiscovery",
                        message="interfacesDiscoveryConfig selects nothing unless interfaceAutoDiscovery is true",
                        holds=lambda found: bool(found.get("interfaceAutoDiscovery")),
                    ),
                ),
            ),
        ),
    ),
    rules=(
        Rule(
            cel="!has(self.primaryNodeInterface) || self.primaryNodeInterface",
            message="primaryNodeInterface can only be true; leave it out otherwise",
            holds=lambda found: found.get("primaryNodeInterface", True) is True,
        ),
    ),
)

_PODS = Field(name="pods", shape=LINK_SELECTOR, doc="The pods, by their labels.", required=True)
_NAMESPACE = Field(name="namespace", shape=Text(), doc="The pods' namespace; none means all.")

NETWORKS = {
    True: Record(
        fields=(
            _NAMESPACE,
            Field(name="pods", shape=LINK_SELECTOR, doc="The pods, by their labels."),
            Field(
                name="path",
                shape=Text(pattern=r"^(/[^/\0]+)+$|^[^/\0]+$", longest=4096),
                doc="skep's: a network namespace of the host, by path or by the name that `ip netns` gives it.",
            ),
        ),
        rules=(
            Rule(
                cel="has(self.pods) != has(self.path)",
                message="networkNamespaces has either pods or path",
                holds=lambda found: ("pods" in found) != ("path" in found),
            ),
        ),
    ),
    False: Record(fields=(_PODS,)),
}
"""Network namespaces, by whether the kind is cluster-wide."""

_CONTAINER_NAMES = Field(
    name="containerNames", shape=Many(of=Text()), doc="The pods' containers, by name; none means all."
)
CONTAINERS = {
    True: Record(fields=(_NAMESPACE, _PODS, _CONTAINER_NAMES)),
    False: Record(fields=(_PODS, _CONTAINER_NAMES)),
}
"""Containers in which a target is looked up, by whether the kind is cluster-wide."""
