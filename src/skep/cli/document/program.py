"""A program as bpfman's JSON: {record, status}, and one row of ``program list``."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from skep import model, paths
from skep.cli import when
from skep.cli.document import kernel
from skep.model import kind

APPLICATION = "bpfman.io/application"
"""Metadata key of ``-a/--application``; bpfman's."""
OLD_APPLICATION = "bpfman_application"
"""The same of bpfman 0.5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a program's document shows of other objects."""

    links: Sequence[model.Link] = ()
    chains: Mapping[model.ChainKey, model.ChainStatus] = field(default_factory=dict)
    maps: Mapping[model.MapId, model.MapView] = field(default_factory=dict)


def full(program: model.Program, around: Surroundings, host: kernel.Host) -> dict[str, object]:
    """What ``program get`` answers, and ``program load`` for each program."""
    from skep.cli.document import link

    stored, seen = program.record, program.status.kernel
    maps = [around.maps[id] for id in seen.map_ids if id in around.maps] if seen else []
    own = [each for each in around.links if each.record.program == stored.key]
    return {
        "record": record(program),
        "status": {
            "kernel": None if seen is None else kernel.program(seen, host),
            "stats": None if seen is None else kernel.statistics(seen, host),
            "prog_pin": alias_pin(program),
            "map_dir": program.map_dir,
            "bytecode": _source_path(stored) or "",
            "links": [link.full(each, around.chains) for each in own],
            "maps": [kernel.map(view, _pin_of(stored, view)) for view in maps],
            "map_used_by": list(program.used_by),
            "pin_present": program.status.pin_present,
            "stale": program.status.stale,
        },
    }


def record(program: model.Program) -> dict[str, object]:
    """What is stored of a program."""
    from skep import hooks

    stored = program.record
    source = stored.source
    return {
        "program_id": stored.id,
        "load": {
            "object_path": _source_path(stored) or "",
            "source_path": _source_path(stored),
            "program_name": stored.name,
            "program_type": stored.hook,
            # Go prints bytes as base64, and so do scripts read them.
            "global_data": {
                name: base64.b64encode(value).decode() for name, value in sorted(stored.global_data.items())
            },
            "image_source": {
                "url": source.url,
                "digest": source.digest,
                "pull_policy": source.pull_policy,
                "trust": source.trust,
            }
            if isinstance(source, model.ImageSource)
            else None,
            "attach_func": stored.attach_func,
            "map_owner_id": stored.owner_id,
            "object_digest": stored.object,
            "section": stored.section,
        },
        "license": stored.license,
        "gpl_compatible": stored.gpl_compatible,
        "has_xdp_frags": stored.hook == "xdp" and hooks.has_frags(stored.section),
        "handles": {
            "pin_path": alias_pin(program),
            "map_pin_path": program.map_dir,
            "map_owner_id": stored.owner_id,
            "pin": stored.pin,
        },
        "meta": {
            "name": stored.name,
            "owner": "",
            "description": "",
            "metadata": dict(sorted(stored.metadata.items())),
        },
        "created_at": when.stamp(stored.created_at),
        "updated_at": None if stored.updated_at is None else when.stamp(stored.updated_at),
        "generation": stored.generation,
        "loaded_by": {
            "uid": stored.loaded_by.uid,
            "gid": stored.loaded_by.gid,
            "pid": stored.loaded_by.pid,
            "origin": stored.loaded_by.origin,
        },
    }


def row(program: model.Program | model.ForeignProgram, host: kernel.Host) -> dict[str, object]:
    """One entry of ``program list``."""
    if isinstance(program, model.ForeignProgram):
        return {
            "program_id": program.kernel.id,
            "managed": False,
            "application": "",
            "type": kind.program(program.kernel.type),
            "function_name": program.kernel.name,
            "links": [],
            "record": None,
            "kernel": kernel.program(program.kernel, host),
        }
    seen = program.status.kernel
    return {
        "program_id": program.record.id,
        "managed": True,
        "application": application(program),
        "type": program.record.hook,
        "function_name": program.record.name,
        "links": list(program.links),
        "record": record(program),
        "kernel": None if seen is None else kernel.program(seen, host),
    }


def application(program: model.Program) -> str:
    """The application a program belongs to, "" for none."""
    metadata = program.record.metadata
    return metadata.get(APPLICATION) or metadata.get(OLD_APPLICATION) or ""


def alias_pin(program: model.Program) -> str:
    """The pin under bpfman's name, ``<pins>/prog_<id>``: a symbolic link to the program's own pin."""
    root = program.record.pin.rpartition("/progs/")[0]
    return paths.Pins(root).alias_program(program.record.id)


def _source_path(stored: model.ProgramRecord) -> str | None:
    return stored.source.path if isinstance(stored.source, model.FileSource) else None


def _pin_of(stored: model.ProgramRecord, view: model.MapView) -> str:
    """The pin under which this program has the map, where several lead to it."""
    own = {reference.pin for reference in stored.maps}
    return next((pin for pin in view.pins if pin in own), "")
