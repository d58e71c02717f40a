"""Applications as values, read from the objects that people write; errors name the path of the field.

A link keeps its selectors: what they select is known on a node (``host``), not here.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from skep import errors, hooks, model
from skep.kube import expressions, kinds, members, shape
from skep.kube.older import kinds as older
from skep.kube.shape import Field, Record, Table, Text

METADATA = Record(
    fields=(
        Field(
            name="name",
            shape=Text(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", longest=253),
            required=True,
            doc="The application's name: small letters, digits, '-' and '.'.",
        ),
        Field(name="namespace", shape=Text(longest=63), doc="Its namespace."),
        Field(name="labels", shape=Table(of=Text(longest=63)), doc="Its labels."),
        Field(name="annotations", shape=Table(of=Text()), doc="Its annotations."),
    )
)
SERVERS = frozenset(
    ("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
     "finalizers", "ownerReferences", "managedFields", "selfLink", "generateName")
)  # fmt: skip
"""Metadata that an API server writes, and that ``kubectl get -o yaml`` shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition on a label. ``operator``: In, NotIn, Exists, DoesNotExist."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """As Kubernetes decides: a label that is missing is not in any list."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
        return self.key not in labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """A label selector; without conditions it takes everything."""

    conditions: tuple[Condition, ...] = ()

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether all conditions hold."""
        return all(condition.holds(labels) for condition in self.conditions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Interfaces by name or pattern."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Primary:
    """The interface of the default route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovered:
    """All interfaces but ``exclude``; if there are ``allowed`` (names, or /expressions/), only these."""

    exclude: tuple[str, ...]
    allowed: tuple[str, ...]


Interfaces: TypeAlias = Named | Primary | Discovered


@dataclass(frozen=True, slots=True, kw_only=True)
class Pods:
    """Pods by their labels; ``namespace`` None: of every namespace. ``containers``: () is all of a pod's."""

    selector: Selector
    namespace: str | None = None
    containers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link as wanted. ``path``: where it stands in the object. ``values``: the hook's options, parsed.

    ``network``: a namespace of the host by path or name, the pods whose namespaces are meant, or None for the host's.
    """

    path: str
    values: Mapping[str, object]
    interfaces: Interfaces | None = None
    network: str | Pods | None = None
    containers: Pods | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program. ``function``: what it is loaded for, None where its section or its links say."""

    name: str
    hook: model.HookName
    function: str | None = None
    links: tuple[Link, ...] = ()


class MapPolicy(enum.StrEnum):
    """What a change does when maps are not what they were: keep them and refuse it, or make the programs anew."""

    KEEP = "Keep"
    RECREATE = "Recreate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """Where an image is, and the secret with its login, as (namespace, name)."""

    url: str
    policy: model.PullPolicy
    secret: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A ClusterBpfApplication, or with a namespace a BpfApplication. ``byte_code``: an image, or a file's path."""

    name: str
    namespace: str | None
    labels: Mapping[str, str] = field(default_factory=dict)
    nodes: Selector
    byte_code: Image | str
    global_data: Mapping[str, bytes] = field(default_factory=dict)
    map_owner: Selector | None = None
    map_policy: MapPolicy = MapPolicy.KEEP
    programs: tuple[Program, ...]

    @property
    def kind(self) -> str:
        """The kind's name."""
        return (kinds.CLUSTER_APPLICATION if self.namespace is None else kinds.APPLICATION).name

    @property
    def key(self) -> str:
        """What tells it from all others: "ClusterBpfApplication/NAME", "BpfApplication/NAMESPACE/NAME"."""
        return _key(self.kind, self.namespace, self.name)


def key(document: object) -> str:
    """The key of the application that a parsed document is about, whatever its spec says. InvalidRequest."""
    kind, about = _head(document)
    return _key(kind.name, _namespace(kind, about), about["name"])


def _key(kind: str, namespace: str | None, name: str) -> str:
    return "/".join(filter(None, (kind, namespace, name)))


def _namespace(kind: kinds.Kind, about: Mapping[str, Any]) -> str | None:  # Any: JSON
    return about.get("namespace", "default") if kind.namespaced else None


