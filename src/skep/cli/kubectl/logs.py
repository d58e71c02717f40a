"""``kubectl skep logs``: the logs of a node's containers, of the operator, or of all about one application."""

from __future__ import annotations

import click

from skep.cli.kubectl import asked, complete

CONTAINERS = ("daemon", "agent", "csi", "operator")


@click.command(
    "logs",
    cls=asked.Command,
    help="""Show logs of skep: of the containers on a NODE, or the lines about an APP from every node that it is on and
    from the operator. Without either, the operator's and those of all agents.

    Each line begins with the node (or "operator") and the container. A container that starts anew ends what -f follows.
    """,
    examples="""
        kubectl skep logs worker-1 -c daemon -f
        kubectl skep logs cba/firewall
        kubectl skep logs -c operator --tail 50
    """,
)
@click.argument("word", metavar="[NODE|APP]", default="", shell_complete=complete.nodes_and_applications)
@click.option(
    "-c", "--container", "containers", type=click.Choice(CONTAINERS), multiple=True,
    help="Only this one; may be repeated.  [default: agent and daemon; without a node, agent and operator]",
)  # fmt: skip
@click.option("-f", "--follow", is_flag=True, help="Go on printing, until Ctrl-C.")
@click.option("--tail", type=click.IntRange(min=-1), default=None, metavar="N", help="Only the newest N lines of each.")
@click.option("--since", default="", metavar="TIME", help="Only lines younger than this: 30s, 5m, 2h.")
@click.option("-p", "--previous", is_flag=True, help="Of the container before the last restart.")
@click.pass_context
def logs(
    ctx: click.Context,
    word: str,
    containers: tuple[str, ...],
    follow: bool,
    tail: int | None,
    since: str,
    previous: bool,
) -> None:
    """Print them."""
    from skep import errors
    from skep.cli.kubectl import gather, stream
    from skep.kube.plugin import application, line

    wanted = asked.of(ctx)
    with wanted.cluster() as opened:
        chosen = gather.sources(opened, word, containers, wanted.namespace)
        about = None if chosen.application is None else line.about(application.listed(chosen.application).key)
        words = [f"--tail={tail}"] if tail is not None else []
        words += [f"--since={since}"] if since else []
        words += ["--follow"] if follow else []
        words += ["--previous"] if previous else []
        commands = {
            f"{each.label} {each.container}": opened.command(
                "logs", "-n", each.namespace, each.pod, "-c", each.container, *words
            )
            for each in chosen.sources
        }
    if follow and len(commands) > stream.AT_ONCE:
        raise errors.InvalidRequest(
            f"follow {len(commands)} containers", why=f"at most {stream.AT_ONCE} are followed at a time",
            do="name a node, or one container with -c",
        )  # fmt: skip
    ctx.exit(stream.follow(commands, about))


LOGS: click.Command = logs
