"""Which map a caller means by an id, a name or a pin; what may be done with it; and of which types its contents are."""

from __future__ import annotations

import sys

from skep import errors, model
from skep.bytecode import btf, kernel_types
from skep.inventory import maps
from skep.inventory import seen as looking
from skep.kernel import door
from skep.values import declared, fields, kinds

_NAME = 15


def view(kernel: door.Kernel, seen: looking.Seen, caller: model.Caller, ref: str) -> model.MapView:
    """The map behind "12", "counts" or "/sys/fs/bpf/counts". NotFound; InvalidRequest for a name that many have."""
    text = ref.removeprefix("map/")
    if text.isascii() and text.isdigit():
        return maps.one(kernel, seen, model.MapId(int(text)))
    if text.startswith("/"):
        return maps.one(kernel, seen, kernel.map_at(caller, text))
    found = [one for one in maps.listed(kernel, seen) if one.kernel.name and _is_called(one, seen, text)]
    # Of several with a name, the one that skep manages is meant; of an exact name, no other.
    for better in (
        [one for one in found if one.programs or one.pins],
        [one for one in found if _declared(one, seen, text)],
    ):
        found = better or found
    match found:
        case [only]:
            return maps.one(kernel, seen, only.kernel.id)
        case []:
            near = errors.near_misses(text, {one.kernel.name for one in maps.listed(kernel, seen)})
            raise errors.NotFound(f"no map {ref!r}", near=near, do="" if near else "see 'skep map list --all'")
        case _:
            ids = ", ".join(
                f"{one.kernel.id} (program {', '.join(map(str, one.programs))})" if one.programs else f"{one.kernel.id}"
                for one in found
            )
            raise errors.InvalidRequest(f"{len(found)} maps are called {ref!r}", why=f"ids {ids}", do="give the id")


def _is_called(one: model.MapView, seen: looking.Seen, name: str) -> bool:
    """The kernel keeps 15 characters, of data sections behind a prefix; records keep the whole name."""
    return one.kernel.name == name[:_NAME] or _declared(one, seen, name)


def _declared(one: model.MapView, seen: looking.Seen, name: str) -> bool:
    return any(
        ref.name == name and ref.pin in one.pins for record in seen.records.programs.values() for ref in record.maps
    )


def managed(kernel: door.Kernel, seen: looking.Seen, one: model.MapView) -> bool:
    """Whether a managed program uses the map, or a map of maps that a managed program uses holds it."""
    if one.programs or one.pins:
        return True
    wanted = one.kernel.id.to_bytes(4, sys.byteorder)
    for outer in maps.listed(kernel, seen):
        if (outer.programs or outer.pins) and kinds.kind(outer.kernel.type).refers is kinds.Refers.MAP:
            token = b""
            while True:
                page, token = kernel.elements(outer.kernel.id, token, 4096)
                if any(values[0] == wanted for _, values in page):
                    return True
                if not token:
                    break
    return False


def check_managed(kernel: door.Kernel, seen: looking.Seen, one: model.MapView, *, unsafe: bool) -> None:
    """Raise Denied for a map of somebody else's, unless the caller insists."""
    if not unsafe and not managed(kernel, seen, one):
        raise errors.Denied(
            f"{named(one)} is not skep's to change",
            why="no managed program uses it",
            do="--unsafe-foreign does it all the same",
        )


def check_writable(one: model.MapView) -> None:
    """Raise for a map that user space cannot write."""
    kind = kinds.kind(one.kernel.type)
    if one.kernel.frozen:
        raise errors.Conflict(
            f"{named(one)} cannot be written",
            why="it is frozen: constant from its load on",
            do="set the value when the program is loaded",
        )
    if kind.shape in (kinds.Shape.OPAQUE, kinds.Shape.RECORDS):
        raise errors.InvalidRequest(
            f"{named(one)} has no elements to write", why=f"it is a {kind.name}", do="read its events instead"
        )


