"""Sets of maps: which maps an object's programs get, where they are pinned, and which go when nobody is left."""

from __future__ import annotations

from collections.abc import Mapping

from skep import model, paths, steps
from skep.bytecode import struct_ops
from skep.plan import find, objects
from skep.plan.world import World


def maps_of(key: model.SetKey, world: World, pins: paths.Pins) -> dict[str, model.MapRef]:
    """A set's maps but for data sections, by name, as all programs that use the set know them."""
    found: dict[str, model.MapRef] = {}
    for record in find.users(world, key):
        for ref in record.maps:
            if not ref.internal and ref.pin.startswith(f"{pins.set(key)}/"):
                found.setdefault(ref.name, ref)
    return found


def assign(
    opened: objects.Opened,
    lent: Mapping[str, model.MapRef],
    kept: Mapping[str, model.MapRef],
    key: model.SetKey,
    prefix: str,
    world: World,
    pins: paths.Pins,
) -> tuple[tuple[steps.MapLoad, ...], tuple[model.MapRef, ...]]:
    """Where each map of an object comes from and goes to.

    A map whose name is in ``lent`` is that map; others are the host's shared maps or new ones in set ``key``. Data
    sections are new, under names that begin with ``prefix``, but for those in ``kept``.
    """
    loads = []
    refs = []
    for one in opened.declared:
        ref = lent.get(one.name)
        own = pins.map(key, one.name)
        shared = pins.shared(one.name)
        if ref is not None:
            lent_by = shared if ref.shared and shared in world.shared else ref.pin
            loads.append(steps.MapLoad(name=one.name, pins=(lent_by,), reuse=lent_by))
            refs.append(ref)
        elif one.pinned_by_name:
            # Which of the two it is must be known now: undoing the load unpins what the load made, and only that.
            # The shared pin comes first: kept code names maps by it, so that a chain counts such a map once.
            reuse = shared if shared in world.shared else None
            loads.append(steps.MapLoad(name=one.name, pins=(shared, own), reuse=reuse))
            refs.append(model.MapRef(name=one.name, pin=own, shared=True))
        else:
            loads.append(steps.MapLoad(name=one.name, pins=(own,)))
            refs.append(model.MapRef(name=one.name, pin=own))
    for table in opened.tables:
        # The kernel takes such a map only once: it is never shared.
        own = pins.map(key, prefix + table.name)
        loads.append(steps.MapLoad(name=table.name, pins=(own,), flags=struct_ops.BPF_F_LINK if table.linked else 0))
        refs.append(model.MapRef(name=table.name, pin=own))
    for number, section in enumerate(objects.sections(opened)):
        ref = kept.get(section.name)
        if ref is not None:
            loads.append(steps.MapLoad(name=section.name, pins=(ref.pin,), reuse=ref.pin))
            refs.append(ref)
            continue
        pin = pins.internal(key, number, prefix + section.name)
        loads.append(steps.MapLoad(name=section.name, pins=(pin,)))
        refs.append(model.MapRef(name=section.name, pin=pin, internal=True))
    return tuple(loads), tuple(refs)


def unpin(
    refs: tuple[model.MapRef, ...], user: model.ProgramKey, world: World, pins: paths.Pins
) -> tuple[steps.Finish, ...]:
    """Remove the pins of maps that program ``user`` gives up and nobody else has."""
    used = {ref.pin for ref in _others(user, world)}
    own = tuple(steps.Unpin(pin=ref.pin) for ref in refs if ref.pin not in used)
    return (*own, *unpin_shared(refs, user, world, pins))


def unpin_shared(
    refs: tuple[model.MapRef, ...], user: model.ProgramKey, world: World, pins: paths.Pins
) -> tuple[steps.Finish, ...]:
    """Remove the host's pins of LIBBPF_PIN_BY_NAME maps that no other program uses."""
    used = {ref.name for ref in _others(user, world) if ref.shared}
    return tuple(steps.Unpin(pin=pins.shared(ref.name)) for ref in refs if ref.shared and ref.name not in used)


def _others(user: model.ProgramKey, world: World) -> list[model.MapRef]:
    return [ref for record in world.programs.values() if record.key != user for ref in record.maps]
