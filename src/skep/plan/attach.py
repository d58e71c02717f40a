"""Attach a loaded program to a hook.

XDP and tc: the program joins the interface's chain, whose next revision is linked and swapped in. TCX: the program's
link is put beside a neighbour. Other hooks: one link.
"""

from __future__ import annotations

from typing import Any, Final, assert_never

from skep import errors, hooks, model, steps
from skep.chain import order, verdict
from skep.hooks import netkit, request, socket, struct_ops, tc, tcx, unattached, xdp
from skep.plan import chains, find, places, sockets, tables
from skep.plan.world import Fresh, World


def plan(operation: model.Attach, world: World, fresh: Fresh) -> steps.Plan:
    """Attach ``operation.program``. NotFound, Conflict (not in the kernel, wrong type, foreign program on the hook,
    chain that must be detached first), AlreadyExists (same program on the same chain or TCX hook)."""
    record = find.live_program(world, fresh, operation.program)
    if hooks.by_name(record.hook).unattached:
        raise unattached.refusal(hooks.by_name(record.hook))
    hook = find.way(record, operation.attachment)
    if hook is None:
        raise errors.Conflict(
            f"program {record.id} ({record.name}) cannot be attached that way",
            why=f"it is a {record.hook} program",
            do=f"use 'skep link attach {record.hook}'",
        )
    match operation.attachment:
        case xdp.XdpAttachment() | tc.TcAttachment() as attachment:
            return _chain(operation, attachment, record, world, fresh)
        case tcx.TcxAttachment() | netkit.NetkitAttachment() as attachment:
            return _anchored(operation, hook, attachment, record, world, fresh)
        case struct_ops.StructOpsAttachment() as attachment:
            table = tables.target(attachment, record, world, fresh)
            placing = hooks.Placing(section=record.section, table=table)
            return _single(operation, hook, placing, record, fresh, model.IfIndex(0), model.NetnsInode(0))
        case socket.SocketAttachment() as attachment:
            return sockets.plan(operation, attachment, hook, record, world, fresh)
        case _:
            return _single(
                operation,
                hook,
                _placing(hook, operation.attachment, record, world, fresh),
                record,
                fresh,
                model.IfIndex(0),
                model.NetnsInode(0),
            )


# ---------------------------------------------------------------- kernel links of its own


def _single(
    operation: model.Attach,
    hook: hooks.Hook[Any],  # Any: the table's element type
    placing: hooks.Placing,
    program: model.ProgramRecord,
    fresh: Fresh,
    ifindex: model.IfIndex,
    netns: model.NetnsInode,
) -> steps.Plan:
    attachment = operation.attachment
    if hook.complete is not None:
        attachment = hook.complete(attachment, placing)
    made = places.make(fresh.link, program.pin, hook.requests(attachment, placing), fresh.pins)

    def commit(results: steps.Results) -> steps.StoreChange:
        record = model.LinkRecord(
            id=fresh.link,
            program=program.key,
            hook=hook.name,
            attachment=attachment,
            pins=made.pins,
            kernel_ids=made.kernel_ids(results),
            places=made.labels,
            netns=netns,
            ifindex=ifindex,
            priority=getattr(attachment, "priority", None) if hook.ordering is not hooks.Ordering.NONE else None,
            fallback="; ".join(made.refused(results)),
            process_start=made.process_start(results),
            metadata=operation.metadata,
            boot_id=fresh.boot.boot_id,
            created_at=fresh.now,
        )
        return steps.StoreChange(links=(record,))

    return steps.Plan(steps=made.todo, commit=commit, finish=_nothing)


def _placing(
    hook: hooks.Hook[Any],  # Any: the table's element type
    attachment: object,
    program: model.ProgramRecord,
    world: World,
    fresh: Fresh,
) -> hooks.Placing:
    wished = hook.anchor(attachment) if hook.anchor is not None else None
    anchor = None
    if wished is not None:
        place, beside = wished
        anchor = request.Anchor(
            place=place, link=None if beside is None else fresh.pins.link(find.link(world, beside).id)
        )
    return hooks.Placing(
        anchor=anchor,
        section=program.section,
        function=program.attach_func or "",
        found=places.found(hook, attachment, program, world.found),
        maps={one.name: one.pin for one in program.maps},
        link=fresh.link,
        attach_type=_attach_type(hook, program, world),
    )


