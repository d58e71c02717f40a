"""``kubectl skep why``: why an application is not ready, node by node, and what is most worth doing."""

from __future__ import annotations

import click

from skep.cli import output, table
from skep.cli.kubectl import asked, complete, page
from skep.cli.kubectl.status import COLOURS
from skep.kube.plugin.step import Step
from skep.kube.plugin.why import Answer, There

EVENTS = 5
"""Events that are shown, unless all are asked for."""
MANY = 20
"""Nodes above which those that are ready, or not meant, are counted and not listed."""
NOT_READY = 1
"""The exit code when the application is not ready."""


@click.command(
    "why",
    cls=asked.Command,
    help="""Say why an application is not ready: its condition; for each node whether it is selected, whether an agent
    is there and what it reports; the error of each program and link; Events; and what to do next.

    The exit code is 0 if the application is ready on every node that it selects, and 1 if it is not. APP is NAME,
    cba/NAME (ClusterBpfApplication) or ba/NAME (BpfApplication).
    """,
    examples="""
        kubectl skep why firewall
        kubectl skep why ba/udp-count -n web --node worker-1
        kubectl skep why firewall -o json | jq .next
    """,
)
@click.argument("app", metavar="APP", shell_complete=complete.applications)
@click.option("--node", default="", metavar="NODE", shell_complete=complete.nodes, help="Only this node.")
@output.option
@click.pass_context
def why(ctx: click.Context, app: str, node: str, form: output.Format) -> None:
    """Print it; the exit code says whether it is ready."""
    from skep import errors
    from skep.cli.kubectl import gather
    from skep.kube.plugin import machinery, part, resource, step
    from skep.kube.plugin import why as whys

    wanted = asked.of(ctx)
    with wanted.cluster() as opened:
        document = gather.find(opened, app, wanted.namespace or opened.namespace())
        about = document["metadata"]
        fields = f"involvedObject.name={about['name']},involvedObject.kind={document['kind']}"
        space = about.get("namespace") or "default"
        config, states, nodes, events = opened.together(
            lambda: gather.config_of(opened),
            lambda: gather.states(opened, document),
            lambda: part.seen(lambda: opened.every(resource.NODE)),
            lambda: part.seen(lambda: opened.every(resource.EVENT, namespace=space, fields=fields)),
        )
        pods, operators = opened.together(
            lambda: gather.pods(opened, config), lambda: gather.operators(opened, gather.home_of(config))
        )
    found = whys.answer(
        document,
        states.objects,
        nodes.objects if nodes.known else None,
        pods.objects if pods.known else None,
        [each for each in events.objects if each["involvedObject"].get("uid") in (None, "", about.get("uid"))],
    )
    if node and not found.on(node):
        near = errors.near_misses(node, [each.node for each in found.nodes])
        raise errors.NotFound(
            f"node {node}", why="the cluster has no such node", near=near,
            do="" if near else "kubectl get nodes lists them",
        )  # fmt: skip
    following = step.step(
        found,
        machinery.operator(operators.objects) if operators.known else None,
        machinery.config(next(iter(config.objects), None)) if config.known else None,
    )
    page.untold(part.untold((config, states, nodes, pods, operators, events)))
    output.show(_view(found, following, node), form)
    if not found.ready:
        ctx.exit(NOT_READY)


WHY: click.Command = why


def _view(found: Answer, following: Step | None, node: str) -> output.View:
    there = found.on(node)
    return output.View(
        document=lambda: {
            "application": found.application.document(),
            "ready": found.ready,
            "nodes": [each.document() for each in there],
            "events": [each.document() for each in found.events],
            "next": None if following is None else following.document(),
        },
        items=lambda: (each.document() for each in there),
        names=lambda: (f"node/{each.node}" for each in there if not each.ready and each.selected is not False),
        text=lambda wide: page.show(_page(found, following, there, wide), wide=wide),
    )


