"""``skep kube``: the processes that skep is made of in a cluster, one subcommand and one file for each."""

from __future__ import annotations

from skep.cli import lazy

KUBE = lazy.Group(
    name="kube",
    entries=(
        lazy.Entry(name="agent", target="kubeagent:AGENT", help="Make this node run what applications say."),
        lazy.Entry(name="clean", target="kubeclean:CLEAN", help="Take everything off the nodes before an uninstall."),
        lazy.Entry(name="clean-node", target="kubeclean:CLEAN_NODE", help="Remove what skep keeps on this node."),
        lazy.Entry(
            name="convert", target="kubeconvert:convert", help="Rewrite objects of bpfman 0.5 and older, and bpfd's."
        ),
        lazy.Entry(name="csi", target="kubecsi:csi", help="Run the CSI driver that hands maps to pods."),
        lazy.Entry(name="operator", target="kubeoperator:OPERATOR", help="Run the operator, which deploys the others."),
    ),
    help="Run what a Kubernetes cluster needs, in it and on its nodes.",
    examples="""
        skep kube agent --node worker-1
        skep kube csi --node-name worker-1
        skep kube operator --leader-elect
    """,
)
