"""The kinds of ``bpfman.io/v1alpha1`` in the words of ``shape``: upstream's five, with what they lack, and ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skep import hooks
from skep.kube import deployment, members, parts, rollout
from skep.kube.inventory import kind as inventory
from skep.kube.shape import Field, Flag, Many, Number, Octets, Record, Shape, Table, Text

GROUP, VERSION = "bpfman.io", "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of ``kubectl get``; ``wide`` ones only with -o wide."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind: names, scope, and the shapes of its spec and status. ``spec`` None: it has only a status.

    ``short``: what kubectl takes for it, "" for none. ``categories``: with which others ``kubectl get`` shows it.
    """

    name: str
    plural: str
    short: str
    namespaced: bool
    doc: str
    spec: Shape | None
    status: Shape
    columns: tuple[Column, ...]
    group: str = GROUP
    categories: tuple[str, ...] = ("bpf",)

    @property
    def api_version(self) -> str:
        """As objects write it."""
        return f"{self.group}/{VERSION}"


_IMAGE = Record(
    fields=(
        Field(
            name="url",
            shape=Text(pattern="[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", longest=525),
            required=True,
            doc="The image: [REGISTRY/]NAME[:TAG][@DIGEST].",
        ),
        Field(
            name="imagePullPolicy",
            shape=Text(choices=("Always", "Never", "IfNotPresent")),
            default="IfNotPresent",
            doc="When the registry is asked.",
        ),
        Field(
            name="imagePullSecret",
            shape=Record(
                fields=(
                    Field(name="name", shape=parts.NAME, required=True, doc="The secret's name."),
                    Field(name="namespace", shape=parts.NAME, required=True, doc="The secret's namespace."),
                )
            ),
            doc="The login for the registry.",
        ),
    )
)

BYTE_CODE = Record(
    one=True,
    fields=(
        Field(name="image", shape=_IMAGE, doc="A bytecode image."),
        Field(
            name="path",
            shape=Text(pattern=r"^(/[^/\0]+)+/?$", longest=4096),
            doc="An object file on the node.",
        ),
    ),
)


def _application(*, cluster: bool) -> Record:
    return Record(
        fields=(
            Field(name="nodeSelector", shape=parts.SELECTOR, required=True, doc="On which nodes; {} is all of them."),
            Field(name="byteCode", shape=BYTE_CODE, required=True, doc="Where the programs come from."),
            Field(
                name="globalData",
                shape=Table(of=Octets()),
                doc="Values of global variables: base64, or a list of bytes.",
            ),
            Field(
                name="mapOwnerSelector",
                shape=parts.SELECTOR,
                doc="The application whose maps these programs use, by its labels.",
            ),
            Field(
                name="mapPolicy",
                shape=Text(choices=("Keep", "Recreate")),
                default="Keep",
                doc="skep's: when a change makes other maps of them: Keep the maps and refuse it, or Recreate them.",
            ),
            Field(
                name="rollout",
                shape=rollout.WANTED,
                doc="skep's: a change reaches the nodes one after another; without it all of them at once.",
            ),
            Field(
                name="programs",
                shape=Many(of=members.program(cluster=cluster), fewest=1, most=members.MOST, keys=("name",)),
                required=True,
                doc="The programs, all out of one object.",
            ),
        )
    )


def _counts(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name=name, shape=Number(low=0, bits=32), doc=f"How many nodes: {name}.") for name in names)


_OBSERVED = Field(name="observedGeneration", shape=Number(low=0), doc="The generation that this status is about.")
_CONDITIONS = Field(name="conditions", shape=parts.CONDITIONS, doc="One condition, whose type is the state.")
_APPLICATION_STATUS = Record(
    fields=(
        _OBSERVED,
        *_counts("desired", "ready", "failed"),
        _CONDITIONS,
        Field(
            name="rollout", shape=rollout.STATUS, doc="skep's: how far the newest change has come; see spec.rollout."
        ),
    )
)

