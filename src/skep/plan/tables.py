"""struct_ops: which map a program is part of, and which programs stand in it.

All programs of a table are loaded at once and share a set of maps, of which the table is one.
"""

from __future__ import annotations

from collections.abc import Sequence

from skep import errors, model
from skep.bytecode import struct_ops as declared
from skep.hooks import request, struct_ops
from skep.plan import find, objects
from skep.plan.world import Fresh, World


def check_whole(opened: objects.Opened, wanted: Sequence[objects.Wanted]) -> None:
    """Raise InvalidRequest when a table would be loaded without some of its programs: it could never be registered."""
    names = {one.name for one in wanted}
    if all(one.hook.name != struct_ops.HOOK.name for one in wanted):
        return
    for table in opened.tables:
        missing = [name for name in table.programs if name not in names]
        if missing and len(missing) < len(table.programs):
            raise errors.InvalidRequest(
                f"struct_ops {table.name!r} lacks {', '.join(missing)}",
                why="a table is registered with all of its programs",
                do="load them together: --programs " + ",".join(f"struct_ops:{name}" for name in table.programs),
            )


def target(
    attachment: struct_ops.StructOpsAttachment, program: model.ProgramRecord, world: World, fresh: Fresh
) -> request.StructOpsTarget:
    """What to register. Conflict: the object is lost, or a program of the table was unloaded. NotFound: no such table
    of this program. InvalidRequest: there are several."""
    table = _table(attachment.map, program, world)
    siblings = {
        one.name: one
        for one in find.users(world, program.set)
        if one.set == program.set and one.object == program.object and one.boot_id == fresh.boot.boot_id
    }
    missing = [name for name in table.programs if name not in siblings]
    if missing:
        raise errors.Conflict(
            f"struct_ops {table.name!r} cannot be registered",
            why=f"its programs {', '.join(missing)} were unloaded",
            do="load the object again",
        )
    members = tuple(
        request.StructOpsMember(
            name=one.name, data=one.data, program=siblings[one.program].pin if one.program else None
        )
        for one in table.members
    )
    (pin,) = (ref.pin for ref in program.maps if ref.name == table.name and not ref.internal)
    return request.StructOpsTarget(name=table.name, type=table.type, map=pin, linked=table.linked, members=members)


def _table(name: str, program: model.ProgramRecord, world: World) -> declared.Table:
    data = world.objects.get(program.object)
    if data is None:
        raise errors.Conflict(
            f"program {program.id} ({program.name}) cannot be registered",
            why="its object file was lost with the store, and with it what the table holds",
            do="unload it and load it again",
        )
    own = [one for one in objects.read(data).tables if program.name in one.programs]
    named = [one for one in own if name in ("", one.name)]
    names = [one.name for one in own]
    if not named:
        near = errors.near_misses(name, names)
        raise errors.NotFound(
            f"program {program.id} ({program.name}) is not in a struct_ops {name!r}",
            why="it is in " + (", ".join(names) or "none"),
            do="" if near else "name one of those, or leave the name out",
            near=near,
        )
    if len(named) > 1:
        raise errors.InvalidRequest(
            f"program {program.id} ({program.name}) is in several tables", why=", ".join(names), do="name one of them"
        )
    return named[0]
