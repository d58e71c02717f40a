"""``skep feature``: what this kernel can, each found out by trying."""

from __future__ import annotations

from collections.abc import Sequence

import click

from skep import errors, model
from skep.cli import lazy, output, session, table
from skep.cli.document import history as document

_TITLES = {
    model.FeatureGroup.TYPE: "PROGRAM TYPE",
    model.FeatureGroup.LINK: "LINKS AND ORDER",
    model.FeatureGroup.KERNEL: "KERNEL",
}


@click.command(
    "feature",
    cls=lazy.Command,
    help="Show what this kernel can; each feature was tried, no version was compared. What it cannot is told with the "
    "kernel's answer and what would be needed. NAME is a feature or several by a shell pattern.",
    examples="""
        skep feature
        skep feature 'cgroup*'
        skep feature fentry -o json | jq -r '.features[].needs'
    """,
)
@click.argument("name", required=False)
@click.option("--missing", is_flag=True, help="Only what this kernel cannot.")
@output.option
@click.pass_obj
def feature(current: session.Session, name: str | None, missing: bool, form: output.Format) -> None:
    """Print features."""
    with current.open() as skep:
        found = skep.features()
    if name is not None:
        found = _named(found, name)
    if missing:
        found = tuple(each for each in found if not each.available)
    output.show(
        output.View(
            document=lambda: {"features": [document.feature(each) for each in found]},
            items=lambda: (document.feature(each) for each in found),
            names=lambda: (f"feature/{each.name}" for each in found),
            text=lambda wide: _show(found, wide=wide),
        ),
        form,
    )


FEATURE: click.Command = feature


def _named(features: Sequence[model.Feature], name: str) -> tuple[model.Feature, ...]:
    import fnmatch

    found = tuple(each for each in features if fnmatch.fnmatchcase(each.name, name))
    if not found:
        near = errors.near_misses(name, [each.name for each in features])
        raise errors.NotFound(f"no feature {name!r}", near=near, do="" if near else "see 'skep feature'")
    return found


def _show(found: Sequence[model.Feature], *, wide: bool) -> None:
    """A table for each group, which another daemon may not tell."""
    groups = dict.fromkeys(each.group for each in found)
    for place, group in enumerate(groups):
        if place:
            print()
        known = next((title for kind, title in _TITLES.items() if kind.value == group), "FEATURE")
        columns = (
            table.Column(title=known, style="bold"),
            table.Column(title="HERE", styles={"yes": "green", "": "red"}),
            table.Column(title="SINCE"),
            table.Column(title="NEEDS", folds=True),
            table.Column(title="NOTE", folds=True, spare=1),
            table.Column(title="CONFIG", wide=True, folds=True),
        )
        rows = tuple(_row(each) for each in found if each.group == group)
        table.show(table.Table(columns=columns, rows=rows), wide=wide)


def _row(each: model.Feature) -> tuple[str, ...]:
    """ "yes", or the errno in its place: it is the answer that the kernel gave."""
    here = "yes" if each.available else document.errno_name(each.errno)
    note = "; ".join(filter(None, (each.lasting, each.note)))
    return (each.name, here, each.first or "-", each.needs or "-", note or "-", table.joined(each.config, empty="-"))
