"""``kubectl skep completion``: the shell's script for ``kubectl-skep``, and what kubectl itself needs."""

from __future__ import annotations

import click

from skep.cli import completion as scripts
from skep.cli import lazy


@click.command(
    "completion",
    cls=lazy.Command,
    ground=False,
    help="""Print the completion script of a shell for the program kubectl-skep. Nodes, applications and interfaces are
    completed from the cluster.

    `kubectl skep` itself is completed by kubectl's own script (kubectl completion bash), from kubectl 1.26 on, if
    kubectl_complete-skep is in PATH, which is installed beside kubectl-skep.
    """,
    examples="""
        source <(kubectl skep completion bash)
        kubectl skep completion zsh > ~/.zfunc/_kubectl-skep
        kubectl skep completion fish > ~/.config/fish/completions/kubectl-skep.fish
    """,
)
@click.argument("shell", type=click.Choice(scripts.SHELLS))
def completion(shell: str) -> None:
    """Print a script."""
    from click import shell_completion

    from skep.cli.kubectl import root

    made = shell_completion.get_completion_class(shell)
    assert made is not None  # the three are click's own
    maker = made(root.KUBECTL, {}, "kubectl-skep", "_KUBECTL_SKEP_COMPLETE")
    print(maker.source_template % maker.source_vars())


COMPLETION: click.Command = completion
