"""What each verb must know before it can be planned: which pins, interface and hook to look at.

The observer (``manager``) asks this with the store's records, looks, and fills ``World``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, assert_never

from skep import hooks, model, paths
from skep.hooks import netkit, request, socket, struct_ops, tc, tcx, xdp
from skep.plan import find, notes, objects, places
from skep.plan.world import Fresh, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What to observe for one operation."""

    links: tuple[model.LinkPin, ...] = ()
    """-> ``World.links_at``."""
    programs: tuple[model.ProgramPin, ...] = ()
    """-> ``World.programs_at``."""
    members: tuple[model.ProgramKey, ...] = ()
    """-> ``World.members`` (a key without kept code is left out)."""
    objects: tuple[model.Digest, ...] = ()
    """-> ``World.objects``."""
    tcx: tuple[model.InterfaceRef, int] | None = None
    """Interface and attach type -> ``World.tcx_on``."""
    targets: tuple[request.Target, ...] = ()
    """-> ``World.found``."""
    registrations: bool = False
    """Whether to list struct_ops without a link -> ``World.registrations``."""
    xdp: model.InterfaceRef | None = None
    """-> ``World.xdp_on``, ``xdp_mode``, ``xdp_fallback``."""
    filters: model.InterfaceRef | None = None
    """-> ``World.filters_on``."""
    features: bool = False
    """Whether to look at what the kernel can -> ``World.features``."""
    shared: bool = False
    """Whether to list the shared pins -> ``World.shared``."""


def interface(operation: model.Operation) -> model.InterfaceRef | None:
    """The interface to look up before anything else -> ``World.interface``."""
    match operation:
        case model.Attach(
            attachment=xdp.XdpAttachment()
            | tc.TcAttachment()
            | tcx.TcxAttachment()
            | netkit.NetkitAttachment() as attachment
        ):
            return attachment.interface
        case _:
            return None


def socket_of(operation: model.Operation) -> socket.SocketAttachment | None:
    """The socket to look for -> ``World.socket``."""
    if isinstance(operation, model.Attach) and isinstance(operation.attachment, socket.SocketAttachment):
        return operation.attachment
    return None


def of(operation: model.Operation, records: World, fresh: Fresh, seen: model.Interface | None) -> Need:
    """What to observe, given the store's ``records`` (a World without observations) and the interface found.

    For adopt ``records`` holds the notes too.
    """
    match operation:
        case model.Load():
            return Need(shared=True, features=_depends(operation.object, operation.programs))
        case model.Attach():
            return _attach(operation, records, fresh, seen)
        case model.Detach():
            return _leaving(records, (find.link(records, operation.link),), fresh.pins)
        case model.UpdateLink():
            return _update(operation, find.link(records, operation.link), records, fresh)
        case model.Unload():
            record = find.program(records, fresh, operation.program)
            return _leaving(records, find.links_of(records, record.key), fresh.pins)
        case model.ReplaceProgram():
            record = find.program(records, fresh, operation.program)
            own = find.links_of(records, record.key)
            links = _links(records, own, fresh.pins)
            return Need(
                targets=tuple(
                    target
                    for link in own
                    if link.boot_id == fresh.boot.boot_id
                    for target in _targets(hooks.by_name(link.hook), link.attachment, record)
                ),
                links=links.links,
                programs=(record.pin,),
                members=links.members,
                objects=(record.object,),
                shared=True,
                features=hooks.by_name(record.hook).better is not None,
            )
        case model.Adopt():
            noted = notes.read(records.notes, fresh.pins)
            pins = tuple(pin for link in noted.links.values() for pin in link.pins)
            return Need(
                links=(*pins, *(chain.link_pin for chain in noted.chains.values())),
                programs=tuple(record.pin for record in noted.programs.values()),
            )
        case _:
            assert_never(operation)


def _depends(data: bytes, programs: tuple[model.ProgramSpec, ...]) -> bool:
    """Whether one of an object's programs is loaded differently where the kernel can more."""
    return any(one.hook.better is not None for one in objects.wanted(objects.read(data), programs))


def _attach(operation: model.Attach, records: World, fresh: Fresh, seen: model.Interface | None) -> Need:
    record = find.program(records, fresh, operation.program)
    match operation.attachment:
        case xdp.XdpAttachment() | tc.TcAttachment() as attachment:
            assert seen is not None
            key = find.chain(attachment, seen)
            chain = records.chains.get(key)
            members = tuple(member.program for member in chain.members) if chain is not None else ()
            on_xdp = isinstance(attachment, xdp.XdpAttachment)
            return Need(
                links=(fresh.pins.chain_link(key),),
                programs=(record.pin,),
                members=(record.key, *members),
                xdp=attachment.interface if on_xdp else None,
                filters=None if on_xdp else attachment.interface,
            )
        case tcx.TcxAttachment() | netkit.NetkitAttachment() as attachment:
            assert seen is not None
            siblings = find.tcx_links(records, seen.netns, seen.ifindex, attachment.attach_type)
            return Need(
                links=tuple(pin for link in siblings for pin in link.pins),
                programs=(record.pin,),
                tcx=(attachment.interface, attachment.attach_type),
            )
        case struct_ops.StructOpsAttachment():
            return Need(programs=(record.pin,), objects=(record.object,))
        case _:
            hook = hooks.by_name(record.hook)
            mine = isinstance(operation.attachment, hook.attachment)  # refused by the planner where it is not
            return Need(
                programs=(record.pin,),
                members=(record.key,) if hook.better is not None else (),
                targets=_targets(hook, operation.attachment, record) if mine else (),
            )


def _targets(
    hook: hooks.Hook[Any],  # Any: the table's element type
    attachment: object,
    program: model.ProgramRecord,
) -> tuple[request.Target, ...]:
    target = places.target(hook, attachment, program)
    return () if target is None else (target,)


def _update(operation: model.UpdateLink, link: model.LinkRecord, records: World, fresh: Fresh) -> Need:
    around = _links(records, (link,), fresh.pins)
    if operation.program is not None:
        record = find.program(records, fresh, operation.program)
        return replace(around, programs=(record.pin,), objects=(record.object,))
    if not isinstance(link.attachment, hooks.LISTS):
        return around
    siblings = find.tcx_links(records, link.netns, link.ifindex, link.attachment.attach_type)
    return Need(
        links=tuple(pin for sibling in siblings for pin in sibling.pins),
        members=(link.program,),
        tcx=(link.attachment.interface, link.attachment.attach_type),
    )


def _links(records: World, links: tuple[model.LinkRecord, ...], pins: paths.Pins) -> Need:
    """What is around some links: their own pins, their chains' links and members."""
    at: list[model.LinkPin] = []
    members: list[model.ProgramKey] = []
    for link in links:
        at.extend(link.pins)
        if link.chain is not None and link.chain in records.chains:
            at.append(pins.chain_link(link.chain))
            members.extend(member.program for member in records.chains[link.chain].members)
    return Need(links=tuple(dict.fromkeys(at)), members=tuple(dict.fromkeys(members)))


def _leaving(records: World, links: tuple[model.LinkRecord, ...], pins: paths.Pins) -> Need:
    """The same for links that go: nobody needs the code of a program that is in no chain afterwards."""
    around = _links(records, links, pins)
    gone = {link.id for link in links}
    chains = [records.chains[link.chain] for link in links if link.chain is not None and link.chain in records.chains]
    stay = {member.program for chain in chains for member in chain.members if member.link not in gone}
    return replace(
        around,
        members=tuple(key for key in around.members if key in stay),
        registrations=any(find.is_linkless(link) for link in links),
    )
