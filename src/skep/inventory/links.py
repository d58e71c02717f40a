"""Links with what has become of them: kernel link, pin, place in the order, counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from skep import errors, hooks, model, paths, store
from skep.hooks import request, socket, sockmap
from skep.inventory import chains, losses, resolve
from skep.kernel import door


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What is needed to judge links: the kernel's links, our links' pins, what is noted of our filters, where links
    that are everywhere should be (``followed``), and what became of the processes that namespaces were named by
    (``lost``)."""

    door: door.Kernel
    boot: model.Boot
    kernel: Mapping[model.KernelLinkId, model.KernelLink]
    pinned: frozenset[str]
    filters: Mapping[model.LinkPin, model.KernelLink]
    followed: Mapping[model.LinkId, tuple[str, ...]] = field(default_factory=dict)
    lost: Mapping[model.LinkId, str] = field(default_factory=dict)
    at: Callable[[model.LinkPin], model.KernelLink | None]
    """What is at a pin; for what has no link in the kernel, and so no id."""


def look(kernel: door.Kernel, pins: paths.Pins, records: store.Snapshot) -> Sight:
    """One enumeration and two directory listings, however many links, and one look at each filter."""
    boot = kernel.boot()
    ours = [record for record in records.links.values() if record.boot_id == boot.boot_id]
    pinned = (*kernel.pins(pins.directory("links")), *kernel.pins(pins.directory("chains")))
    noted = [model.LinkPin(pin) for pin in pinned if pin.endswith(f"/{paths.FILTER}")]
    return Sight(
        door=kernel,
        boot=boot,
        kernel={one.id: one for one in kernel.links()},
        pinned=frozenset(pinned),
        filters={pin: found for pin in noted if (found := kernel.link(pin)) is not None},
        followed={
            record.id: _labels(kernel, record)
            for record in ours
            if record.places and hooks.by_name(record.hook).follows
        },
        lost={
            record.id: kernel.namespace_lost(where)
            for record in ours
            if (where := resolve.namespace_of(record.attachment)) is not None
        },
        at=kernel.link,
    )


def _labels(kernel: door.Kernel, record: model.LinkRecord) -> tuple[str, ...]:
    """Where a link would be if it were made now."""
    hook = hooks.by_name(record.hook)
    target = None if hook.expands is None else hook.expands(record.attachment)
    if target is None:
        return record.places
    wanted = hook.requests(record.attachment, hooks.Placing(found=kernel.places(target)))
    return tuple(spot.label for spot in wanted.spots) if isinstance(wanted, request.Several) else record.places


def listed(
    kernel: door.Kernel, remembered: store.Store, pins: paths.Pins, wanted: model.LinkFilter
) -> tuple[model.Link, ...]:
    """Links by ascending id. Those of an earlier boot are not listed: ``doctor`` tells of them."""
    records = remembered.snapshot()
    sight = look(kernel, pins, records)
    chosen = [one for one in records.links.values() if matches(one, records, wanted)]
    chosen = [one for one in chosen if one.boot_id == sight.boot.boot_id]
    return _described(kernel, remembered, records, sight, chosen)


def one(kernel: door.Kernel, remembered: store.Store, pins: paths.Pins, id: model.LinkId) -> model.Link:
    """One link, also one of an earlier boot. NotFound."""
    records = remembered.snapshot()
    record = records.links.get(id)
    if record is None:
        raise errors.NotFound(f"no link {id}", why="the store has none with this id", do="see 'skep link list'")
    return _described(kernel, remembered, records, look(kernel, pins, records), [record])[0]


def matches(link: model.LinkRecord, records: store.Snapshot, wanted: model.LinkFilter) -> bool:
    """Whether a link is what a filter asks for; ``metadata`` is its program's."""
    program = records.programs[link.program]
    return (
        wanted.program_id in (None, program.id)
        and (not wanted.hooks or link.hook in wanted.hooks)
        and all(program.metadata.get(key) == value for key, value in wanted.metadata.items())
    )


def status(
    record: model.LinkRecord, program: model.ProgramRecord, chain: model.ChainRecord | None, sight: Sight
) -> model.LinkStatus:
    """State, kernel links, pins and the place in a chain; counts and TCX places are added by the caller."""
    told = _by_kernel(record, chain, sight)
    if told.state is not model.LinkState.DEFUNCT and record.chain is None:
        loss = losses.of(sight.door, record, program)
        if loss is not None:
            told = replace(told, state=loss.state, reason=loss.reason)
    namespace = sight.lost.get(record.id, "")
    return replace(told, reason="; ".join(filter(None, (told.reason, namespace)))) if namespace else told


