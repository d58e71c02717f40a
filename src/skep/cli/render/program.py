"""Programs for people."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from skep import model
from skep.cli import output, table, when
from skep.cli.document import kernel
from skep.cli.document import program as document
from skep.model import kind

AnyProgram = model.Program | model.ForeignProgram


def listing(programs: Sequence[AnyProgram], host: kernel.Host, *, bare: bool = False) -> output.View:
    """``program list``; ``bare`` names are ids alone (-q)."""
    return output.View(
        document=lambda: {"programs": [document.row(program, host) for program in programs]},
        items=lambda: (document.row(program, host) for program in programs),
        names=lambda: (str(_id(program)) if bare else f"program/{_id(program)}" for program in programs),
        text=lambda wide: table.show(_table(programs, host), wide=wide),
    )


def one(program: model.Program, around: document.Surroundings, host: kernel.Host) -> output.View:
    """``program get``."""
    return output.View(
        document=lambda: document.full(program, around, host),
        items=lambda: [document.full(program, around, host)],
        names=lambda: [f"program/{program.record.id}"],
        text=lambda wide: table.tree(tree(program, around, host)),
    )


def loaded(programs: Sequence[model.Program], around: document.Surroundings, host: kernel.Host) -> output.View:
    """``program load``."""

    def text(wide: bool) -> None:
        for index, program in enumerate(programs):
            if index:
                print()
            table.tree(tree(program, around, host))

    return output.View(
        document=lambda: {"programs": [document.full(program, around, host) for program in programs]},
        items=lambda: (document.full(program, around, host) for program in programs),
        names=lambda: (f"program/{program.record.id}" for program in programs),
        text=text,
    )


def foreign(program: model.ForeignProgram, host: kernel.Host) -> output.View:
    """``program get`` of a program that skep did not load: what the kernel knows."""
    section = table.Section(
        title=f"Program ID: {program.kernel.id}",
        sections=(table.Section(title="Status:", fields=tuple(_kernel_fields(program.kernel, host))),),
        fields=(("Managed", "no"), ("Name", program.kernel.name or "None")),
    )
    return output.View(
        document=lambda: document.row(program, host),
        items=lambda: [document.row(program, host)],
        names=lambda: [f"program/{program.kernel.id}"],
        text=lambda wide: table.tree(section),
    )


def _image(source: model.ImageSource) -> tuple[tuple[str, str], ...]:
    return (("Image Digest", source.digest), ("Image Trust", source.trust or "not known"))


def tree(program: model.Program, around: document.Surroundings, host: kernel.Host) -> table.Section:
    """Everything about one program, under bpfman's headings."""
    stored = program.record
    source = stored.source.path if isinstance(stored.source, model.FileSource) else stored.source.url
    spec = (
        ("Application", document.application(program) or "None"),
        ("Global", table.pairs([(name, data.hex()) for name, data in sorted(stored.global_data.items())])),
        ("GPL Compatible", str(stored.gpl_compatible).lower()),
        ("License", stored.license or "None"),
        ("Map Owner ID", str(stored.owner_id or "None")),
        ("Metadata", table.pairs(sorted(stored.metadata.items()))),
        ("Name", stored.name),
        ("Path", source),
        *(_image(stored.source) if isinstance(stored.source, model.ImageSource) else ()),
        ("Section", stored.section),
        ("Type", stored.hook),
    )
    return table.Section(
        title=f"Program ID: {stored.id}",
        sections=(
            table.Section(title="Spec:", fields=spec),
            table.Section(
                title="Status:", fields=tuple(_status_fields(program, host)), sections=tuple(_nested(program, around))
            ),
            _stats(program, host),
        ),
    )


def _table(programs: Sequence[AnyProgram], host: kernel.Host) -> table.Table:
    now = time.time()
    # bpfman shows the column only when some program has an application.
    apps = any(isinstance(program, model.Program) and document.application(program) for program in programs)
    columns = (
        table.Column(title="PROGRAM ID", right=True, style="cyan"),
        *((table.Column(title="APPLICATION"),) if apps else ()),
        table.Column(title="TYPE"),
        table.Column(title="FUNCTION NAME", style="bold"),
        table.Column(title="LINK IDS", folds=True),
        table.Column(title="AGE", right=True, spare=1),
        table.Column(title="INSNS", right=True, wide=True),
        table.Column(title="MEMORY", right=True, wide=True),
        table.Column(title="MAPS", wide=True, folds=True),
        table.Column(title="TAG", wide=True),
        table.Column(title="SOURCE", wide=True),
        table.Column(title="METADATA", wide=True, folds=True),
    )
    return table.Table(columns=columns, rows=tuple(_row(program, host, now, apps) for program in programs))


