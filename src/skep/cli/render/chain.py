"""Chains for people: positions, verdicts, counters and bars; two looks make rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skep import model
from skep.cli import output, table
from skep.cli.document import chain as shape
from skep.cli.document import verdict

BAR = 10
"""Characters of a full bar."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A chain at one moment; ``at`` are seconds of a clock that does not jump."""

    chain: model.ChainStatus
    at: float


def document(chain: model.ChainStatus, links: shape.Links) -> dict[str, object]:
    """``chain get -o json``."""
    return shape.full(chain, links)


def listing(chains: Sequence[model.ChainStatus], links: shape.Links) -> output.View:
    """``chain list``."""
    return output.View(
        document=lambda: {"chains": [shape.full(chain, links) for chain in chains]},
        items=lambda: (shape.full(chain, links) for chain in chains),
        names=lambda: (f"chain/{chain.record.key}" for chain in chains),
        text=lambda wide: table.show(_overview(chains), wide=wide),
    )


def one(chain: model.ChainStatus, links: shape.Links) -> output.View:
    """``chain get``."""

    def text(wide: bool) -> None:
        print(headline(chain))
        table.show(members(chain, links), wide=wide)
        for warning in chain.warnings:
            print(f"! {warning}")

    return output.View(
        document=lambda: shape.full(chain, links),
        items=lambda: [shape.full(chain, links)],
        names=lambda: [f"chain/{chain.record.key}"],
        text=text,
    )


def lines(chain: model.ChainStatus, links: shape.Links, *, before: Look | None = None, at: float = 0.0) -> list[str]:
    """One look at a watched chain as plain text."""
    rate = _rate(before, Look(chain=chain, at=at))
    return [headline(chain, rate), *table.plain(members(chain, links)), *(f"! {warning}" for warning in chain.warnings)]


def live(look: Look, links: shape.Links, before: Look | None, width: int) -> object:
    """One look at a watched chain for a terminal of ``width`` characters."""
    from rich.console import Group
    from rich.text import Text

    head = Text(headline(look.chain, _rate(before, look)), style="bold")
    parts = [head, table.renderable(members(look.chain, links), width)]
    parts += [Text(f"! {warning}", style="yellow") for warning in look.chain.warnings]
    return Group(*parts)  # type: ignore[arg-type]  # renderable() hides rich's type so that rich stays unimported


def headline(chain: model.ChainStatus, rate: str = "") -> str:
    """Where it is, which revision runs, and what came in."""
    record = chain.record
    place = f"{record.key.type} chain on {record.interface}"
    if record.netns_path:
        place += f" in {record.netns_path}"
    facts = [f"ifindex {record.key.ifindex}", f"revision {record.revision}"]
    if record.mode is not None:
        facts.append(f"mode {record.mode}")
    if record.filter_priority:
        facts.append(f"filter priority {record.filter_priority}")
    if record.program_id:
        facts.append(f"program {record.program_id}")
    if chain.state is not model.LinkState.ATTACHED:
        facts.append(chain.state.upper())
    facts.append(f"{chain.packets:,} packets in this revision{rate}")
    return f"{place}: {', '.join(facts)}"


def members(chain: model.ChainStatus, links: shape.Links) -> table.Table:
    """One row per member."""
    columns = (
        table.Column(title="POS", right=True, spare=3),
        table.Column(title="PRIORITY", right=True),
        table.Column(title="LINK", right=True, style="cyan"),
        table.Column(title="PROGRAM", right=True, style="cyan"),
        table.Column(title="NAME", style="bold"),
        table.Column(title="PROCEED ON", folds=True),
        table.Column(title="FORM", spare=2),
        table.Column(title="RUNS", right=True),
        table.Column(title="PROCEEDED", right=True, spare=1),
        table.Column(title="STOPPED", style="red", folds=True),
    )
    most = max((counts.runs for counts in chain.counts), default=0)
    rows = tuple(
        (
            str(position),
            str(member.priority),
            str(member.link) if member.link else "-",
            str(links[member.link].program_id) if member.link in links else "-",
            member.name,
            ",".join(verdict.of_mask(chain.record.key.type, member.proceed_on)) or "-",
            member.form.value if shape.linked(chain.record) else "-",
            *_counted(chain.record.key.type, chain.counts[position] if position < len(chain.counts) else None, most),
        )
        for position, member in enumerate(chain.record.members)
    )
    return table.Table(columns=columns, rows=rows)


def bar(part: int, whole: int) -> str:
    """A share as a bar of at most ``BAR`` characters, in eighths; something that is not nothing shows."""
    if whole <= 0 or part <= 0:
        return ""
    eighths = max(1, round(BAR * 8 * min(part, whole) / whole))
    return _EIGHTHS[8] * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def _counted(type: str, counts: model.Counts | None, most: int) -> tuple[str, str, str]:
    if counts is None:
        return "-", "-", "-"
    names = verdict.names(type)
    stops = ", ".join(
        f"{names.get(code, str(code))} {packets:,} {bar(packets, most)}".rstrip()
        for code, packets in sorted(counts.stopped.items())
        if packets
    )
    return f"{counts.runs:,}", f"{counts.proceeded:,}", stops or "-"


def _overview(chains: Sequence[model.ChainStatus]) -> table.Table:
    columns = (
        table.Column(title="TYPE"),
        table.Column(title="INTERFACE", style="bold"),
        table.Column(title="IFINDEX", right=True),
        table.Column(title="NSID", right=True, wide=True),
        table.Column(title="NETNS", folds=True),
        table.Column(title="REVISION", right=True),
        table.Column(title="MODE"),
        table.Column(title="MEMBERS", right=True),
        table.Column(title="PACKETS", right=True),
        table.Column(title="STATE"),
        table.Column(title="ORDER", wide=True),
    )
    rows = tuple(
        (
            chain.record.key.type,
            chain.record.interface,
            str(chain.record.key.ifindex),
            str(chain.record.key.netns),
            chain.record.netns_path or "-",
            str(chain.record.revision),
            chain.record.mode or "-",
            str(len(chain.record.members)),
            f"{chain.packets:,}",
            chain.state.value,
            " > ".join(member.name for member in chain.record.members),
        )
        for chain in chains
    )
    return table.Table(columns=columns, rows=rows)


def _rate(before: Look | None, now: Look) -> str:
    """Packets per second since the look before; nothing across a change of the chain, whose count starts anew."""
    if before is None or now.at <= before.at or before.chain.record.revision != now.chain.record.revision:
        return ""
    return f", {(now.chain.packets - before.chain.packets) / (now.at - before.at):,.0f}/s"
