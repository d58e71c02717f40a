"""``kubectl skep why``: what became of an application on each node, and why it is not ready. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from skep import errors
from skep.kube import naming, parts, resources, shape
from skep.kube.plugin import application, machinery, member
from skep.kube.plugin.application import Listed
from skep.kube.plugin.machinery import OnNode
from skep.kube.plugin.member import Member


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program on a node. ``status``: programLinkStatus."""

    name: str
    type: str
    id: int | None
    status: str
    links: tuple[Member, ...]

    @property
    def errors(self) -> tuple[str, ...]:
        """The different errors of its links."""
        return tuple(dict.fromkeys(each.error for each in self.links if each.error))


@dataclass(frozen=True, slots=True, kw_only=True)
class There:
    """An application on one node.

    ``selected`` None: nobody can tell. ``unmet``: the conditions of the selector that do not hold, with its label.
    ``place`` None: whether an agent is there may not be seen. ``state``: whether its agent has said anything;
    ``current``: about the spec that is there now. ``held``: something of a deleted one is still there.
    """

    node: str
    selected: bool | None
    unmet: tuple[str, ...]
    place: OnNode | None
    state: bool
    current: bool
    held: bool
    loaded: str
    condition: str
    message: str
    programs: tuple[Program, ...]

    @property
    def ready(self) -> bool:
        """Whether all that is wanted runs here."""
        return self.current and self.condition == naming.SUCCESS

    @property
    def failed(self) -> bool:
        """Whether the agent says that it cannot."""
        return self.condition in (naming.ERROR, naming.UNLOAD_ERROR)

    @property
    def agent(self) -> str:
        """How the agent is, in a word or two."""
        if self.place is None:
            return "not known"
        if not self.place.pod:
            return "no pod"
        if not self.place.agent:
            return "not ready"
        return "ready" if self.place.node_ready is not False else "node not ready"

    def document(self) -> dict[str, object]:
        """As JSON."""
        return {
            "node": self.node,
            "selected": self.selected,
            "unmet": list(self.unmet),
            "agent": self.agent,
            "pod": self.place.pod or None if self.place else None,
            "ready": self.ready,
            "current": self.current,
            "appLoadStatus": self.loaded or None,
            "condition": self.condition or None,
            "message": self.message,
            "programs": [
                {
                    "name": each.name,
                    "type": each.type,
                    "programId": each.id,
                    "status": each.status,
                    "links": [
                        {"where": one.where, "linkId": one.link, "status": one.status, "error": one.error or None}
                        for one in each.links
                    ],
                }
                for each in self.programs
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An Event on the application, ``last`` as RFC 3339 writes it."""

    last: str
    type: str
    reason: str
    source: str
    message: str
    count: int

    def document(self) -> dict[str, object]:
        """As JSON."""
        return {
            "last": self.last, "type": self.type, "reason": self.reason, "source": self.source,
            "message": self.message, "count": self.count,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Why an application is, or is not, ready. ``problem``: why its selector cannot be read. ``whole`` False: not all
    nodes may be seen."""

    application: Listed
    nodes: tuple[There, ...]
    events: tuple[Event, ...]
    problem: str
    whole: bool

    @property
    def ready(self) -> bool:
        """Whether it runs on every node that it selects, as its spec is now."""
        return self.application.current and self.application.status == naming.SUCCESS

    @property
    def selected(self) -> tuple[There, ...]:
        """The nodes that it is meant for."""
        return tuple(each for each in self.nodes if each.selected)

    def on(self, node: str) -> tuple[There, ...]:
        """The nodes that are asked about; "" for all."""
        return tuple(each for each in self.nodes if node in ("", each.node))


def answer(
    document: Mapping[str, Any],
    states: Iterable[Mapping[str, Any]],
    nodes: Iterable[Mapping[str, Any]] | None,
    pods: Iterable[Mapping[str, Any]] | None,
    events: Iterable[Mapping[str, Any]],
) -> Answer:  # Any: JSON
    """What the objects say. ``nodes`` and ``pods`` (the DaemonSet's) None: they may not be seen."""
    about = document["metadata"]
    mine = {member.node(each): each for each in states if _is_of(each, about)}
    labels = None if nodes is None else {each["metadata"]["name"]: each for each in nodes}
    seen = None if labels is None else labels.values()
    places = None if pods is None else {each.node: each for each in machinery.nodes(pods, seen)}
    names = {*mine, *(labels or ()), *(places or () if labels is None else ())}
    wanted, problem = _selector(document)
    there = [
        _there(
            name,
            mine.get(name),
            wanted,
            None if labels is None or name not in labels else labels[name]["metadata"].get("labels") or {},
            None if places is None else places.get(name, _nothing(name)),
            about.get("generation", 0),
        )
        for name in sorted(names)
    ]
    return Answer(
        application=application.listed(document),
        nodes=tuple(there),
        events=tuple(sorted(map(_event, events), key=lambda each: each.last, reverse=True)),
        problem=problem,
        whole=labels is not None,
    )


def _selector(document: Mapping[str, Any]) -> tuple[resources.Selector | None, str]:  # Any: JSON
    """spec.nodeSelector, or why it cannot be read."""
    spec = document.get("spec") or {}
    try:
        value = shape.read(
            parts.SELECTOR, spec.get("nodeSelector") or spec.get("nodeselector") or {}, "spec.nodeSelector"
        )
        return resources.selector(value, "spec.nodeSelector"), ""
    except errors.InvalidRequest as error:
        return None, str(error)


def _there(
    name: str,
    state: Mapping[str, Any] | None,
    wanted: resources.Selector | None,
    labels: Mapping[str, str] | None,
    place: OnNode | None,
    generation: int,
) -> There:  # Any: JSON
    status = (state or {}).get("status") or {}
    condition = application.first_condition(status)
    unmet = () if wanted is None or labels is None else tuple(_unmet(wanted, labels))
    loaded = status.get("appLoadStatus", "")
    if wanted is None or labels is None:
        # Who may not see nodes hears from the agent whether its node is meant.
        selected = None if not loaded else loaded != "NotSelected"
    else:
        selected = not unmet
    told = status.get("observedGeneration")
    finalizers = ((state or {}).get("metadata") or {}).get("finalizers") or ()
    return There(
        node=name,
        selected=selected,
        unmet=unmet,
        place=place,
        state=bool(status),
        current=bool(status) and (told is None or told >= generation),
        held=any(each in (naming.CLUSTER_FINALIZER, naming.NAMESPACED_FINALIZER) for each in finalizers),
        loaded=loaded,
        condition=condition.get("type", ""),
        message=condition.get("message", ""),
        programs=tuple(_programs(state)) if state is not None else (),
    )


def _programs(state: Mapping[str, Any]) -> Iterable[Program]:  # Any: JSON
    links: dict[str, list[Member]] = {}
    for each in member.members([state]):
        links.setdefault(each.program, []).append(each)
    for told in (state.get("status") or {}).get("programs") or ():
        yield Program(
            name=told["name"],
            type=told["type"],
            id=told.get("programId"),
            status=told.get("programLinkStatus", ""),
            links=tuple(links.get(told["name"], ())),
        )


def _unmet(wanted: resources.Selector, labels: Mapping[str, str]) -> Iterable[str]:
    for each in wanted.conditions:
        if each.holds(labels):
            continue
        there = f"it is {labels[each.key]!r}" if each.key in labels else "it is missing"
        match each.operator:
            case "In" if len(each.values) == 1:
                yield f"label {each.key} has to be {each.values[0]!r}; {there}"
            case "In":
                yield f"label {each.key} has to be one of {', '.join(each.values)}; {there}"
            case "NotIn":
                yield f"label {each.key} must not be one of {', '.join(each.values)}; {there}"
            case "Exists":
                yield f"label {each.key} has to be there"
            case _:
                yield f"label {each.key} must not be there; {there}"


def _is_of(state: Mapping[str, Any], about: Mapping[str, Any]) -> bool:  # Any: JSON
    """Whether a state is this application's, and not that of another which had its name."""
    whose = next((one for one in state["metadata"].get("ownerReferences") or () if one.get("controller")), None)
    if whose is not None:
        return bool(whose.get("uid") == about.get("uid"))
    return bool((state["metadata"].get("labels") or {}).get(naming.OWNED) == naming.label(about["name"]))


def _nothing(node: str) -> OnNode:
    return OnNode(node=node, pod="", namespace="", ready=(), containers=(), restarts=0, waiting="", node_ready=None)


def _event(document: Mapping[str, Any]) -> Event:  # Any: JSON
    source = document.get("source") or {}
    series = document.get("series") or {}
    return Event(
        last=series.get("lastObservedTime") or document.get("lastTimestamp") or document.get("eventTime") or "",
        type=document.get("type", ""),
        reason=document.get("reason", ""),
        source=source.get("host") or document.get("reportingInstance") or source.get("component") or "",
        message=document.get("message", ""),
        count=series.get("count") or document.get("count") or 1,
    )
