"""What has to change so that a host runs an application: wanted against seen, as operations. Pure.

Programs and links that were applied carry the application's key in their metadata; nothing else is ever touched. A link
is the same link while it is at the same place: its order and verdicts can change under it, anything else makes another.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skep import hooks, model
from skep.hooks import codec

OWNER = "skep/applied"
"""Metadata of programs: the key of the application that wants them (``resources.Application.key``)."""
PLACE = "skep/place"
"""Metadata of links: the place that was asked for, which a link's record has in other words."""
_MOVABLE = ("priority", "proceed_on")


class Verb(enum.StrEnum):
    """What becomes of a program or link."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedProgram:
    """A program and its attachments by place. ``labels``: by place, metadata of links besides their place."""

    spec: model.ProgramSpec
    links: Mapping[str, object] = field(default_factory=dict)
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An application as one host shall run it.

    ``digest``: of the object's bytes, or of the image; "" of a file that the daemon reads: then its path tells whether
    it is another. ``anew``: no program is kept or replaced in place; what is there goes when the new ones are loaded.
    """

    metadata: Mapping[str, str]
    source: model.Source
    object: bytes = field(default=b"", repr=False)
    digest: str
    global_data: Mapping[str, bytes] = field(default_factory=dict)
    map_owner: model.ProgramId | None = None
    programs: tuple[WantedProgram, ...]
    anew: bool = False

    @property
    def read_file(self) -> bool:
        """Whether the daemon reads the file."""
        return isinstance(self.source, model.FileSource) and not self.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One line of what is done. ``operation`` None: nothing has to be.

    ``program`` is the name of the program it is about; an Attach is for whatever id that program has by then, since
    loading and replacing give new ones. ``names``: of a load, all its programs.
    """

    verb: Verb
    noun: str
    program: str
    hook: str
    place: str = ""
    detail: str = ""
    operation: model.Operation | None = None
    names: tuple[str, ...] = ()
    id: int | None = None
    """The program's or link's, where there is one already."""
    back: model.ReplaceProgram | None = None
    """Of a replacement: what gives the program its old code back, once its id is known."""


def place(
    hook: hooks.Hook[Any], attachment: object, instead: Mapping[str, str] | None = None
) -> str:  # Any: see hooks.HOOKS
    """The place of an attachment as text, without what can change under a link.

    ``instead``: what stands for a field ("netns", "container_pid") whose value is only how the place is reached now.
    """
    value = _standing(codec.encode(attachment), instead or {})
    if hook.interface is not None:
        value = {name: item for name, item in value.items() if name not in _MOVABLE}
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _standing(value: Mapping[str, object], instead: Mapping[str, str]) -> dict[str, object]:
    return {
        name: _standing(item, instead) if isinstance(item, Mapping) else instead.get(name, item)
        for name, item in value.items()
    }


def actions(
    wanted: Wanted | None, programs: tuple[model.Program, ...], links: tuple[model.Link, ...]
) -> tuple[Action, ...]:
    """What to do, in order: programs come, what is not wanted goes, then links come. ``wanted`` None: all goes.

    So whoever stops at a load that is refused has lost nothing. ``programs`` and ``links`` are those of the application
    only. A program that is no longer in the kernel (after a reboot) and a link that no longer runs are made anew; the
    remains of such a program go first, for the kernel may give its id to another.
    """
    wanted_programs = {_identity_wanted(each): each for each in wanted.programs} if wanted else {}
    kept: dict[str, model.Program] = {}
    dead: list[Action] = []
    gone: list[Action] = []
    for program in programs:
        each = wanted_programs.get(_identity_seen(program))
        if each is None and wanted is not None:
            each = next((one for one in wanted.programs if _matches(one, program)), None)
        alive = program.status.kernel is not None
        if wanted is not None and wanted.anew:
            each = None
        if each is not None and alive and each.spec.name not in kept:
            kept[each.spec.name] = program
            continue
        if alive:
            gone.append(_unload(program, "its maps are made anew" if wanted is not None and wanted.anew else ""))
        else:
            dead.append(_unload(program, program.status.stale or "not in the kernel"))
    by_program: dict[int, list[model.Link]] = {}
    for link in links:
        by_program.setdefault(link.record.program, []).append(link)
    loose: list[Action] = []
    rest: list[Action] = []
    for one in wanted.programs if wanted else ():
        seen = kept.get(one.spec.name)
        removed, others = _links(one, seen, by_program.get(seen.record.key, []) if seen else [])
        loose += removed
        rest += others
    return (*dead, *(_programs(wanted, kept) if wanted else ()), *gone, *loose, *rest)


def _identity_wanted(each: WantedProgram) -> tuple[str, str | None, str | None]:
    return each.spec.name, each.spec.hook, each.spec.attach_func


def _identity_seen(program: model.Program) -> tuple[str, str | None, str | None]:
    return program.record.name, program.record.hook, program.record.attach_func


def _matches(each: WantedProgram, program: model.Program) -> bool:
    """The same program although its section said what it is loaded for, or which of a family it is."""
    record, spec = program.record, each.spec
    if spec.name != record.name or spec.attach_func is not None or spec.hook is None:
        return False
    hook = hooks.by_name(record.hook)
    return spec.hook == record.hook or (hook.accepts(spec.hook) and not hook.chosen)


def _unload(program: model.Program, detail: str) -> Action:
    return Action(
        verb=Verb.REMOVED, noun="program", program=program.record.name, hook=program.record.hook, detail=detail,
        id=program.record.id,
        operation=model.Unload(program=program.record.id),
    )  # fmt: skip


def _programs(wanted: Wanted, kept: Mapping[str, model.Program]) -> list[Action]:
    """Keep, replace, and load what is missing: with the maps of those that are there, as if loaded with them."""
    found = []
    for each in wanted.programs:
        program = kept.get(each.spec.name)
        if program is not None:
            found.append(_kept(wanted, each, program))
    missing = tuple(each.spec for each in wanted.programs if each.spec.name not in kept)
    if missing:
        owner = wanted.map_owner
        if owner is None and kept:
            owner = next(iter(kept.values())).record.id
        load = model.Load(
            object=wanted.object,
            source=wanted.source,
            programs=missing,
            metadata=wanted.metadata,
            global_data=wanted.global_data,
            map_owner=owner,
            read_file=wanted.read_file,
        )
        first, *others = missing
        found.append(
            Action(
                verb=Verb.CREATED, noun="program", program=first.name, hook=first.hook or "", operation=load,
                names=tuple(spec.name for spec in missing),
            )
        )  # fmt: skip
        found += [Action(verb=Verb.CREATED, noun="program", program=one.name, hook=one.hook or "") for one in others]
    return found


def _kept(wanted: Wanted, each: WantedProgram, program: model.Program) -> Action:
    reasons = _differences(wanted, program.record)
    operation = back = None
    record = program.record
    if reasons:
        back = model.ReplaceProgram(
            program=record.id,
            object=b"",
            stored=record.object,
            source=record.source,
            name=record.name,
            global_data=record.global_data,
        )
        operation = model.ReplaceProgram(
            program=record.id,
            object=wanted.object,
            source=wanted.source,
            name=each.spec.name,
            global_data=wanted.global_data,
            read_file=wanted.read_file,
        )
    return Action(
        verb=Verb.CHANGED if reasons else Verb.UNCHANGED, noun="program", program=each.spec.name,
        hook=program.record.hook, detail=", ".join(reasons), operation=operation,
        id=record.id, back=back,
    )  # fmt: skip


def _differences(wanted: Wanted, record: model.ProgramRecord) -> list[str]:
    source = record.source
    if isinstance(wanted.source, model.ImageSource):
        new = not isinstance(source, model.ImageSource) or source.digest != wanted.digest
    else:
        new = record.object != wanted.digest if wanted.digest else source != wanted.source
    reasons = ["other code"] if new else []
    if dict(record.global_data) != dict(wanted.global_data):
        reasons.append("other global data")
    return reasons


def _links(
    each: WantedProgram, program: model.Program | None, links: list[model.Link]
) -> tuple[list[Action], list[Action]]:
    """Links that go, and links that come, change or stay."""
    removed: list[Action] = []
    others: list[Action] = []
    hook = hooks.by_name(program.record.hook if program else each.spec.hook or "")
    seen: dict[str, model.Link] = {}
    for link in links:
        where = link.record.metadata.get(PLACE)
        if where is None:
            # Attached by hand to an applied program: not ours to take away.
            continue
        defunct = link.status.state is model.LinkState.DEFUNCT
        if where not in each.links or where in seen or defunct:
            summary = hook.summary(link.record.attachment)
            removed.append(
                Action(
                    verb=Verb.REMOVED, noun="link", program=each.spec.name, hook=hook.name, place=summary,
                    detail=link.status.reason or "defunct" if defunct else "",
                    operation=model.Detach(link=link.record.id), id=link.record.id,
                )
            )  # fmt: skip
        else:
            seen[where] = link
    for where, attachment in each.links.items():
        if where in seen:
            others.append(_same(each, hook, seen[where], attachment))
        else:
            others.append(
                Action(
                    verb=Verb.CREATED, noun="link", program=each.spec.name, hook=hook.name,
                    place=hook.summary(attachment),
                    operation=model.Attach(
                        program=program.record.id if program else model.ProgramId(0),
                        attachment=attachment, metadata={**each.labels.get(where, {}), PLACE: where},
                    ),
                )
            )  # fmt: skip
    return removed, others


def _same(
    each: WantedProgram, hook: hooks.Hook[Any], link: model.Link, attachment: object
) -> Action:  # Any: see hooks.HOOKS
    """A link at its place; its order and verdicts as wanted."""
    changed = {}
    if hook.interface is not None:
        for name in _MOVABLE:
            new, old = getattr(attachment, name, None), getattr(link.record.attachment, name, None)
            if new is not None and new != old:
                changed[name] = (old, new)
    told = ", ".join(
        f"priority {old} -> {new}" if name == "priority" else "other verdicts" for name, (old, new) in changed.items()
    )
    operation = None
    if changed:
        operation = model.UpdateLink(
            link=link.record.id,
            priority=changed["priority"][1] if "priority" in changed else None,
            proceed_on=changed["proceed_on"][1] if "proceed_on" in changed else None,
        )
    return Action(
        verb=Verb.CHANGED if changed else Verb.UNCHANGED, noun="link", program=each.spec.name, hook=hook.name,
        place=hook.summary(attachment), detail=told, operation=operation, id=link.record.id,
    )  # fmt: skip
