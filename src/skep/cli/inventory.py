"""``skep inventory``: everything in this kernel, managed or not, by owner."""

from __future__ import annotations

import dataclasses

import click

from skep import model
from skep.cli import lazy, output, session
from skep.cli.render import inventory as render


@click.command(
    "inventory",
    cls=lazy.Command,
    help="""Show every eBPF program, link and map in this kernel, and who owns it: skep for an application, or the
    process, pin, unit or pod that keeps it there. Memory is what the kernel charges.

    With --alerts, show what is wrong instead: programs of others that clash with skep's, those that are not sanctioned
    (inventory.sanctioned), and what somebody else detached or replaced.
    """,
    examples="skep inventory\nskep inventory --alerts\nskep inventory -o json | jq '.programs[].owner'",
)
@click.option("--managed", "only", flag_value="managed", help="Only what skep manages.")
@click.option("--foreign", "only", flag_value="foreign", help="Only what others have put there.")
@click.option("--alerts", "alerts", is_flag=True, help="Only what is wrong between skep and others.")
@output.option
@click.pass_obj
def inventory(current: session.Session, only: str | None, alerts: bool, form: output.Format) -> None:
    """Print the inventory."""
    if alerts and only is not None:
        raise click.UsageError("--alerts is about both sides: leave --managed and --foreign away")
    with current.open() as skep:
        found = skep.inventory()
    assert found is not None  # only for who says what he knows already
    if only is not None:
        wanted = model.Managed if only == "managed" else model.Foreign
        found = dataclasses.replace(
            found,
            programs=tuple(one for one in found.programs if isinstance(one.owner, wanted)),
            links=tuple(one for one in found.links if isinstance(one.owner, wanted)),
            maps=tuple(one for one in found.maps if isinstance(one.owner, wanted)),
        )
    if found.unread:
        output.note(f"{found.unread} processes could not be looked into: what they hold may seem to be nobody's")
    if found.cut:
        output.note(f"not all was looked at: there are too many {' and '.join(found.cut)}")
    output.show(render.alerts(found) if alerts else render.view(found), form)
