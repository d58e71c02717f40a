"""``skep kube clean``: what has to happen before operator and CRDs are removed."""

from __future__ import annotations

import click

from skep.cli import lazy


@click.command(
    "clean",
    cls=lazy.Command,
    ground=False,
    help="""Take everything off the cluster's nodes, so that operator and CRDs can be removed.

    Deletes the applications of all namespaces, current kinds and older ones, and waits until no node has a program of
    theirs; stops the operator; deletes the Config, and waits until its pods have ended; removes pins, store and images
    from the nodes. What is in the way is told; run again, it goes on.
    """,
    examples="""
        skep kube clean && kubectl delete -k deploy
        skep kube clean --wait 600 --kubeconfig ~/.kube/config
        skep kube clean --keep-applications
        skep kube clean --forget-node worker-3
    """,
)
@click.option("--kubeconfig", metavar="FILE", help="The cluster.  [default: the one we run in; KUBECONFIG]")
@click.option(
    "--namespace", envvar="POD_NAMESPACE", default="bpfman", show_default=True, metavar="NAME",
    help="Where the operator runs.  [POD_NAMESPACE]",
)  # fmt: skip
@click.option(
    "--wait", "seconds", type=click.FloatRange(min=0), default=120, show_default=True, metavar="SECONDS",
    help="How long all of it may take.",
)  # fmt: skip
@click.option(
    "--keep-applications", is_flag=True,
    help="Leave applications as objects, and their programs in the kernels, for the next install.",
)  # fmt: skip
@click.option("--keep-operator", is_flag=True, help="Do not stop the operator: OLM would start it again.")
@click.option("--keep-files", is_flag=True, help="Leave skep's directories on the nodes: store, images, pins.")
@click.option("--forget-node", multiple=True, metavar="NODE", help="A node that is gone for good; repeatable.")
@click.option(
    "--abandon", is_flag=True, help="Wait for no node: what keeps objects is taken off, nodes stay as they are."
)
def clean(
    kubeconfig: str | None,
    namespace: str,
    seconds: float,
    keep_applications: bool,
    keep_operator: bool,
    keep_files: bool,
    forget_node: tuple[str, ...],
    abandon: bool,
) -> None:
    """Clean the cluster."""
    from skep.kube.clean import cluster

    options = cluster.Options(
        kubeconfig=kubeconfig,
        namespace=namespace,
        seconds=seconds,
        keep_applications=keep_applications,
        keep_operator=keep_operator,
        keep_files=keep_files,
        forgotten=forget_node,
        abandon=abandon,
    )
    cluster.run(options, lambda text: print(text, flush=True))


@click.command(
    "clean-node",
    cls=lazy.Command,
    ground=False,
    help="""Remove what skep keeps on this node: pins, store, images, directories. Run by pods of `skep kube clean`.

    It waits until daemon and CSI driver have ended, and refuses while programs are pinned that nobody has unloaded.
    """,
    examples="""
        skep kube clean-node
        skep kube clean-node --host /host
    """,
)
@click.option("--host", default="/", show_default=True, metavar="DIR", help="Where the node's root directory is.")
def clean_node(host: str) -> None:
    """Clean the node."""
    from skep.kube.clean import node

    node.clean(host, lambda text: print(text, flush=True))


CLEAN: click.Command = clean
CLEAN_NODE: click.Command = clean_node