_SHOULD = Field(name="shouldAttach", shape=Flag(), required=True, doc="Whether it is wanted.")
_LINK = (
    _SHOULD,
    Field(name="uuid", shape=Text(), required=True, doc="Which link this is, for as long as it is wanted."),
    Field(name="linkId", shape=Number(), doc="skep's number of the link."),
    Field(
        name="linkStatus",
        shape=Text(choices=("Attached", "NotAttached", "AttachError", "DetachError")),
        required=True,
        doc="What became of it.",
    ),
    Field(name="error", shape=Text(longest=4096), doc="skep's: why not, with the verifier's last lines."),
)


def _seen_link(hook: hooks.Hook[Any], *, cluster: bool) -> tuple[Field, ...]:  # Any: see hooks.HOOKS
    """A link as the agent tells it: the place it was resolved to, in the stead of selectors."""
    fields = []
    for field in members.link(hook, cluster=cluster):
        match field.name:
            case "interfaceSelector":
                fields.append(Field(name="interfaceName", shape=Text(), required=True, doc="The interface."))
            case "networkNamespaces":
                fields.append(Field(name="netnsPath", shape=Text(), required=not cluster, doc="Its network namespace."))
            case "containers":
                fields.append(Field(name="containerPid", shape=Number(bits=32), doc="A process of the container."))
            case "priority" | "proceedOn":
                fields.append(Field(name=field.name, shape=field.shape, required=True, doc=field.doc))
            case _:
                fields.append(field)
    return tuple(fields)


def _seen_body(hook: hooks.Hook[Any], *, cluster: bool) -> Record:  # Any: see hooks.HOOKS
    if hook.unattached:
        return Record(fields=())
    aim = tuple(field for field in members.body(hook, cluster=cluster).fields if field.name == "function")
    once = hook.aimed and not hook.options
    own = _LINK if once else (*_seen_link(hook, cluster=cluster), *_LINK)
    links = Many(of=Record(fields=own), most=1 if once else None)
    return Record(fields=(*aim, Field(name="links", shape=links, doc="What became of its links.")))


def _seen_program(*, cluster: bool) -> Record:
    """No rule ties members to the type here: only agents write it, and any rule in what they write at every change is
    half of what such a write costs the API server (docs/kubernetes-scale.md)."""
    known = members.types(cluster=cluster)
    return Record(
        fields=(
            Field(name="name", shape=Text(longest=64), required=True, doc="The program."),
            Field(
                name="type", shape=Text(choices=tuple(map(members.type_name, known))), required=True, doc="Its type."
            ),
            Field(
                name="programLinkStatus",
                shape=Text(choices=("Pending", "Success", "Error", "UpdateAttachInfoError")),
                required=True,
                doc="What became of its links together.",
            ),
            Field(name="programId", shape=Number(), doc="The kernel's id."),
            Field(name="maps", shape=Table(of=Text()), doc="skep's: where its maps are pinned, by the maps' names."),
            *(
                Field(name=members.member_name(hook), shape=_seen_body(hook, cluster=cluster), doc=hook.doc)
                for hook in known
            ),
        ),
    )


def _state(*, cluster: bool) -> Record:
    return Record(
        fields=(
            Field(name="updateCount", shape=Number(), required=True, doc="+1 at each write of the agent."),
            Field(name="node", shape=Text(), required=True, doc="The node."),
            Field(
                name="appLoadStatus",
                shape=Text(
                    choices=(
                        "NotLoaded", "LoadSuccess", "LoadError", "UnloadSuccess", "UnloadError", "NotSelected",
                        "ProgramListChangedError",
                    )
                ),
                required=True,
                doc="What became of loading.",
            ),
            _OBSERVED,
            Field(name="revision", shape=Text(longest=63), doc="skep's: the revision of the application that runs."),
            Field(name="observedRevision", shape=Text(longest=63), doc="skep's: the one that this status is about."),
            _CONDITIONS,
            Field(
                name="programs", shape=Many(of=_seen_program(cluster=cluster), most=members.MOST),
                doc="The programs, one by one.",
            ),
        )
    )  # fmt: skip