def _by_kernel(record: model.LinkRecord, chain: model.ChainRecord | None, sight: Sight) -> model.LinkStatus:
    """What the kernel links and the pins tell."""
    if record.boot_id != sight.boot.boot_id:
        return model.LinkStatus(
            state=model.LinkState.DEFUNCT, pin_present=False, reason="attached before the last reboot"
        )
    if record.places:
        return _of_several(record, sight)
    expected = record.kernel_ids
    pins = record.pins
    position = None
    if record.chain is not None:
        if chain is None:
            return model.LinkStatus(state=model.LinkState.DEFUNCT, pin_present=False, reason="its chain is not there")
        expected, pins = (chain.link_id,), (chain.link_pin,)
        position = next((place for place, one in enumerate(chain.members) if one.link == record.id), None)
        if position is None:  # a later interface has the same numbers, and a chain of its own
            return model.LinkStatus(
                state=model.LinkState.DEFUNCT, pin_present=False, reason="its interface was deleted"
            )
    if isinstance(record.attachment, socket.SocketAttachment):
        return _of_socket(record, sight)
    if any(expected):
        found = tuple(sight.kernel[id] for id in expected if id in sight.kernel)
    else:
        found = tuple(one for pin in pins if (one := sight.filters.get(pin) or sight.at(pin)) is not None)
    on_interface = hooks.by_name(record.hook).interface is not None
    kept = isinstance(record.attachment, sockmap.SockmapAttachment) and not any(expected)
    # A link whose device was deleted, or that was detached from outside, stays as a husk with interface number 0.
    alive = [one for one in found if not one.defunct and (one.ifindex or not on_interface)]
    present = bool(pins) and all(pin in sight.pinned for pin in pins)
    reason = ""
    if kept and found:
        # Before Linux 6.10; the note in the pin's place tells it.
        reason = found[0].detail if found[0].defunct else "held by its map, without a link: it ends with the map"
    elif len(found) < len(expected):
        reason = "its kernel link is gone" if any(expected) else "its pin is gone"
    elif len(alive) < len(found):
        gone = "interface" if on_interface else "place"
        reason = f"its {gone} was deleted or it was detached from outside"
    elif not present:
        reason = "its pin is gone"
    return model.LinkStatus(
        state=model.LinkState.ATTACHED if alive else model.LinkState.DEFUNCT,
        kernel=found,
        position=position,
        pin_present=present,
        reason=reason,
    )


def _of_several(record: model.LinkRecord, sight: Sight) -> model.LinkStatus:
    """A link of several kernel links is partial when its program runs at some of the places where it should."""
    wanted = sight.followed.get(record.id, record.places)
    here: list[str] = []
    gone: list[str] = []
    left: list[str] = []
    for label, id in zip(record.places, record.kernel_ids, strict=True):
        seen = sight.kernel.get(id)
        if label not in wanted:
            left.append(label)  # the kernel link outlives its processor, and does nothing
        elif seen is None or seen.defunct:
            gone.append(label)
        else:
            here.append(label)
    new = [label for label in wanted if label not in record.places]
    told = (("gone", left), ("detached from outside", gone), ("came later", new))
    unpinned = [label for label, pin in zip(record.places, record.pins, strict=True) if pin not in sight.pinned]
    reasons = [f"{', '.join(labels)}: {what}" for what, labels in told if labels]
    if not reasons and unpinned:
        reasons = [f"{', '.join(unpinned)}: pin is gone"]
    missing = (*left, *gone, *new)
    state = model.LinkState.PARTIAL if missing else model.LinkState.ATTACHED
    return model.LinkStatus(
        state=state if here else model.LinkState.DEFUNCT,
        kernel=tuple(sight.kernel[id] for id in record.kernel_ids if id in sight.kernel),
        pin_present=not unpinned,
        reason="; ".join(reasons),
        missing=missing,
    )


def _of_socket(record: model.LinkRecord, sight: Sight) -> model.LinkStatus:
    """A socket has no kernel link: its note stands for it."""
    found = tuple(one for pin in record.pins if (one := sight.at(pin)) is not None)
    if not found:
        reason = "the note of its socket was removed: the program runs until the socket is closed"
        return model.LinkStatus(state=model.LinkState.DEFUNCT, pin_present=False, reason=reason)
    (one,) = found
    state = model.LinkState.DEFUNCT if one.defunct else model.LinkState.ATTACHED
    return model.LinkStatus(state=state, kernel=found, reason=one.detail if one.defunct else "")


def _described(
    kernel: door.Kernel,
    remembered: store.Store,
    records: store.Snapshot,
    sight: Sight,
    chosen: list[model.LinkRecord],
) -> tuple[model.Link, ...]:
    counts: dict[model.LinkId, model.Counts] = {}
    for key in {one.chain for one in chosen if one.chain is not None}:
        seen = chains.read(kernel, remembered, key)
        if seen is not None:
            counts.update(zip((member.link for member in seen.record.members), seen.counts, strict=True))
    ordered = tcx_positions(kernel, chosen, sight)
    found = []
    for record in chosen:
        chain = None if record.chain is None else records.chains.get(record.chain)
        program = records.programs[record.program]
        state = status(record, program, chain, sight)
        found.append(
            model.Link(
                record=record,
                status=replace(state, position=ordered.get(record.id, state.position), counts=counts.get(record.id)),
                program_id=program.id,
                program_name=program.name,
            )
        )
    return tuple(found)


def tcx_positions(kernel: door.Kernel, links: list[model.LinkRecord], sight: Sight) -> Mapping[model.LinkId, int]:
    """The places of TCX and netkit links among all programs on their lists, foreign ones too; each is asked once."""
    hooks_of: dict[tuple[model.InterfaceRef, int], list[model.LinkRecord]] = {}
    for record in links:
        if isinstance(record.attachment, hooks.LISTS) and record.boot_id == sight.boot.boot_id:
            place = (record.attachment.interface, record.attachment.attach_type)
            hooks_of.setdefault(place, []).append(record)
    positions: dict[model.LinkId, int] = {}
    for (interface, attach_type), records in hooks_of.items():
        try:
            entries = kernel.tcx_on(interface, attach_type)
        except (errors.NotFound, errors.Unsupported):
            continue  # the interface or its namespace went away; the link's state tells that
        order = {entry.link_id: place for place, entry in enumerate(entries) if entry.link_id}
        for record in records:
            for id in record.kernel_ids:
                if id in order:
                    positions[record.id] = order[id]
    return positions
