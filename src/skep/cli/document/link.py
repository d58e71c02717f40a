"""A link as bpfman's JSON: {record, status}."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from skep import model
from skep.cli import when
from skep.cli.document import kernel, verdict
from skep.hooks import aimed, codec, iter, kprobe, tc, tcx, tracepoint, uprobe, xdp

Chains = Mapping[model.ChainKey, model.ChainStatus]


def full(link: model.Link, chains: Chains) -> dict[str, object]:
    """What ``link get`` and ``link attach`` answer."""
    status = link.status
    return {
        "record": record(link, chains),
        "status": {
            "kernel": kernel.link(status.kernel[0]) if status.kernel else None,
            "kernel_seen": bool(status.kernel),
            "pin_present": status.pin_present,
            "state": status.state.value,
            "reason": status.reason,
            "kernel_links": [kernel.link(seen) for seen in status.kernel],
            **({"places": places(link)} if link.record.places else {}),
            "counts": None if status.counts is None else counts(status.counts, link.record.hook),
        },
    }


def places(link: model.Link) -> list[dict[str, object]]:
    """The kernel links of a link that owns several: where each is, and whether the program runs there.

    Places that came after the attach have no pin and no id.
    """
    stored, missing = link.record, set(link.status.missing)
    rows: list[dict[str, object]] = [
        {"place": place, "kernel_link_id": id, "pin_path": pin, "attached": place not in missing}
        for place, id, pin in zip(stored.places, stored.kernel_ids, stored.pins, strict=True)
    ]
    rows += [
        {"place": place, "kernel_link_id": None, "pin_path": None, "attached": False}
        for place in link.status.missing
        if place not in stored.places
    ]
    return rows


def record(link: model.Link, chains: Chains) -> dict[str, object]:
    """What ``link list`` answers for each link."""
    stored = link.record
    chain = None if stored.chain is None else chains.get(stored.chain)
    pin = stored.pins[0] if stored.pins else None if chain is None else chain.record.link_pin
    if stored.places:
        pin = model.LinkPin(stored.pins[0].rpartition("/")[0])
    return {
        "id": stored.id,
        "program_id": link.program_id,
        "kernel_link_id": _kernel_id(link, chain),
        "kind": stored.hook,
        "pin_path": pin,
        "details": details(link, chain),
        "created_at": when.stamp(stored.created_at),
        "metadata": dict(stored.metadata) or None,
        "program_name": link.program_name,
        "mode": None if stored.mode is None else stored.mode.value,
        "fallback": stored.fallback,
        "state": link.status.state.value,
    }


def counts(seen: model.Counts, type: str) -> dict[str, object]:
    """Packets: taken in, passed on, and stopped by verdict name. ``type``: of the program or the chain."""
    names = verdict.names(type)
    return {
        "runs": seen.runs,
        "proceeded": seen.proceeded,
        "stopped": {names.get(code, str(code)): packets for code, packets in sorted(seen.stopped.items())},
    }


def details(link: model.Link, chain: model.ChainStatus | None) -> dict[str, object]:
    """The part that depends on the hook."""
    describe = _DETAILS.get(type(link.record.attachment))
    if describe is not None:
        return describe(link, chain)
    return codec.encode(link.record.attachment)


def _kernel_id(link: model.Link, chain: model.ChainStatus | None) -> int | None:
    """The link's own kernel link; for a member of a linked chain the chain's, which carries it."""
    if link.record.kernel_ids:
        return link.record.kernel_ids[0]
    if link.status.kernel:
        return link.status.kernel[0].id or None
    return None if chain is None else chain.record.link_id or None


def _xdp(link: model.Link, chain: model.ChainStatus | None) -> dict[str, object]:
    attachment = link.record.attachment
    assert isinstance(attachment, xdp.XdpAttachment)
    return {
        "interface": attachment.interface.name,
        "ifindex": link.record.ifindex,
        "priority": attachment.priority,
        "position": link.status.position or 0,
        "proceed_on": list(attachment.proceed_on or xdp.DEFAULT_PROCEED_ON),
        "netns": attachment.interface.netns or "",
        "nsid": link.record.netns,
        "dispatcher_id": 0 if chain is None else chain.record.program_id,
        "revision": 0 if chain is None else chain.record.revision,
    }


def _tc(link: model.Link, chain: model.ChainStatus | None) -> dict[str, object]:
    attachment = link.record.attachment
    assert isinstance(attachment, tc.TcAttachment)
    return {
        "interface": attachment.interface.name,
        "ifindex": link.record.ifindex,
        "direction": attachment.direction.value,
        "priority": attachment.priority,
        "position": link.status.position or 0,
        "proceed_on": list(attachment.proceed_on or tc.DEFAULT_PROCEED_ON),
        "netns": attachment.interface.netns or "",
        "nsid": link.record.netns,
        "dispatcher_id": 0 if chain is None else chain.record.program_id,
        "revision": 0 if chain is None else chain.record.revision,
    }


def _tcx(link: model.Link, chain: model.ChainStatus | None) -> dict[str, object]:
    attachment = link.record.attachment
    assert isinstance(attachment, tcx.TcxAttachment)
    return {
        "interface": attachment.interface.name,
        "ifindex": link.record.ifindex,
        "direction": attachment.direction.value,
        "priority": attachment.priority,
        "position": link.status.position or 0,
        "netns": attachment.interface.netns or "",
        "nsid": link.record.netns,
    }


def _tracepoint(link: model.Link, chain: model.ChainStatus | None) -> dict[str, object]:
    attachment = link.record.attachment
    assert isinstance(attachment, tracepoint.TracepointAttachment)
    return {"group": attachment.group, "name": attachment.name}


def _uprobe(link: model.Link, chain: model.ChainStatus | None) -> dict[str, object]:
    attachment = link.record.attachment
    assert isinstance(attachment, uprobe.UprobeAttachment)
    return {
        "target": attachment.target,
        "fn_name": attachment.fn_name or "",
        "offset": attachment.offset,
        "pid": attachment.pid or 0,
        "retprobe": link.record.hook == "uretprobe",
        "container_pid": attachment.container_pid or 0,
    }


def _kprobe(link: model.Link, chain: model.ChainStatus | None) -> dict[str, object]:
    attachment = link.record.attachment
    assert isinstance(attachment, kprobe.KprobeAttachment)
    return {
        "fn_name": attachment.fn_name,
        "offset": attachment.offset,
        "retprobe": link.record.hook == "kretprobe",
    }


def _aimed(link: model.Link, chain: model.ChainStatus | None) -> dict[str, object]:
    attachment = link.record.attachment
    assert isinstance(attachment, aimed.AimedAttachment)
    return {
        {"fentry": "fn_name", "fexit": "fn_name", "lsm": "hook_name"}.get(link.record.hook, "target"): attachment.target
    }


def _iterator(link: model.Link, chain: model.ChainStatus | None) -> dict[str, object]:
    return {
        name: value
        for name, value in codec.encode(link.record.attachment).items()
        if name == "target" or value is not None
    }


_DETAILS: Mapping[type, Callable[[model.Link, model.ChainStatus | None], dict[str, object]]] = {
    xdp.XdpAttachment: _xdp,
    tc.TcAttachment: _tc,
    tcx.TcxAttachment: _tcx,
    tracepoint.TracepointAttachment: _tracepoint,
    uprobe.UprobeAttachment: _uprobe,
    kprobe.KprobeAttachment: _kprobe,
    aimed.AimedAttachment: _aimed,
    iter.IteratorAttachment: _iterator,
}
"""bpfman's field names; the attachment of any other hook is printed under its own."""