def _page(found: Answer, following: Step | None, there: tuple[There, ...], wide: bool) -> page.Page:
    app = found.application
    made = f", made out of its {app.older}" if app.older else ""
    parts: list[table.Table | str] = [f"{app.key}{made}: {'ready' if found.ready else 'not ready'}"]
    parts.append(f"  {app.status}: {app.message}" + ("" if app.current else " (of an earlier spec)"))
    counted = f"{app.ready} of {app.desired} nodes ready, {app.failed} failed, {app.pending} pending"
    parts.append(f"  {counted}" + (f"; rollout {app.rollout}" if app.rollout else ""))
    parts += [f"  {app.rolling}"] if app.rolling else []
    shown = there if wide or len(there) <= MANY else tuple(each for each in there if _telling(each))
    if shown:
        parts += ["", _nodes(shown)]
    if len(shown) < len(there):
        parts.append(f"{len(there) - len(shown)} of {len(there)} nodes are ready or not meant; -o wide lists all")
    links = _links(shown, wide)
    if links.rows:
        parts += ["", links]
    if found.events:
        parts += ["", _events(found, wide)]
    if following is not None:
        # An error may end with the verifier's last lines.
        parts += ["", "Next: " + following.reason.replace("\n", "\n  "), f"  {following.do}"]
        parts += [f"  $ {following.command}"] if following.command else []
    return tuple(parts)


def _telling(each: There) -> bool:
    return each.failed or (each.selected is not False and not each.ready)


def _nodes(there: tuple[There, ...]) -> table.Table:
    return table.Table(
        columns=(
            table.Column(title="NODE", style="bold"),
            table.Column(title="SELECTED"),
            table.Column(title="AGENT", styles=COLOURS),
            table.Column(title="STATUS", styles=COLOURS),
            table.Column(title="LOADED", spare=1),
            table.Column(title="MESSAGE", folds=True),
        ),
        rows=tuple(
            (
                each.node,
                "not known" if each.selected is None else "yes" if each.selected else "no",
                each.agent,
                (each.condition if each.current else f"{each.condition} (earlier)") if each.state else "-",
                each.loaded or "-",
                "; ".join(each.unmet) or (each.message.split("\n", 1)[0] if each.state else _silent(each)),
            )
            for each in there
        ),
    )


def _silent(each: There) -> str:
    if each.place is not None and each.place.waiting:
        return each.place.waiting
    return "its agent has said nothing of it"


def _links(there: tuple[There, ...], wide: bool) -> table.Table:
    """Links that are not as they are wanted, and programs without one; ``wide``: all."""
    rows = []
    for each in there:
        for program in each.programs:
            for link in program.links:
                if wide or not link.whole:
                    error = link.error or ("not wanted any more" if not link.wanted else "")
                    rows.append((each.node, program.name, program.type, link.status, link.where, error))
            if not program.links and (wide or program.status != "Success"):
                rows.append((each.node, program.name, program.type, program.status, "-", ""))
    return table.Table(
        columns=(
            table.Column(title="NODE"),
            table.Column(title="PROGRAM", style="bold"),
            table.Column(title="TYPE"),
            table.Column(title="LINK", styles={"Attached": "green", "Success": "green", "": "red"}),
            table.Column(title="WHERE", folds=True),
            table.Column(title="ERROR", folds=True),
        ),
        rows=tuple(tuple(cell.split("\n", 1)[0] for cell in row) for row in rows),
    )


def _events(found: Answer, wide: bool) -> table.Table:
    shown = found.events if wide else found.events[:EVENTS]
    return table.Table(
        columns=(
            table.Column(title="LAST SEEN"),
            table.Column(title="TYPE", styles={"Warning": "red"}, spare=2),
            table.Column(title="REASON"),
            table.Column(title="FROM", spare=1),
            table.Column(title="MESSAGE", folds=True),
        ),
        rows=tuple((each.last, each.type, each.reason, each.source, each.message.split("\n", 1)[0]) for each in shown),
    )
