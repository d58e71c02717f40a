"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from skep import errors, model

Decorator = Callable[..., Any]  # Any: click's decorators


class IdType(click.ParamType[int]):
    """A number that names something, also as ``-o name`` prints it: "program/12"."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self.name = f"{noun} id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # Any: click
        """The number: 1 to 2**32 - 1."""
        text = str(value).removeprefix(f"{self.noun}/")
        if text.isascii() and text.isdigit() and 0 < int(text) < 2**32:
            return int(text)
        self.fail(f"{value!r} is not a {self.name}: it is a number such as 12", param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """The ids that are there now; nothing when skep cannot be asked."""
        from click.shell_completion import CompletionItem

        from skep.cli import session

        try:
            with ctx.ensure_object(session.Session).open() as skep:
                return [
                    CompletionItem(id, help=help) for id, help in _known(self.noun, skep) if id.startswith(incomplete)
                ]
        except (errors.SkepError, OSError, ImportError):
            return []


def _known(noun: str, skep: Any) -> list[tuple[str, str]]:  # Any: door.Skep, not imported for speed
    if noun == "program":
        found = skep.programs(model.ProgramFilter(managed_only=True))
        return [(str(each.record.id), f"{each.record.hook} {each.record.name}") for each in found]
    if noun == "link":
        links = skep.links(model.LinkFilter())
        return [(str(each.record.id), f"{each.record.hook} {each.program_name}") for each in links]
    return [(str(view.kernel.id), view.kernel.name) for view in skep.maps() if view.pins]


def _types(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[click.shell_completion.CompletionItem]:
    """Program types, also after a comma."""
    from click.shell_completion import CompletionItem

    from skep import hooks

    before, comma, begun = incomplete.rpartition(",")
    return [CompletionItem(before + comma + name) for name in hooks.declarable() if name.startswith(begun)]


PROGRAM_ID = IdType("program")
LINK_ID = IdType("link")


def _complete_map(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names and ids of the maps that skep pins; nothing when skep cannot be asked."""
    from skep.cli import session

    try:
        with ctx.ensure_object(session.Session).open() as skep:
            ours = [view.kernel for view in skep.maps() if view.pins or view.programs]
    except (errors.SkepError, OSError, ImportError):
        return []
    words = [word for one in ours for word in (one.name, str(one.id))]
    return sorted({word for word in words if word and word.startswith(incomplete)})


map_ref = click.argument("ref", metavar="MAP", shell_complete=_complete_map)

quiet = click.option("-q", "--quiet", is_flag=True, help="Print ids only, one per line.")
dry_run = click.option("--dry-run", is_flag=True, help="Print the steps of the plan and change nothing.")
ignore_missing = click.option("--ignore-missing", is_flag=True, help="Succeed when it is gone already.")
metadata = click.option(
    "-m", "--metadata", "metadata", multiple=True, metavar="KEY=VALUE", help="Label to keep with it; may be repeated."
)
select_metadata = click.option(
    "-m",
    "--metadata-selector",
    "metadata",
    multiple=True,
    metavar="KEY=VALUE",
    help="Only programs with this label; may be repeated.",
)
application = click.option("-a", "--application", default=None, metavar="APP", help="Application that it belongs to.")
select_application = click.option(
    "--application", default=None, metavar="APP", help="Only programs of this application."
)
global_data = click.option(
    "-g",
    "--global",
    "global_data",
    multiple=True,
    metavar="NAME=HEX",
    help="Value of a global variable: NAME=HEX, bytes as in memory, or NAME:u32=NUMBER; may be repeated.",
)
map_owner = click.option("--map-owner-id", type=PROGRAM_ID, metavar="PROGRAM", help="Use this program's maps.")
program_type = click.option(
    "-p",
    "--program-type",
    "types",
    multiple=True,
    metavar="TYPE,…",
    help="Only programs of these types.",
    shell_complete=_types,
)
more_types = click.option(
    "--type",
    "more_types",
    multiple=True,
    metavar="TYPE,…",
    help="Only programs of these types.",
    shell_complete=_types,
)
kinds = click.option(
    "--kind", "kinds", multiple=True, metavar="TYPE,…", help="Only links of these types.", shell_complete=_types
)


def _keep_log(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        from skep.cli import session

        ctx.ensure_object(session.Session).whole_log = True


verifier_log = click.option(
    "--verifier-log",
    is_flag=True,
    expose_value=False,
    callback=_keep_log,
    help="On a rejection print the verifier's whole log.",
)