_CONFIG_STATUS = Record(
    fields=(
        _OBSERVED,
        Field(name="namespace", shape=Text(), doc="Where all of it was made last."),
        *_counts("desired", "ready"),
        _CONDITIONS,
    )
)

_AGE = Column(name="Age", path=".metadata.creationTimestamp", type="date")
_STATUS = Column(name="Status", path=".status.conditions[0].reason")
_WHY = Column(name="Message", path=".status.conditions[0].message", wide=True)
_APPLICATION_COLUMNS = (
    Column(name="NodeSelector", path=".spec.nodeSelector"),
    Column(name="Desired", path=".status.desired", type="integer"),
    Column(name="Ready", path=".status.ready", type="integer"),
    Column(name="Failed", path=".status.failed", type="integer"),
    _STATUS,
    Column(name="Rollout", path=".status.rollout.phase", wide=True),
    Column(name="Image", path=".spec.byteCode.image.url", wide=True),
    _WHY,
    _AGE,
)
_STATE_COLUMNS = (
    Column(name="Node", path=".status.node"),
    _STATUS,
    Column(name="Load", path=".status.appLoadStatus", wide=True),
    Column(name="Revision", path=".status.revision", wide=True),
    _WHY,
    _AGE,
)

CLUSTER_APPLICATION = Kind(
    name="ClusterBpfApplication", plural="clusterbpfapplications", short="cba", namespaced=False,
    doc="eBPF programs out of one object, and where they are attached on the nodes of the cluster.",
    spec=_application(cluster=True), status=_APPLICATION_STATUS, columns=_APPLICATION_COLUMNS,
)  # fmt: skip
APPLICATION = Kind(
    name="BpfApplication", plural="bpfapplications", short="ba", namespaced=True,
    doc="eBPF programs out of one object, and in which pods of its own namespace they are attached.",
    spec=_application(cluster=False), status=_APPLICATION_STATUS, columns=_APPLICATION_COLUMNS,
)  # fmt: skip
KINDS = (
    CLUSTER_APPLICATION,
    APPLICATION,
    Kind(
        name="ClusterBpfApplicationState", plural="clusterbpfapplicationstates", short="cbas", namespaced=False,
        doc="What became of a ClusterBpfApplication on one node; written by the agent.",
        spec=None, status=_state(cluster=True), columns=_STATE_COLUMNS,
    ),
    Kind(
        name="BpfApplicationState", plural="bpfapplicationstates", short="bas", namespaced=True,
        doc="What became of a BpfApplication on one node; written by the agent.",
        spec=None, status=_state(cluster=False), columns=_STATE_COLUMNS,
    ),
    Kind(
        name="Config", plural="configs", short="bpfconfig", namespaced=False,
        doc="How daemon, agent and CSI driver are deployed; only the object named bpfman-config is looked at.",
        spec=deployment.CONFIG, status=_CONFIG_STATUS,
        columns=(
            Column(name="Namespace", path=".status.namespace"),
            Column(name="Desired", path=".status.desired", type="integer"),
            Column(name="Ready", path=".status.ready", type="integer"),
            _STATUS,
            Column(name="Image", path=".spec.daemon.image", wide=True),
            _WHY,
            _AGE,
        ),
    ),
    Kind(
        name="NodeBpfInventory", plural="nodebpfinventories", short="nbi", namespaced=False,
        doc="Every eBPF program, link and map in a node's kernel, managed or not, and its owner; written by the agent.",
        spec=None, status=inventory.STATUS,
        columns=(
            Column(name="Programs", path=".status.counts.programs", type="integer"),
            Column(name="Managed", path=".status.counts.managed", type="integer"),
            Column(name="Foreign", path=".status.counts.foreign", type="integer"),
            Column(name="Clean", path='.status.conditions[?(@.type=="Clean")].status'),
            Column(name="Memory", path=".status.memory"),
            Column(name="Kernel", path=".status.kernel", wide=True),
            Column(name="Findings", path=".status.counts.findings", type="integer", wide=True),
            Column(name="Message", path='.status.conditions[?(@.type=="Clean")].message', wide=True),
            _AGE,
        ),
    ),
)  # fmt: skip
