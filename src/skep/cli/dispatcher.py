"""``skep dispatcher``: chains under bpfman's name and in its JSON shapes, for scripts written for it."""

from __future__ import annotations

import click

from skep import errors, model
from skep.cli import chain, lazy, output, session, table
from skep.cli.document import chain as document
from skep.cli.render import chain as render

DISPATCHER = lazy.Group(
    name="dispatcher",
    entries=(
        lazy.Entry(name="list", target="dispatcher:list_", help="List dispatchers."),
        lazy.Entry(name="get", target="dispatcher:get", help="Show one dispatcher."),
    ),
    default="list",
    help="Chains as bpfman's dispatchers; see skep chain.",
)


@click.command("list", cls=lazy.Command, help="List dispatchers.", examples="skep dispatcher list --type xdp -o json")
@click.option("--type", "kind", default=None, metavar="TYPE", help="Only this type.")
@click.option("--nsid", type=int, default=0, metavar="INODE", help="Only this network namespace.")
@click.option("--ifindex", type=int, default=0, metavar="INDEX", help="Only this interface.")
@output.option
@click.pass_obj
def list_(current: session.Session, kind: str | None, nsid: int, ifindex: int, form: output.Format) -> None:
    """Print dispatchers."""
    with current.open() as skep:
        found = [
            each
            for each in skep.chains()
            if (kind is None or each.record.key.type == kind)
            and (not nsid or each.record.key.netns == nsid)
            and (not ifindex or each.record.key.ifindex == ifindex)
        ]
    output.show(
        output.View(
            document=lambda: {"dispatchers": [document.dispatcher_row(each) for each in found]},
            items=lambda: (document.dispatcher_row(each) for each in found),
            names=lambda: (f"dispatcher/{each.record.key}" for each in found),
            text=lambda wide: table.show(_table(found), wide=wide),
        ),
        form,
    )


@click.command(
    "get", cls=lazy.Command, help="Show one dispatcher.", examples="skep dispatcher get xdp 4026531840 2 -o json"
)
@click.argument("kind", metavar="TYPE")
@click.argument("nsid", type=int)
@click.argument("ifindex", type=int)
@output.option
@click.pass_obj
def get(current: session.Session, kind: str, nsid: int, ifindex: int, form: output.Format) -> None:
    """Print a dispatcher."""
    wanted = model.ChainKey(type=kind, netns=model.NetnsInode(nsid), ifindex=model.IfIndex(ifindex))
    with current.open() as skep:
        chains = skep.chains()
        found = next((each for each in chains if each.record.key == wanted), None)
        if found is None:
            raise errors.NotFound(
                f"no dispatcher {wanted}",
                why="no program is attached there in a chain",
                near=errors.near_misses(str(wanted), [str(each.record.key) for each in chains]),
            )
        links = chain.members(skep)
    view = render.one(found, links)
    shape = document.dispatcher(found, links)
    output.show(
        output.View(
            document=lambda: shape, items=lambda: [shape], names=lambda: [f"dispatcher/{wanted}"], text=view.text
        ),
        form,
    )


def _table(chains: list[model.ChainStatus]) -> table.Table:
    titles = (
        "TYPE",
        "NSID",
        "IFINDEX",
        "REVISION",
        "PROGRAM ID",
        "KERNEL LINK ID",
        "PRIORITY",
        "HANDLE",
        "MEMBERS",
        "NETNS",
    )
    return table.Table(
        columns=tuple(table.Column(title=title) for title in titles),
        rows=tuple(
            (
                each.record.key.type,
                str(each.record.key.netns),
                str(each.record.key.ifindex),
                str(each.record.revision),
                str(each.record.program_id),
                str(each.record.link_id or "<none>"),
                str(each.record.filter_priority or "<none>"),
                f"{each.record.filter_handle:#x}" if each.record.filter_handle else "<none>",
                str(len(each.record.members)),
                each.record.netns_path or "<none>",
            )
            for each in chains
        ),
    )
