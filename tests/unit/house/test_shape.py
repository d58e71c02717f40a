"""The shape of the tree: sizes, names, layers, licences."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests.unit.house import source_tree

LONGEST = 400  # lines
HOMELESS = {"utils", "util", "helpers", "helper", "common", "misc", "base", "shared"}


def test_no_module_outgrows_a_reader() -> None:
    """A module above 400 lines holds more than one noun; split it by noun, never into "part 2"."""
    sizes = {source_tree.shown(path): len(path.read_bytes().splitlines()) for path in source_tree.python_modules()}
    assert {path: lines for path, lines in sizes.items() if lines > LONGEST} == {}


def test_no_home_for_the_homeless() -> None:
    """``utils.py`` is where functions go whose noun nobody looked for."""
    everywhere = [*source_tree.python_modules(), *(source_tree.ROOT / "tests").rglob("*.py")]
    assert [source_tree.shown(path) for path in everywhere if path.stem in HOMELESS] == []


def test_every_module_says_what_lives_in_it() -> None:
    """The docstring's first sentence is what a reader sees before deciding to read on."""
    assert [
        source_tree.shown(path)
        for path in source_tree.python_modules()
        if not (ast.get_docstring(source_tree.parse(path)) or "").strip()
    ] == []


def test_every_module_defers_its_annotations() -> None:
    """One spelling of types everywhere, and no import needed at run time only to spell one."""
    assert [
        source_tree.shown(path)
        for path in source_tree.python_modules()
        if source_tree.parse(path).body[1:] and "from __future__ import annotations" not in path.read_text()
        if path.name != "__init__.py"
    ] == []


@pytest.mark.slow
def test_higher_layers_import_lower_ones_only() -> None:
    """The layers of ARCHITECTURE.md, as import-linter reads them from pyproject.toml: a cycle or a shortcut between
    layers is how a small program becomes one that nobody can change.
    """
    command = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run(
        [sys.executable, "-c", command],
        cwd=source_tree.ROOT,
        env={"PYTHONPATH": str(source_tree.ROOT / "src"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_bpf_sources_carry_their_licence() -> None:
    """The kernel lets only GPL-compatible programs call its GPL-only helpers, and whoever copies an example must see
    at its first line under what terms.
    """
    wanted = "// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause"
    sources = [
        path
        for directory in ("bpf", "examples", "tests", "bench", "src")
        for pattern in ("*.bpf.c", "*.bpf.h")
        for path in (source_tree.ROOT / directory).rglob(pattern)
    ]
    assert len(sources) >= 6, "the examples at least"
    assert [source_tree.shown(path) for path in sources if path.read_text().splitlines()[0] != wanted] == []


def test_bpf_sources_declare_a_licence_the_kernel_knows() -> None:
    """ "Dual BSD/GPL" is the kernel's own spelling (include/linux/license.h); "BSD-2-Clause" would forbid half of the
    helpers.
    """
    sources = [path for directory in ("bpf", "examples") for path in (source_tree.ROOT / directory).glob("*.bpf.c")]
    assert [
        source_tree.shown(path) for path in sources if 'SEC("license") = "Dual BSD/GPL";' not in path.read_text()
    ] == []
