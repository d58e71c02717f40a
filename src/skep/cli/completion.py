"""``skep completion``: the shell's script, which asks skep itself for commands, options, types and living ids."""

from __future__ import annotations

import click

from skep.cli import lazy

SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    cls=lazy.Command,
    ground=False,
    help="Print the completion script of a shell. Ids of programs and links are completed from what is there.",
    examples="""
        source <(skep completion bash)
        skep completion zsh > ~/.zfunc/_skep
        skep completion fish > ~/.config/fish/completions/skep.fish
    """,
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print a script."""
    from click import shell_completion

    from skep.cli import root

    made = shell_completion.get_completion_class(shell)
    assert made is not None  # the three are click's own
    maker = made(root.ROOT, {}, "skep", "_SKEP_COMPLETE")
    # source() of bash first runs bash to look at its version, which a container may lack.
    print(maker.source_template % maker.source_vars())


COMPLETION: click.Command = completion
