"""``kubectl skep chain``: what runs on an interface of a node, in order."""

from __future__ import annotations

import click

from skep.cli import output, table
from skep.cli.kubectl import asked, complete, page
from skep.kube.plugin.chain import Chain, Place


@click.command(
    "chain",
    cls=asked.Command,
    help="""Show what runs on an interface of a node, in the order in which it runs: applications with priority and the
    verdicts after which the chain goes on, and what others have attached.

    It is made of objects: states of applications, and the node's NodeBpfInventory. What these do not know is said.
    Counters are on the node: kubectl skep trace NODE INTERFACE.
    """,
    examples="""
        kubectl skep chain worker-1 eth0
        kubectl skep chain worker-1 eth0 --direction ingress
        kubectl skep chain worker-1 eth0 --netns /run/netns/blue -o json
    """,
)
@click.argument("node", metavar="NODE", shell_complete=complete.nodes)
@click.argument("interface", metavar="INTERFACE", shell_complete=complete.interfaces)
@click.option(
    "--direction", type=click.Choice(["ingress", "egress"]), default=None, help="Of tc and TCX: only this one."
)
@click.option(
    "--netns",
    default="",
    metavar="NETNS",
    help="Its network namespace: path, name or pid:NUMBER.  [default: the node's]",
)
@output.option
@click.pass_context
def chain(
    ctx: click.Context, node: str, interface: str, direction: str | None, netns: str, form: output.Format
) -> None:
    """Print it."""
    from skep.cli.kubectl import gather
    from skep.kube.plugin import chain as chains
    from skep.kube.plugin import part, resource

    wanted = asked.of(ctx)
    place = Place(node=node, interface=interface, netns=netns)
    with wanted.cluster() as opened:
        held = part.seen(lambda: [opened.find(resource.INVENTORY, node)])
        own = gather.states_on(opened, node, wanted.namespace or None)
        if own[1].error is not None and not wanted.namespace:
            # Who may not see all namespaces may see one.
            own = gather.states_on(opened, node, opened.namespace())
        if held.error is not None and own[0].error is not None and own[1].error is not None:
            raise held.error
        states = [state for each in own for state in each.objects]
        inventory = next(iter(held.objects), None)
        if inventory is None and not states:
            gather.check_node(opened, node)
    found = chains.chains(place, states, inventory, direction=direction or "")
    others = chains.elsewhere(place, states, inventory)
    page.untold(part.untold((held, *own)))
    if held.known and inventory is None:
        output.note(f"{node} has no NodeBpfInventory: no agent of skep's runs there, or not yet")
    if not found:
        seen = f"; objects name there: {', '.join(others)}" if others else ""
        output.note(f"no object says that anything runs on {interface} of {node}{seen}")
    output.show(_view(place, found, others), form)


CHAIN: click.Command = chain


def _view(place: Place, found: tuple[Chain, ...], others: tuple[str, ...]) -> output.View:
    def text(wide: bool) -> None:
        parts: list[table.Table | str] = []
        for number, one in enumerate(found):
            parts += [""] if number else []
            parts.append(_table(place, one))
            parts += [f"! not known: {each}" for each in one.unknown]
        same = [each for each in others if each.partition(" ")[0] == place.interface]
        if found and same:
            parts.append(f"! also: {', '.join(same)} (--netns)")
        page.show(tuple(parts), wide=wide)

    return output.View(
        document=lambda: {
            "node": place.node,
            "interface": place.interface,
            "netns": place.netns or None,
            "chains": [one.document() for one in found],
        },
        items=lambda: (one.document() for one in found),
        names=lambda: (f"{place.node}/{one.hook.replace(' ', '-')}/{place.interface}" for one in found),
        text=text,
    )


def _table(place: Place, one: Chain) -> table.Table:
    where = f" in {place.netns}" if place.netns else ""
    return table.Table(
        title=f"{one.hook} on {place.interface}{where} of {place.node}",
        columns=(
            table.Column(title="POS", right=True),
            table.Column(title="PRIORITY", right=True),
            table.Column(title="PROGRAM", style="bold"),
            table.Column(title="ID", right=True, style="cyan"),
            table.Column(title="OWNER", folds=True),
            table.Column(title="PROCEED ON", folds=True),
            table.Column(title="STATUS", styles={"Attached": "green", "": "red"}),
            table.Column(title="LINK", right=True, wide=True),
            table.Column(title="ERROR", wide=not any(each.error for each in one.entries), folds=True),
        ),
        rows=tuple(
            (
                "?" if each.position is None and each.status == "Attached" else _or_dash(each.position),
                _or_dash(each.priority),
                each.program,
                _or_dash(each.id),
                f"{each.owner or 'nobody'} (foreign)" if each.foreign else each.owner,
                ",".join(each.proceed_on) or "-",
                each.status,
                _or_dash(each.link),
                each.error.split("\n", 1)[0],
            )
            for each in one.entries
        ),
    )


def _or_dash(number: int | None) -> str:
    return "-" if number is None else str(number)
