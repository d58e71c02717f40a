"""The links that states tell of, each with the place that it was resolved to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from skep.kube import naming

_TOLD: Final = frozenset(("linkId", "shouldAttach", "linkStatus", "error", "uuid", "interfaceName", "netnsPath"))
"""Fields of a link that do not say where it is, or are said by themselves."""
_ASIDE: Final = frozenset(("priority", "proceedOn"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A link of an application on a node. ``application``: KIND/[NAMESPACE/]NAME. ``hook``: "xdp", "tcx ingress".

    ``where``: its place for a person. ``id``: the kernel's number of the program, None while it is not loaded.
    """

    application: str
    node: str
    program: str
    type: str
    id: int | None
    hook: str
    interface: str
    netns: str
    where: str
    priority: int | None
    proceed_on: tuple[str, ...]
    link: int | None
    wanted: bool
    status: str
    error: str

    @property
    def whole(self) -> bool:
        """Whether it is as it is wanted."""
        return not self.error and (self.status == "Attached") is self.wanted


def members(states: Iterable[Mapping[str, Any]]) -> Iterator[Member]:  # Any: JSON
    """Every link of every state."""
    for state in states:
        status = state.get("status") or {}
        for program in status.get("programs") or ():
            body = program.get(str(program.get("type", "")).lower()) or {}
            for link in body.get("links") or ():
                yield _member(owner(state), status.get("node", ""), program, body, link)


def owner(state: Mapping[str, Any]) -> str:  # Any: JSON
    """The application of a state."""
    about = state["metadata"]
    whose: Mapping[str, Any] = next((one for one in about.get("ownerReferences") or () if one.get("controller")), {})
    kind = whose.get("kind") or str(state.get("kind", "")).removesuffix("State")
    name = whose.get("name") or (about.get("labels") or {}).get(naming.OWNED, "")
    return "/".join(filter(None, (kind, about.get("namespace", ""), name)))


def node(state: Mapping[str, Any]) -> str:  # Any: JSON
    """The node of a state."""
    told = (state.get("status") or {}).get("node")
    return str(told or (state["metadata"].get("labels") or {}).get(naming.HOSTNAME, ""))


def _member(
    application: str, node: str, program: Mapping[str, Any], body: Mapping[str, Any], link: Mapping[str, Any]
) -> Member:  # Any: JSON
    side = str(link.get("direction") or link.get("side") or "").lower()
    return Member(
        application=application,
        node=node,
        program=program["name"],
        type=program["type"],
        id=program.get("programId"),
        hook=" ".join(filter(None, (str(program["type"]).lower(), side))),
        interface=link.get("interfaceName", ""),
        netns=link.get("netnsPath", ""),
        where=_where(body, link),
        priority=link.get("priority"),
        proceed_on=tuple(link.get("proceedOn") or ()),
        link=link.get("linkId"),
        wanted=link.get("shouldAttach", True),
        status=link.get("linkStatus", ""),
        error=link.get("error", ""),
    )


def _where(body: Mapping[str, Any], link: Mapping[str, Any]) -> str:  # Any: JSON
    """ "eth0 ingress in /run/netns/blue", "syscalls/sys_enter_openat", "function=do_unlinkat"."""
    words = [str(link["interfaceName"])] if link.get("interfaceName") else []
    words += [
        str(value).lower() if name in ("direction", "side") else str(value) if name == "name" else f"{name}={value}"
        for name, value in link.items()
        if name not in _TOLD | _ASIDE and value not in (0, "", [], None)
    ]
    if not words and body.get("function"):
        words.append(f"function={body['function']}")
    if link.get("netnsPath"):
        words.append(f"in {link['netnsPath']}")
    return " ".join(words)
