"""A chain as bpfman's dispatcher JSON, and as skep's own with counters."""

from __future__ import annotations

from collections.abc import Mapping

from skep import model
from skep.cli.document import link, verdict

Links = Mapping[model.LinkId, model.Link]


def key(record: model.ChainRecord) -> dict[str, object]:
    """Type, network namespace and interface."""
    return {"type": record.key.type, "nsid": record.key.netns, "ifindex": record.key.ifindex}


def dispatcher(chain: model.ChainStatus, links: Links) -> dict[str, object]:
    """What ``dispatcher get`` answers."""
    return {
        "key": key(chain.record),
        "revision": chain.record.revision,
        "runtime": _runtime(chain.record),
        "members": [_member(chain, index, links) for index in range(len(chain.record.members))],
    }


def dispatcher_row(chain: model.ChainStatus) -> dict[str, object]:
    """One entry of ``dispatcher list``."""
    return {
        "key": key(chain.record),
        "revision": chain.record.revision,
        "runtime": _runtime(chain.record),
        "member_count": len(chain.record.members),
    }


def full(chain: model.ChainStatus, links: Links) -> dict[str, object]:
    """What ``chain get`` answers: the dispatcher's document with packets and every member's counters."""
    document = dispatcher(chain, links)
    document["interface"] = chain.record.interface
    document["mode"] = None if chain.record.mode is None else chain.record.mode.value
    document["state"] = chain.state.value
    document["packets"] = chain.packets
    document["warnings"] = list(chain.warnings)
    return document


def linked(record: model.ChainRecord) -> bool:
    """Whether the members were linked into one program; on TCX each is a program of its own."""
    return bool(record.program_id)


def _runtime(record: model.ChainRecord) -> dict[str, object]:
    return {
        "program_id": record.program_id,
        "kernel_link_id": record.link_id or None,
        "filter_priority": record.filter_priority or None,
        "filter_handle": record.filter_handle or None,
        "netns_path": record.netns_path or "",
    }


def _member(chain: model.ChainStatus, position: int, links: Links) -> dict[str, object]:
    member, record = chain.record.members[position], chain.record
    found = links.get(member.link)
    # On TCX each program has a kernel link of its own; a linked chain has one for all.
    own = found.record if found is not None and not linked(record) else None
    return {
        "program_id": 0 if found is None else found.program_id,
        "program_name": member.name,
        "prog_pin_path": record.program_pin,
        "link_id": member.link,
        "kernel_link_id": own.kernel_ids[0] if own is not None and own.kernel_ids else record.link_id or None,
        "link_pin_path": own.pins[0] if own is not None and own.pins else record.link_pin,
        "position": position,
        "priority": member.priority,
        "proceed_on": member.proceed_on,
        "ifname": record.interface,
        "metadata": None if found is None else dict(found.record.metadata) or None,
        "proceed_on_names": list(verdict.of_mask(record.key.type, member.proceed_on)),
        "form": member.form.value if linked(record) else None,
        "counts": link.counts(chain.counts[position], record.key.type) if position < len(chain.counts) else None,
    }
