"""Links for people."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from skep import hooks, model
from skep.cli import output, table, when
from skep.cli.document import link as document


def listing(
    links: Sequence[model.Link],
    chains: document.Chains,
    applications: Mapping[model.ProgramId, str],
    *,
    bare: bool = False,
) -> output.View:
    """``link list``; ``applications`` by program."""
    return output.View(
        document=lambda: {"links": [document.record(link, chains) for link in links]},
        items=lambda: (document.record(link, chains) for link in links),
        names=lambda: (str(link.record.id) if bare else f"link/{link.record.id}" for link in links),
        text=lambda wide: table.show(_table(links, chains, applications), wide=wide),
    )


def one(link: model.Link, chains: document.Chains) -> output.View:
    """``link get`` and ``link attach``."""
    return output.View(
        document=lambda: document.full(link, chains),
        items=lambda: [document.full(link, chains)],
        names=lambda: [f"link/{link.record.id}"],
        text=lambda wide: table.tree(tree(link, chains)),
    )


def several(links: Sequence[model.Link], chains: document.Chains) -> output.View:
    """``link attach`` to what a pattern matched."""
    return output.View(
        document=lambda: {"links": [document.full(link, chains) for link in links]},
        items=lambda: (document.full(link, chains) for link in links),
        names=lambda: (f"link/{link.record.id}" for link in links),
        text=lambda wide: table.show(_table(links, chains, {}), wide=wide),
    )


def place(link: model.Link) -> str:
    """The attach point in one cell."""
    summary: str = hooks.by_name(link.record.hook).summary(link.record.attachment)
    return summary


def tree(link: model.Link, chains: document.Chains) -> table.Section:
    """Everything about one link, under bpfman's headings."""
    return table.Section(
        title=f"Link ID: {link.record.id}",
        sections=(
            table.Section(title="Spec:", fields=tuple(_spec(link, chains))),
            table.Section(title="Status:", fields=tuple(_status(link))),
        ),
    )


def _spec(link: model.Link, chains: document.Chains) -> Iterator[tuple[str, str]]:
    shown = document.record(link, chains)
    yield "BPF Function", link.program_name
    yield "Created At", when.stamp(link.record.created_at, whole=True)
    yield "Kernel Link ID", str(shown["kernel_link_id"] or "None")
    yield "Metadata", table.pairs(sorted(link.record.metadata.items()))
    yield "Pin Path", str(shown["pin_path"] or "None")
    yield "Program ID", str(link.program_id)
    yield "Type", link.record.hook
    yield "Attached To", place(link)
    details = shown["details"]
    assert isinstance(details, dict)
    for name, value in details.items():
        yield name.replace("_", " ").title(), table.joined(value) if isinstance(value, list) else str(value)


def _status(link: model.Link) -> Iterator[tuple[str, str]]:
    status = link.status
    yield "State", status.state + (f" ({status.reason})" if status.reason else "")
    yield "Kernel Seen", str(bool(status.kernel)).lower()
    yield "Pin Present", str(status.pin_present).lower()
    told = [one.detail for one in status.kernel if one.detail]
    if told and not link.record.places and hooks.by_name(link.record.hook).expands is not None:
        yield "Matched", told[0]
    if link.record.places:
        yield (
            "Kernel Links",
            ", ".join(
                f"{one['place']} ({one['kernel_link_id'] or 'none'}{'' if one['attached'] else ', not attached'})"
                for one in document.places(link)
            ),
        )
    if link.record.mode is not None:
        yield "Mode", link.record.mode + (f" ({link.record.fallback})" if link.record.fallback else "")
    if status.counts is not None:
        yield "Runs", str(status.counts.runs)
        yield "Proceeded", str(status.counts.proceeded)
        stopped = document.counts(status.counts, link.record.hook)["stopped"]
        assert isinstance(stopped, dict)
        yield "Stopped", table.pairs([(name, str(packets)) for name, packets in stopped.items()])


def _table(
    links: Sequence[model.Link], chains: document.Chains, applications: Mapping[model.ProgramId, str]
) -> table.Table:
    now = time.time()
    apps = any(applications.get(link.program_id) for link in links)
    columns = (
        table.Column(title="LINK ID", right=True, style="cyan"),
        table.Column(title="KERNEL LINK ID", right=True, spare=2),
        table.Column(title="KIND"),
        table.Column(title="PROGRAM ID", right=True, style="cyan"),
        *((table.Column(title="APPLICATION", spare=3),) if apps else ()),
        table.Column(title="FUNCTION NAME", style="bold"),
        table.Column(title="ATTACHMENT", folds=True),
        table.Column(title="STATE"),
        table.Column(title="AGE", right=True, spare=1),
        table.Column(title="MODE", wide=True),
        table.Column(title="RUNS", right=True, wide=True),
        table.Column(title="PIN", wide=True),
        table.Column(title="METADATA", wide=True, folds=True),
    )
    return table.Table(columns=columns, rows=tuple(_row(link, chains, applications, now, apps) for link in links))


def _row(
    link: model.Link, chains: document.Chains, applications: Mapping[model.ProgramId, str], now: float, apps: bool
) -> tuple[str, ...]:
    shown, counts = document.record(link, chains), link.status.counts
    return (
        str(link.record.id),
        str(shown["kernel_link_id"] or "<none>"),
        link.record.hook,
        str(link.program_id),
        *((applications.get(link.program_id, ""),) if apps else ()),
        link.program_name,
        place(link),
        link.status.state,
        when.age(now - link.record.created_at),
        link.record.mode or "",
        str(counts.runs) if counts else "",
        str(shown["pin_path"] or ""),
        table.pairs(sorted(link.record.metadata.items())) if link.record.metadata else "",
    )
