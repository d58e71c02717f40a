"""``skep serve``: the daemon."""

from __future__ import annotations

import click

from skep.cli import ground, lazy, session

FLAGS = (
    "socket_path",
    "runtime_dir",
    "state_dir",
    "bpffs_dir",
    "image_cache_dir",
    "trust_policy",
    "lock_timeout",
    "log_level",
)


@click.command(
    "serve",
    cls=lazy.Command,
    ground=False,
    help="""Run the daemon until SIGTERM. It speaks bpfman.v1 and skep.v1 on a Unix socket.

    Given only --runtime-dir, state and socket lie below it and the pins in a directory of their own under the host's
    bpffs.
    """,
    examples="""
        sudo skep serve
        sudo skep serve --runtime-dir /tmp/skep
        sudo systemctl enable --now skep.socket
    """,
)
@click.option("--csi-support", is_flag=True, help="Accepted for bpfman's operator; the CSI driver comes later.")
@click.pass_context
def serve(ctx: click.Context, csi_support: bool) -> None:
    """Run the daemon."""
    from skep import daemon

    ctx.exit(daemon.serve(ctx.ensure_object(session.Session).settings, csi_support=csi_support))


serve.params += ground.options(FLAGS, hidden=False)
SERVE: click.Command = serve
