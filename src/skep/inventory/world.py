"""What a planner may see: the store's records and, of the kernel, just what the verb asks for (``plan.need``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from skep import errors, hooks, model, store
from skep.hooks import request, sk_reuseport, socket
from skep.inventory import losses
from skep.kernel import door
from skep.plan import find, need
from skep.plan.world import Fresh, World

XdpModes: TypeAlias = Callable[[str], tuple[model.XdpMode, ...]]
"""Interface name -> the configured mode, and generic XDP after it where that may stand in."""


def drv_else_skb(interface: str) -> tuple[model.XdpMode, ...]:
    """What holds without configuration."""
    return (model.XdpMode.DRV, model.XdpMode.SKB)


def observe(
    kernel: door.Kernel,
    remembered: store.Store,
    operation: model.Operation,
    fresh: Fresh,
    xdp_modes: XdpModes,
) -> World:
    """Fill a world for one operation. NotFound for its interface, and what ``plan.need`` raises."""
    records = remembered.snapshot()
    world = World(programs=records.programs, links=records.links, chains=records.chains)
    if isinstance(operation, model.Adopt):
        world = replace(world, notes=kernel.aliases(fresh.pins.directory("notes")))
    interface = need.interface(operation)
    seen = None if interface is None else kernel.interface(interface)
    wanted = need.of(operation, world, fresh, seen)
    seen_on_xdp: tuple[model.ProgramId, ...] = ()
    mode, others = model.XdpMode.DRV, True
    if wanted.xdp is not None:
        seen_on_xdp = kernel.xdp_on(wanted.xdp)
        mode, *fallback = xdp_modes(wanted.xdp.name)
        others = bool(fallback)
    world = replace(
        world,
        members={key: code for key in wanted.members if (code := remembered.member(key)) is not None},
        objects={digest: one for digest in wanted.objects if (one := remembered.object(digest)) is not None},
        links_at={pin: kernel.link(pin) for pin in wanted.links},
        programs_at={pin: kernel.program(pin) for pin in wanted.programs},
        found={target: _found(kernel, operation, target) for target in wanted.targets},
        lost=_lost(kernel, operation, world, fresh),
        interface=seen,
        socket=_socket(kernel, operation, world, fresh),
        tcx_on=() if wanted.tcx is None else kernel.tcx_on(*wanted.tcx),
        filters_on=() if wanted.filters is None else kernel.filters_on(wanted.filters),
        shared=frozenset(map(model.MapPin, kernel.pins(fresh.pins.directory("shared"))))
        if wanted.shared
        else frozenset(),
        registrations=kernel.registrations() if wanted.registrations else (),
        features=frozenset(one.name for one in kernel.features() if one.available) if wanted.features else frozenset(),
        xdp_on=seen_on_xdp,
        xdp_mode=mode,
        xdp_fallback=others,
    )
    foreign = _foreign(kernel, records, world, fresh.boot)
    return replace(world, foreign=foreign) if foreign else world


def _lost(kernel: door.Kernel, operation: model.Operation, world: World, fresh: Fresh) -> dict[model.LinkId, str]:
    """A new link could not be made to what is gone; the old one is no reason to keep an old program."""
    if not isinstance(operation, model.ReplaceProgram):
        return {}
    program = find.program(world, fresh, operation.program)
    ours = [one for one in find.links_of(world, program.key) if one.boot_id == fresh.boot.boot_id and one.chain is None]
    losses_of = {one.id: losses.of(kernel, one, program) for one in ours}
    return {
        id: loss.reason for id, loss in losses_of.items() if loss is not None and loss.state is model.LinkState.DEFUNCT
    }


def _socket(kernel: door.Kernel, operation: model.Operation, world: World, fresh: Fresh) -> model.Socket | None:
    wanted = need.socket_of(operation)
    if wanted is None or not isinstance(operation, model.Attach):
        return None
    hook = find.program(world, fresh, operation.program).hook
    if hooks.by_name(hook).attachment is not socket.SocketAttachment:
        return None  # the plan will say that it cannot be attached that way
    several = hook == sk_reuseport.HOOK.name
    return kernel.socket(socket.parse(wanted.socket), wanted.netns, several=several)


def _found(kernel: door.Kernel, operation: model.Operation, target: request.Target) -> tuple[request.Target, ...]:
    """What a target stands for. Only who attaches must be told at once that it is gone: a link of the program that is
    replaced may have ended with it, and is left alone then."""
    try:
        return kernel.places(target)
    except errors.NotFound:
        if isinstance(operation, model.Attach):
            raise
        return ()


def _foreign(
    kernel: door.Kernel, records: store.Snapshot, world: World, boot: model.Boot
) -> dict[model.ProgramId, str]:
    here = (*world.xdp_on, *(entry.program_id for entry in world.tcx_on))
    if not here:
        return {}
    ours = {one.program_id for one in records.chains.values() if one.boot_id == boot.boot_id}
    ours.update(one.id for one in records.programs.values() if one.boot_id == boot.boot_id)
    found = {id: kernel.program_by_id(id) for id in here if id not in ours}
    names = {id: program.name for id, program in found.items() if program is not None}
    if not names.keys() & set(world.xdp_on):
        return names
    # On the XDP hook a stranger is in the way, and whoever asks must be told whom to ask.
    survey = kernel.survey()
    return {id: f"{name}{_holder(id, survey)}" for id, name in names.items()}


def _holder(id: model.ProgramId, survey: model.Survey) -> str:
    """The processes, or else the pins, that keep somebody else's program, to be told after its name."""
    held = [(model.ObjectKind.PROGRAM, int(id))]
    held += [(model.ObjectKind.LINK, int(link.id)) for link in survey.links if link.program_id == id]
    processes = [survey.processes[pid] for ref in held for pid in survey.held.get(ref, ()) if pid in survey.processes]
    if processes:
        words = [f"{one.comm}[{one.pid}]" + (f" in {one.group.unit}" if one.group.unit else "") for one in processes]
        return f", held by {', '.join(dict.fromkeys(words))}"
    pins = [pin for ref in held for pin in survey.pins.get(ref, ())]
    return f", pinned at {', '.join(pins)}" if pins else ""
