"""``skep kube csi``: the CSI driver csi.bpfman.io."""

from __future__ import annotations

import os

import click

from skep.cli import lazy, session

_KUBELET = "/var/lib/kubelet"


@click.command(
    "csi",
    cls=lazy.Command,
    help="""Run the CSI driver csi.bpfman.io until SIGTERM: it hands maps of managed programs to pods that name them.

    It asks the daemon for programs, mounts below kubelet's directory, and makes itself known to kubelet; no side-car is
    needed. What is mounted stays when it ends.
    """,
    examples="""
        skep kube csi
        skep kube csi --node-name worker-1 --kubelet-dir /data/kubelet
        skep kube csi --no-registration --endpoint /csi/csi.sock
    """,
)
@click.option(
    "--node-name", envvar="KUBE_NODE_NAME", default=lambda: os.uname().nodename, metavar="NAME",
    help="The node's name in the cluster.  [default: the host's name; KUBE_NODE_NAME]",
)  # fmt: skip
@click.option("--kubelet-dir", default=_KUBELET, metavar="DIR", help=f"Kubelet's directory.  [default: {_KUBELET}]")
@click.option(
    "--endpoint", metavar="PATH",
    help="The driver's socket, as kubelet sees its path.  [default: plugins/csi.bpfman.io/csi.sock there]",
)  # fmt: skip
@click.option("--no-registration", is_flag=True, help="Leave it to a side-car to make the driver known to kubelet.")
@click.pass_obj
def csi(current: session.Session, node_name: str, kubelet_dir: str, endpoint: str | None, no_registration: bool) -> int:
    """Run the driver."""
    from skep import errors, log
    from skep.kube import naming
    from skep.kube.csi import driver, serve

    # gRPC's own messages to stderr would break our lines.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    chosen = current.settings
    log.configure(chosen.log_level, format=chosen.log_format, components=chosen.log_components)
    kubelet = os.path.normpath(kubelet_dir)
    if not kubelet.startswith("/") or kubelet == "/":
        raise errors.InvalidRequest(
            f"{kubelet_dir} cannot be kubelet's directory", why="it is an absolute path", do="give kubelet's --root-dir"
        )
    return serve.serve(
        driver.Settings(node=node_name, kubelet=kubelet),
        serve.Sockets(
            csi=endpoint or f"{kubelet}/plugins/{naming.DRIVER}/csi.sock",
            plugins=None if no_registration else f"{kubelet}/plugins_registry",
        ),
        serve.behind(current.address),
    )