def check_readable(one: model.MapView) -> None:
    """Raise for a map whose elements user space cannot read."""
    kind = kinds.kind(one.kernel.type)
    if kind.shape is kinds.Shape.RECORDS:
        raise errors.InvalidRequest(
            f"{named(one)} has no elements", why=f"it is a {kind.name}", do=f"see 'skep map events {one.kernel.id}'"
        )
    if kind.shape is kinds.Shape.OPAQUE:
        raise errors.InvalidRequest(
            f"{named(one)} cannot be read",
            why=f"the kernel shows no elements of a {kind.name}",
            do="look at the map itself with 'skep map get'",
        )


def named(one: model.MapView) -> str:
    """A map as a message names it."""
    return f"map {one.kernel.id}" + (f" ({one.kernel.name})" if one.kernel.name else "")


def types(kernel: door.Kernel, seen: looking.Seen, one: model.MapView) -> declared.Types:
    """Of which types keys and values are: as the kernel knows, or else as a program that uses the map declares."""
    found = one.kernel
    if found.btf_id and (found.key_type_id or found.value_type_id):
        own = parsed(kernel, found.btf_id)
        return declared.Types(btf=own, key=found.key_type_id, value=found.value_type_id, origin="the map")
    if found.kernel_value_type_id:
        try:
            part, value = kernel_types.part(kernel.kernel_types(), found.kernel_value_type_id)
        except errors.BadObject:
            part, value = btf.Btf(()), 0
        if value and part.size_of(value) == found.value_size:
            return declared.Types(btf=part, key=0, value=value, origin="the kernel")
    for program in _users(seen, found.id):
        theirs = parsed(kernel, program.btf_id)
        ids = declared.find(theirs, found.name)
        if ids is None:
            continue
        # A declaration of the same name need not be of this map.
        key, value = (
            id if id and (not size or theirs.size_of(id) == size) else 0
            for id, size in zip(ids, (found.key_size, found.value_size), strict=True)
        )
        if key or value:
            return declared.Types(btf=theirs, key=key, value=value, origin=f"program {program.id}")
    return declared.Types(btf=btf.Btf(()))


def event_type(kernel: door.Kernel, seen: looking.Seen, one: model.MapView, name: str) -> tuple[btf.Btf, int]:
    """The type of a buffer's events: the one of that name, or with none the declared one (id 0: unknown). NotFound."""
    if not name:
        for program in _users(seen, one.kernel.id):
            theirs = parsed(kernel, program.btf_id)
            _, type_id = declared.find(theirs, one.kernel.name) or (0, 0)
            # A perf buffer's value is declared as a descriptor of 4 bytes, which says nothing of its events.
            if theirs.size_of(type_id) <= 4:
                type_id = declared.pointed_at(theirs)
            if type_id:
                return theirs, type_id
        return btf.Btf(()), 0
    known: set[str] = set()
    for id in dict.fromkeys((one.kernel.btf_id, *(user.btf_id for user in _users(seen, one.kernel.id)))):
        blob = parsed(kernel, id)
        type_id = declared.named(blob, name)
        if type_id and blob.size_of(type_id):
            return blob, type_id
        known.update(declared.names(blob))
    raise errors.NotFound(
        f"no type {name!r}",
        why=f"the programs that use {named(one)} know no such type" if known else f"no BTF tells of {named(one)}",
        near=errors.near_misses(name, known),
    )


def described(types: btf.Btf, type_id: int) -> model.MapType | None:
    """A type for people, None for no type."""
    if not type_id:
        return None
    one = types.resolve(type_id)
    members = fields(types, one) if one is not None and one.kind in _AGGREGATES else ()
    return model.MapType(
        name=types.spell(type_id),
        size=types.size_of(type_id),
        fields=tuple(
            model.MapField(name=field.name, type=types.spell(field.type_id), bit=field.bit, bits=field.size)
            for field in members
        ),
    )


_AGGREGATES = (btf.Kind.STRUCT, btf.Kind.UNION, btf.Kind.DATASEC)


def parsed(kernel: door.Kernel, id: int) -> btf.Btf:
    """BTF by id; none when there is none that we understand."""
    blob = kernel.btf(id) if id else b""
    try:
        return btf.parse(blob) if blob else btf.Btf(())
    except errors.BadObject:
        return btf.Btf(())


def _users(seen: looking.Seen, id: model.MapId) -> tuple[model.KernelProgram, ...]:
    return tuple(one for one in seen.kernel.values() if one.btf_id and id in one.map_ids)