def _attach_type(
    hook: hooks.Hook[Any],  # Any: the table's element type
    program: model.ProgramRecord,
    world: World,
) -> int:
    """What a program was loaded for, where that depended on the kernel; the better one when nobody remembers."""
    if hook.better is None:
        return 0
    member = world.members.get(program.key)
    return hook.better[1] if member is None else member.expected_attach_type


def _anchored(
    operation: model.Attach,
    hook: hooks.Hook[Any],  # Any: the table's element type
    attachment: hooks.InList,
    program: model.ProgramRecord,
    world: World,
    fresh: Fresh,
) -> steps.Plan:
    assert world.interface is not None
    netns, ifindex = world.interface.netns, world.interface.ifindex
    live = own_order(world, fresh, netns, ifindex, attachment.attach_type)
    for link in live:
        if link.program == program.key:
            raise errors.AlreadyExists(
                f"program {program.id} ({program.name}) is already attached to {attachment.interface.name} "
                f"{attachment.where}",
                why=f"link {link.id} does that",
                do=f"detach it first with 'skep link detach {link.id}'",
            )
    placing = hooks.Placing(anchor=anchor(live, attachment.priority))
    return _single(operation, hook, placing, program, fresh, ifindex, netns)


def own_order(
    world: World, fresh: Fresh, netns: model.NetnsInode, ifindex: model.IfIndex, attach_type: int
) -> tuple[model.LinkRecord, ...]:
    """Our live links on a list of an interface, in the order in which the kernel runs them."""
    position = {entry.link_id: number for number, entry in enumerate(world.tcx_on) if entry.link_id}
    live = []
    for link in find.tcx_links(world, netns, ifindex, attach_type):
        seen = world.links_at.get(link.pins[0]) if link.boot_id == fresh.boot.boot_id and link.pins else None
        if seen is not None and seen.id in position:
            live.append((position[seen.id], link))
    return tuple(link for _, link in sorted(live, key=lambda one: one[0]))


def anchor(live: tuple[model.LinkRecord, ...], priority: int) -> request.Anchor:
    """Before the first with a greater priority, else after the last; without any of ours, at the list's head."""
    where = order.tcx_anchor([(link.pins[0], link.priority or 0) for link in live], priority)
    match where:
        case order.Before():
            return request.Anchor(place=request.Place.BEFORE, link=where.key)
        case order.After():
            return request.Anchor(place=request.Place.AFTER, link=where.key)
        case _:
            return request.Anchor(place=request.Place.BEFORE)


# ---------------------------------------------------------------- linked chains

_HOOKS: Final = {xdp.XdpAttachment: xdp.HOOK.name, tc.TcAttachment: tc.HOOK.name}


def _chain(
    operation: model.Attach,
    attachment: xdp.XdpAttachment | tc.TcAttachment,
    program: model.ProgramRecord,
    world: World,
    fresh: Fresh,
) -> steps.Plan:
    assert world.interface is not None
    key = find.chain(attachment, world.interface)
    old = _usable(world, fresh, key, attachment)
    if isinstance(attachment, xdp.XdpAttachment):
        _refuse_foreign(world, attachment.interface, old)
    member = model.ChainMember(
        link=fresh.link,
        program=program.key,
        name=program.name,
        priority=attachment.priority,
        proceed_on=verdict.parse_codes(chains.HOOKS[key.type], attachment.proceed_on),
    )
    if old is None:
        revision = _first(attachment, member, key, world, fresh)
    else:
        _refuse_twice(old, program)
        if isinstance(attachment, xdp.XdpAttachment):
            _refuse_mode(old, attachment)
        members = chains.sort((*old.members, member), new=member.link)
        revision = chains.next_revision(world, fresh.pins, members, old=old)

    def commit(results: steps.Results) -> steps.StoreChange:
        chain = revision.record(results)
        fallback = ""
        if revision.old is None:
            fallback = "; ".join(results.links[chain.link_pin].refused)
        record = model.LinkRecord(
            id=fresh.link,
            program=program.key,
            hook=_HOOKS[type(attachment)],
            attachment=attachment,
            netns=key.netns,
            ifindex=key.ifindex,
            chain=key,
            priority=attachment.priority,
            mode=chain.mode,
            fallback=fallback,
            metadata=operation.metadata,
            boot_id=fresh.boot.boot_id,
            created_at=fresh.now,
        )
        return steps.StoreChange(links=(record,), chains=(chain,), add_counts=revision.retired(results))

    def finish(results: steps.Results) -> tuple[steps.Finish, ...]:
        return revision.finish(fresh.pins)

    told = (*revision.warnings, *_neighbours(world, fresh, key, revision))
    return steps.Plan(steps=revision.todo, commit=commit, finish=finish, warnings=told)