def _head(document: object) -> tuple[kinds.Kind, dict[str, Any]]:  # Any: JSON
    """The kind and metadata of an application."""
    if not isinstance(document, Mapping):
        raise shape.wrong("the document", document, "it is an object with apiVersion, kind, metadata and spec")
    version, name = document.get("apiVersion"), document.get("kind")
    if older.of(document) is not None:
        raise errors.InvalidRequest(
            f"{name} in {version} is of an older generation" if name != kinds.APPLICATION.name
            else f"this {name} is in its older form",
            why=f"what can be applied is {kinds.CLUSTER_APPLICATION.name} and {kinds.APPLICATION.name}",
            do="make one of it: skep kube convert FILE",
        )  # fmt: skip
    known = {kind.name: kind for kind in (kinds.CLUSTER_APPLICATION, kinds.APPLICATION)}
    for missing, value in (("apiVersion", version), ("kind", name)):
        if value is None:
            raise errors.InvalidRequest(
                f"{missing} is missing",
                why="it says how the rest is read",
                do="see 'skep apply --help' and docs/apply.md",
            )
    if version != kinds.API_VERSION:
        raise shape.wrong("apiVersion", version, f"it is {kinds.API_VERSION}")
    if not isinstance(name, str) or name not in known:
        raise shape.wrong("kind", name, "what can be applied is " + " and ".join(known))
    kind = known[name]
    for key in document:
        if key not in ("apiVersion", "kind", "metadata", "spec", "status"):
            raise shape.wrong("a field of the document", key, "the fields are apiVersion, kind, metadata and spec")
    metadata = document.get("metadata")
    if isinstance(metadata, Mapping):
        metadata = {key: value for key, value in metadata.items() if key not in SERVERS}
    about: dict[str, Any] = shape.read(METADATA, metadata if metadata is not None else {}, "metadata")
    if not kind.namespaced and "namespace" in about:
        raise shape.wrong("metadata.namespace", about["namespace"], f"a {kind.name} is in no namespace")
    return kind, about


def read(document: object) -> Application:
    """An application from its parsed YAML or JSON. InvalidRequest for anything that the API server would refuse, and
    for what would fail on every node."""
    kind, about = _head(document)
    assert isinstance(document, Mapping)
    if document.get("spec") is None:
        raise errors.InvalidRequest("spec is missing", why="it says what to load and where", do="fill it in")
    assert kind.spec is not None
    spec = shape.read(kind.spec, document["spec"], "spec")
    namespace = _namespace(kind, about)
    secret = spec["byteCode"].get("image", {}).get("imagePullSecret")
    if namespace is not None and secret is not None and secret["namespace"] != namespace:
        raise shape.wrong(
            "spec.byteCode.image.imagePullSecret.namespace",
            secret["namespace"],
            f"a {kind.name} uses secrets of its own namespace, {namespace}",
        )
    owner = spec.get("mapOwnerSelector")
    return Application(
        name=about["name"],
        namespace=namespace,
        labels=about.get("labels", {}),
        nodes=selector(spec["nodeSelector"], "spec.nodeSelector"),
        byte_code=_byte_code(spec["byteCode"]),
        global_data=spec.get("globalData", {}),
        map_owner=None if owner is None else selector(owner, "spec.mapOwnerSelector"),
        map_policy=MapPolicy(spec["mapPolicy"]),
        programs=tuple(_program(each, f"spec.programs[{index}]") for index, each in enumerate(spec["programs"])),
    )


def selector(value: Mapping[str, Any], path: str) -> Selector:  # Any: JSON
    """A label selector from its JSON. InvalidRequest for an operator without the values it needs, or with others."""
    conditions = [
        Condition(key=key, operator="In", values=(text,)) for key, text in value.get("matchLabels", {}).items()
    ]
    for index, each in enumerate(value.get("matchExpressions", [])):
        values = tuple(each.get("values", ()))
        if bool(values) is not (each["operator"] in ("In", "NotIn")):
            raise shape.wrong(
                f"{path}.matchExpressions[{index}].values",
                list(values),
                f"{each['operator']} compares with " + ("none" if values else "one or more"),
            )
        conditions.append(Condition(key=each["key"], operator=each["operator"], values=values))
    return Selector(conditions=tuple(conditions))


def _byte_code(value: Mapping[str, Any]) -> Image | str:  # Any: JSON
    if "path" in value:
        return str(value["path"])
    image = value["image"]
    secret = image.get("imagePullSecret")
    return Image(
        url=image["url"],
        policy=model.PullPolicy(image["imagePullPolicy"]),
        secret=None if secret is None else (secret["namespace"], secret["name"]),
    )


