"""``kubectl skep inventory``: the programs in the kernels of all nodes, one by one or added up."""

from __future__ import annotations

import click

from skep.cli import output, table
from skep.cli.kubectl import asked, complete, page
from skep.kube.plugin.holding import By, Node, Program


@click.command(
    "inventory",
    cls=asked.Command,
    help="""Show every eBPF program in the kernels of the nodes, managed or not, and who keeps it there.

    It comes from the objects NodeBpfInventory, which agents keep up to date; what an object has no room for is counted.
    TYPE is the kernel's (xdp, schedcls, kprobe, tracing …) or the first word of the place (tcx, tc).
    """,
    examples="""
        kubectl skep inventory --node worker-1
        kubectl skep inventory --foreign --by owner
        kubectl skep inventory --type xdp -o json
    """,
)
@click.option("--node", default="", metavar="NODE", shell_complete=complete.nodes, help="Only this node.")
@click.option("--foreign", "only", flag_value="foreign", help="Only what skep did not put there.")
@click.option("--managed", "only", flag_value="managed", help="Only what is skep's.")
@click.option("--type", "kind", default="", metavar="TYPE", help="Only this type.")
@click.option(
    "--by", type=click.Choice([by.value for by in By]), default=None, help="Add programs up by what they share."
)
@output.option
@click.pass_context
def inventory(ctx: click.Context, node: str, only: str | None, kind: str, by: str | None, form: output.Format) -> None:
    """Print it."""
    from skep.cli.kubectl import gather
    from skep.kube.plugin import door, holding, resource

    wanted = asked.of(ctx)
    foreign = None if only is None else only == "foreign"
    with wanted.cluster() as opened:
        if node:
            documents = iter([gather.inventory_of(opened, node)])
        else:
            documents = opened.every(resource.INVENTORY, page=door.LARGE_PAGE)
        # Of each object, which may have a megabyte, a few words are kept.
        nodes = [holding.read(each, foreign=foreign, type=kind) for each in documents]
    programs = [each for one in nodes for each in one.programs]
    for one in nodes:
        if one.left_out:
            output.note(f"{one.name}: {one.left_out} programs more than its NodeBpfInventory has room for")
    if by is None:
        output.show(_flat(nodes, programs), form)
    else:
        output.show(_summed(nodes, programs, By(by)), form)


INVENTORY: click.Command = inventory


def _flat(nodes: list[Node], programs: list[Program]) -> output.View:
    from skep.kube.plugin import holding

    return output.View(
        document=lambda: {
            "nodes": [{"name": one.name, "kernel": one.kernel, "leftOut": one.left_out} for one in nodes],
            "programs": [each.document() for each in programs],
        },
        items=lambda: (each.document() for each in programs),
        names=lambda: (f"{each.node}/program/{each.id}" for each in programs),
        text=lambda wide: page.show((_programs(programs), holding.headline(nodes)), wide=wide),
    )


def _programs(programs: list[Program]) -> table.Table:
    from skep.kube.inventory import status

    return table.Table(
        columns=(
            table.Column(title="NODE"),
            table.Column(title="OWNER", style="bold", folds=True),
            table.Column(title="ID", right=True, style="cyan"),
            table.Column(title="TYPE"),
            table.Column(title="NAME"),
            table.Column(title="PLACES", folds=True),
            table.Column(title="MEMORY", right=True, spare=1),
            table.Column(title="TAG", wide=True),
        ),
        rows=tuple(
            (
                each.node,
                each.owner or "nobody",
                str(each.id),
                each.type,
                each.name,
                ", ".join(each.places) or "-",
                status.amount(each.memory),
                each.tag,
            )
            for each in programs
        ),
    )


def _summed(nodes: list[Node], programs: list[Program], by: By) -> output.View:
    from skep.kube.inventory import status
    from skep.kube.plugin import holding

    sums = holding.sums(programs, by)

    def text(wide: bool) -> None:
        made = table.Table(
            columns=(
                *(table.Column(title=word.upper(), folds=word == "owner") for word in holding.TITLES[by]),
                table.Column(title="NODES", right=True),
                table.Column(title="PROGRAMS", right=True),
                table.Column(title="FOREIGN", right=True),
                table.Column(title="MEMORY", right=True),
            ),
            rows=tuple(
                (*one.words, str(one.nodes), str(one.programs), str(one.foreign), status.amount(one.memory))
                for one in sums
            ),
        )
        page.show((made, holding.headline(nodes)), wide=wide)

    return output.View(
        document=lambda: {"by": by.value, "sums": [one.document(by) for one in sums]},
        items=lambda: (one.document(by) for one in sums),
        names=lambda: ("/".join(one.words) for one in sums),
        text=text,
    )
