"""``skep map dump|lookup|update|delete|events``: what maps hold.

A key or value on the command line is ``hex:`` and bytes in memory order, or JSON, or a bare word, which stands for
itself as a string: an enumerator, text, an address, a number such as 0x10.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

import click

from skep import errors, model
from skep.cli import elementfile, lazy, option, output, session, table
from skep.cli.document import content as document

PORTION = 1000
PORTION_BYTES = 1 << 20
"""What one request writes at most, of elements and of their text, so that others have their turn."""
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
    help="Write one element, and print it as it is then; or with --from all those of a file. Without a key: push onto "
    "a queue or stack, add to a bloom filter. A map of maps takes the inner map's id, a program array a program's.",
    examples="""
        skep map update counts 1 0
        skep map update flows '{"source": "10.0.0.1", "port": 80}' '{"packets": 0}' --merge
        skep map update .data 0 '{"limit": 100}' --merge
        skep map update per_cpu 1 -- -5
        skep map update queue '{"number": 1, "name": "x"}'
        skep map update flows --from flows.json
        skep map dump flows -o jsonl | skep map update other_flows --from -
    """,
)
@option.map_ref
@click.argument("words", metavar="[KEY] VALUE", nargs=-1)
@click.option(
    "--from",
    "source",
    default=None,
    metavar="FILE",
    help="Write every element of FILE ('-': standard input), which is what dump -o json or jsonl prints.",
)
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
    source: str | None,
    cpu: int | None,
    merge: bool,
    mode: str | None,
    unsafe_foreign: bool,
    form: output.Format,
) -> None:
    """Write an element, or all of a file."""
    if source is not None:
        if words or cpu is not None:
            raise click.UsageError("--from takes keys, values and CPUs from the file")
        fill = model.MapFill(
            map=ref,
            elements=(),
            merge=merge,
            mode=model.MapMode[mode.upper()] if mode else model.MapMode.ANY,
            unsafe_foreign=unsafe_foreign,
        )
        _fill(current, fill, source, form)
        return
    if not 1 <= len(words) <= 2:
        raise click.UsageError("give a key and a value, or --from; quote JSON for the shell")
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


def _fill(current: session.Session, wanted: model.MapFill, source: str, form: output.Format) -> None:
    """Write a file's elements, some at a time; nothing is written when the file itself is wrong."""
    name = "standard input" if source == elementfile.STDIN else source
    lines = tuple(elementfile.lines(elementfile.read(source), name))
    written = 0
    with current.open() as skep:
        for some in _portions(lines):
            done: int | None = None
            try:
                for told in skep.map_fill(replace(wanted, elements=tuple(one.element for one in some))):
                    done = told
            except errors.SkepError as failed:
                if done is not None:  # else the map as a whole is refused
                    failed.what = _where(name, some[done], failed.what)
                    written += done
                    failed.why = "; ".join(filter(None, (failed.why, _elements(written) + " written before it")))
                raise
            written += done or 0
    document = {"written": written}
    output.show(
        output.View(
            document=lambda: document,
            items=lambda: [document],
            names=lambda: [str(written)],
            text=lambda wide: print(_elements(written) + " written"),
        ),
        form,
    )


def _portions(lines: tuple[elementfile.Line, ...]) -> Iterator[tuple[elementfile.Line, ...]]:
    """Lines by so many as fit into one message, and at least one."""
    some: list[elementfile.Line] = []
    size = 0
    for one in lines:
        element = one.element
        room = sum(len(each.json) for each in (element.key, element.value, *element.values) if each is not None)
        if some and (size + room > PORTION_BYTES or len(some) == PORTION):
            yield tuple(some)
            some, size = [], 0
        some.append(one)
        size += room
    if some:
        yield tuple(some)


def _where(name: str, line: elementfile.Line, what: str) -> str:
    key = f", key {line.key}" if line.key else ""
    return f"{name}, line {line.number}{key}: {what}"


def _elements(number: int) -> str:
    return "1 element was" if number == 1 else f"{number} elements were"


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
