"""``skep program run`` and ``skep link read``: programs run on request, and what iterators print."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click

from skep import errors, hooks, model
from skep.cli import attach, door, lazy, option, output, packet, session, table
from skep.hooks import iter as iterator
from skep.hooks import runs

LIMIT = click.option("--limit", type=click.IntRange(min=1), default=None, metavar="N", help="End after N bytes.")


def _through(command: Any) -> Any:  # Any: click's decorators
    """What an iterator goes through, as ``link attach iter`` takes it."""
    command.params[1:1] = [attach.parameter(row) for row in iterator.OPTIONS]
    return command


@_through
@click.command(
    "run",
    cls=lazy.Command,
    help="Run a program once, or many times, without attaching it, on a packet or a context; an iterator is read.\n\n"
    "What a program does while it runs is real: it writes to its maps, and a syscall program makes its system calls. "
    "Running is a change: it needs the rights of one, and is written to the history.",
    examples="""
        skep program run 123 --data udp4
        skep program run 123 --data @packet.bin --repeat 100000
        skep program run 124 --context hex:0100000000000000 -o json
        skep program run 125 --pid 1
    """,
)
@click.argument("program_id", metavar="PROGRAM", type=option.PROGRAM_ID)
@click.option(
    "--data",
    default=None,
    metavar="DATA",
    help=f"The packet, with its Ethernet header: hex:…, @FILE, or a kind: {', '.join(packet.KINDS)}.",
)
@click.option("--context", default=None, metavar="DATA", help="The program's context: hex:… or @FILE.")
@click.option(
    "--repeat",
    type=click.IntRange(1, runs.MOST_TIMES),
    default=None,
    metavar="N",
    help=f"Run N times, at most {runs.MOST_TIMES}, and at most ten seconds; tells the average duration.",
)
@LIMIT
@output.option
@click.pass_obj
def run(
    current: session.Session,
    /,
    program_id: int,
    data: str | None,
    context: str | None,
    repeat: int | None,
    limit: int | None,
    form: output.Format,
    **through: Any,  # the iterators' own names
) -> None:
    """Print what came of it."""
    said = {name: value for name, value in through.items() if value is not None}
    wanted = model.Run(
        program=model.ProgramId(program_id),
        packet=b"" if data is None else _data(data, "packet", packet.KINDS),
        context=b"" if context is None else _data(context, "context", ()),
        repeat=repeat or 1,
    )
    with current.open() as skep:
        found = skep.program(wanted.program)
        if isinstance(found, model.Program) and found.record.hook == iterator.HOOK.name:
            if data is not None or context is not None or repeat is not None:
                raise click.UsageError("an iterator is read: it takes no --data, --context or --repeat")
            show(
                skep,
                model.ReadIterator(
                    program=wanted.program, attachment=hooks.by_name("iter").build(said), limit=limit or 0
                ),
            )
            return
        if said or limit is not None:
            raise click.UsageError(f"only iterators take --{next(iter([*said, 'limit']))}")
        ran = skep.run_program(wanted)
    output.warnings(ran.warnings)
    output.show(
        output.View(
            document=lambda: document(ran, wanted),
            items=lambda: [document(ran, wanted)],
            names=lambda: [ran.verdict or str(ran.answer)],
            text=lambda wide: table.tree(_tree(ran, wanted)),
        ),
        form,
    )


@click.command(
    "read",
    cls=lazy.Command,
    help="Print what an iterator's program prints: it runs now, for every object that its link goes through.",
    examples="skep link read 7\nskep link read 7 --limit 4096",
)
@click.argument("link_id", metavar="LINK", type=option.LINK_ID)
@LIMIT
@click.pass_obj
def read(current: session.Session, link_id: int, limit: int | None) -> None:
    """Print it as it comes."""
    with current.open() as skep:
        show(skep, model.ReadIterator(link=model.LinkId(link_id), limit=limit or 0))


def show(skep: door.Skep, wanted: model.ReadIterator) -> None:
    """Print an iterator's bytes as they are: they need not be text."""
    sys.stdout.flush()
    for piece in skep.read_iterator(wanted):
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def document(ran: model.Ran, wanted: model.Run) -> dict[str, object]:
    """What a run answered; bytes in hexadecimal."""
    return {
        "program_id": ran.program,
        "retval": ran.answer,
        "verdict": ran.verdict or None,
        "runs": ran.times,
        "duration_ns": ran.duration_ns,
        "data_out": ran.packet.hex(),
        "data_changed": ran.packet != wanted.packet,
        "context_out": ran.context.hex(),
        "context_changed": ran.context != wanted.context,
    }


def _tree(ran: model.Ran, wanted: model.Run) -> table.Section:
    return table.Section(
        title=f"Program ID: {ran.program}",
        fields=(
            ("Verdict", f"{ran.verdict} ({ran.answer})" if ran.verdict else str(ran.answer)),
            ("Runs", str(ran.times)),
            ("Duration", "not measured" if ran.duration_ns is None else f"{ran.duration_ns} ns a run"),
        ),
        sections=tuple(
            table.Section(title=f"{name}: {len(after)} bytes, {_compared(after, before)}", fields=tuple(_dump(after)))
            for name, after, before in (("Data", ran.packet, wanted.packet), ("Context", ran.context, wanted.context))
            if after
        ),
    )


def _compared(after: bytes, before: bytes) -> str:
    return "as it was" if after == before else "changed"


def _dump(data: bytes) -> Iterator[tuple[str, str]]:
    """Sixteen bytes a line, with what is printable."""
    for at in range(0, len(data), 16):
        part = data[at : at + 16]
        yield f"{at:04x}", f"{part.hex(' '):<47}  {''.join(chr(one) if 32 <= one < 127 else '.' for one in part)}"


def _data(text: str, what: str, kinds: Iterable[str]) -> bytes:
    """``hex:…``, ``@FILE`` or a kind's name. InvalidRequest, NotFound, Denied."""
    if text.startswith("hex:"):
        try:
            return bytes.fromhex(text.removeprefix("hex:"))
        except ValueError:
            raise errors.InvalidRequest(
                f"{text!r} is not a {what}",
                why="it is not an even number of hexadecimal digits",
                do="write two digits for each byte",
            ) from None
    if text.startswith("@"):
        return _file(text[1:], what)
    if text in kinds:
        return packet.made(text)
    ways = ("hex:BYTES", "@FILE", *kinds)
    raise errors.InvalidRequest(
        f"{text!r} is not a {what}", why=f"it is written {', '.join(ways[:-1])} or {ways[-1]}", do="give one of these"
    )


def _file(path: str, what: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(runs.MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise errors.NotFound(f"no file {path!r}", why=os.strerror(error.errno or 0), do="check the path") from error
    except OSError as error:
        raise errors.Denied(
            f"cannot read {path!r}", why=os.strerror(error.errno or 0), do="check its rights"
        ) from error
    if len(data) > runs.MOST_BYTES:
        raise errors.Exhausted(
            f"{path!r} is too large for a {what}", why=f"{runs.MOST_BYTES} bytes are allowed", do="cut it"
        )
    return data
