"""The doctor: what differs between the store, the kernel and the pins. It reports; nothing is mended by itself."""

from __future__ import annotations

from collections.abc import Iterator

from skep import errors, model, paths, store
from skep.hooks import tc
from skep.inventory import links, seen
from skep.kernel import door


def examine(kernel: door.Kernel, remembered: store.Store, pins: paths.Pins) -> tuple[model.Finding, ...]:
    """Everything that is not as it should be; () when all is well."""
    sight = seen.look(kernel, remembered, pins)
    links_sight = links.look(kernel, pins, sight.records)
    return (
        *_store(remembered),
        *_pending(remembered),
        *_programs(sight),
        *_links(sight.records, links_sight),
        *_foreign(kernel, sight),
        *_filters(kernel, sight, links_sight),
        *_unknown_pins(kernel, sight, links_sight),
        *_registrations(kernel, sight),
        *_aliases(kernel, sight),
    )


def alerts(found: model.Inventory | None) -> tuple[model.Finding, ...]:
    """What of an inventory's alerts is worth a finding; links that were detached have theirs already."""
    told = {model.AlertKind.CLASH: "clash", model.AlertKind.UNSANCTIONED: "unsanctioned program"}
    return tuple(
        model.Finding(
            kind=told[one.kind],
            subject=f"program {one.program} ({one.name or 'no name'})" + (f" at {one.place}" if one.place else ""),
            explanation=one.message,
            remedy=one.remedy,
        )
        for one in (found.alerts if found is not None else ())
        if one.kind in told
    )


def _store(remembered: store.Store) -> Iterator[model.Finding]:
    for path in remembered.set_aside():
        yield model.Finding(
            kind="damaged store",
            subject=path,
            explanation="this store could not be read and was set aside; an empty one was begun",
            remedy="adopt what is pinned ('skep adopt'), then remove the file",
        )


def _pending(remembered: store.Store) -> Iterator[model.Finding]:
    for pending in remembered.pending():
        how = "taken back" if pending.finish is None else "finished"
        yield model.Finding(
            kind="leftover operation",
            subject=f"operation {pending.operation}",
            explanation=f"'{pending.verb}' was interrupted and not yet {how}",
            remedy="the next change, or a restart of skep, does it; see the log if it stays",
        )


def _programs(sight: seen.Seen) -> Iterator[model.Finding]:
    for record in sight.records.programs.values():
        state = sight.status(record)
        subject = f"program {record.id} ({record.name})"
        if record.boot_id != sight.boot.boot_id:
            yield model.Finding(
                kind="program of an earlier boot",
                subject=subject,
                explanation="it was loaded before the last reboot and is not in the kernel",
                remedy=f"load it again, or forget it with 'skep program unload {record.id}'",
            )
        elif state.kernel is None:
            reused = record.id in sight.kernel
            yield model.Finding(
                kind="reused program id" if reused else "missing program",
                subject=subject,
                explanation=state.stale,
                remedy=f"unload it ('skep program unload {record.id}') and load it again",
            )
        elif not state.pin_present:
            yield model.Finding(
                kind="missing pin",
                subject=subject,
                explanation=f"its pin {record.pin} was removed: it goes when its last link does",
                remedy="load it again and unload this one",
            )


def _links(records: store.Snapshot, sight: links.Sight) -> Iterator[model.Finding]:
    for record in records.links.values():
        program = records.programs[record.program]
        if record.boot_id != sight.boot.boot_id:
            continue  # told with its program
        chain = None if record.chain is None else records.chains.get(record.chain)
        state = links.status(record, program, chain, sight)
        if state.state is not model.LinkState.ATTACHED:
            yield model.Finding(
                kind=f"{state.state} link",
                subject=f"link {record.id} of program {program.id} ({program.name})",
                explanation=state.reason,
                remedy=f"detach it with 'skep link detach {record.id}'"
                + (" and attach the program again" if state.state is model.LinkState.PARTIAL else ""),
            )
        elif not state.pin_present:
            yield model.Finding(
                kind="missing pin",
                subject=f"link {record.id} of program {program.id} ({program.name})",
                explanation="its pin was removed",
                remedy=f"detach it with 'skep link detach {record.id}' and attach the program again",
            )


def _foreign(kernel: door.Kernel, sight: seen.Seen) -> Iterator[model.Finding]:
    """Programs of others on an XDP hook that the store says is ours."""
    for chain in sight.records.chains.values():
        if chain.boot_id != sight.boot.boot_id or chain.key.type != "xdp":
            continue
        try:
            there = kernel.xdp_on(model.InterfaceRef(name=chain.interface, netns=chain.netns_path))
        except (errors.NotFound, errors.Denied):
            continue  # the interface is gone: its links are defunct, and told as such
        for id in there:
            if id != chain.program_id:
                name = sight.kernel[id].name if id in sight.kernel else ""
                yield model.Finding(
                    kind="foreign program on a hook",
                    subject=f"program {id} ({name or 'no name'}) on {chain.interface}",
                    explanation=f"the chain {chain.key} should run here",
                    remedy=f"take it away: 'ip link set dev {chain.interface} xdp off', or 'bpftool link detach id N' "
                    "where 'bpftool link show' has a link N of that program",
                )


