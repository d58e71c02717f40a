"""``skep map``: maps, who uses them, where they are pinned and what they hold."""

from __future__ import annotations

from collections.abc import Sequence

import click

from skep import model
from skep.cli import lazy, option, output, session, table
from skep.cli.document import kernel as document
from skep.model import kind

MAP = lazy.Group(
    name="map",
    entries=(
        lazy.Entry(name="list", target="map:list_", help="List maps."),
        lazy.Entry(name="get", target="map:get", help="Show one map and the types of its keys and values."),
        lazy.Entry(name="dump", target="contents:dump", help="Print every element."),
        lazy.Entry(name="lookup", target="contents:lookup", help="Print one element."),
        lazy.Entry(name="update", target="contents:update", help="Write one element."),
        lazy.Entry(name="delete", target="contents:delete", help="Remove one element."),
        lazy.Entry(name="events", target="contents:events", help="Print events of a ring buffer or perf buffer."),
    ),
    help="Maps: who uses them, where they are pinned, and what they hold. MAP is an id, a name, or a pin's path.",
    examples="skep map list\nskep map get counts\nskep map dump counts -o jsonl\nskep map update counts 1 0",
)


@click.command(
    "list",
    cls=lazy.Command,
    help="List maps: those that skep pins, or with --all every one in the kernel.",
    examples="skep map list\nskep map list --program-id 123\nskep map list --all -o wide",
)
@option.quiet
@click.option("--program-id", type=option.PROGRAM_ID, default=None, metavar="PROGRAM", help="Only this program's maps.")
@click.option("-a", "--all", "everything", is_flag=True, help="Also maps that skep does not pin.")
@output.option
@click.pass_obj
def list_(current: session.Session, quiet: bool, program_id: int | None, everything: bool, form: output.Format) -> None:
    """Print maps."""
    with current.open() as skep:
        maps = skep.maps()
    chosen = [
        view
        for view in maps
        if (program_id in view.programs if program_id is not None else everything or view.pins or view.programs)
    ]
    if quiet:
        form = output.Format.NAME
    output.show(
        output.View(
            document=lambda: {"maps": [document.map(view) for view in chosen]},
            items=lambda: (document.map(view) for view in chosen),
            names=lambda: (str(view.kernel.id) if quiet else f"map/{view.kernel.id}" for view in chosen),
            text=lambda wide: table.show(_table(chosen), wide=wide),
        ),
        form,
    )


@click.command(
    "get",
    cls=lazy.Command,
    help="Show one map and the types of its keys and values.",
    examples="""
        skep map get 45
        skep map get counts
        bpftool map dump pinned $(skep map get 45 -o json | jq -r .pin_path)
    """,
)
@option.map_ref
@output.option
@click.pass_obj
def get(current: session.Session, ref: str, form: output.Format) -> None:
    """Print a map."""
    from skep.cli.document import content

    with current.open() as skep:
        shape = skep.map_shape(ref)
    view = shape.view
    output.show(
        output.View(
            document=lambda: document.map(view) | content.shape(shape),
            items=lambda: [document.map(view) | content.shape(shape)],
            names=lambda: [f"map/{view.kernel.id}"],
            text=lambda wide: table.tree(_tree(shape)),
        ),
        form,
    )


def _table(maps: Sequence[model.MapView]) -> table.Table:
    columns = (
        table.Column(title="MAP ID", right=True, style="cyan"),
        table.Column(title="NAME", style="bold"),
        table.Column(title="TYPE"),
        table.Column(title="KEY", right=True),
        table.Column(title="VALUE", right=True),
        table.Column(title="ENTRIES", right=True),
        table.Column(title="PROGRAMS", folds=True),
        table.Column(title="FLAGS", right=True, wide=True),
        table.Column(title="MEMORY", right=True, wide=True),
        table.Column(title="PINS", wide=True, folds=True),
    )
    return table.Table(
        columns=columns,
        rows=tuple(
            (
                str(view.kernel.id),
                view.kernel.name,
                kind.map(view.kernel.type),
                f"{view.kernel.key_size}B",
                f"{view.kernel.value_size}B",
                str(view.kernel.max_entries),
                table.joined(view.programs, empty="-"),
                f"{view.kernel.flags:#x}",
                f"{view.kernel.memlock_bytes}B" if view.kernel.memlock_bytes else "-",
                table.joined(view.pins, empty="-"),
            )
            for view in maps
        ),
    )


def _tree(shape: model.MapShape) -> table.Section:
    view, seen = shape.view, shape.view.kernel
    return table.Section(
        title=f"Map ID: {seen.id}",
        fields=(
            ("Name", seen.name or "None"),
            ("Type", kind.map(seen.type)),
            ("Key Size", f"{seen.key_size} bytes"),
            ("Value Size", f"{seen.value_size} bytes"),
            ("Max Entries", str(seen.max_entries)),
            ("Flags", f"{seen.flags:#x}"),
            ("Memory", f"{seen.memlock_bytes} bytes" if seen.memlock_bytes else "-"),
            ("Frozen", str(seen.frozen).lower()),
            ("Programs", table.joined(view.programs)),
            *((("CPUs", str(shape.cpus)),) if shape.cpus else ()),
            *((("Types From", shape.origin),) if shape.origin else ()),
            *(("Pin", pin) for pin in view.pins),
        ),
        sections=tuple(
            table.Section(
                title=f"{title}: {type.name}, {type.size} bytes",
                fields=tuple((field.name, _member(field)) for field in type.fields),
            )
            for title, type in (("Key", shape.key), ("Value", shape.value))
            if type is not None
        ),
    )


def _member(field: model.MapField) -> str:
    """A member's type and place: "__u32 at 4", "unsigned int:3 at 8.2" for a bit field."""
    at, bit = divmod(field.bit, 8)
    return f"{field.type}:{field.bits} at {at}.{bit}" if bit or field.bits % 8 else f"{field.type} at {at}"
