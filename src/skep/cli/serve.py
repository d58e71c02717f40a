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
    "apps_dir",
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
@click.option(
    "--csi-support", is_flag=True, help="Serve the CSI driver too, as bpfman does, on <runtime-dir>/csi/csi.sock."
)
@click.option(
    "--kubelet-dir", default="/var/lib/kubelet", metavar="DIR",
    help="Kubelet's directory, for --csi-support.  [default: /var/lib/kubelet]",
)  # fmt: skip
@click.pass_context
def serve(ctx: click.Context, csi_support: bool, kubelet_dir: str) -> None:
    """Run the daemon."""
    from skep import daemon

    ctx.exit(
        daemon.serve(ctx.ensure_object(session.Session).settings, csi_kubelet=kubelet_dir if csi_support else None)
    )


serve.params += ground.options(FLAGS, hidden=False)
SERVE: click.Command = serve
