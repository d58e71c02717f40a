"""Help, completion and manual pages: made from the same values as the commands, and quick."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from skep.cli import exit, lazy, root


def every(command: click.Command, ctx: click.Context) -> Iterator[tuple[click.Context, click.Command]]:
    yield ctx, command
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            assert below is not None
            yield from every(below, click.Context(below, info_name=name, parent=ctx))


def examples(command: click.Command) -> list[str]:
    if not isinstance(command, (lazy.Command, lazy.Group)):
        return []
    return [line.strip() for line in command.examples.strip().splitlines()]


COMMANDS = [
    (ctx.command_path, ctx, command) for ctx, command in every(root.ROOT, click.Context(root.ROOT, info_name="skep"))
]


@pytest.mark.parametrize("path, ctx, command", COMMANDS, ids=[path for path, _, _ in COMMANDS])
def test_every_command_has_help_with_examples_first(path: str, ctx: click.Context, command: click.Command) -> None:
    text = command.get_help(ctx)
    assert command.help, path
    if shown := examples(command):
        assert text.index("Examples:") < text.index("Options:")
        assert f"  {shown[0]}\n" in text


@pytest.mark.parametrize("path, ctx, command", COMMANDS, ids=[path for path, _, _ in COMMANDS])
def test_every_example_is_a_command_that_exists(path: str, ctx: click.Context, command: click.Command) -> None:
    for line in examples(command):
        for words in re.findall(r"(?:^|\(|sudo )\s*skep ([^|)>]*)", line):
            target: click.Command | None = root.ROOT
            for word in words.split():
                if not isinstance(target, click.Group) or word.startswith("-") or word.isdigit():
                    break
                found = target.get_command(ctx, word)
                if found is None and isinstance(target, lazy.Group) and target.default:
                    break
                assert found is not None, line
                target = found


def test_visible_commands_have_examples() -> None:
    for path, _, command in COMMANDS:
        entry_hidden = any(
            path.startswith(f"skep {name}") for name in ("load", "unload", "attach", "detach", "get", "list")
        )
        if not (entry_hidden or command.hidden or path.startswith("skep dispatcher") or path == "skep program load"):
            assert examples(command), path


def test_help_of_a_command_equals_its_own(run) -> None:
    assert run("help", "link", "attach", "xdp").out == run("link", "attach", "xdp", "--help").out
    assert run("help").out == run("--help").out
    assert run("link", "attach", "xdp", "-h").out == run("link", "attach", "xdp", "--help").out


def test_help_on_exit_codes_lists_all(run) -> None:
    text = run("help", "exit-codes").out
    for code in exit.table():
        assert re.search(rf"^{code.number} +{code.name} ", text, re.MULTILINE), code


@pytest.mark.parametrize("topic", ["exit-codes", "environment", "settings", "formats", "selectors"])
def test_topics(run, topic: str) -> None:
    result = run("help", topic)
    assert result.code == 0
    assert len(result.out.splitlines()) > 5


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(run, shell: str) -> None:
    text = run("completion", shell).out
    assert f"_SKEP_COMPLETE={shell}_complete" in text


def test_bash_accepts_its_script(run) -> None:
    script = run("completion", "bash").out
    assert subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False).returncode == 0


def test_man_pages(run, tmp_path: Path) -> None:
    assert run("man", str(tmp_path / "man1")).code == 0
    names = {path.name for path in (tmp_path / "man1").iterdir()}
    assert {"skep.1", "skep-program-load-file.1", "skep-link-attach-xdp.1", "skep-serve.1"} <= names
    assert not names & {"skep-dispatcher.1", "skep-unload.1", "skep-program-delete.1"}
    text = (tmp_path / "man1" / "skep-link-attach-xdp.1").read_text()
    assert text.startswith('.TH "SKEP-LINK-ATTACH-XDP" "1"')
    assert "\\-\\-proceed\\-on" in text


def test_man_pages_need_a_directory_that_can_be_written(run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("man", str(tmp_path / "file" / "below"))
    assert (result.code, "cannot write" in result.err) == (10, True)


HEAVY = ("grpc", "lightkube", "rich", "yaml", "sqlite3", "asyncio", "ctypes", "tomllib", "skep.hooks", "skep.pb")


@pytest.mark.slow
def test_help_imports_nothing_heavy() -> None:
    """Starting is what a person waits for at every command; what a command does not need is not imported."""
    program = (
        "import sys\nfrom skep.cli import root\n"
        "try:\n    root.ROOT.main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin"})  # fmt: skip
    assert done.stderr.strip() == "[]"
