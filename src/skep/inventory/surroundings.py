"""What ``alerts`` decides by, looked at: attachments that were refused, links that are not as made, filters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from skep import errors, hooks, model, paths, store
from skep.hooks import cgroup, struct_ops
from skep.inventory import alerts, links, owners, resolve, seen
from skep.kernel import door


def look(
    kernel: door.Kernel,
    pins: paths.Pins,
    survey: model.Survey,
    sight: seen.Seen,
    found: model.Inventory,
    refused: tuple[tuple[model.ProgramId, object], ...],
    now: float,
) -> alerts.Sight:
    """``survey``, ``sight`` and ``found``: of (nearly) this moment. ``now``: seconds since the epoch."""
    records = sight.records
    return alerts.Sight(
        inventory=found,
        unlinked=survey.unlinked,
        wanted=tuple(_wanted(kernel, sight, refused)),
        drifted=tuple(_drifted(kernel, pins, survey, records)) if records.links else (),
        filters=dict(_filters(kernel, sight)),
        own_pins=f"{pins.root}/",
        now=now,
    )


def _wanted(
    kernel: door.Kernel, sight: seen.Seen, refused: tuple[tuple[model.ProgramId, object], ...]
) -> Iterator[alerts.Wanted]:
    programs = {one.id: one for one in sight.records.programs.values() if one.boot_id == sight.boot.boot_id}
    ours = {one.program_id for one in sight.records.chains.values() if one.boot_id == sight.boot.boot_id}
    for id, attachment in refused:
        program = programs.get(id)
        if program is None:
            continue  # unloaded since: nobody wants it any more
        hook = hooks.by_name(program.hook)
        one = alerts.Wanted(
            application=program.metadata.get(owners.APPLIED, ""),
            name=program.name,
            hook=str(program.hook),
            place=f"{program.hook} {hook.summary(attachment)}".strip(),
            prog_type=program.prog_type,
        )
        match attachment:
            case cgroup.CgroupAttachment():
                root = kernel.cgroup_of("-.slice")
                one = replace(one, path="/" + attachment.path.removeprefix(root.rstrip("/")).strip("/"))
            case struct_ops.StructOpsAttachment():
                one = replace(one, table=attachment.map[:15])
        ref = None if hook.interface is None else hook.interface(attachment)
        if program.hook == "xdp" and ref is not None:
            try:
                there = tuple(each for each in kernel.xdp_on(ref) if each not in ours and each not in programs)
            except (errors.NotFound, errors.Denied):
                continue  # the interface is gone
            one = replace(one, place=_words("xdp", ref), holders=there)
        yield one


def _drifted(
    kernel: door.Kernel, pins: paths.Pins, survey: model.Survey, records: store.Snapshot
) -> Iterator[alerts.Drifted]:
    sight = links.look(kernel, pins, records)
    for record in records.links.values():
        if record.boot_id != sight.boot.boot_id:
            continue
        program = records.programs[record.program]
        chain = None if record.chain is None else records.chains.get(record.chain)
        state = links.status(record, program, chain, sight)
        expected = program.id if chain is None else chain.program_id
        now = model.ProgramId(0)
        if state.state is model.LinkState.ATTACHED:
            others = [one.program_id for one in state.kernel if one.program_id not in (expected, 0)]
            if not others:
                continue
            now, reason = others[0], f"its link runs program {others[0]} now"
        elif _place_is_there(kernel, record, state):
            reason = "it was detached from outside"
            now = _instead(kernel, record, expected)
        else:
            continue
        hook = hooks.by_name(record.hook)
        ref = None if hook.interface is None else hook.interface(record.attachment)
        told = [survey.places[id] for id in record.kernel_ids if survey.places.get(id)]
        yield alerts.Drifted(
            link=record.id,
            application=program.metadata.get(owners.APPLIED, ""),
            name=program.name,
            hook=str(record.hook),
            place=_words(str(record.hook), ref) if ref is not None else (told or [hook.summary(record.attachment)])[0],
            reason=reason,
            now=now,
        )


def _place_is_there(kernel: door.Kernel, record: model.LinkRecord, state: model.LinkStatus) -> bool:
    """Whether what a defunct link was attached to still is, so that somebody must have detached it."""
    hook = hooks.by_name(record.hook)
    if state.state is model.LinkState.PARTIAL:
        return "detached from outside" in state.reason
    if hook.interface is not None:
        try:
            seen_now = kernel.interface(hook.interface(record.attachment))
        except (errors.NotFound, errors.Denied):
            return False
        there = record.chain.ifindex if record.chain is not None else record.ifindex
        return seen_now.ifindex == there
    if isinstance(record.attachment, cgroup.CgroupAttachment):
        try:
            kernel.cgroup_of(record.attachment.path)
        except errors.SkepError:
            return False
        return True
    where = resolve.namespace_of(record.attachment)
    # A link that ends with its place stays in the kernel for as long as it is pinned: one that is gone lost its pin.
    gone = any(record.kernel_ids) and not state.kernel
    return gone and (where is None or not kernel.namespace_lost(where))


def _instead(kernel: door.Kernel, record: model.LinkRecord, ours: model.ProgramId) -> model.ProgramId:
    """The XDP program that is where ours was, 0 for none."""
    if record.chain is None or record.chain.type != "xdp":
        return model.ProgramId(0)
    ref = hooks.by_name(record.hook).interface
    assert ref is not None
    try:
        there = [one for one in kernel.xdp_on(ref(record.attachment)) if one != ours]
    except (errors.NotFound, errors.Denied):
        there = []
    return there[0] if there else model.ProgramId(0)


def _filters(kernel: door.Kernel, sight: seen.Seen) -> Iterator[tuple[str, tuple[int, tuple[model.Filter, ...]]]]:
    for chain in sight.records.chains.values():
        if chain.boot_id != sight.boot.boot_id or not chain.key.type.startswith("tc-"):
            continue
        ref = model.InterfaceRef(name=chain.interface, netns=chain.netns_path)
        try:
            there = kernel.filters_on(ref)
        except (errors.NotFound, errors.Denied):
            continue  # the interface is gone: its links are defunct, and told as such
        direction = chain.key.type.removeprefix("tc-")
        own = (chain.filter_priority, chain.filter_handle)
        others = tuple(one for one in there if one.direction == direction and (one.priority, one.handle) != own)
        yield _words(f"tc {direction}", ref), (chain.filter_priority, others)


def _words(hook: str, ref: model.InterfaceRef) -> str:
    """A place on an interface as the survey tells it, where its namespace has a name."""
    if ref.netns is None:
        return f"{hook} {ref.name}"
    where = ref.netns.rpartition("/")[2] if ref.netns.startswith("/") else ref.netns.partition("@")[0]
    return f"{hook} {ref.name} in {where}"
