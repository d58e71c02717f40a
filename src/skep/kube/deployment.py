"""What a Config says: which images run on each node, how they are configured, and where they are scheduled."""

from __future__ import annotations

from skep.kube import parts
from skep.kube.shape import Field, Flag, Foreign, Many, Number, Quantity, Record, Rule, Table, Text

PULL_POLICIES = ("Always", "Never", "IfNotPresent")

TOLERATIONS = Many(
    most=64,
    of=Record(
        fields=(
            Field(name="key", shape=Text(), doc="The taint's key; none means all."),
            Field(name="operator", shape=Text(choices=("Exists", "Equal")), doc="How it is compared; Equal if none."),
            Field(name="value", shape=Text(), doc="The taint's value, for Equal."),
            Field(
                name="effect",
                shape=Text(choices=("NoSchedule", "PreferNoSchedule", "NoExecute")),
                doc="The taint's effect; none means all.",
            ),
            Field(name="tolerationSeconds", shape=Number(), doc="How long a NoExecute is tolerated; none means ever."),
        ),
        rules=(
            Rule(
                cel="!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
                message="a toleration with operator Exists has no value",
                holds=lambda found: found.get("operator") != "Exists" or not found.get("value"),
            ),
            Rule(
                cel="has(self.key) && self.key != '' || has(self.operator) && self.operator == 'Exists'",
                message="a toleration without a key needs operator Exists",
                holds=lambda found: bool(found.get("key")) or found.get("operator") == "Exists",
            ),
            Rule(
                cel="!has(self.tolerationSeconds) || has(self.effect) && self.effect == 'NoExecute'",
                message="tolerationSeconds is for effect NoExecute",
                holds=lambda found: "tolerationSeconds" not in found or found.get("effect") == "NoExecute",
            ),
        ),
    ),
)
"""corev1.Toleration, with the rules that a pod's have."""

RESOURCES = Record(
    fields=(
        Field(name="limits", shape=Table(of=Quantity()), doc="At most so much."),
        Field(name="requests", shape=Table(of=Quantity()), doc="At least so much."),
    )
)
"""corev1.ResourceRequirements without claims."""

_LOG_LEVEL = Field(name="logLevel", shape=Text(), doc="How much it tells.")
_RESOURCES = Field(name="resources", shape=RESOURCES, doc="skep's: what its container may use.")
_IMAGE = Field(name="image", shape=parts.NAME, required=True, doc="Its container image.")

AGENT = Record(
    fields=(
        Field(
            name="healthProbePort",
            shape=Number(low=1, high=65535),
            default=8175,
            doc="Port of its health probe.",
        ),
        Field(
            name="metricsPort",
            shape=Number(low=1, high=65535),
            doc="skep's: port of its metrics, on each node's own addresses; none: they are not served.",
        ),
        _IMAGE,
        _LOG_LEVEL,
        _RESOURCES,
    )
)

SANCTIONED = Many(
    most=256,
    of=Record(
        fields=tuple(
            Field(name=name, shape=Text(longest=256), doc=doc)
            for name, doc in (
                ("name", "The program's name, of at most 15 characters, as a pattern with * and ?."),
                ("type", "Its type, as the inventory spells it."),
                ("tag", "The kernel's digest of its instructions."),
                ("process", "Name, executable or systemd unit of one that holds it."),
            )
        )
    ),
)
_SANCTIONED_DOC = (
    "Programs of others that are meant to be there; all fields of an entry must fit. None: everybody is. []: nobody is."
)

DAEMON = Record(
    fields=(
        _IMAGE,
        _LOG_LEVEL,
        Field(name="csiRegistrarImage", shape=Text(), doc="Upstream's; skep registers its CSI driver itself."),
        _RESOURCES,
        Field(
            name="nodeSelector",
            shape=Table(of=Text()),
            doc="skep's: the labels of nodes on which all of it runs, in the stead of kubernetes.io/os: linux.",
        ),
        Field(
            name="tolerations",
            shape=TOLERATIONS,
            doc="skep's: taints that are tolerated, in the stead of the built-in ones.",
        ),
        Field(name="affinity", shape=Foreign(), doc="skep's: the pods' affinity, as a pod has it."),
    )
)

CONFIG = Record(
    fields=(
        Field(name="agent", shape=AGENT, required=True, doc="The agent of each node."),
        Field(
            name="daemon",
            shape=DAEMON,
            required=True,
            doc="The daemon of each node; where it is scheduled, the others of the node are too.",
        ),
        Field(
            name="csi",
            shape=Record(fields=(_LOG_LEVEL, _RESOURCES)),
            doc="skep's: the CSI driver of each node; it runs the daemon's image.",
        ),
        Field(name="configuration", shape=parts.NAME, required=True, doc="The daemon's configuration file."),
        Field(
            name="inventory",
            shape=Record(fields=(Field(name="sanctioned", shape=SANCTIONED, doc=_SANCTIONED_DOC),)),
            doc="skep's: what each node's inventory is judged by.",
        ),
        Field(name="namespace", shape=Text(), doc="Where all of it runs."),
        Field(
            name="imagePullPolicy",
            shape=Text(choices=PULL_POLICIES),
            doc="skep's: when the node asks the registry for these images; IfNotPresent if none.",
        ),
        Field(
            name="imagePullSecrets",
            shape=Many(
                most=64,
                keys=("name",),
                of=Record(fields=(Field(name="name", shape=parts.NAME, required=True, doc="The secret's name."),)),
            ),
            doc="skep's: secrets with the logins for these images, in the namespace where all of it runs.",
        ),
        Field(
            name="overrides",
            shape=Many(
                keys=("kind", "apiVersion", "namespace", "name"),
                of=Record(
                    fields=(
                        *(
                            Field(name=name, shape=Text(), required=True, doc=f"The object's {name}.")
                            for name in ("apiVersion", "kind", "namespace", "name")
                        ),
                        Field(name="unmanaged", shape=Flag(), required=True, doc="Whether it is left alone."),
                    )
                ),
            ),
            doc="Objects that the operator leaves alone.",
        ),
    )
)
"""``spec`` of a Config: upstream's fields, and skep's own, which are all optional."""
