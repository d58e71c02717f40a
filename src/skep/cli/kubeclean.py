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
    theirs; stops the operator; deletes the Config, and waits until its pods have ended. What is in the way is told; run
    again, it goes on.
    """,
    examples="""
        skep kube clean && kubectl delete -k deploy
        skep kube clean --wait 600 --kubeconfig ~/.kube/config
        skep kube clean --keep-applications
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
def clean(kubeconfig: str | None, namespace: str, seconds: float, keep_applications: bool, keep_operator: bool) -> None:
    """Clean the cluster."""
    from skep.kube import clean as cleaning

    options = cleaning.Options(
        kubeconfig=kubeconfig,
        namespace=namespace,
        seconds=seconds,
        keep_applications=keep_applications,
        keep_operator=keep_operator,
    )
    cleaning.run(options, lambda text: print(text, flush=True))


CLEAN: click.Command = clean
