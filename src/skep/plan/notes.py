"""Records kept beside the pins, so that a lost store can be rebuilt from what is in the kernel.

bpffs holds no files, but symbolic links whose target may be any text of up to 4,095 bytes. Every record that a commit
writes is also written there, as ``<pins>/notes/<kind>/<key>``: a JSON object, compressed when it would be too long. A
program's kept code goes along when it fits; without it, a chain of an adopted program can be listed and detached as a
whole, and is linked anew only after ``skep program replace`` has brought the code back. Counters' totals are not kept.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import functools
import itertools
import json
import re
import types
import typing
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from skep import errors, model, paths, steps
from skep.bytecode import relocated
from skep.hooks import codec

LONGEST = 4_000
"""Bytes of a symbolic link's target; the kernel allows PATH_MAX - 1 (linux/limits.h)."""
VERSION = 1
_PACKED = "z:"
_ENCODER = json.JSONEncoder(separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """The records that notes hold; ``damaged`` are paths of notes that cannot be read."""

    programs: Mapping[model.ProgramKey, model.ProgramRecord] = field(default_factory=dict)
    members: Mapping[model.ProgramKey, relocated.Member] = field(default_factory=dict)
    links: Mapping[model.LinkId, model.LinkRecord] = field(default_factory=dict)
    chains: Mapping[model.ChainKey, model.ChainRecord] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()


def actions(change: steps.StoreChange, pins: paths.Pins) -> Iterator[steps.Finish]:
    """What keeps the notes in step with a commit."""
    for program in change.programs:
        member = change.members.get(program.key)
        yield steps.Alias(path=pins.note("programs", program.key), target=_program(program, member))
    for link in change.links:
        yield steps.Alias(path=pins.note("links", link.id), target=_link(link))
    for chain in change.chains:
        yield steps.Alias(path=pins.note("chains", chain.key), target=_pack(_plain(chain)))
    for key in change.drop_programs:
        yield steps.RemoveAlias(path=pins.note("programs", key))
    for id in change.drop_links:
        yield steps.RemoveAlias(path=pins.note("links", id))
    for chain_key in change.drop_chains:
        yield steps.RemoveAlias(path=pins.note("chains", chain_key))


def read(found: Mapping[str, str], pins: paths.Pins) -> Noted:
    """The records in notes given as path -> target."""
    programs: dict[model.ProgramKey, model.ProgramRecord] = {}
    members: dict[model.ProgramKey, relocated.Member] = {}
    links: dict[model.LinkId, model.LinkRecord] = {}
    chains: dict[model.ChainKey, model.ChainRecord] = {}
    damaged = []
    for path, target in sorted(found.items()):
        try:
            value = _unpack(target)
            if path.startswith(pins.directory("notes/programs")):
                member = value.pop("member", None)
                program = _typed(model.ProgramRecord, value)
                assert isinstance(program, model.ProgramRecord)
                programs[program.key] = program
                if member is not None:
                    members[program.key] = _member(member)
            elif path.startswith(pins.directory("notes/links")):
                link = _read_link(value, pins)
                links[link.id] = link
            else:
                chain = _typed(model.ChainRecord, value)
                assert isinstance(chain, model.ChainRecord)
                chains[chain.key] = chain
        except (ValueError, KeyError, TypeError, AssertionError, zlib.error, errors.SkepError):
            damaged.append(path)
    return Noted(programs=programs, members=members, links=links, chains=chains, damaged=tuple(damaged))


# ---------------------------------------------------------------- records as JSON


def _program(record: model.ProgramRecord, member: relocated.Member | None) -> str:
    """With the code when that fits; else without, and at last without what only people read."""
    value = _plain(record)
    if member is not None:
        header, insns, btf = relocated.to_row(member)
        whole = _pack({**value, "member": [header, _text(insns), _text(btf)]})
        if len(whole) <= LONGEST:
            return whole
    whole = _pack(value)
    return whole if len(whole) <= LONGEST else _pack({**value, "metadata": {}, "global_data": {}})


def _link(record: model.LinkRecord) -> str:
    """With what several kernel links have in common said once; where that is not enough, with numbers for labels."""
    value = _plain(dataclasses.replace(record, attachment=None))
    value = {**value, "attachment": codec.encode(record.attachment)}
    if record.places:
        ids = record.kernel_ids
        value["pins"] = len(record.pins)
        value["kernel_ids"] = [ids[0], *(after - before for before, after in itertools.pairwise(ids))]
        value["places"] = _runs(record.places)
    whole = _pack(value)
    if len(whole) <= LONGEST or not record.places:
        return whole
    return _pack({**value, "places": [["", 0, len(record.places)]]})


def _runs(labels: tuple[str, ...]) -> list[object]:
    """Labels, of which those that only count on ("cpu 0", "cpu 1") are [words, first, how many]."""
    runs: list[tuple[str, int, int]] = []
    for label in labels:
        counted = re.fullmatch(r"(.*?)(0|[1-9][0-9]{0,9})", label, re.DOTALL)
        words, number = (label, -1) if counted is None else (counted[1], int(counted[2]))
        before = runs[-1] if runs else None
        if before is not None and number > 0 and (before[0], before[1] + before[2]) == (words, number):
            runs[-1] = (words, before[1], before[2] + 1)
        else:
            runs.append((words, number, 1))
    return [list(run) if run[1] >= 0 else run[0] for run in runs]


def _labels(runs: object) -> list[str]:
    assert isinstance(runs, list)
    found: list[str] = []
    for run in runs:
        if isinstance(run, str):
            found.append(run)
        else:
            words, first, count = run
            found.extend(f"{words}{number}" for number in range(first, first + count))
    return found


def _read_link(value: dict[str, object], pins: paths.Pins) -> model.LinkRecord:
    if value.get("places"):
        count, ids, link = value["pins"], value["kernel_ids"], value["id"]
        assert isinstance(count, int) and isinstance(ids, list) and isinstance(link, int)
        value["pins"] = [pins.link(model.LinkId(link), number) for number in range(count)]
        value["kernel_ids"] = list(itertools.accumulate(ids))
        value["places"] = _labels(value["places"])
    attachment = value.pop("attachment")
    assert isinstance(attachment, dict)
    hook = value["hook"]
    assert isinstance(hook, str)
    link = _typed(model.LinkRecord, {**value, "attachment": None})
    assert isinstance(link, model.LinkRecord)
    return dataclasses.replace(link, attachment=codec.decode(hook, attachment))


def _member(value: object) -> relocated.Member:
    assert isinstance(value, list)
    header, insns, btf = value
    return relocated.from_row(header, base64.b64decode(insns), base64.b64decode(btf))


def _text(data: bytes) -> str:
    # Not base 85, which takes less room but which Python does in Python.
    return base64.b64encode(data).decode()


def _pack(value: object) -> str:
    text = _ENCODER.encode(value)
    if len(text) <= LONGEST:
        return text
    return _PACKED + base64.b85encode(zlib.compress(text.encode(), 9)).decode()


def _unpack(text: str) -> dict[str, object]:
    if text.startswith(_PACKED):
        text = zlib.decompress(base64.b85decode(text.removeprefix(_PACKED))).decode()
    value = json.loads(text)
    if not isinstance(value, dict):
        raise TypeError("a note is an object")
    return value


# Sources are told apart by their fields: only images have a URL.
_UNIONS = {"path": model.FileSource, "url": model.ImageSource}


_AS_THEY_ARE = frozenset({str, int, float, bool, type(None)})


def _plain(value: object) -> typing.Any:  # Any: JSON
    if type(value) in _AS_THEY_ARE:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(getattr(value, name)) for name in _names(type(value))}
    match value:
        case enum.Enum():
            return value.value
        case bytes():
            return _text(value)
        case tuple() | list():
            return [_plain(one) for one in value]
        case Mapping():
            return {str(key): _plain(one) for key, one in value.items()}
        case _:
            return value


@functools.cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(one.name for one in dataclasses.fields(kind))


def _typed(hint: typing.Any, value: typing.Any) -> object:  # Any: a type expression, and JSON
    if isinstance(hint, typing.NewType):
        return _typed(hint.__supertype__, value)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        if isinstance(value, dict) and not any(one is type(None) for one in typing.get_args(hint)):
            (chosen,) = (kind for name, kind in _UNIONS.items() if name in value)
            return _typed(chosen, value)
        (inner,) = (one for one in typing.get_args(hint) if one is not type(None))
        return _typed(inner, value)
    if origin is tuple:
        return tuple(_typed(typing.get_args(hint)[0], one) for one in value)
    if origin is not None and issubclass(origin, Mapping):
        key, item = typing.get_args(hint)
        return {_typed(key, int(one) if key is int else one): _typed(item, value[one]) for one in value}
    if hint is object:
        return value
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return hint(**{name: _typed(hints[name], one) for name, one in value.items()})  # type: ignore[operator]  # a class
    if issubclass(hint, enum.Enum):
        return hint(value)
    if hint is bytes:
        return base64.b64decode(value)
    if not isinstance(value, (int, float) if hint is float else hint):
        raise TypeError(f"{value!r} is not {hint}")
    return value
