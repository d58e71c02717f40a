"""What the types have in common that are attached to one socket of a process (setsockopt, no link, no pin)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from skep import errors, model
from skep.hooks import hook, request, valid
from skep.hooks.netns import NETNS
from skep.hooks.runs import Runs

_PROTOCOLS = ("tcp", "udp")
_FDS = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketAttachment:
    """One program on one socket. ``socket``: as it was named, "PID:FD" or "tcp:ADDRESS:PORT" (udp; an IPv6 address in
    brackets), the latter in the network namespace ``netns``: a path, a name or "pid:123", None for the daemon's own.

    ``pid``, ``fd``, ``inode`` and ``cookie`` are where it was found: 0 in a request. The cookie tells it from every
    other socket of this boot (SO_COOKIE; Linux 4.12).
    """

    socket: str
    netns: str | None = None
    pid: int = 0
    fd: int = 0
    inode: int = 0
    cookie: int = 0

    def __post_init__(self) -> None:
        parse(self.socket)
        if self.netns is not None:
            valid.netns(self.netns)
            if isinstance(parse(self.socket), model.Descriptor):
                raise errors.InvalidRequest(
                    "a socket named by its process has no namespace to be looked for in", do="leave the namespace out"
                )
        for name, most in (("pid", 2**31 - 1), ("fd", _FDS), ("inode", 2**64 - 1), ("cookie", 2**64 - 1)):
            valid.natural(f"the socket's {name}", getattr(self, name), most)

    @property
    def found(self) -> model.SocketRef | None:
        """The socket that was found, None in a request."""
        if not self.cookie:
            return None
        return model.SocketRef(pid=self.pid, fd=self.fd, inode=self.inode, cookie=self.cookie)


def parse(text: str) -> model.Descriptor | model.LocalAddress:
    """ "4711:5" or "tcp:127.0.0.1:8080". InvalidRequest."""
    word, _, rest = text.partition(":")
    if word in _PROTOCOLS:
        address, colon, port = rest.rpartition(":")
        bracketed = address.startswith("[") and address.endswith("]")
        if colon and address and _number(port, 65535) and (bracketed or ":" not in address):
            return model.LocalAddress(protocol=word, address=address[1:-1] if bracketed else address, port=int(port))
    elif _number(word, 2**31 - 1) and _number(rest, _FDS, least=0):
        return model.Descriptor(pid=int(word), fd=int(rest))
    raise errors.InvalidRequest(
        f"{text!r} is not a socket",
        why="it is written PID:FD, or tcp:ADDRESS:PORT, or udp:ADDRESS:PORT",
        do="for example 4711:5, tcp:127.0.0.1:8080 or udp:[::1]:53; see `ss -lntup`",
    )


def hook_of(
    name: str,
    *,
    prog_type: int,
    sections: tuple[str, ...],
    option: request.SocketOption,
    first: str,
    doc: str,
    points: Mapping[str, int] | None = None,
    runs: Runs | None = None,
) -> hook.Hook[SocketAttachment]:
    """A type of the family."""
    return hook.Hook(
        name=model.HookName(name),
        prog_type=prog_type,
        sections=sections,
        family=(model.HookName(name),),
        attachment=SocketAttachment,
        build=_build,
        requests=_requests(option),
        summary=_summary,
        points=points or {},
        swaps=True,
        config=("NET",),
        runs=runs,
        lasting="the attachment ends with its socket",
        first=first,
        doc=doc,
        options=OPTIONS,
    )


def _requests(
    option: request.SocketOption,
) -> Callable[[SocketAttachment, hook.Placing], tuple[request.LinkRequest, ...]]:
    def requests(attachment: SocketAttachment, placing: hook.Placing) -> tuple[request.LinkRequest, ...]:
        target = request.SocketTarget(name=attachment.socket, socket=attachment.found, option=option)
        return (request.LinkRequest(target=target, attach_type=0, label=option.value),)

    return requests


def _build(values: Mapping[str, Any]) -> SocketAttachment:  # Any: see Hook.build
    return SocketAttachment(socket=values["socket"], netns=values.get("netns"))


def _summary(attachment: SocketAttachment) -> str:
    text = f"socket {attachment.socket}"
    if isinstance(parse(attachment.socket), model.LocalAddress) and attachment.pid:
        text += f" of process {attachment.pid} fd {attachment.fd}"
    return f"{text} in {attachment.netns}" if attachment.netns else text


def _number(text: str, most: int, least: int = 1) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 11 and least <= int(text) <= most


OPTIONS = (
    hook.Option(
        field="socket",
        metavar="SOCKET",
        help="PID:FD of a process, or tcp:ADDRESS:PORT or udp:ADDRESS:PORT as it is bound.",
        parse=valid.parse_text,
        required=True,
        example="tcp:127.0.0.1:8080",
    ),
    NETNS,
)
