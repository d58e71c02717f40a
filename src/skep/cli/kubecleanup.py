"""``skep kube cleanup``: takes skep off a cluster's nodes, before what installed it is deleted."""

from __future__ import annotations

import click

from skep.cli import lazy


@click.command(
    "cleanup",
    cls=lazy.Command,
    help="""Delete all applications and take skep off every node, so that uninstalling leaves nothing.

    It deletes every object that makes programs run, waits until each node has unloaded them, deletes the Config and
    what the operator has made for it, and has a pod on each node remove skep's pins, store and images. Afterwards
    delete what installed skep: kustomize's manifests, Helm's release, OLM's subscription. It may be interrupted, and
    begun again.
    """,
    examples="""
        skep kube cleanup
        skep kube cleanup --kubeconfig ~/.kube/config --timeout 600
        skep kube cleanup --forget-node worker-3
    """,
)
@click.option("--kubeconfig", metavar="FILE", help="The cluster.  [default: the one we run in; KUBECONFIG]")
@click.option(
    "--namespace", envvar="POD_NAMESPACE", default="bpfman", show_default=True, metavar="NAME",
    help="Where the nodes' pods are, if no Config says.  [POD_NAMESPACE]",
)  # fmt: skip
@click.option(
    "--timeout", type=click.FloatRange(min=0), default=120, show_default=True, metavar="SECONDS",
    help="How long to wait for each step.",
)  # fmt: skip
@click.option("--forget-node", multiple=True, metavar="NODE", help="Do not wait for a node that is gone; repeatable.")
@click.option(
    "--abandon", is_flag=True, help="Take off all finalizers and leave the nodes as they are, programs included."
)
def cleanup(
    kubeconfig: str | None, namespace: str, timeout: float, forget_node: tuple[str, ...], abandon: bool
) -> None:
    """Do it, and say what is done and what is waited for."""
    from skep.kube.cleanup import cluster

    cluster.run(
        cluster.Options(
            kubeconfig=kubeconfig, namespace=namespace, seconds=timeout, forgotten=forget_node, abandon=abandon
        ),
        click.echo,
    )


@click.command(
    "cleanup-node",
    cls=lazy.Command,
    help="""Remove what skep keeps on this node: pins, store, images, directories. Run by pods of `skep kube cleanup`.

    It waits until daemon and CSI driver have ended, and refuses while programs are pinned that nobody has unloaded.
    """,
    examples="""
        skep kube cleanup-node
        skep kube cleanup-node --host /host
    """,
)
@click.option("--host", default="/", show_default=True, metavar="DIR", help="Where the node's root directory is.")
def cleanup_node(host: str) -> None:
    """Do it, and say what is removed."""
    from skep.kube.cleanup import node

    node.clean(host, click.echo)
