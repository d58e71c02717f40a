"""``skep doctor`` and ``skep adopt``: where kernel, pins and store differ, and taking a lost pin back."""

from __future__ import annotations

import click

from skep import model
from skep.cli import lazy, operate, option, output, session, table
from skep.cli.document import history as document


@click.command(
    "doctor",
    cls=lazy.Command,
    help="""Report where kernel, pins and store differ, and what to do. Nothing is changed. The exit code is 1 when
    there is something to report.
    """,
    examples="skep doctor\nskep doctor -o json",
)
@output.option
@click.pass_context
def doctor(ctx: click.Context, form: output.Format) -> None:
    """Print findings."""
    current = ctx.ensure_object(session.Session)
    with current.open() as skep:
        found = skep.doctor()

    def text(wide: bool) -> None:
        for finding in found:
            print(f"{finding.kind}: {finding.subject}\n    {finding.explanation}\n    to do: {finding.remedy}")
        match len(found):
            case 0:
                print("kernel, pins and store agree")
            case 1:
                print("1 finding")
            case several:
                print(f"{several} findings")

    output.show(
        output.View(
            document=lambda: {"findings": [document.finding(finding) for finding in found]},
            items=lambda: (document.finding(finding) for finding in found),
            names=lambda: (finding.subject for finding in found),
            text=text,
        ),
        form,
    )
    if found:
        ctx.exit(1)


@click.command(
    "adopt",
    cls=lazy.Command,
    help="""Manage pinned programs again that the store does not know; skep doctor names them. Nothing in the kernel
    changes.
    """,
    examples="skep adopt /sys/fs/bpf/skep/progs/3-1\nskep adopt --all --dry-run",
)
@click.argument("pins", metavar="PIN…", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Everything that doctor finds adoptable.")
@option.dry_run
@output.option
@click.pass_obj
def adopt(
    current: session.Session, pins: tuple[str, ...], everything: bool, dry_run: bool, form: output.Format
) -> None:
    """Adopt pins."""
    if bool(pins) is everything:
        raise click.UsageError("name pins, or give --all")
    with current.open() as skep:
        chosen = tuple(each.subject for each in skep.doctor() if each.adoptable) if everything else pins
        adopted: list[model.Program] = []
        for pin in chosen:
            op = model.Adopt(pin=pin)
            if dry_run:
                operate.preview(skep, op, form)
            else:
                adopted += operate.run(skep, op, current, f"adopting {pin}").programs
    if dry_run:
        return
    rows = tuple((str(each.record.id), each.record.hook, each.record.name, each.record.pin) for each in adopted)
    titles = ("PROGRAM ID", "TYPE", "FUNCTION NAME", "PIN")
    items = [
        {"program_id": each.record.id, "type": each.record.hook, "name": each.record.name, "pin": each.record.pin}
        for each in adopted
    ]
    output.show(
        output.View(
            document=lambda: {"programs": items},
            items=lambda: items,
            names=lambda: (f"program/{each.record.id}" for each in adopted),
            text=lambda wide: table.show(
                table.Table(columns=tuple(table.Column(title=title) for title in titles), rows=rows), wide=wide
            ),
        ),
        form,
    )


DOCTOR: click.Command = doctor
ADOPT: click.Command = adopt
