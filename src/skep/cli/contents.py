"""``skep map dump|lookup|update|delete|events``: what maps hold.

A key or value on the command line is ``hex:`` and bytes in memory order, or JSON, or a bare word, which stands for
itself as a string: an enumerator, text, an address, a number such as 0x10.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import click

from skep import errors, model
from skep.cli import lazy, option, output, session, table
from skep.cli.document import content as document

FOREIGN = click.option("--unsafe-foreign", is_flag=True, help="Also when no managed program uses the map.")


@click.command(
    "dump",
    cls=lazy.Command,
    help="Print every element of a map, page by page, typed by its BTF.",
    examples="""
        skep map dump 45
        skep map dump flows -o jsonl | jq 'select(.value.packets > 1000)'
        skep map dump /sys/fs/bpf/theirs --limit 100
    """,
)
@option.map_ref
@click.option("--limit", type=click.IntRange(min=1), default=None, metavar="N", help="At most about N elements.")
@click.option("--after", default="", metavar="TOKEN", help="Go on where a limited dump ended; its note says the token.")
@output.option
@click.pass_obj
def dump(current: session.Session, ref: str, limit: int | None, after: str, form: output.Format) -> None:
    """Print elements as they come; none is kept."""
    wanted = model.MapDump(map=ref, after=_bytes(after, "token"), limit=limit or 0)
    with current.open() as skep:
        token = _print_pages(skep.map_pages(wanted), form)
    if token:
        output.note(f"there are more: --after {token.hex()}")


@click.command(
    "lookup",
    cls=lazy.Command,
    help="Print one element. Without a key: the next one of a queue or stack. With a bloom filter's value: whether it "
    "may hold it.",
    examples="""
        skep map lookup counts 1
        skep map lookup flows '{"source": "10.0.0.1", "port": 80}' -o json
        skep map lookup 45 hex:0a000001
    """,
)
@option.map_ref
@click.argument("key", required=False)
@output.option
@click.pass_obj
def lookup(current: session.Session, ref: str, key: str | None, form: output.Format) -> None:
    """Print an element."""
    with current.open() as skep:
        _show(skep.map_lookup(ref, None if key is None else datum(key)), form)


@click.command(
    "update",
    cls=lazy.Command,
    help="Write one element, and print it as it is then. Without a key: push onto a queue or stack, add to a bloom "
    "filter. A map of maps takes the inner map's id, a program array a program's.",
    examples="""
        skep map update counts 1 0
        skep map update flows '{"source": "10.0.0.1", "port": 80}' '{"packets": 0}' --merge
        skep map update .data 0 '{"limit": 100}' --merge
        skep map update per_cpu 1 -- -5
        skep map update queue '{"number": 1, "name": "x"}'
    """,
)
@option.map_ref
@click.argument("words", metavar="[KEY] VALUE", nargs=-1, required=True)
@click.option(
    "--cpu", type=click.IntRange(min=0), default=None, metavar="N", help="Only this CPU's value; else every one's."
)
@click.option("--merge", is_flag=True, help="Members that VALUE does not name keep their bytes.")
@click.option("--new", "mode", flag_value="new", help="Only if the key is not there yet.")
@click.option("--existing", "mode", flag_value="existing", help="Only if the key is there.")
@FOREIGN
@output.option
@click.pass_obj
def update(
    current: session.Session,
    ref: str,
    words: tuple[str, ...],
    cpu: int | None,
    merge: bool,
    mode: str | None,
    unsafe_foreign: bool,
    form: output.Format,
) -> None:
    """Write an element."""
    if len(words) > 2:
        raise click.UsageError("give a key and a value; quote JSON for the shell")
    wanted = model.MapWrite(
        map=ref,
        verb=model.MapVerb.UPDATE,
        key=datum(words[0]) if len(words) == 2 else None,
        value=datum(words[-1]),
        cpu=cpu,
        merge=merge,
        mode=model.MapMode[mode.upper()] if mode else model.MapMode.ANY,
        unsafe_foreign=unsafe_foreign,
    )
    _write(current, wanted, form)


@click.command(
    "delete",
    cls=lazy.Command,
    help="Remove one element. Without a key: take the next one of a queue or stack, and print it.",
    examples="""
        skep map delete flows '{"source": "10.0.0.1", "port": 80}'
        skep map delete recent 7 --ignore-missing
        skep map delete queue
    """,
)
@option.map_ref
@click.argument("key", required=False)
@option.ignore_missing
@FOREIGN
@output.option
@click.pass_obj
def delete(
    current: session.Session,
    ref: str,
    key: str | None,
    ignore_missing: bool,
    unsafe_foreign: bool,
    form: output.Format,
) -> None:
    """Remove an element."""
    wanted = model.MapWrite(
        map=ref,
        verb=model.MapVerb.DELETE,
        key=None if key is None else datum(key),
        unsafe_foreign=unsafe_foreign,
    )
    try:
        _write(current, wanted, form)
    except errors.NotFound:
        if not ignore_missing:
            raise


@click.command(
    "events",
    cls=lazy.Command,
    help="Take events out of a ring buffer or perf buffer and print each as a line of JSON, until Ctrl-C. Whatever "
    "else reads the buffer misses them.",
    examples="""
        skep map events ring
        skep map events ring --type 'struct event' --limit 10
        skep map events perf --seconds 5 | jq .event
    """,
)
@option.map_ref
@click.option("--type", "type_", default="", metavar="STRUCT", help="What the events are; else it is looked for.")
@click.option("--limit", type=click.IntRange(min=1), default=None, metavar="N", help="End after N events.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=None,
    metavar="S",
    help="End after S seconds without one.",
)
@FOREIGN
@click.pass_obj
def events(
    current: session.Session, ref: str, type_: str, limit: int | None, seconds: float | None, unsafe_foreign: bool
) -> None:
    """Print events as they come."""
    wanted = model.MapFollow(
        map=ref, type=type_, limit=limit or 0, seconds=seconds or 0.0, unsafe_foreign=unsafe_foreign
    )
    with current.open() as skep:
        for records in skep.map_events(wanted):
            for one in records:
                output.line(document.record(one))


def datum(text: str) -> model.Datum:
    """A key or value as typed. InvalidRequest for ``hex:`` that is not."""
    if text.startswith("hex:"):
        return model.Datum(raw=_bytes(text.removeprefix("hex:"), "value"))
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        if text.lstrip()[:1] in ("{", "[", '"'):
            raise errors.InvalidRequest(
                f"{text!r} is not JSON", do="quote it for the shell: '{\"field\": 1}'"
            ) from None
        return model.Datum(json=json.dumps(text))
    return model.Datum(json=text)


def _bytes(text: str, what: str) -> bytes:
    try:
        return bytes.fromhex(text.replace(":", " "))
    except ValueError:
        raise errors.InvalidRequest(
            f"{text!r} is not a {what}",
            why="it is not an even number of hexadecimal digits",
            do="write two digits for each byte",
        ) from None


def _write(current: session.Session, wanted: model.MapWrite, form: output.Format) -> None:
    with current.open() as skep:
        written = skep.map_write(wanted)
    output.warnings(written.warnings)
    if written.entry is not None:
        _show(written.entry, form)


def _show(entry: model.MapEntry, form: output.Format) -> None:
    output.show(
        output.View(
            document=lambda: document.entry(entry),
            items=lambda: [document.entry(entry)],
            names=lambda: [document.text(entry)[0]],
            text=lambda wide: table.show(_table((entry,)), wide=wide),
        ),
        form,
    )


def _print_pages(pages: Iterator[model.MapPage], form: output.Format) -> bytes:
    """Print pages in one form, each as it comes; what the last one says of where to go on."""
    token = b""
    first = True
    if form is output.Format.JSON:
        print('{"entries": [', end="")
    for page in pages:
        token = page.token
        match form:
            case output.Format.JSON:
                for entry in page.entries:
                    print(
                        "\n  " if first else ",\n  ",
                        json.dumps(document.entry(entry), ensure_ascii=False),
                        sep="",
                        end="",
                    )
                    first = False
            case output.Format.JSONL:
                for entry in page.entries:
                    output.line(document.entry(entry))
            case output.Format.YAML if page.entries:
                output.yaml([document.entry(entry) for entry in page.entries])
            case output.Format.NAME:
                for entry in page.entries:
                    print(document.text(entry)[0])
            case output.Format.TABLE | output.Format.TEXT | output.Format.WIDE if page.entries:
                _print_rows(page.entries, wide=form is output.Format.WIDE, titled=first)
                first = False
            case _:
                pass
    if form is output.Format.JSON:
        print("\n]}" if not first else "]}")
    return token


def _print_rows(entries: tuple[model.MapEntry, ...], *, wide: bool, titled: bool) -> None:
    """A page as a table; the second and later ones without the columns' names."""
    if titled:
        table.show(_table(entries), wide=wide)
        return
    for line in table.plain(table.chosen(_table(entries), wide))[1:]:
        print(line)


def _table(entries: Iterable[model.MapEntry]) -> table.Table:
    columns = (
        table.Column(title="KEY", style="cyan"),
        table.Column(title="VALUE"),
        table.Column(title="KEY BYTES", wide=True),
        table.Column(title="VALUE BYTES", wide=True),
    )
    return table.Table(
        columns=columns,
        rows=tuple(
            (*document.text(entry), entry.key.hex(), " ".join(one.hex() for one in entry.values)) for entry in entries
        ),
    )
