"""The commands that the documents name, the Makefile's targets and the scripts behind them fit each other."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.unit.house import source_tree

DOCUMENTS = sorted([*source_tree.ROOT.glob("*.md"), *(source_tree.ROOT / "docs").glob("*.md")])


def make_targets() -> set[str]:
    """The targets that the Makefile defines."""
    return set(re.findall(r"^([a-z][a-z-]*):", (source_tree.ROOT / "Makefile").read_text(), re.MULTILINE))


def named_targets(text: str) -> set[str]:
    """Every X of a `make X` in inline code or at the start of a line of an indented or console block."""
    return set(re.findall(r"(?:`|^    |^\$ )(?:sudo )?make ([a-z][a-z-]*)", text, re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(source_tree.ROOT).as_posix())
def test_documents_name_real_targets(document: Path) -> None:
    """A stranger types what the README says."""
    assert named_targets(document.read_text()) - make_targets() == set()


def test_the_readme_names_the_two_commands() -> None:
    """One command shows the main job, another passes the tests; both must be in sight."""
    assert named_targets((source_tree.ROOT / "README.md").read_text()) >= {"demo", "test"}


def test_every_target_is_explained() -> None:
    """`make` alone prints the table, so a target without its `##` text is one that nobody finds."""
    makefile = (source_tree.ROOT / "Makefile").read_text()
    explained = set(re.findall(r"^([a-z][a-z-]*):.*## ", makefile, re.MULTILINE))
    assert explained == make_targets()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == make_targets()


def test_scripts_are_runnable_and_parse() -> None:
    """A script without its bit or with a syntax error is found here, not by the stranger on a fresh machine."""
    scripts = sorted(path for path in (source_tree.ROOT / "scripts").iterdir() if path.is_file())
    assert scripts
    for script in scripts:
        assert script.stat().st_mode & 0o111, f"{script.name} is not executable"
        if "bash" in script.read_text().splitlines()[0]:
            subprocess.run(["bash", "-n", script], check=True)


def test_make_runs_scripts_that_exist() -> None:
    """A target that calls a missing script fails only for whoever types it."""
    makefile = (source_tree.ROOT / "Makefile").read_text()
    called = set(re.findall(r"scripts/([a-z-]+)", makefile))
    assert {name for name in called if not (source_tree.ROOT / "scripts" / name).exists()} == set()


def test_make_test_runs_every_directory_of_tests() -> None:
    """A suite that nobody runs passes for ever."""
    text = (source_tree.ROOT / "scripts/test").read_text()
    run = [name for names in re.findall(r"^lane (.*?) -- ", text, re.MULTILINE) for name in names.split()]
    told = re.search(r"^for name in check (.*); do cat", text, re.MULTILINE)
    assert told is not None
    there = {
        path.parent.relative_to(source_tree.ROOT / "tests").parts[0]
        for path in (source_tree.ROOT / "tests").rglob("test_*.py")
    }
    # Those of tests/kube that need a node of their own are a stage of their own.
    for marked in ('kube -m "not node"', "kube -m node"):
        assert text.count(f"tests/{marked} ") == 1
    assert sorted([*there, "node"]) == sorted(run) == sorted(told.group(1).split())