def _first(
    attachment: xdp.XdpAttachment | tc.TcAttachment,
    member: model.ChainMember,
    key: model.ChainKey,
    world: World,
    fresh: Fresh,
) -> chains.Revision:
    base = model.ChainRecord(
        key=key,
        revision=1,
        interface=attachment.interface.name,
        netns_path=attachment.interface.netns,
        members=(member,),
        link_pin=fresh.pins.chain_link(key),
        program_pin=fresh.pins.revision_program(key, 1),
        counts_pin=fresh.pins.revision_counts(key, 1),
        program_id=model.ProgramId(0),
        link_id=model.KernelLinkId(0),
        mode=None,
        boot_id=fresh.boot.boot_id,
    )
    match attachment:
        case xdp.XdpAttachment():
            candidates = xdp.requests(attachment, hooks.Placing(mode=world.xdp_mode, fallback=world.xdp_fallback))
        case tc.TcAttachment():
            taken = frozenset(one.priority for one in world.filters_on if one.direction == attachment.direction)
            beside = fresh.pins.chain_link(find.other_direction(key))
            candidates = tc.requests(attachment, hooks.Placing(taken=taken, beside=beside))
        case _:
            assert_never(attachment)
    return chains.first_revision(world, fresh.pins, member, base=base, candidates=candidates)


def _neighbours(world: World, fresh: Fresh, key: model.ChainKey, revision: chains.Revision) -> tuple[str, ...]:
    """Other people's filters on the chain's way, told when the chain is made."""
    if revision.old is not None:
        return ()
    target = revision.candidates[0].target
    if not isinstance(target, request.FilterTarget):
        return ()
    own = tc.filter_name(fresh.pins.chain(key))
    others = tuple(one for one in world.filters_on if one.direction == target.direction and one.name != own)
    return tc.neighbours(others, target.priority)


def _usable(
    world: World, fresh: Fresh, key: model.ChainKey, attachment: xdp.XdpAttachment | tc.TcAttachment
) -> model.ChainRecord | None:
    """The chain to extend; None when there is none, or one that a reboot ended and a new one may supersede.

    One that died in this boot has made room before (``plan.bury``).
    """
    record = world.chains.get(key)
    seen = world.links_at.get(fresh.pins.chain_link(key))
    name = attachment.interface.name
    if record is None or record.boot_id != fresh.boot.boot_id:
        if seen is not None:
            raise errors.Conflict(
                f"the chain of {name} is not in the store",
                why=f"its pins are still at {fresh.pins.chain(key)}",
                do="adopt it; see 'skep doctor'",
            )
        return None
    return record


def _refuse_foreign(world: World, interface: model.InterfaceRef, old: model.ChainRecord | None) -> None:
    own = old.program_id if old is not None else None
    foreign = [id for id in world.xdp_on if id != own]
    if foreign:
        told = ", ".join(f"{id} ({world.foreign[id]})" if id in world.foreign else str(id) for id in foreign)
        raise errors.Conflict(
            f"another XDP program holds {interface.name}",
            why=f"program {told} was attached by somebody else",
            do=f"detach it first: 'ip link set dev {interface.name} xdp off', or 'bpftool link detach id N' where "
            "'bpftool link show' has a link N of that program",
        )


def _refuse_twice(old: model.ChainRecord, program: model.ProgramRecord) -> None:
    for member in old.members:
        if member.program == program.key:
            raise errors.AlreadyExists(
                f"program {program.id} ({program.name}) is already in the chain of {old.interface}",
                why=f"link {member.link} does that",
                do=f"detach it first with 'skep link detach {member.link}', or load it a second time",
            )


def _refuse_mode(old: model.ChainRecord, attachment: xdp.XdpAttachment) -> None:
    if attachment.mode is not None and old.mode is not None and attachment.mode is not old.mode:
        raise errors.Conflict(
            f"{old.interface} cannot have mode {attachment.mode}",
            why=f"its chain is attached in mode {old.mode}",
            do="leave the mode out, or detach the whole chain first",
        )


def _nothing(results: steps.Results) -> tuple[steps.Finish, ...]:
    return ()
