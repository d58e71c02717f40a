"""``skep map``: maps, who uses them and where they are pinned."""

from __future__ import annotations

from collections.abc import Sequence

import click

from skep import model
from skep.cli import kind, lazy, option, output, session, table
from skep.cli.document import kernel as document

MAP = lazy.Group(
    name="map",
    entries=(
        lazy.Entry(name="list", target="map:list_", help="List maps."),
        lazy.Entry(name="get", target="map:get", help="Show one map."),
    ),
    help="List maps, who uses them and where they are pinned.",
    examples="skep map list\nskep map list --program-id 123\nskep map get 45 -o json",
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
    help="Show one map.",
    examples="skep map get 45\nbpftool map dump pinned $(skep map get 45 -o json | jq -r .pin_path)",
)
@click.argument("map_id", metavar="MAP", type=option.MAP_ID)
@output.option
@click.pass_obj
def get(current: session.Session, map_id: int, form: output.Format) -> None:
    """Print a map."""
    with current.open() as skep:
        view = skep.map(model.MapId(map_id))
    output.show(
        output.View(
            document=lambda: document.map(view),
            items=lambda: [document.map(view)],
            names=lambda: [f"map/{view.kernel.id}"],
            text=lambda wide: table.tree(_tree(view)),
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


def _tree(view: model.MapView) -> table.Section:
    seen = view.kernel
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
            *(("Pin", pin) for pin in view.pins),
        ),
    )
