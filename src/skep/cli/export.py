"""``skep export``: what runs here as application files, which ``skep apply`` and kubectl take."""

from __future__ import annotations

import json
import sys

import click

from skep import errors, model
from skep.cli import lazy, operate, output, session
from skep.kube import export as exporting
from skep.kube import host, reconcile


@click.command(
    "export",
    cls=lazy.Command,
    help="""Write what runs here as application files, for skep apply and kubectl.

    One object for each application name, as skep apply or program load --application gave it; all of them without
    names. Programs without one are left out.
    """,
    examples="skep export counter > counter.yaml\nskep export -o json",
)
@click.argument("names", metavar="APPLICATION…", nargs=-1)
@click.option(
    "-o", "--output", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="The form."
)
@click.pass_obj
def export(current: session.Session, names: tuple[str, ...], form: str) -> None:
    """Print the objects that can be made; fail for the others."""
    with current.open() as skep:
        seen = skep.programs(model.ProgramFilter(managed_only=True))
        links = skep.links(model.LinkFilter())
    groups: dict[str, list[model.Program]] = {}
    nameless = []
    for program in seen:
        if not isinstance(program, model.Program) or program.status.kernel is None:
            continue
        metadata = program.record.metadata
        if name := metadata.get(host.APPLICATION):
            # Programs of one name that were loaded by hand are not those that were applied.
            mine = reconcile.OWNER in metadata
            groups.setdefault(f"{'applied ' if mine else ''}{name}", []).append(program)
        else:
            nameless.append(program.record.id)
    chosen = _chosen(names, groups)
    if nameless and not names:
        output.note(f"left out, having no application name: {', '.join(f'program {id}' for id in nameless)}")
    documents = []

    def write(number: int) -> None:
        key = chosen[number]
        documents.append(exporting.application(key.removeprefix("applied "), tuple(groups[key]), links))

    try:
        operate.each(range(len(chosen)), write, ignore_missing=False)
    finally:
        _print(documents, form)


def _chosen(names: tuple[str, ...], groups: dict[str, list[model.Program]]) -> list[str]:
    if not names:
        return sorted(groups)
    chosen = []
    for name in dict.fromkeys(names):
        found = [key for key in (f"applied {name}", name) if key in groups]
        if not found:
            known = [key.removeprefix("applied ") for key in groups]
            raise errors.NotFound(
                f"no application {name} runs here",
                near=errors.near_misses(name, known),
                do="see 'skep program list'" if not errors.near_misses(name, known) else "",
            )
        chosen += found
    return chosen


def _print(documents: list[dict[str, object]], form: str) -> None:
    if form == "json":
        if documents:
            several = {"apiVersion": "v1", "kind": "List", "items": documents}
            sys.stdout.write(json.dumps(documents[0] if len(documents) == 1 else several, indent=2) + "\n")
        return
    for number, document in enumerate(documents):
        if number:
            sys.stdout.write("---\n")
        output.yaml(document)