def _row(program: AnyProgram, host: kernel.Host, now: float, apps: bool) -> tuple[str, ...]:
    if isinstance(program, model.ForeignProgram):
        seen: model.KernelProgram | None = program.kernel
        head: tuple[str, ...] = (kind.program(program.kernel.type), program.kernel.name, "not managed")
        application, source, labels = "", "", ""
    else:
        stored, seen = program.record, program.status.kernel
        head = (stored.hook, stored.name, table.joined(program.links, empty=""))
        if seen is None:
            head = (*head[:2], f"{head[2]} ({program.status.stale or 'gone from the kernel'})".strip())
        application = document.application(program)
        source = stored.source.path if isinstance(stored.source, model.FileSource) else stored.source.url
        labels = table.pairs(sorted(stored.metadata.items())) if stored.metadata else ""
    born = program.record.created_at if isinstance(program, model.Program) else _loaded_at(program.kernel, host)
    return (
        str(_id(program)),
        *((application,) if apps else ()),
        *head,
        when.age(now - born),
        str(seen.verified_insns) if seen else "",
        _bytes(seen.memlock_bytes) if seen and seen.memlock_bytes else "-",
        table.joined(seen.map_ids, empty="") if seen else "",
        seen.tag if seen else "",
        source,
        labels,
    )


def _status_fields(program: model.Program, host: kernel.Host) -> Iterator[tuple[str, str]]:
    stored, seen = program.record, program.status.kernel
    if seen is None:
        yield "Kernel", f"not in the kernel ({program.status.stale or 'unloaded by somebody else'})"
    else:
        yield from _kernel_fields(seen, host)
    yield "Generation", str(stored.generation)
    yield "Loaded By", str(stored.loaded_by)
    yield "Map Dir", program.map_dir or "None"
    yield "Maps Used By", table.joined(program.used_by)
    yield "Object", f"sha256:{stored.object}"
    yield "Prog Pin", document.alias_pin(program) + ("" if program.status.pin_present else " (missing)")


def _kernel_fields(seen: model.KernelProgram, host: kernel.Host) -> Iterator[tuple[str, str]]:
    yield "BTF ID", str(seen.btf_id or "None")
    yield "Kernel Type", kind.program(seen.type)
    yield "Instructions", str(seen.verified_insns)
    yield "Loaded At", when.stamp(_loaded_at(seen, host), whole=True)
    yield "Memory", f"{seen.memlock_bytes} bytes"
    yield "Size JITted", f"{seen.jited_bytes} bytes"
    yield "Size Translated", f"{seen.xlated_bytes} bytes" if seen.xlated_bytes else "(restricted)"
    yield "Tag", seen.tag


def _nested(program: model.Program, around: document.Surroundings) -> Iterator[table.Section]:
    from skep.cli.render import link as render_link

    links = [link for link in around.links if link.record.program == program.record.key]
    if links:
        yield table.Section(
            title="Links:",
            fields=tuple(
                (str(link.record.id), f"{link.record.hook} {render_link.place(link)} ({link.status.state})")
                for link in links
            ),
        )
    pins = {reference.name: reference.pin for reference in program.record.maps}
    maps = [
        around.maps[id] for id in (program.status.kernel.map_ids if program.status.kernel else ()) if id in around.maps
    ]
    if maps:
        yield table.Section(
            title="Maps:",
            fields=tuple(
                (
                    str(view.kernel.id),
                    f"{view.kernel.name} {kind.map(view.kernel.type)} key {view.kernel.key_size}B "
                    f"value {view.kernel.value_size}B max {view.kernel.max_entries} "
                    f"{pins.get(view.kernel.name) or next(iter(view.pins), '(no pin)')}",
                )
                for view in maps
            ),
        )


def _stats(program: model.Program, host: kernel.Host) -> table.Section:
    seen = program.status.kernel
    counted = None if seen is None else kernel.statistics(seen, host)
    if counted is None:
        return table.Section(title="Stats: (not enabled, see sysctl kernel.bpf_stats_enabled)")
    labels = (("Run Count", "run_count"), ("Runtime ns", "runtime"), ("Recursion Misses", "recursion_misses"))
    return table.Section(title="Stats:", fields=tuple((label, str(counted[name])) for label, name in labels))


def _id(program: AnyProgram) -> int:
    return program.kernel.id if isinstance(program, model.ForeignProgram) else program.record.id


def _loaded_at(seen: model.KernelProgram, host: kernel.Host) -> float:
    return host.booted_at + seen.loaded_at_ns / 1e9


def _bytes(amount: int) -> str:
    return f"{amount // 1024}KiB" if amount >= 10_240 else f"{amount}B"
