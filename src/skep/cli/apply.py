"""``skep apply``, ``diff`` and ``delete``: make this host run what application files say."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from dataclasses import dataclass

import click

from skep import errors, model
from skep.cli import application, door, exit, lazy, objectfile, operate, option, output, pulling, session, table
from skep.kube import host, reconcile, resources

DIFFERENT = 1
"""Exit code of ``skep diff`` when something would change, as of diff and kubectl diff."""
FAILED, SKIPPED = "failed", "skipped"

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of one program or link."""

    application: str
    action: reconcile.Action
    result: str
    id: int | None
    detail: str


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
    applications = application.read(files)
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
    applications = application.read(files)
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
    keys = application.keys(files)
    with current.open() as skep:
        plans = [(key, reconcile.actions(None, *_seen(skep, key))) for key in keys]
        for key, actions in plans:
            if not actions:
                output.note(f"nothing of {key} is here")
        if dry_run:
            _show(_foreseen(plans), form, note="nothing was changed (--dry-run)")
            return
        _act(skep, current, plans, form)


Plans = list[tuple[str, tuple[reconcile.Action, ...]]]


def _plans(skep: door.Skep, current: session.Session, applications: tuple[resources.Application, ...]) -> Plans:
    """What to do for each application; whatever is wrong with any is found here, before anything is done."""
    there = application.here(current)
    programs = [host.programs(each, there) for each in applications]
    plans = []
    for each, wanted in zip(applications, programs, strict=True):
        plans.append((each.key, reconcile.actions(_wanted(skep, each, wanted), *_seen(skep, each.key))))
    return plans


def _wanted(
    skep: door.Skep, each: resources.Application, programs: tuple[reconcile.WantedProgram, ...]
) -> reconcile.Wanted:
    source: model.Source
    if isinstance(each.byte_code, str):
        object = objectfile.read(each.byte_code)
        source, digest = objectfile.source(each.byte_code), hashlib.sha256(object).hexdigest()
    else:
        if each.byte_code.secret is not None:
            output.note(f"{each.key}: a plain host has no secrets; the login is looked for as 'skep image pull' does")
        asked = pulling.request(each.byte_code.url, each.byte_code.policy, None)
        found = pulling.pull(skep, asked)
        object, digest = b"", found.digest
        source = model.ImageSource(url=asked.url, pull_policy=asked.policy, digest=digest)
    owner = None
    if each.map_owner is not None:
        owner = host.owner(each, _managed(skep, model.ProgramFilter(managed_only=True)))
    return reconcile.Wanted(
        metadata=host.metadata(each),
        source=source,
        object=object,
        digest=digest,
        global_data=each.global_data,
        map_owner=owner,
        programs=programs,
    )


def _seen(skep: door.Skep, key: str) -> tuple[tuple[model.Program, ...], tuple[model.Link, ...]]:
    mine = {reconcile.OWNER: key}
    programs = _managed(skep, model.ProgramFilter(managed_only=True, metadata=mine))
    return programs, skep.links(model.LinkFilter(metadata=mine))


def _managed(skep: door.Skep, filter: model.ProgramFilter) -> tuple[model.Program, ...]:
    return tuple(each for each in skep.programs(filter) if isinstance(each, model.Program))


def _act(skep: door.Skep, current: session.Session, plans: Plans, form: output.Format) -> None:
    """Do it all, print what became of it, and fail as the first of the failures."""
    rows: list[Row] = []
    failures: list[errors.SkepError] = []
    for key, actions in plans:
        _Run(skep, current, key, rows, failures).all(actions)
    _show(rows, form)
    if failures:
        for failure in failures[1:]:
            sys.stderr.write(exit.text(failure, whole_log=current.whole_log) + "\n")
        raise failures[0]


@dataclass(slots=True)
class _Run:
    """The actions of one application, one after the other; a program's id is known when it is loaded."""

    skep: door.Skep
    current: session.Session
    key: str
    rows: list[Row]
    failures: list[errors.SkepError]

    def all(self, actions: tuple[reconcile.Action, ...]) -> None:
        ids: dict[str, model.ProgramId] = {}
        broken: set[str] = set()
        for action in actions:
            if action.program in broken and action.noun == "program" and action.operation is None:
                self._row(action, FAILED)
                continue
            if action.program in broken and isinstance(action.operation, model.Attach):
                self._row(action, SKIPPED, detail="its program is not loaded")
                continue
            if broken and isinstance(action.operation, model.Unload):
                self._row(action, SKIPPED, id=action.id, detail="what should come for it is not loaded")
                continue
            try:
                done = self._do(action, ids)
            except errors.SkepError as error:
                self.failures.append(error)
                self._row(action, FAILED, detail=error.what)
                if action.names:
                    broken |= set(action.names)
                continue
            for program in done.programs if done else ():
                ids[program.record.name] = program.record.id
            self._row(action, action.verb, id=_id(action, done, ids))

    def _do(self, action: reconcile.Action, ids: dict[str, model.ProgramId]) -> model.Done | None:
        match action.operation:
            case None:
                return None
            case model.Attach() as attach:
                op: model.Operation = dataclasses.replace(attach, program=ids.get(action.program, attach.program))
            case other:
                op = other
        return operate.run(self.skep, op, self.current, f"{self.key}: {action.noun} {action.program}")

    def _row(self, action: reconcile.Action, result: str, *, id: int | None = None, detail: str = "") -> None:
        self.rows.append(Row(application=self.key, action=action, result=result, id=id, detail=detail or action.detail))


def _id(action: reconcile.Action, done: model.Done | None, ids: dict[str, model.ProgramId]) -> int | None:
    match action.operation:
        case model.Attach() if done is not None and done.links:
            return done.links[0]
        case model.UpdateLink(link=link) | model.Detach(link=link):
            return link
        case model.Unload(program=program):
            return program
    return ids.get(action.program, action.id) if action.noun == "program" else action.id


def _foreseen(plans: Plans) -> list[Row]:
    return [
        Row(application=key, action=action, result=action.verb, id=action.id, detail=action.detail)
        for key, actions in plans
        for action in actions
    ]


def _show(rows: list[Row], form: output.Format, *, note: str = "") -> None:
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


def _document(row: Row) -> dict[str, object]:
    action = row.action
    return {
        "application": row.application, "what": action.noun, "id": row.id, "type": action.hook,
        "program": action.program, "at": action.place, "result": str(row.result), "detail": row.detail,
    }  # fmt: skip
