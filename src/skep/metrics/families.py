"""What the daemon sees as families of numbers, and those as text. Pure.

Source of the format: Prometheus' text-based exposition format 0.0.4, its documentation's "Exposition formats".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from skep import model
from skep.chain import codes
from skep.inventory import alerts

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_APPLICATION: Final = "bpfman.io/application"
"""Metadata of programs that names their application."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What there is. ``operations``: how many of a verb ended in an outcome ("ok", an error's class) so far."""

    version: str
    programs: tuple[model.Program, ...]
    links: tuple[model.Link, ...]
    maps: tuple[model.MapView, ...]
    operations: Mapping[tuple[str, str], int]
    inventory: model.Inventory | None = None
    """All that is in the kernel, at most a minute old; None: not known."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: ``kind`` is "gauge" or "counter"; samples are labels and a number."""

    name: str
    kind: str
    help: str
    samples: list[tuple[Mapping[str, str], float]] = field(default_factory=list)

    def add(self, value: float, **labels: str) -> None:
        """One more number."""
        self.samples.append((labels, value))


def families(seen: Snapshot) -> tuple[Family, ...]:
    """All of them, also those without a number."""
    build = Family("skep_build_info", "gauge", "1, labelled with the daemon's release.")
    build.add(1, version=seen.version)
    return (
        build,
        *_programs(seen.programs),
        *_links(seen.links),
        *_maps(seen.maps),
        _operations(seen.operations),
        *_alerts(seen.inventory),
    )


def _programs(programs: Iterable[model.Program]) -> Iterator[Family]:
    runs = Family("skep_program_runs_total", "counter", "Runs, while kernel.bpf_stats_enabled is set.")
    time = Family("skep_program_run_seconds_total", "counter", "Time in the program, while that is set.")
    misses = Family("skep_program_recursion_misses_total", "counter", "Runs that the kernel left out as recursive.")
    memory = Family("skep_program_memory_bytes", "gauge", "Memory that the kernel accounts to the program.")
    stale = Family("skep_programs_stale", "gauge", "Managed programs that are not in the kernel.")
    missing = 0
    for each in programs:
        kernel, record = each.status.kernel, each.record
        if kernel is None:
            missing += 1
            continue
        labels = {
            "program": str(record.id),
            "name": record.name,
            "type": str(record.hook),
            "application": record.metadata.get(_APPLICATION, ""),
        }
        runs.add(kernel.run_count, **labels)
        time.add(kernel.run_time_ns / 1e9, **labels)
        misses.add(kernel.recursion_misses, **labels)
        memory.add(kernel.memlock_bytes, **labels)
    stale.add(missing)
    yield from (runs, time, misses, memory, stale)


def _links(links: Iterable[model.Link]) -> Iterator[Family]:
    count = Family("skep_links", "gauge", "Links by type and state.")
    runs = Family("skep_chain_member_runs_total", "counter", "Packets that reached a member of a chain.")
    proceeded = Family("skep_chain_member_proceeded_total", "counter", "Packets that a member handed on.")
    stopped = Family("skep_chain_member_stopped_total", "counter", "Packets whose way a member ended, by verdict.")
    states: Counter[tuple[str, str]] = Counter()
    for each in links:
        states[str(each.record.hook), each.status.state.value] += 1
        counts = each.status.counts
        if counts is None or each.record.chain is None:
            continue
        chain = each.record.chain
        labels = {
            "link": str(each.record.id),
            "name": each.program_name,
            "chain": chain.type,
            "netns": str(chain.netns),
            "interface": _interface(each.record.attachment),
        }
        runs.add(counts.runs, **labels)
        proceeded.add(counts.proceeded, **labels)
        names = _verdicts(chain.type)
        for code, packets in sorted(counts.stopped.items()):
            stopped.add(packets, **labels, verdict=names.get(code, "other"))
    for (hook, state), number in sorted(states.items()):
        count.add(number, type=hook, state=state)
    yield from (count, runs, proceeded, stopped)


def _interface(attachment: object) -> str:
    ref = getattr(attachment, "interface", None)
    return ref.name if isinstance(ref, model.InterfaceRef) else ""


def _verdicts(chain: str) -> dict[int, str]:
    hook = codes.XDP if chain == "xdp" else codes.TC
    return {code: name for name, code in hook.codes.items()}


def _maps(maps: Iterable[model.MapView]) -> Iterator[Family]:
    memory = Family("skep_map_memory_bytes", "gauge", "Memory that the kernel accounts to a map of a managed program.")
    for each in maps:
        if each.programs:
            memory.add(each.kernel.memlock_bytes, map=str(each.kernel.id), name=each.kernel.name)
    yield memory


def _operations(operations: Mapping[tuple[str, str], int]) -> Family:
    done = Family("skep_operations_total", "counter", "Operations by verb and outcome since the daemon began.")
    for (verb, outcome), number in sorted(operations.items()):
        done.add(number, verb=verb, outcome=outcome)
    return done


def _alerts(found: model.Inventory | None) -> Iterator[Family]:
    foreign = Family(alerts.FOREIGN, "gauge", alerts.FOREIGN_HELP)
    clashes = Family(alerts.CLASHES, "gauge", alerts.CLASHES_HELP)
    if found is not None:
        for (type_, sanctioned), number in sorted(alerts.foreign(found).items()):
            foreign.add(number, type=type_, sanctioned=str(sanctioned).lower())
        for (kind, hook), number in sorted(alerts.counted(found).items()):
            clashes.add(number, kind=kind, hook=hook)
    yield from (foreign, clashes)


def text(families: Iterable[Family]) -> str:
    """The page."""
    lines = []
    for family in families:
        lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.kind}"]
        for labels, value in family.samples:
            told = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
            lines.append(f"{family.name}{{{told}}} {value:.17g}" if told else f"{family.name} {value:.17g}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
