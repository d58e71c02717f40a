"""bpfman's commands that this release has not: scripts that call them are told so, and not that they mistyped."""

from __future__ import annotations

import click

from skep import errors
from skep.cli import lazy


def image() -> click.Command:
    """``image …``, ``program load image …`` and ``load image …``."""
    return _command(
        "image",
        errors.Unsupported(
            "bytecode images are not supported",
            why="this release loads files only",
            do="take the object out of the image, then: skep program load file PATH --programs TYPE:NAME",
            feature="bytecode images",
        ),
    )


def _command(name: str, refusal: errors.Unsupported) -> click.Command:
    """A hidden command that takes any words and refuses them."""

    def callback(words: tuple[str, ...]) -> None:
        raise refusal

    return lazy.Command(
        name,
        callback=callback,
        params=[click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True, "help_option_names": []},
        help=f"{refusal.what}: {refusal.why}.",
        hidden=True,
        ground=False,
    )
