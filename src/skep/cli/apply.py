"""``skep apply``, ``diff`` and ``delete``: make this host run what application files say."""

from __future__ import annotations

import hashlib
import sys

import click

from skep.cli import door, exit, lazy, objectfile, operate, option, output, pulling, session, table
from skep.kube import act, host, reconcile, resources
from skep.kube.plain import files as applicationfiles
from skep.kube.plain import sight

DIFFERENT = 1
"""Exit code of ``skep diff`` when something would change, as of diff and kubectl diff."""

files = click.option(
    "-f",
    "--filename",
    "files",
    multiple=True,
    required=True,
    metavar="FILE",
    type=click.Path(allow_dash=True),
    help="YAML or JSON file, - for standard input; may be repeated.",
)


@click.command(
    "apply",
    cls=lazy.Command,
    help="""Make this host run what application files say.

    Programs are loaded, replaced and unloaded, links attached, changed and detached until each application is as its
    file says. What was not applied is left alone. Applying a file twice changes nothing. What is wrong with a file, or
    with what it names, is told before anything is done; what the kernel then refuses does not keep the rest from being
    done.
    """,
    examples="""
        skep apply -f app.yaml
        skep apply -f app.yaml --dry-run
        kubectl get clusterbpfapplication counter -o yaml | skep apply -f -
    """,
)
@files
@option.dry_run
@option.verifier_log
@output.option
@click.pass_obj
def apply(current: session.Session, files: tuple[str, ...], dry_run: bool, form: output.Format) -> None:
    """Read everything, decide everything, then act."""
    applications = applicationfiles.read(files)
    with current.open() as skep:
        plans = _plans(skep, current, applications)
        if dry_run:
            _show(_foreseen(plans), form, note="nothing was changed (--dry-run)")
            return
        _act(skep, current, plans, form)


@click.command(
    "diff",
    cls=lazy.Command,
    help=f"Show what apply would change. The exit code is {DIFFERENT} if there is anything, else 0.",
    examples="skep diff -f app.yaml",
)
@files
@output.option
@click.pass_obj
def diff(current: session.Session, files: tuple[str, ...], form: output.Format) -> None:
    """Print what is not as it should be."""
    applications = applicationfiles.read(files)
    with current.open() as skep:
        rows = _foreseen(_plans(skep, current, applications))
    different = [row for row in rows if row.action.verb is not reconcile.Verb.UNCHANGED]
    _show(different, form)
    if different:
        raise click.exceptions.Exit(DIFFERENT)


@click.command(
    "delete",
    cls=lazy.Command,
    help="Unload the programs of applications that were applied, by the files that name them.",
    examples="skep delete -f app.yaml\nskep delete -f app.yaml --dry-run",
)
@files
@option.dry_run
@output.option
@click.pass_obj
def delete(current: session.Session, files: tuple[str, ...], dry_run: bool, form: output.Format) -> None:
    """Remove all that an application owns; nothing is wrong if there is nothing."""
    keys = applicationfiles.keys(files)
    with current.open() as skep:
        plans = [act.removal(key, act.observe(skep, key)) for key in keys]
        for plan in plans:
            if not plan.actions:
                output.note(f"nothing of {plan.key} is here")
        if dry_run:
            _show(_foreseen(plans), form, note="nothing was changed (--dry-run)")
            return
        _act(skep, current, plans, form)


def _plans(
    skep: door.Skep, current: session.Session, applications: tuple[resources.Application, ...]
) -> list[act.Plan]:
    """What to do for each application; whatever is wrong with any is found here, before anything is done."""
    there = sight.here(skep.describe_host())
    programs = [host.programs(each, there) for each in applications]
    plans = []
    for each, wanted in zip(applications, programs, strict=True):
        code = _code(skep, each)
        plans.append(act.decide(each, wanted, code, act.owner(skep, each), act.observe(skep, each.key)))
    return plans


def _code(skep: door.Skep, each: resources.Application) -> act.Code:
    if isinstance(each.byte_code, str):
        object = objectfile.read(each.byte_code)
        digest = hashlib.sha256(object).hexdigest()
        return act.Code(source=objectfile.source(each.byte_code), digest=digest, object=object)
    if each.byte_code.secret is not None:
        output.note(f"{each.key}: a plain host has no secrets; the login is looked for as 'skep image pull' does")
    asked = pulling.request(each.byte_code.url, each.byte_code.policy, None)
    with pulling.shown(f"pulling {asked.url}") as show:
        return act.pulled(skep, asked, show)


def _act(skep: door.Skep, current: session.Session, plans: list[act.Plan], form: output.Format) -> None:
    """Do it all, print what became of it, and fail as the first of the failures."""
    rows: list[act.Row] = []
    for plan in plans:
        done = act.run(skep, plan, wait=current.wait, around=operate.waiting)
        for row in done:
            output.warnings(row.warnings)
        rows += done
    _show(rows, form)
    failures = [row.error for row in rows if row.error is not None]
    if failures:
        for failure in failures[1:]:
            sys.stderr.write(exit.text(failure, whole_log=current.whole_log) + "\n")
        raise failures[0]


def _foreseen(plans: list[act.Plan]) -> list[act.Row]:
    return [row for plan in plans for row in act.foreseen(plan)]


def _show(rows: list[act.Row], form: output.Format, *, note: str = "") -> None:
    def text(wide: bool) -> None:
        columns = (
            table.Column(title="APPLICATION", folds=True),
            table.Column(title="WHAT"),
            table.Column(title="ID", right=True),
            table.Column(title="TYPE"),
            table.Column(title="PROGRAM"),
            table.Column(title="AT", folds=True),
            table.Column(title="RESULT", styles={"failed": "red", "unchanged": "dim"}),
            table.Column(title="DETAIL", folds=True, spare=1),
        )
        cells = (
            (row.application, row.action.noun, "" if row.id is None else str(row.id), row.action.hook,
             row.action.program, row.action.place, row.result, row.detail)
            for row in rows
        )  # fmt: skip
        table.show(table.Table(columns=columns, rows=tuple(cells)), wide=wide)
        if note:
            print(note)

    def documents() -> list[object]:
        return [_document(row) for row in rows]

    output.show(
        output.View(
            document=lambda: {"actions": documents()},
            items=documents,
            names=lambda: [f"{row.action.noun}/{row.id}" for row in rows if row.id is not None],
            text=text,
        ),
        form,
    )


def _document(row: act.Row) -> dict[str, object]:
    action = row.action
    return {
        "application": row.application, "what": action.noun, "id": row.id, "type": action.hook,
        "program": action.program, "at": action.place, "result": str(row.result), "detail": row.detail,
    }  # fmt: skip
