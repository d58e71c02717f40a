"""What the documents tell a reader to type is what the program understands."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import click
import pytest

from skep.cli import root
from tests.e2e import documents, installed
from tests.unit.house import source_tree, test_commands

CONSOLE = documents.all_blocks("console")
PYTHON = documents.all_blocks("python")


def understand(words: list[str]) -> None:
    """Parse a typed ``skep …`` as the program does, without running it. click.UsageError if it does not understand."""
    command: click.Command = root.ROOT
    context = None
    rest = words[1:]
    name: str | None = "skep"
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            while True:
                context = command.make_context(name, list(rest), parent=context)
                if not isinstance(command, click.Group):
                    return
                rest = [*context._protected_args, *context.args]
                name, found, rest = command.resolve_command(context, rest)
                if found is None:
                    raise click.UsageError(f"no such command: {words}")
                command = found
        except click.exceptions.Exit as done:  # --help and --version end here
            if done.exit_code:
                raise click.UsageError(f"exit code {done.exit_code}: {words}") from done


@pytest.mark.parametrize("block", CONSOLE, ids=str)
def test_the_program_understands_what_the_documents_type(block: documents.Block) -> None:
    """A flag that was renamed, a noun that moved or a missing argument in a document is a bug of the document."""
    typed = documents.commands(block.text)
    assert typed, "a console block shows at least one command, after '$ '"
    for words in typed:
        match words:
            case ["skep", *_]:
                understand(words)
            case ["make", target, *_]:
                assert target in test_commands.make_targets()


def test_there_are_commands_to_check() -> None:
    """The check above sees what it is for: console blocks in the README's documents that call skep and make."""
    words = [words for block in CONSOLE for words in documents.commands(block.text)]
    assert {"skep", "make"} <= {words[0] for words in words}
    assert len(words) >= 10


@pytest.mark.parametrize(
    "typed",
    ["$ skep no-such-noun", "$ skep program no-such-verb", "$ skep program list --no-such-flag", "$ skep link get"],
)
def test_a_wrong_command_is_not_understood(typed: str) -> None:
    """If these passed, the check would be worth nothing."""
    (words,) = documents.commands(typed)
    with pytest.raises(click.UsageError):
        understand(words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("$ skep version\n0.1.0\n", [["skep", "version"]]),
        (
            "$ sudo NO_COLOR=1 skep program list -o json | jq .\n",
            [["skep", "program", "list", "-o", "json"], ["jq", "."]],
        ),
        ("$ skep link get 1 \\\n> -o yaml\n", [["skep", "link", "get", "1", "-o", "yaml"]]),
        ("$ make demo && skep version  # both\n", [["make", "demo"], ["skep", "version"]]),
        ("output only\n", []),
    ],
    ids=["plain", "pipe", "continued", "list", "none"],
)
def test_a_shell_line_is_taken_apart(text: str, words: list[list[str]]) -> None:
    """Documents show lines as they are typed, pipes and all."""
    assert documents.commands(text) == words


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_examples_run(block: documents.Block, tmp_path: Path) -> None:
    """Each example is run as a reader runs it: a file of its own, against a daemon, in this checkout."""
    script = tmp_path / "example.py"
    script.write_text(block.text)
    with installed.daemon(prefix=("unshare", "--net")) as skep:
        done = subprocess.run(
            [sys.executable, script],
            cwd=source_tree.ROOT,
            env=installed.environment() | {"SKEP_SOCKET": skep.socket},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_a_python_example() -> None:
    """The API page without one would be a page that nobody can copy from."""
    assert any(block.document == "docs/api.md" for block in PYTHON)
