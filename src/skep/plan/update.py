"""Change a link's place or proceed-on set while it runs.

A linked chain gets one new revision, swapped in atomically. On TCX the kernel cannot move a link, so a copy of the
program is attached at the new place before the old link goes.
"""

from __future__ import annotations

import dataclasses

from skep import errors, hooks, model, steps
from skep.chain import verdict
from skep.hooks import netkit, request, struct_ops, tc, tcx, xdp
from skep.plan import attach, chains, find, tables
from skep.plan.world import Fresh, World


def plan(operation: model.UpdateLink, world: World, fresh: Fresh) -> steps.Plan:
    """Update ``operation.link``; a plan without steps when nothing changes. NotFound, InvalidRequest (this type has no
    such setting, value out of range), Conflict (the link no longer runs)."""
    record = find.link(world, operation.link)
    if isinstance(record.attachment, struct_ops.StructOpsAttachment):
        return _table(operation, record.attachment, record, world, fresh)
    if operation.program is not None:
        raise errors.InvalidRequest(
            f"link {record.id} keeps its program",
            why=f"only a struct_ops link moves to another one, and this is of type {record.hook}",
            do=f"use 'skep program replace' for its program, or detach link {record.id} and attach the other",
        )
    match record.attachment:
        case xdp.XdpAttachment() | tc.TcAttachment() as attachment:
            return _chain(operation, attachment, record, world, fresh)
        case tcx.TcxAttachment() | netkit.NetkitAttachment() as attachment:
            return _anchored(operation, attachment, record, world, fresh)
        case _:
            raise errors.InvalidRequest(
                f"link {record.id} has nothing to update",
                why=f"links of type {record.hook} have no priority and no proceed-on set",
                do="detach it and attach it anew",
            )


# ---------------------------------------------------------------- linked chains


def _chain(
    operation: model.UpdateLink,
    attachment: xdp.XdpAttachment | tc.TcAttachment,
    record: model.LinkRecord,
    world: World,
    fresh: Fresh,
) -> steps.Plan:
    wanted = dataclasses.replace(
        attachment,
        priority=attachment.priority if operation.priority is None else operation.priority,
        proceed_on=attachment.proceed_on if operation.proceed_on is None else operation.proceed_on,
    )
    if wanted == attachment:
        return _unchanged()
    chain = _running_chain(record, world, fresh)
    mask = verdict.parse_codes(chains.HOOKS[chain.key.type], wanted.proceed_on)
    members = tuple(
        dataclasses.replace(one, priority=wanted.priority, proceed_on=mask) if one.link == record.id else one
        for one in chain.members
    )
    if wanted.priority != attachment.priority:
        # A member that is given a new priority goes before its new equals, as a new one would.
        members = chains.sort(members, new=record.id)
    updated = dataclasses.replace(record, attachment=wanted, priority=wanted.priority)
    if _same_code(members, chain.members):
        record_only = dataclasses.replace(chain, members=members)
        return steps.Plan(
            steps=(),
            commit=lambda results: steps.StoreChange(links=(updated,), chains=(record_only,)),
            finish=_nothing,
        )
    revision = chains.next_revision(world, fresh.pins, members, old=chain)

    def commit(results: steps.Results) -> steps.StoreChange:
        return steps.StoreChange(
            links=(updated,), chains=(revision.record(results),), add_counts=revision.retired(results)
        )

    def finish(results: steps.Results) -> tuple[steps.Finish, ...]:
        return revision.finish(fresh.pins)

    return steps.Plan(steps=revision.todo, commit=commit, finish=finish, warnings=revision.warnings)


def _running_chain(record: model.LinkRecord, world: World, fresh: Fresh) -> model.ChainRecord:
    chain = world.chains.get(record.chain) if record.chain is not None else None
    if chain is not None and chain.boot_id == fresh.boot.boot_id and find.runs(chain, world):
        return chain
    raise _dead(record)


def _same_code(left: tuple[model.ChainMember, ...], right: tuple[model.ChainMember, ...]) -> bool:
    """Whether two orders of members link to the same program."""
    return [(one.link, one.proceed_on) for one in left] == [(one.link, one.proceed_on) for one in right]


# ---------------------------------------------------------------- struct_ops


