"""Looking things up in a ``World`` by what users type, and the relations between records."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from skep import errors, hooks, model
from skep.hooks import tc, xdp
from skep.plan.world import Fresh, World


def program(world: World, fresh: Fresh, id: model.ProgramId) -> model.ProgramRecord:
    """The managed program with a kernel id; one of this boot wins over a stale one. NotFound."""
    found = [record for record in world.programs.values() if record.id == id]
    for record in found:
        if record.boot_id == fresh.boot.boot_id:
            return record
    if found:
        return found[0]
    raise errors.NotFound(f"no managed program {id}", do="see 'skep program list'")


def live_program(world: World, fresh: Fresh, id: model.ProgramId) -> model.ProgramRecord:
    """A program that is in the kernel now. NotFound; Conflict for one that did not survive a reboot or lost its pin."""
    record = program(world, fresh, id)
    if record.boot_id != fresh.boot.boot_id:
        raise errors.Conflict(
            f"program {id} ({record.name}) is not in the kernel",
            why="it was loaded before the last reboot",
            do=f"unload it with 'skep program unload {id}' and load it again",
        )
    kernel = world.programs_at.get(record.pin)
    if kernel is None:
        raise errors.Conflict(
            f"program {id} ({record.name}) is not in the kernel",
            why=f"nothing is pinned at {record.pin}",
            do=f"unload it with 'skep program unload {id}' and load it again",
        )
    if (kernel.id, kernel.tag, kernel.loaded_at_ns) != (record.id, record.tag, record.loaded_at_ns):
        raise errors.Broken(
            f"program {id} ({record.name}) is not the one that skep loaded",
            why=f"at {record.pin} is program {kernel.id} with tag {kernel.tag}, the store has tag {record.tag}",
            do="see 'skep doctor'",
        )
    return record


def link(world: World, id: model.LinkId) -> model.LinkRecord:
    """The link with an id. NotFound."""
    record = world.links.get(id)
    if record is None:
        raise errors.NotFound(f"no link {id}", do="see 'skep link list'")
    return record


def links_of(world: World, key: model.ProgramKey) -> tuple[model.LinkRecord, ...]:
    """A program's links, by id."""
    return tuple(world.links[id] for id in sorted(world.links) if world.links[id].program == key)


def hook_of(record: model.LinkRecord) -> hooks.Hook[Any]:
    """The program type of a link."""
    return hooks.by_name(record.hook)


def users(world: World, key: model.SetKey) -> tuple[model.ProgramRecord, ...]:
    """Programs that use a map set as their own or as borrowers, by key."""
    programs: Mapping[model.ProgramKey, model.ProgramRecord] = world.programs
    return tuple(programs[one] for one in sorted(programs) if key in (programs[one].set, programs[one].owner))


def alive(link: model.KernelLink | None, hook: hooks.Hook[Any]) -> bool:
    """Whether a kernel link still runs its program: one on an interface that went away has ifindex 0."""
    return link is not None and not link.defunct and (hook.interface is None or link.ifindex != 0)


def is_linkless(record: model.LinkRecord) -> bool:
    """Whether the kernel has no link for it: a struct_ops map, which stands for itself."""
    return bool(record.kernel_ids) and not any(record.kernel_ids)


def runs(chain: model.ChainRecord, world: World) -> bool:
    """Whether the kernel link (or filter) of a chain of this boot still runs its program."""
    seen = world.links_at.get(chain.link_pin)
    return seen is not None and not seen.defunct and seen.ifindex != 0


def chain(attachment: xdp.XdpAttachment | tc.TcAttachment, interface: model.Interface) -> model.ChainKey:
    """The place of the chain that an attachment makes a program a member of."""
    type = "xdp" if isinstance(attachment, xdp.XdpAttachment) else f"tc-{attachment.direction}"
    return model.ChainKey(type=type, netns=interface.netns, ifindex=interface.ifindex)


def other_direction(key: model.ChainKey) -> model.ChainKey:
    """The tc chain of the other direction of the same interface."""
    return dataclasses.replace(key, type="tc-egress" if key.type == "tc-ingress" else "tc-ingress")


def way(record: model.ProgramRecord, attachment: object) -> hooks.Hook[Any] | None:  # Any: see hooks.HOOKS
    """The type under which a program is attached this way: its own, or another of its family. None: it cannot be."""
    names = (record.hook, *hooks.by_name(record.hook).family)
    return next((hook for hook in map(hooks.by_name, names) if isinstance(attachment, hook.attachment)), None)


def tcx_links(
    world: World, netns: model.NetnsInode, ifindex: model.IfIndex, attach_type: int
) -> tuple[model.LinkRecord, ...]:
    """Our links on one list of an interface (TCX, netkit), by id.

    A record of another boot is left out: interface numbers start anew.
    """
    found = []
    for id in sorted(world.links):
        record = world.links[id]
        if (
            isinstance(record.attachment, hooks.LISTS)
            and record.attachment.attach_type == attach_type
            and (record.netns, record.ifindex) == (netns, ifindex)
        ):
            found.append(record)
    return tuple(found)
