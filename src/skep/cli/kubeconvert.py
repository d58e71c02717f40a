"""``skep kube convert``: files with objects of older kinds, rewritten."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from skep import errors
from skep.cli import exit, lazy, output, session

ENDINGS = (".yaml", ".yml", ".json")
"""Which files of a directory are looked at."""
MAX_BYTES = 16 * 1024 * 1024
OLD = 1
"""Exit code of --check when a file holds an older object, as of skep diff."""


@click.command(
    "convert",
    cls=lazy.Command,
    help=f"""Rewrite objects of bpfman 0.2 to 0.5 and of bpfd as objects of today.

    XdpProgram and the other kinds with one program, BpfApplication in its older form, BpfNsApplication and
    BpfProgramConfig become ClusterBpfApplications, or BpfApplications where they have a namespace, of the same name.
    BpfPrograms are left out: the operator writes them.

    Everything else stays as it is, to the letter. Of a converted object the labels, annotations and the comments above
    it are kept, and what only a server writes is dropped. Of a directory all {", ".join(ENDINGS)} files are read.

    What was done is told on standard error, and so is what the current kinds cannot say. If anything is wrong nothing
    is printed; with --in-place, files in which nothing is wrong are rewritten.
    """,
    examples="""
        skep kube convert xdp.yaml > app.yaml
        skep kube convert --in-place deploy/
        skep kube convert --check deploy/
        kubectl get xdpprograms,tcprograms -o yaml | skep kube convert - | kubectl apply -f -
    """,
)
@click.argument("paths", metavar="FILE|DIRECTORY|-…", nargs=-1, required=True)
@click.option("-o", "--output", "target", metavar="FILE", help="Write to this file.  [default: standard output]")
@click.option("--in-place", is_flag=True, help="Rewrite the files themselves.")
@click.option("--check", is_flag=True, help=f"Write nothing; the exit code is {OLD} if there is an older object.")
@click.pass_obj
def convert(current: session.Session, paths: tuple[str, ...], target: str | None, in_place: bool, check: bool) -> None:
    """Read everything, then write what can be written."""
    if sum((target is not None, in_place, check)) > 1:
        raise click.UsageError("--output, --in-place and --check exclude each other")
    if in_place and "-" in paths:
        raise click.UsageError("standard input cannot be rewritten in place")
    from skep.kube.older import rewrite

    seen = rewrite.Seen()
    texts: list[str] = []
    problems: list[errors.SkepError] = []
    done = 0
    for path in _files(paths):
        text = _read(path)
        made = rewrite.rewrite(_shown(path), text, seen)
        done += len(made.done)
        for line in (*made.done, *made.notes):
            output.note(line)
        problems += made.problems
        if in_place and made.text != text and not made.problems:
            _replace(Path(path), made.text)
        texts.append(made.text)
    if problems:
        for problem in problems[:-1]:
            sys.stderr.write(exit.text(problem, whole_log=current.whole_log) + "\n")
        raise problems[-1]
    if check:
        if done:
            raise click.exceptions.Exit(OLD)
    elif not in_place:
        _write(target, _joined(texts))
    if not done:
        output.note("no older object in " + ", ".join(map(_shown, paths)))


def _shown(path: str) -> str:
    return "standard input" if path == "-" else path


def _files(paths: tuple[str, ...]) -> Iterator[str]:
    """The files, those of directories in order; each once."""
    known = set()
    for path in paths:
        found = [path]
        if path != "-" and os.path.isdir(path):
            found = sorted(str(each) for each in Path(path).rglob("*") if each.suffix in ENDINGS and each.is_file())
        for each in found:
            if each not in known:
                known.add(each)
                yield each


def _read(path: str) -> str:
    from skep.kube.plain import files

    try:
        return files.data(path, MAX_BYTES).decode()
    except UnicodeDecodeError as error:
        raise errors.InvalidRequest(
            f"cannot read {_shown(path)}", why=str(error), do="name a YAML or JSON file"
        ) from error


def _joined(texts: list[str]) -> str:
    """Several files as one."""
    made = ""
    for text in texts:
        if not text.strip():
            continue
        if made and not text.startswith("---"):
            made += "---\n"
        made += text if text.endswith("\n") else text + "\n"
    return made


def _write(target: str | None, text: str) -> None:
    if target is None:
        sys.stdout.write(text)
        return
    try:
        Path(target).write_text(text)
    except OSError as error:
        raise errors.Denied(f"cannot write {target}", why=error.strerror or "", do="name another file") from error


def _replace(path: Path, text: str) -> None:
    """Write a file anew as a whole: whoever reads it meanwhile finds the old or the new one."""
    real = Path(os.path.realpath(path))
    try:
        handle, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
        try:
            with os.fdopen(handle, "w") as stream:
                stream.write(text)
            os.chmod(name, stat.S_IMODE(real.stat().st_mode))
            os.replace(name, real)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise errors.Denied(f"cannot write {path}", why=error.strerror or "", do="check who may write there") from error
