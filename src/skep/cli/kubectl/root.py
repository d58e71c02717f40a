"""The command ``kubectl skep`` itself: the list of its verbs."""

from __future__ import annotations

from skep.cli import lazy, root
from skep.cli.kubectl import asked

NAME = "kubectl skep"

ENTRIES = (
    lazy.Entry(name="status", target="kubectl.status:STATUS", help="Show operator, nodes and applications."),
    lazy.Entry(name="why", target="kubectl.why:WHY", help="Say why an application is not ready, and what to do."),
    lazy.Entry(name="inventory", target="kubectl.inventory:INVENTORY", help="Show the programs of all nodes."),
    lazy.Entry(name="chain", target="kubectl.chain:CHAIN", help="Show what runs on an interface of a node, in order."),
    lazy.Entry(name="logs", target="kubectl.logs:LOGS", help="Show logs of a node, or about an application."),
    lazy.Entry(
        name="trace", target="kubectl.trace:TRACE", help="Follow what happens on a node: counters, events, prints."
    ),
    lazy.Entry(name="completion", target="kubectl.completion:COMPLETION", help="Print shell completion."),
    lazy.Entry(name="man", target="man:MAN", help="Write the manual pages into a directory."),
    lazy.Entry(name="help", target="topic:HELP", help="Explain a verb or a topic (exit-codes, formats)."),
)

EXAMPLES = """
    kubectl skep status -A
    kubectl skep why firewall
    kubectl skep chain worker-1 eth0
    kubectl skep inventory --foreign --by program
    kubectl skep trace worker-1 eth0
"""

KUBECTL = root.Root(
    name=NAME,
    entries=ENTRIES,
    examples=EXAMPLES,
    help="""eBPF applications in a cluster: what runs where, who put it there, and why not.

    Reads with the rights that kubectl has; what these do not show is named. The ClusterRole skep-viewer-role has all of
    them but those of `trace`.
    """,
    params=[*asked.options(hidden=False), root.version(NAME)],
)
