"""``skep feature``: what this kernel can, each found out by trying."""

from __future__ import annotations

import errno

import click

from skep import errors
from skep.cli import lazy, output, session, table
from skep.cli.document import history as document


@click.command(
    "feature",
    cls=lazy.Command,
    help="Show what this kernel can; each feature was tried, no version was compared.",
    examples="skep feature\nskep feature tcx -o json",
)
@click.argument("name", required=False)
@output.option
@click.pass_obj
def feature(current: session.Session, name: str | None, form: output.Format) -> None:
    """Print features."""
    with current.open() as skep:
        found = skep.features()
    if name is not None:
        known = [each.name for each in found]
        found = tuple(each for each in found if each.name == name)
        if not found:
            raise errors.NotFound(f"no feature {name!r}", near=errors.near_misses(name, known))
    columns = (
        table.Column(title="FEATURE", style="bold"),
        table.Column(title="AVAILABLE"),
        table.Column(title="FIRST LINUX"),
        table.Column(title="ERROR"),
        table.Column(title="NOTE", folds=True),
    )
    rows = tuple(
        (
            each.name,
            "yes" if each.available else "no",
            each.first or "-",
            errno.errorcode.get(each.errno, str(each.errno)) if each.errno else "-",
            each.note,
        )
        for each in found
    )
    output.show(
        output.View(
            document=lambda: {"features": [document.feature(each) for each in found]},
            items=lambda: (document.feature(each) for each in found),
            names=lambda: (f"feature/{each.name}" for each in found),
            text=lambda wide: table.show(table.Table(columns=columns, rows=rows), wide=wide),
        ),
        form,
    )


FEATURE: click.Command = feature