def _table(
    operation: model.UpdateLink,
    attachment: struct_ops.StructOpsAttachment,
    record: model.LinkRecord,
    world: World,
    fresh: Fresh,
) -> steps.Plan:
    if operation.program is None or operation.priority is not None or operation.proceed_on is not None:
        raise errors.InvalidRequest(
            f"link {record.id} has no priority and no proceed-on set",
            why="it registers a struct_ops",
            do="move it to another program's table with --to-program",
        )
    if find.is_linkless(record):
        raise errors.Conflict(
            f"link {record.id} cannot be moved",
            why="the kernel has no link for it: its table stands in .struct_ops",
            do='detach it and attach the other, or put tables into SEC(".struct_ops.link") (Linux 6.4)',
        )
    program = find.live_program(world, fresh, operation.program)
    if program.hook != struct_ops.HOOK.name:
        raise errors.Conflict(
            f"link {record.id} cannot be moved to program {program.id} ({program.name})",
            why=f"that is of type {program.hook}",
            do="name a struct_ops program",
        )
    target = tables.target(struct_ops.StructOpsAttachment(), program, world, fresh)
    if not target.linked:
        raise errors.Conflict(
            f"link {record.id} cannot be moved to program {program.id} ({program.name})",
            why=f"its table {target.name!r} stands in .struct_ops, and only a link's table can take its place",
            do='put the table into SEC(".struct_ops.link")',
        )
    (pin,) = record.pins
    if not find.alive(world.links_at.get(pin), struct_ops.HOOK):
        raise _dead(record)
    (old,) = (ref.pin for ref in world.programs[record.program].maps if ref.name == attachment.map and not ref.internal)
    if old == target.map:
        return _unchanged()
    moved = dataclasses.replace(record, program=program.key, attachment=struct_ops.StructOpsAttachment(map=target.name))
    return steps.Plan(
        steps=(steps.MoveTable(link=pin, old=old, new=target),),
        commit=lambda results: steps.StoreChange(links=(moved,)),
        finish=_nothing,
    )


# ---------------------------------------------------------------- TCX


def _anchored(
    operation: model.UpdateLink,
    attachment: hooks.InList,
    record: model.LinkRecord,
    world: World,
    fresh: Fresh,
) -> steps.Plan:
    if operation.proceed_on is not None:
        raise errors.InvalidRequest(
            f"link {record.id} has no proceed-on set",
            why="here a program goes on by returning TCX_NEXT (-1)",
            do="change its priority instead, or the program",
        )
    if operation.priority is None or operation.priority == attachment.priority:
        return _unchanged()
    wanted = dataclasses.replace(attachment, priority=operation.priority)
    updated = dataclasses.replace(record, attachment=wanted, priority=wanted.priority)
    live = attach.own_order(world, fresh, record.netns, record.ifindex, attachment.attach_type)
    if all(link.id != record.id for link in live):
        raise _dead(record)
    if _in_order(live, updated):
        return steps.Plan(steps=(), commit=lambda results: steps.StoreChange(links=(updated,)), finish=_nothing)
    return _move(record, updated, live, world, fresh)


def _in_order(live: tuple[model.LinkRecord, ...], updated: model.LinkRecord) -> bool:
    """Whether the list is sorted with the new priority too, so that nothing need move."""
    priorities = [(updated if link.id == updated.id else link).priority or 0 for link in live]
    return priorities == sorted(priorities)


def _move(
    record: model.LinkRecord,
    updated: model.LinkRecord,
    live: tuple[model.LinkRecord, ...],
    world: World,
    fresh: Fresh,
) -> steps.Plan:
    program = world.programs[record.program]
    member = world.members.get(record.program)
    if member is None:
        raise errors.Conflict(
            f"link {record.id} cannot be moved",
            why=f"the store has no code of {program.name}, of which a copy would run meanwhile",
            do="detach it and attach it anew",
        )
    others = tuple(link for link in live if link.id != record.id)
    placing = hooks.Placing(anchor=attach.anchor(others, updated.priority or 0))
    candidates = hooks.by_name(updated.hook).requests(updated.attachment, placing)
    assert not isinstance(candidates, request.Several)
    copy = fresh.pins.program_copy(program.key, program.generation)
    waiting = fresh.pins.link_copy(record.id)
    (pin,) = record.pins
    seen = world.links_at[pin]
    assert seen is not None
    old = seen.id
    made: tuple[steps.Step, ...] = (
        # The kernel takes a program only once per TCX hook, so a copy stands in until the old link is gone.
        steps.LoadMember(member=member, pin=copy),
        steps.CreateLink(program=copy, candidates=candidates, pin=waiting),
    )

    def commit(results: steps.Results) -> steps.StoreChange:
        moved = dataclasses.replace(updated, kernel_ids=(results.links[waiting].kernel.id,))
        return steps.StoreChange(links=(moved,))

    def finish(results: steps.Results) -> tuple[steps.Finish, ...]:
        return (
            steps.DetachLink(pin=pin, only=old),
            steps.RenamePin(old=waiting, new=pin),
            steps.PointLink(link=pin, program=program.pin),
            steps.Unpin(pin=copy),
        )

    return steps.Plan(
        steps=made,
        commit=commit,
        finish=finish,
        warnings=("while the link moves, a packet may meet the program twice for an instant, but never not at all",),
    )


def _unchanged() -> steps.Plan:
    return steps.Plan(steps=(), commit=lambda results: steps.StoreChange(), finish=_nothing)


def _dead(record: model.LinkRecord) -> errors.Conflict:
    return errors.Conflict(
        f"link {record.id} no longer runs",
        why="its interface or its pin is gone",
        do=f"detach it with 'skep link detach {record.id}'",
    )


def _nothing(results: steps.Results) -> tuple[steps.Finish, ...]:
    return ()
