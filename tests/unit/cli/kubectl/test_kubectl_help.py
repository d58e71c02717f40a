"""The command line of ``kubectl skep`` itself: help, examples, manual pages, completion, wrong usage; no cluster."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click import testing

from skep.cli.kubectl import asked, complete, root
from tests.e2e import documents
from tests.unit.cli.test_help import every, examples
from tests.unit.house import source_tree

COMMANDS = [
    (ctx.command_path, ctx, command)
    for ctx, command in every(root.KUBECTL, click.Context(root.KUBECTL, info_name=root.NAME))
]
BY_PATH = pytest.mark.parametrize("path, ctx, command", COMMANDS, ids=[path for path, _, _ in COMMANDS])
PAGE = source_tree.ROOT / "docs/kubectl-skep.md"


def run(*words: str) -> testing.Result:
    done = testing.CliRunner().invoke(root.KUBECTL, list(words), obj=asked.Asked())
    assert "Traceback" not in done.output
    return done


def understood(words: list[str]) -> None:
    """Parse a typed command as the program does; click.UsageError if it does not understand."""
    ctx = click.Context(root.KUBECTL, info_name=root.NAME, obj=asked.Asked())
    with root.KUBECTL.make_context(root.NAME, list(words), parent=ctx) as made:
        name, command, rest = root.KUBECTL.resolve_command(made, [*made._protected_args, *made.args])
        assert command is not None
        command.make_context(name, rest, parent=made)


@BY_PATH
def test_every_verb_has_examples_first(path: str, ctx: click.Context, command: click.Command) -> None:
    shown, text = examples(command), command.get_help(ctx)
    if path not in (f"{root.NAME} help", f"{root.NAME} man"):
        assert shown and all("kubectl skep" in line for line in shown), path
    assert text.index("Examples:") < text.index("Options:")


@BY_PATH
def test_examples_are_understood(path: str, ctx: click.Context, command: click.Command) -> None:
    for line in examples(command):
        for words in re.findall(r"kubectl skep ([^|)>']*)", line):
            understood(words.split())


def test_what_the_page_types_is_understood() -> None:
    blocks = documents.blocks(PAGE.read_text(), "kubectl-skep.md")
    typed = [words for block in blocks if block.language == "console" for words in documents.commands(block.text)]
    ours = [words[words.index("skep") + 1 :] for words in typed if "kubectl skep" in " ".join(words)]
    assert len(ours) >= 10
    for words in ours:
        understood(words)


def test_a_wrong_verb_or_option_is_told_with_the_way_to_help() -> None:
    for words in (("stat",), ("status", "--no-such"), ("trace", "n", "eth0", "--printk"), ("chain", "n")):
        done = run(*words)
        assert done.exit_code == 2 and "see: kubectl skep" in done.stderr, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    assert f"_KUBECTL_SKEP_COMPLETE={shell}_complete" in run("completion", shell).stdout


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["sta"], {"status"}),
        (["inventory", "--by", ""], {"owner", "node", "type", "program"}),
        (["logs", "-c", "d"], {"daemon"}),
        (["status", "--wat"], {"--watch"}),
        ([], {"status", "why", "chain"}),
    ],
    ids=["verb", "choice", "container", "option", "nothing"],
)
def test_what_is_offered_to_kubectl(words: list[str], offered: set[str]) -> None:
    *lines, directive = complete.answer(words).splitlines()
    assert offered <= {line.partition("\t")[0] for line in lines} and directive == ":4"


def test_manual_pages_bear_the_plugins_name(tmp_path: Path) -> None:
    assert run("man", str(tmp_path)).exit_code == 0
    assert {"kubectl-skep.1", "kubectl-skep-why.1", "kubectl-skep-trace.1"} <= {one.name for one in tmp_path.iterdir()}
    assert ".B kubectl skep why" in (tmp_path / "kubectl-skep-why.1").read_text().replace("\\-", "-")


def test_without_kubectl_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run("status")
    assert (done.exit_code, "kubectl: no such program is in PATH" in done.stderr) == (3, True)


@pytest.mark.slow
def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom skep.cli.kubectl import root\n"
        "try:\n    root.KUBECTL.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('lightkube', 'grpc', 'rich', 'yaml', 'skep.hooks') if name in sys.modules], "
        "file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin"})  # fmt: skip
    assert done.stderr.strip() == "[]"
