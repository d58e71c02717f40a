"""What an object file offers, checked against what a caller asks of it: programs, maps, variables. Shared by the verbs
that load one."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skep import errors, hooks, model, steps
from skep.bytecode import elf, maps, programs, struct_ops, variables
from skep.bytecode.recent import OBJECTS, recent
from skep.hooks import freplace

BPF_F_SLEEPABLE = 1 << 4
"""Program flag (linux/bpf.h, Linux 5.10); libbpf sets it for sections it knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One program of an object, with the type it will have."""

    name: str
    section: str
    hook: hooks.Hook[Any]  # Any: the table's element type
    attach_func: str | None = None

    def load(self, pin: model.ProgramPin, features: frozenset[str]) -> steps.ProgramLoad:
        """What a kernel with these ``features`` is asked for."""
        aim = None
        if self.hook.name == freplace.HOOK.name and self.attach_func is not None:
            aim = freplace.parse(self.attach_func)
        return steps.ProgramLoad(
            name=self.name,
            pin=pin,
            prog_type=self.hook.prog_type,
            expected_attach_type=self.hook.attach_type(self.section, features),
            prog_flags=(self.hook.frags_flag if hooks.has_frags(self.section) else 0)
            | (BPF_F_SLEEPABLE if self.hook.always_sleepable or hooks.is_sleepable(self.section) else 0),
            attach_func=self.attach_func if aim is None else aim.function,
            attach_program=None if aim is None else aim.program,
        )


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An object that was read. ``digest`` is the SHA-256 of its bytes. No slots: it remembers its maps."""

    data: bytes
    elf: elf.Object
    digest: model.Digest
    license: str

    @functools.cached_property
    def declared(self) -> tuple[maps.Map, ...]:
        """The object's maps. BadObject: a name that cannot be a pin."""
        found = maps.maps(self.elf)
        for one in found:
            if not one.name or "/" in one.name or "." in one.name:
                raise errors.BadObject(
                    f"map {one.name!r} cannot be pinned",
                    why="bpffs refuses '.' and '/' in names",
                    do="rename the map in the program",
                )
        return found

    @functools.cached_property
    def tables(self) -> tuple[struct_ops.Table, ...]:
        """The object's struct_ops, which libbpf makes maps of too."""
        return struct_ops.tables(self.elf)


@recent(OBJECTS)
def read(data: bytes) -> Opened:
    """Read an object. Exhausted above 16 MiB, before anything looks at it; BadObject."""
    if len(data) > model.MAX_OBJECT_BYTES:
        raise errors.Exhausted(
            f"the object has {len(data)} bytes", why=f"the limit is {model.MAX_OBJECT_BYTES}", do="strip its debug info"
        )
    whole = elf.parse(data)
    return Opened(
        data=data,
        elf=whole,
        digest=model.Digest(hashlib.sha256(data).hexdigest()),
        license=programs.licence(whole),
    )


def wanted(opened: Opened, specs: Sequence[model.ProgramSpec]) -> tuple[Wanted, ...]:
    """The programs that are asked for. InvalidRequest: none, or one twice. NotFound: no such program. Conflict: its
    section is of another type than declared. Unsupported: a type that skep does not have."""
    if not specs:
        known = ", ".join(f"{one.name} ({one.section})" for one in programs.programs(opened.elf))
        raise errors.InvalidRequest(
            "no program is named", why=f"the object has {known or 'none'}", do="name at least one"
        )
    names = [spec.name for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise errors.InvalidRequest(f"program {name!r} is named twice", do="name each program once")
    return tuple(_wanted(opened, spec) for spec in specs)


def _wanted(opened: Opened, spec: model.ProgramSpec) -> Wanted:
    found = programs.find(opened.elf, spec.name)
    hook = hooks.from_section(found.section)
    if spec.hook is None:
        if hook is None:
            raise errors.Unsupported(
                f"program {spec.name!r} cannot be loaded",
                feature=f"section {found.section!r}",
                why=f"skep has no program type for its section {found.section!r}",
                do="name its type if it is one of " + ", ".join(hooks.declarable()),
            )
    else:
        declared = hooks.by_name(spec.hook)
        if hook is None and not hooks.is_foreign(found.section):
            hook = declared
        elif hook is None or not hook.accepts(spec.hook):
            raise errors.Conflict(
                f"program type mismatch: {spec.name!r} was declared as {spec.hook}",
                why=f"its section {found.section!r} makes it " + (hook.name if hook else "something else"),
                do=f"declare it as {hook.name}" if hook else "",
            )
        elif hook.chosen:
            hook = declared
    return Wanted(
        name=spec.name,
        section=found.section,
        hook=hook,
        attach_func=hook.target(found.section, spec.attach_func),
    )


def patches(opened: Opened, values: Mapping[str, bytes]) -> tuple[steps.Patch, ...]:
    """Initial values of global variables. InvalidRequest names the variables there are, or the size that is right."""
    if not values:
        return ()
    known = variables.variables(opened.elf)
    made = []
    for name, data in sorted(values.items()):
        found = next((one for one in known if one.name == name), None)
        if found is None:
            there = ", ".join(f"{one.name} ({one.size} bytes)" for one in known)
            near = errors.near_misses(name, [one.name for one in known])
            do = "name one of those" if known else "compile it with -g, which describes its variables"
            raise errors.InvalidRequest(
                f"the object has no global variable {name!r}",
                why="it has " + (there or "none, or was compiled without -g"),
                do=f"did you mean {', '.join(near)}?" if near else do,
            )
        variables.check_value(found, data)
        made.append(steps.Patch(section=found.section, offset=found.offset, data=data))
    return tuple(made)


def sections(opened: Opened) -> tuple[maps.DataSection, ...]:
    """The object's data sections, which libbpf makes maps of."""
    return maps.data_sections(opened.elf)
