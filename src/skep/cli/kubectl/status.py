"""``kubectl skep status``: operator, nodes and applications at a glance, once or live."""

from __future__ import annotations

import click

from skep.cli import output, table
from skep.cli.kubectl import asked, page
from skep.kube.plugin.machinery import OnNode
from skep.kube.plugin.overview import Overview

MANY = 20
"""Nodes above which the ready ones are counted and not listed."""
COLOURS = {
    "Success": "green", "Error": "red", "DeleteError": "red", "Pending": "yellow", "Deleting": "yellow",
    "ready": "green", "not ready": "red", "no pod": "red", "node not ready": "red",
}  # fmt: skip
"""Of words for a state."""


@click.command(
    "status",
    cls=asked.Command,
    help="""Show the operator, the Config, the pod of each node, and applications with the nodes on which they are
    ready, failed and pending.

    Where there are many nodes, only those that are not ready are listed; -o wide lists all.
    """,
    examples="""
        kubectl skep status
        kubectl skep status -A --watch
        kubectl skep status -A -o json | jq '.applications[] | select(.nodes.failed > 0)'
    """,
)
@asked.everywhere
@click.option("-w", "--watch", is_flag=True, help="Show it again when it changes, until Ctrl-C.")
@click.option(
    "--interval", type=click.FloatRange(min=0.2, max=3600), default=2.0, show_default=True, metavar="SECONDS",
    help="Time between two looks.",
)  # fmt: skip
@click.option("--times", type=click.IntRange(min=1), default=None, metavar="N", help="End the watch after N looks.")
@output.option
@click.pass_context
def status(ctx: click.Context, watch: bool, interval: float, times: int | None, form: output.Format) -> None:
    """Print it."""
    from skep.cli.kubectl import gather
    from skep.kube.plugin import overview

    wanted = asked.of(ctx)
    with wanted.cluster() as opened:
        where = wanted.where(opened)

        def look() -> Overview:
            found = gather.parts(opened, where)
            if found.applications.error is not None and found.cluster_applications.error is not None:
                raise found.applications.error
            return overview.overview(found)

        found = look()
        page.untold(found.untold)
        if watch:
            page.watch(lambda: _shown(look()), form, interval, times)
            return
    output.show(_view(found), form)


STATUS: click.Command = status


def _shown(found: Overview) -> tuple[object, page.Page]:
    return found.document(), _page(found, wide=False)


def _view(found: Overview) -> output.View:
    return output.View(
        document=found.document,
        items=lambda: (each.document() for each in found.applications),
        names=lambda: (each.reference for each in found.applications),
        text=lambda wide: page.show(_page(found, wide=wide), wide=wide),
    )


def _page(found: Overview, *, wide: bool) -> page.Page:
    parts: list[table.Table | str] = [*_machinery(found)]
    if found.nodes is not None:
        parts += ["", *_nodes(found.nodes, wide=wide)]
    parts += ["", _applications(found) if found.applications else "no applications"]
    return tuple(parts)


def _machinery(found: Overview) -> list[table.Table | str]:
    rows = []
    if found.operator is not None:
        operator = found.operator
        ready = operator.desired > 0 and operator.ready >= operator.desired
        word = "ready" if ready else "not ready" if operator.namespace else "not there"
        where = f"{operator.ready} of {operator.desired} in {operator.namespace}" if operator.namespace else ""
        rows.append(("operator", word, where, operator.image))
    if found.config is not None:
        config = found.config
        where = f"{config.ready} of {config.desired} nodes: {config.message}" if config.status else config.message
        rows.append(("Config", config.status or "not there", where, config.image))
    if not rows:
        return []
    columns = (
        table.Column(title="WHAT", style="bold"),
        table.Column(title="STATUS", styles=COLOURS),
        table.Column(title="READY", folds=True),
        table.Column(title="IMAGE", wide=True),
    )
    return [table.Table(columns=columns, rows=tuple(rows))]


def _nodes(nodes: tuple[OnNode, ...], *, wide: bool) -> list[table.Table | str]:
    shown = nodes if wide or len(nodes) <= MANY else tuple(each for each in nodes if each.word != "ready")
    rows = tuple(
        (
            each.node,
            each.word,
            f"{len(each.ready)}/{len(each.containers)}" if each.pod else "-",
            str(each.restarts) if each.pod else "-",
            f"{each.namespace}/{each.pod}" if each.pod else "-",
            each.waiting,
        )
        for each in shown
    )
    columns = (
        table.Column(title="NODE", style="bold"),
        table.Column(title="STATUS", styles=COLOURS),
        table.Column(title="CONTAINERS", right=True),
        table.Column(title="RESTARTS", right=True, spare=2),
        table.Column(title="POD", spare=1),
        table.Column(title="WHY", folds=True),
    )
    made: list[table.Table | str] = [table.Table(columns=columns, rows=rows)] if rows else []
    if len(shown) < len(nodes):
        made.append(f"{len(nodes) - len(shown)} of {len(nodes)} nodes are ready")
    return made or ["no nodes"]


def _applications(found: Overview) -> table.Table:
    rolling = any(each.rollout for each in found.applications)
    older = any(each.older for each in found.applications)
    return table.Table(
        columns=(
            table.Column(title="NAMESPACE"),
            table.Column(title="NAME", style="bold"),
            table.Column(title="STATUS", styles=COLOURS),
            table.Column(title="NODES", right=True),
            table.Column(title="OK", right=True, style="green"),
            table.Column(title="FAILED", right=True, styles={"0": "", "": "red"}),
            table.Column(title="PENDING", right=True, styles={"0": "", "": "yellow"}),
            table.Column(title="ROLLOUT", wide=not rolling),
            table.Column(title="FROM", wide=not older, spare=1),
            table.Column(title="MESSAGE", folds=True),
        ),
        rows=tuple(
            (
                each.namespace or "-",
                each.name,
                each.status,
                str(each.desired),
                str(each.ready),
                str(each.failed),
                str(each.pending),
                each.rollout or "-",
                each.older or "-",
                each.message if each.current else f"{each.message} (of an earlier spec)",
            )
            for each in found.applications
        ),
    )
