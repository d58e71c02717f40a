"""Records as rows and back: scalars have columns of their own, what is nested goes into one JSON ``detail`` column."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from skep import errors, model, steps
from skep.bytecode import relocated
from skep.hooks import codec

Row: TypeAlias = tuple[Any, ...]
"""What SQLite gives and takes: int, float, str, bytes or None by column."""

PROGRAM_COLUMNS: Final = (
    "key, generation, id, tag, loaded_at_ns, boot_id, name, hook, section, prog_type, object, pin, map_set, owner_set, "
    "owner_id, attach_func, license, gpl_compatible, created_at, updated_at, detail"
)
LINK_COLUMNS: Final = "id, program, kind, attachment, netns, ifindex, priority, mode, boot_id, created_at, detail"
CHAIN_COLUMNS: Final = "type, netns, ifindex, revision, program_id, link_id, boot_id, detail"
EVENT_COLUMNS: Final = "id, at, operation, verb, subject, caller, outcome, detail, duration_ms"


def program_row(record: model.ProgramRecord) -> Row:
    """One row of ``programs``."""
    detail = {
        "source": _source_json(record.source),
        "maps": [[one.name, one.pin, one.internal, one.shared] for one in record.maps],
        "metadata": dict(record.metadata),
        "global_data": {name: data.hex() for name, data in record.global_data.items()},
        "loaded_by": _caller_json(record.loaded_by),
    }
    return (
        record.key, record.generation, record.id, record.tag, record.loaded_at_ns, record.boot_id, record.name,
        record.hook, record.section, record.prog_type, record.object or None, record.pin, record.set, record.owner,
        record.owner_id, record.attach_func, record.license, int(record.gpl_compatible), record.created_at,
        record.updated_at, _dump(detail),
    )  # fmt: skip


def program_record(row: Row) -> model.ProgramRecord:
    """The inverse of ``program_row``."""
    (
        key, generation, id, tag, loaded_at_ns, boot_id, name, hook, section, prog_type, object, pin, map_set,
        owner_set, owner_id, attach_func, license, gpl_compatible, created_at, updated_at, text,
    ) = row  # fmt: skip
    detail = json.loads(text)
    return model.ProgramRecord(
        key=key,
        generation=generation,
        id=id,
        tag=tag,
        loaded_at_ns=loaded_at_ns,
        boot_id=boot_id,
        name=name,
        hook=hook,
        section=section,
        prog_type=prog_type,
        object=object or model.Digest(""),
        source=_source(detail["source"]),
        pin=pin,
        set=map_set,
        maps=tuple(
            model.MapRef(name=name, pin=pin, internal=internal, shared=shared)
            for name, pin, internal, shared in detail["maps"]
        ),
        owner=owner_set,
        owner_id=owner_id,
        attach_func=attach_func,
        license=license,
        gpl_compatible=bool(gpl_compatible),
        metadata=detail["metadata"],
        global_data={name: bytes.fromhex(data) for name, data in detail["global_data"].items()},
        loaded_by=_caller(detail["loaded_by"]),
        created_at=created_at,
        updated_at=updated_at,
    )


def member_row(key: model.ProgramKey, member: relocated.Member) -> Row:
    """One row of ``members``."""
    header, insns, btf = relocated.to_row(member)
    return key, _dump(header), insns, btf


def member(row: Row) -> relocated.Member:
    """The inverse of ``member_row``, without the key."""
    header, insns, btf = row
    return relocated.from_row(json.loads(header), insns, btf)


def link_row(record: model.LinkRecord) -> Row:
    """One row of ``links``."""
    chain = record.chain
    detail = {
        "pins": list(record.pins),
        "kernel_ids": list(record.kernel_ids),
        "places": list(record.places),
        "chain": None if chain is None else [chain.type, chain.netns, chain.ifindex],
        "fallback": record.fallback,
        "process_start": record.process_start,
        "metadata": dict(record.metadata),
    }
    return (
        record.id, record.program, record.hook, _dump(codec.encode(record.attachment)), record.netns, record.ifindex,
        record.priority, record.mode, record.boot_id, record.created_at, _dump(detail),
    )  # fmt: skip


def link_record(row: Row) -> model.LinkRecord:
    """The inverse of ``link_row``."""
    id, program, kind, attachment, netns, ifindex, priority, mode, boot_id, created_at, text = row
    detail = json.loads(text)
    return model.LinkRecord(
        id=id,
        program=program,
        hook=kind,
        attachment=codec.decode(kind, json.loads(attachment)),
        pins=tuple(detail["pins"]),
        kernel_ids=tuple(detail["kernel_ids"]),
        places=tuple(detail.get("places", ())),  # older rows have none
        netns=netns,
        ifindex=ifindex,
        chain=None if detail["chain"] is None else _chain_key(*detail["chain"]),
        priority=priority,
        mode=None if mode is None else model.XdpMode(mode),
        fallback=detail["fallback"],
        process_start=detail.get("process_start", 0),  # an older skep did not write it
        metadata=detail["metadata"],
        boot_id=boot_id,
        created_at=created_at,
    )


def chain_row(record: model.ChainRecord) -> Row:
    """One row of ``chains``."""
    detail = {
        "interface": record.interface,
        "netns_path": record.netns_path,
        "members": [
            [one.link, one.program, one.name, one.priority, one.proceed_on, one.form] for one in record.members
        ],
        "link_pin": record.link_pin,
        "program_pin": record.program_pin,
        "counts_pin": record.counts_pin,
        "mode": record.mode,
        "filter": [record.filter_priority, record.filter_handle],
    }
    key = record.key
    return (
        key.type, key.netns, key.ifindex, record.revision, record.program_id, record.link_id, record.boot_id,
        _dump(detail),
    )  # fmt: skip


def chain_record(row: Row) -> model.ChainRecord:
    """The inverse of ``chain_row``."""
    type, netns, ifindex, revision, program_id, link_id, boot_id, text = row
    detail = json.loads(text)
    priority, handle = detail.get("filter", (0, 0))  # not there in the first releases
    return model.ChainRecord(
        key=_chain_key(type, netns, ifindex),
        revision=revision,
        interface=detail["interface"],
        netns_path=detail["netns_path"],
        members=tuple(
            model.ChainMember(
                link=link, program=program, name=name, priority=priority, proceed_on=proceed_on,
                form=model.MemberForm(form),
            )
            for link, program, name, priority, proceed_on, form in detail["members"]
        ),
        link_pin=detail["link_pin"],
        program_pin=detail["program_pin"],
        counts_pin=detail["counts_pin"],
        program_id=program_id,
        link_id=link_id,
        mode=None if detail["mode"] is None else model.XdpMode(detail["mode"]),
        boot_id=boot_id,
        filter_priority=priority,
        filter_handle=handle,
    )  # fmt: skip


def counts_row(link: model.LinkId, counts: model.Counts) -> Row:
    """One row of ``counts``."""
    return link, counts.runs, counts.proceeded, _dump({str(code): packets for code, packets in counts.stopped.items()})


def counts(row: Row) -> model.Counts:
    """The inverse of ``counts_row``, without the link."""
    runs, proceeded, stopped = row
    return model.Counts(
        runs=runs, proceeded=proceeded, stopped={int(code): packets for code, packets in json.loads(stopped).items()}
    )


def event_row(event: model.Event) -> Row:
    """One row of ``events`` without its id, which SQLite gives."""
    return (
        event.at, event.operation, event.verb, event.subject, _dump(_caller_json(event.caller)), event.outcome,
        event.detail, event.duration_ms,
    )  # fmt: skip


def event(row: Row) -> model.Event:
    """One row of ``events``, its id first."""
    id, at, operation, verb, subject, caller, outcome, detail, duration_ms = row
    return model.Event(
        id=id,
        at=at,
        operation=operation,
        verb=verb,
        subject=subject,
        caller=_caller(json.loads(caller)),
        outcome=outcome,
        detail=detail,
        duration_ms=duration_ms,
    )


_FINISHES: Final[Mapping[str, Callable[..., steps.Finish]]] = {
    one.__name__: one
    for one in (
        steps.DetachLink, steps.Unregister, steps.Unpin, steps.RemoveDirectory, steps.RenamePin, steps.PointLink,
        steps.PointTable, steps.Alias, steps.RemoveAlias, steps.Absorb,
    )
}  # fmt: skip


def finish_json(finish: tuple[steps.Finish, ...]) -> str:
    """Repeatable steps as a JSON list: ``[["Unpin", {"pin": "/…"}], …]``. Their fields are text or lists of numbers."""
    return _dump([[type(one).__name__, {name: getattr(one, name) for name in one.__slots__}] for one in finish])


def finish(text: str) -> tuple[steps.Finish, ...]:
    """The inverse of ``finish_json``; Broken for a step this skep does not know."""
    found: list[steps.Finish] = []
    for name, fields in json.loads(text):
        kind = _FINISHES.get(name)
        if kind is None:
            raise errors.Broken(
                "a pending plan cannot be read",
                why=f"this skep knows no step {name!r}",
                do="start the newer skep again",
            )
        found.append(kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}))
    return tuple(found)


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _dump(value: object) -> str:
    return _ENCODER.encode(value)


def _chain_key(type: str, netns: int, ifindex: int) -> model.ChainKey:
    return model.ChainKey(type=type, netns=model.NetnsInode(netns), ifindex=model.IfIndex(ifindex))


def _source_json(source: model.Source) -> dict[str, str]:
    match source:
        case model.FileSource():
            return {"path": source.path}
        case model.ImageSource():
            fields = {"url": source.url, "pull_policy": source.pull_policy, "digest": source.digest}
            return {**fields, "trust": source.trust}


def _source(fields: Mapping[str, str]) -> model.Source:
    return model.FileSource(path=fields["path"]) if "path" in fields else model.ImageSource(**fields)


def _caller_json(caller: model.Caller) -> list[object]:
    return [caller.uid, caller.gid, caller.pid, list(caller.groups), caller.origin]


def _caller(fields: list[Any]) -> model.Caller:  # Any: JSON
    uid, gid, pid, groups, origin = fields
    return model.Caller(uid=uid, gid=gid, pid=pid, groups=tuple(groups), origin=origin)
