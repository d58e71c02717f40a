"""``skep kube agent``: makes its node run what the cluster's applications say."""

from __future__ import annotations

import click

from skep.cli import ground, lazy, session


@click.command(
    "agent",
    cls=lazy.Command,
    ground=False,
    help="""Run the agent of a node until SIGTERM: it has the daemon load and attach what applications say, and reports
    in state objects what became of it.

    It needs no privilege, only the daemon's socket. What is loaded stays when it ends, and goes when its application is
    deleted.
    """,
    examples="""
        skep kube agent --node worker-1
        skep kube agent --node worker-1 --kubeconfig ~/.kube/config --socket-path /run/bpfman-sock/bpfman.sock
    """,
)
@click.option(
    "--node", envvar="KUBE_NODE_NAME", required=True, metavar="NAME", help="The Node's name.  [KUBE_NODE_NAME]"
)
@click.option("--kubeconfig", metavar="FILE", help="The cluster.  [default: the one we run in; KUBECONFIG]")
@click.option(
    "--health-probe-bind-address", "health", default=":8175", show_default=True, metavar="[HOST]:PORT",
    help="Where /healthz and /readyz are served; 0 is nowhere.",
)  # fmt: skip
@click.option(
    "--metrics-bind-address", "metrics", default="0", show_default=True, metavar="[HOST]:PORT",
    help="Where /metrics is served over TLS, to whom the cluster allows it; 0 is nowhere.",
)  # fmt: skip
@click.option("--cert-dir", metavar="DIR", help="Where tls.crt and tls.key are.  [default: one is made at the start]")
@click.pass_context
def agent(
    ctx: click.Context, node: str, kubeconfig: str | None, health: str, metrics: str, cert_dir: str | None
) -> None:
    """Run the agent."""
    import logging
    from pathlib import Path

    from skep import log
    from skep.kernel import landlock
    from skep.kube.agent import program
    from skep.kube.api import listen

    current = ctx.ensure_object(session.Session)
    chosen = current.settings
    log.configure(chosen.log_level, format=chosen.log_format, components=chosen.log_components)
    # Before there is another thread. The pod has the host's process ids, for the daemon's sake.
    if not landlock.hide({"proc", "sys"}):
        logging.getLogger("skep.kube.agent").info("no Landlock here: /proc and /sys stay in sight of the agent")
    options = program.Options(
        node=node,
        kubeconfig=kubeconfig,
        socket=current.layout.socket,
        health=listen.address(health),
        metrics=listen.address(metrics),
        certificates=Path(cert_dir) if cert_dir else None,
    )
    ctx.exit(program.serve(options))


agent.params += ground.options(("runtime_dir", "socket_path", "log_level"), hidden=False)
AGENT: click.Command = agent