def _program(value: Mapping[str, Any], path: str) -> Program:  # Any: JSON
    hook = members.TYPES[value["type"]]
    member = members.member_name(hook)
    body = value[member]
    return Program(
        name=value["name"],
        hook=hook.name,
        function=body.get("function"),
        links=tuple(
            _link(hook, each, f"{path}.{member}.links[{index}]") for index, each in enumerate(body.get("links", ()))
        ),
    )


def _link(hook: hooks.Hook[Any], value: Mapping[str, Any], path: str) -> Link:  # Any: JSON; see hooks.HOOKS
    values: dict[str, object] = {}
    for option in hook.options:
        name = members.field_name(option)
        if option.field in ("interface", "netns", "container_pid"):
            continue
        if name in value:
            try:
                values[option.field] = option.parse(_word(option.field, value[name]))
            except errors.InvalidRequest as error:
                raise _at(f"{path}.{name}", error) from error
        elif option.field == "priority" and hook.interface is not None:
            values[option.field] = members.DEFAULT_PRIORITY
    made = Link(
        path=path,
        values=values,
        interfaces=_interfaces(value["interfaceSelector"], f"{path}.interfaceSelector")
        if "interfaceSelector" in value
        else None,
        network=_network(value.get("networkNamespaces"), f"{path}.networkNamespaces"),
        containers=_pods(value["containers"], f"{path}.containers") if "containers" in value else None,
    )
    build(hook, made, interface="any")
    return made


def build(
    hook: hooks.Hook[Any],
    link: Link,
    *,
    interface: str | None,
    netns: str | None = None,
    container_pid: int | None = None,
) -> object:  # Any: see hooks.HOOKS
    """The attachment of a link at one of the places that it selects. InvalidRequest, with the link's path."""
    place: dict[str, object] = {} if link.interfaces is None else {"interface": interface}
    if container_pid is not None:
        place["container_pid"] = container_pid
    try:
        made: object = hook.build({**link.values, **place, "netns": netns})
    except errors.InvalidRequest as error:
        raise _at(link.path, error) from error
    return made


def _word(option: str, value: object) -> str:
    """A JSON value as the option's own parser reads it."""
    match value:
        case bool():
            return "yes" if value else "no"
        case list() if option == "proceed_on":
            return ",".join(_VERDICT_WORDS[word] for word in value)
        case list():
            return ",".join(map(str, value))
        case str() if value in members.DIRECTIONS:
            return value.lower()
    return str(value)


_VERDICT_WORDS = {
    spelled: name
    for hook in hooks.HOOKS
    for name in hook.verdicts
    for spelled in members.VERDICTS[hook.name]
    if spelled.lower() == name.replace("_", "")
}


def _interfaces(value: Mapping[str, Any], path: str) -> Interfaces:  # Any: JSON
    if "interfaces" in value:
        return Named(names=tuple(value["interfaces"]))
    if "primaryNodeInterface" in value:
        return Primary()
    found = value["interfacesDiscoveryConfig"]
    allowed = tuple(found.get("allowedInterfaces", ()))
    for index, word in enumerate(allowed):
        if expressions.is_one(word):
            try:
                expressions.parse(word)
            except errors.InvalidRequest as error:
                raise _at(f"{path}.interfacesDiscoveryConfig.allowedInterfaces[{index}]", error) from error
    return Discovered(exclude=tuple(found["excludeInterfaces"]), allowed=allowed)


def _network(value: Mapping[str, Any] | None, path: str) -> str | Pods | None:  # Any: JSON
    if value is None:
        return None
    return str(value["path"]) if "path" in value else _pods(value, path)


def _pods(value: Mapping[str, Any], path: str) -> Pods:  # Any: JSON
    return Pods(
        selector=selector(value["pods"], f"{path}.pods"),
        namespace=value.get("namespace"),
        containers=tuple(value.get("containerNames", ())),
    )


def _at(path: str, error: errors.InvalidRequest) -> errors.InvalidRequest:
    """The same error, told with the place in the object."""
    return errors.InvalidRequest(f"{path}: {error.what}", why=error.why, do=error.do or "correct the object")
