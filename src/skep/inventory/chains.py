"""Chains: who is in them in which order, and what each member did, counted over all revisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from skep import errors, model, store
from skep.hooks import tc, tcx
from skep.kernel import door
from skep.plan import chains as revisions

_TRIES: Final = 20
"""How often a chain that changes while it is read is read again."""
TYPES: Final = ("xdp", "tc-ingress", "tc-egress", "tcx-ingress", "tcx-egress")


def listed(kernel: door.Kernel, remembered: store.Store) -> tuple[model.ChainStatus, ...]:
    """Every linked chain of this boot, by key."""
    boot = kernel.boot()
    records = remembered.snapshot()
    found = []
    for record in records.chains.values():
        if record.boot_id == boot.boot_id and (seen := read(kernel, remembered, record.key)) is not None:
            found.append(seen)
    return tuple(found)


def one(kernel: door.Kernel, remembered: store.Store, type: str, ref: model.InterfaceRef) -> model.ChainStatus:
    """The chain on an interface: of ours for "xdp" and tc; for "tcx-ingress" and "tcx-egress" all that runs there.

    InvalidRequest for another type, NotFound for the interface or when nothing of ours is there.
    """
    if type not in TYPES:
        raise errors.InvalidRequest(
            f"no chains of type {type!r}", why="there are " + ", ".join(TYPES), do="choose one of these"
        )
    interface = kernel.interface(ref)
    if type.startswith("tcx-"):
        return _tcx(kernel, remembered, type, ref, interface)
    key = model.ChainKey(type=type, netns=interface.netns, ifindex=interface.ifindex)
    seen = read(kernel, remembered, key)
    ours = seen is not None and seen.record.boot_id == kernel.boot().boot_id
    told = (
        _on_xdp(kernel, ref) if type == "xdp" else _filters(kernel, ref, type, seen.record if ours and seen else None)
    )
    if seen is None or not ours:
        name = "XDP" if type == "xdp" else type
        raise errors.NotFound(
            f"no {name} chain on {ref.name}",
            why="; ".join(told) or "no program is attached there",
            do=_elsewhere(kernel, remembered, interface),
        )
    return seen if type == "xdp" else replace(seen, warnings=(*seen.warnings, *told))


def _elsewhere(kernel: door.Kernel, remembered: store.Store, interface: model.Interface) -> str:
    """Which chains the interface has, for who looked for another."""
    boot, place = kernel.boot().boot_id, (interface.netns, interface.ifindex)
    ours = [one for one in remembered.snapshot().chains.values() if one.boot_id == boot]
    types = sorted(one.key.type for one in ours if (one.key.netns, one.key.ifindex) == place)
    return f"it has {' and '.join(types)}: add --type {types[0]}" if types else "see 'skep link list'"


def _on_xdp(kernel: door.Kernel, ref: model.InterfaceRef) -> tuple[str, ...]:
    foreign = kernel.xdp_on(ref)
    return (f"program {foreign[0]}, which skep did not attach, holds its XDP hook",) if foreign else ()


def _filters(
    kernel: door.Kernel, ref: model.InterfaceRef, type: str, record: model.ChainRecord | None
) -> tuple[str, ...]:
    """Other people's filters on the way of a tc chain, or where there is none."""
    there = [one for one in kernel.filters_on(ref) if f"tc-{one.direction}" == type]
    if record is None:
        return tuple(f"a {one} is there, which is none of skep's chains" for one in there)
    own = (record.filter_priority, record.filter_handle)
    others = [one for one in there if (one.priority, one.handle) != own]
    return tc.neighbours(others, record.filter_priority)


def read(kernel: door.Kernel, remembered: store.Store, key: model.ChainKey) -> model.ChainStatus | None:
    """One chain with its counts: totals of retired revisions and the present revision's map, of one revision.

    A change between the two readings would count a revision twice or not at all, so it is read again then. None when
    there is no such chain.
    """
    warnings: tuple[str, ...] = ()
    for _ in range(_TRIES):
        before = remembered.snapshot()
        record = before.chains.get(key)
        if record is None:
            return None
        try:
            slots: Sequence[int] = kernel.read_counts(record.counts_pin)
        except errors.NotFound:
            slots = ()
        after = remembered.snapshot()
        now = after.chains.get(key)
        if now is not None and now.revision == record.revision and _totals(after, record) == _totals(before, record):
            if not slots:
                warnings = (f"its counter map {record.counts_pin} is gone: packets since the last change are missing",)
            return _status(kernel, after, now, slots, warnings)
    raise errors.Unavailable(f"the chain {key} changes all the time", do="try again")


def _totals(records: store.Snapshot, chain: model.ChainRecord) -> tuple[model.Counts | None, ...]:
    return tuple(records.counts.get(member.link) for member in chain.members)


def _status(
    kernel: door.Kernel,
    records: store.Snapshot,
    record: model.ChainRecord,
    slots: Sequence[int],
    warnings: tuple[str, ...],
) -> model.ChainStatus:
    links = tuple(member.link for member in record.members)
    live = revisions.split(record.key.type, links, slots)
    none = model.Counts()
    return model.ChainStatus(
        record=record,
        counts=tuple(records.counts.get(link, none) + live.get(link, none) for link in links),
        packets=sum(slots),
        state=_state(kernel, record),
        warnings=(*warnings, *revisions.warnings(record.key.type, record.members)),
    )


def _state(kernel: door.Kernel, record: model.ChainRecord) -> model.LinkState:
    link = kernel.link(record.link_pin)
    return model.LinkState.DEFUNCT if link is None or not link.ifindex else model.LinkState.ATTACHED


def _tcx(
    kernel: door.Kernel, remembered: store.Store, type: str, ref: model.InterfaceRef, interface: model.Interface
) -> model.ChainStatus:
    """What runs on a TCX hook, in order. Foreign programs have link 0 and program 0."""
    attach_type = tcx.ATTACH_TYPES[tcx.Direction(type.removeprefix("tcx-"))]
    boot = kernel.boot()
    records = remembered.snapshot()
    ours = {id: one for one in records.links.values() if one.boot_id == boot.boot_id for id in one.kernel_ids}
    members = []
    warnings = []
    for entry in kernel.tcx_on(ref, attach_type):
        link = ours.get(entry.link_id) if entry.link_id else None
        if link is not None:
            program = records.programs[link.program]
            members.append(_entry(link.id, program.key, program.name, link.priority or 0))
            continue
        found = kernel.program_by_id(entry.program_id)
        name = found.name if found is not None else ""
        members.append(_entry(model.LinkId(0), model.ProgramKey(0), name, 0))
        warnings.append(f"program {entry.program_id} ({name or 'no name'}) was attached by somebody else")
    record = model.ChainRecord(
        key=model.ChainKey(type=type, netns=interface.netns, ifindex=interface.ifindex),
        revision=0,
        interface=ref.name,
        netns_path=ref.netns,
        members=tuple(members),
        link_pin=model.LinkPin(""),
        program_pin=model.ProgramPin(""),
        counts_pin=model.MapPin(""),
        program_id=model.ProgramId(0),
        link_id=model.KernelLinkId(0),
        mode=None,
        boot_id=boot.boot_id,
    )
    return model.ChainStatus(
        record=record, counts=(), packets=0, state=model.LinkState.ATTACHED, warnings=tuple(warnings)
    )


def _entry(link: model.LinkId, program: model.ProgramKey, name: str, priority: int) -> model.ChainMember:
    return model.ChainMember(link=link, program=program, name=name, priority=priority, proceed_on=0)