def _filters(kernel: door.Kernel, sight: seen.Seen, links_sight: links.Sight) -> Iterator[model.Finding]:
    """Filters that bear our name and are noted nowhere: what is left when somebody empties the bpffs.

    Looked for in our own network namespace and those that chains are in; a filter, unlike a link, outlives its pins.
    """
    top = f"{sight.pins.directory('chains')}/"
    noted = {
        tc.filter_name(model.PinDir(pin.rpartition("/")[0]))
        for pin, found in links_sight.filters.items()
        if not found.defunct
    }
    namespaces = {chain.netns_path for chain in sight.records.chains.values() if chain.boot_id == sight.boot.boot_id}
    for netns in sorted({None, *namespaces}, key=lambda path: path or ""):
        try:
            there = kernel.filters_in(netns)
        except (errors.NotFound, errors.Denied):
            continue  # the namespace is gone, and its filters with it
        for one in there:
            if one.name.startswith(top) and one.name not in noted:
                enter = f"nsenter --net={netns} " if netns else ""
                yield model.Finding(
                    kind="unknown filter",
                    subject=f"{one} on {one.interface} {one.direction}",
                    explanation="it bears the name of a chain of this skep, which knows nothing of it; it still runs",
                    remedy=f"remove it: '{enter}tc filter del dev {one.interface} {one.direction} prio {one.priority} "
                    f"handle {one.handle:#x} bpf', then attach the programs again",
                )


def _unknown_pins(kernel: door.Kernel, sight: seen.Seen, links_sight: links.Sight) -> Iterator[model.Finding]:
    """Pins below ours that no record knows: what a lost store leaves behind."""
    records = sight.records
    pins = sight.pins
    known: set[str] = {one.pin for one in records.programs.values()}
    known.update(pin for one in records.links.values() for pin in one.pins)
    for chain in records.chains.values():
        known.update((chain.link_pin, chain.program_pin, chain.counts_pin))
    for pin in sorted(sight.pinned - known):
        program = kernel.program(model.ProgramPin(pin))
        if program is not None:
            yield _unknown(pin, f"program {program.id} ({program.name})", adoptable=True)
    several: set[str] = set()
    for pin in sorted(links_sight.pinned - known):
        if pin.startswith(pins.directory("links") + "/") or pin.endswith(("/link", f"/{paths.FILTER}")):
            link, _, number = pin.removeprefix(pins.directory("links") + "/").partition("/")
            of_chain = pin.endswith(("/link", f"/{paths.FILTER}"))
            whole = f"{pins.directory('links')}/{link}" if number and not of_chain else pin
            if whole not in several:
                several.add(whole)
                yield _unknown(whole, _link_subject(kernel, model.LinkPin(pin)), adoptable=True)
    used = {str(one) for record in records.programs.values() for one in (record.set, record.owner) if one is not None}
    for directory in ("sets", "private"):
        top = pins.directory(directory)
        owners = {pin.removeprefix(f"{top}/").split("/", 1)[0] for pin in kernel.pins(top)}
        for owner in sorted(owners - used):
            yield _unknown(f"{top}/{owner}", f"map set {owner}", adoptable=False)


def _registrations(kernel: door.Kernel, sight: seen.Seen) -> Iterator[model.Finding]:
    """struct_ops of our programs that are registered without a link, and that no pin of ours leads back to."""
    ours = {one.id: one for one in sight.records.programs.values() if sight.status(one).kernel is not None}
    for one in kernel.registrations():
        keys = {ours[id].key for id in one.programs if id in ours}
        if not keys:
            continue
        links = [
            link
            for link in sight.records.links.values()
            if link.program in keys and getattr(link.attachment, "map", "")[:15] == one.name
        ]
        if any(kernel.link(pin) is not None for link in links for pin in link.pins):
            continue
        remedy = (
            f"detach it with 'skep link detach {links[0].id}', which finds it without its pin"
            if links
            else f"take it back with 'bpftool struct_ops unregister id {one.map}'"
        )
        yield model.Finding(
            kind="registration without pin",
            subject=f"struct_ops {one.name} (map {one.map})",
            explanation="the kernel calls programs of skep through it, and it stays when they are unloaded",
            remedy=remedy,
        )


def _link_subject(kernel: door.Kernel, pin: model.LinkPin) -> str:
    link = kernel.link(pin)
    return "a link" if link is None else f"link of program {link.program_id}"


def _unknown(pin: str, subject: str, *, adoptable: bool) -> model.Finding:
    return model.Finding(
        kind="unknown pin",
        subject=pin,
        explanation=f"the store does not know this pin ({subject})",
        remedy=f"adopt it with 'skep adopt {pin}'" if adoptable else "adopt the programs that use it",
        adoptable=adoptable,
    )


def _aliases(kernel: door.Kernel, sight: seen.Seen) -> Iterator[model.Finding]:
    """bpfman's names for our pins, which other programs (a CSI driver, scripts) rely on."""
    there = frozenset(kernel.pins(model.PinDir(sight.pins.root)))
    for record in sight.records.programs.values():
        if sight.status(record).kernel is None:
            continue
        for alias in (sight.pins.alias_program(record.id),):
            if alias not in there:
                yield model.Finding(
                    kind="missing alias",
                    subject=f"program {record.id} ({record.name})",
                    explanation=f"the symbolic link {alias} is not there",
                    remedy=f"make it again: ln -s {record.pin} {alias}",
                )
