"""Attach a program to a socket of a process: whose socket it is, what is there already, and how it is written down."""

from __future__ import annotations

import dataclasses
from typing import Any

from skep import errors, hooks, model, steps
from skep.hooks import request, socket
from skep.plan.world import Fresh, World


def plan(
    operation: model.Attach,
    attachment: socket.SocketAttachment,
    hook: hooks.Hook[Any],  # Any: see hooks.HOOKS
    program: model.ProgramRecord,
    world: World,
    fresh: Fresh,
) -> steps.Plan:
    """Attach to the socket that was found. Denied: another user's process. Conflict: a program or filter is there.
    InvalidRequest: it shares no address."""
    assert world.socket is not None
    there = world.socket
    ref = there.ref
    whole = dataclasses.replace(attachment, pid=ref.pid, fd=ref.fd, inode=ref.inode, cookie=ref.cookie)
    candidates = hook.requests(whole, hooks.Placing(section=program.section))
    assert isinstance(candidates, tuple)
    (candidate,) = candidates
    assert isinstance(candidate.target, request.SocketTarget)
    _check(attachment.socket, there, candidate.target.option, hook, program, world, fresh)
    pin = fresh.pins.socket(fresh.link)

    def commit(results: steps.Results) -> steps.StoreChange:
        record = model.LinkRecord(
            id=fresh.link,
            program=program.key,
            hook=hook.name,
            attachment=whole,
            pins=(pin,),
            metadata=operation.metadata,
            boot_id=fresh.boot.boot_id,
            created_at=fresh.now,
        )
        return steps.StoreChange(links=(record,))

    return steps.Plan(
        steps=(steps.CreateLink(program=program.pin, candidates=(candidate,), pin=pin),),
        commit=commit,
        finish=lambda results: (),
    )


def _check(
    name: str,
    there: model.Socket,
    option: request.SocketOption,
    hook: hooks.Hook[Any],  # Any: see hooks.HOOKS
    program: model.ProgramRecord,
    world: World,
    fresh: Fresh,
) -> None:
    what = f"cannot attach to socket {name}"
    # Whoever may use skep may not for that look into, or change, what another user's process hears.
    if fresh.caller.uid not in (0, there.owner):
        raise errors.Denied(
            what,
            why=f"process {there.ref.pid} is not a process of uid {fresh.caller.uid} alone",
            do="ask as the user of that process, or as root",
        )
    for link in world.links.values():
        if link.boot_id == fresh.boot.boot_id and link.hook == hook.name and _is_on(link, there.ref):
            twice = link.program == program.key
            kind = errors.AlreadyExists if twice else errors.Conflict
            raise kind(
                what,
                why=f"link {link.id} has {'this' if twice else 'another'} program there already",
                do=f"detach it first with 'skep link detach {link.id}'",
            )
    if option is request.SocketOption.FILTER and there.filtered:
        raise errors.Conflict(
            what,
            why="it has a filter that skep did not attach",
            do="let its process take that away first (SO_DETACH_FILTER); skep replaces nothing that it did not attach",
        )
    if option is request.SocketOption.REUSEPORT and not (there.shares and there.protocol in ("tcp", "udp")):
        raise errors.InvalidRequest(
            what,
            why="it shares its address with no others"
            if there.protocol in ("tcp", "udp")
            else f"it is neither TCP nor UDP ({there.protocol or 'another protocol'})",
            do="let its process set SO_REUSEPORT before it binds",
        )


def _is_on(link: model.LinkRecord, ref: model.SocketRef) -> bool:
    return isinstance(link.attachment, socket.SocketAttachment) and link.attachment.cookie == ref.cookie
