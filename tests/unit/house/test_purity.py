"""Who may touch the world, and by which door."""

from __future__ import annotations

import ast

import pytest

from tests.unit.house import source_tree

FORBIDDEN_IN_PURE = {
    "asyncio",
    "ctypes",
    "grpc",
    "io",
    "os",
    "random",
    "secrets",
    "socket",
    "sqlite3",
    "subprocess",
    "threading",
    "time",
}
# Calls that read a clock or a file through a module that is otherwise welcome.
FORBIDDEN_CALLS = {"now", "today", "utcnow", "open", "read_bytes", "read_text", "write_bytes", "write_text", "input"}


def violations_of_purity(tree: ast.Module) -> list[str]:
    """What in this syntax tree reaches for the world, as "line N: what"."""
    found = [
        f"line {line}: imports {name}"
        for name, line in source_tree.imports(tree)
        if name.split(".")[0] in FORBIDDEN_IN_PURE
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = (
                called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
            )
            if name in FORBIDDEN_CALLS:
                found.append(f"line {node.lineno}: calls {name}()")
    return sorted(found)


def test_decisions_do_no_input_or_output() -> None:
    """A plan that is a pure value can be printed, compared, undone and tested without a kernel; one hidden read of
    the clock, the environment or a file ends that. Time and new ids are arguments.
    """
    guilty = {
        source_tree.shown(path): found
        for path in source_tree.python_modules()
        if source_tree.layer(path) in source_tree.PURE
        if (found := violations_of_purity(source_tree.parse(path)))
    }
    assert guilty == {}


@pytest.mark.parametrize(
    "source",
    [
        "import os",
        "import os.path",
        "from os import environ",
        "def f():\n    import time",
        "from datetime import datetime\nx = datetime.now()",
        "open('/etc/passwd')",
        "from pathlib import Path\nPath('/x').read_text()",
    ],
)
def test_the_purity_check_sees(source: str) -> None:
    """The rule above is only worth something if it finds these."""
    assert violations_of_purity(ast.parse(source)) != []


@pytest.mark.parametrize("source", ["import struct", "from pathlib import PurePosixPath", "import errno", "import re"])
def test_the_purity_check_lets_pass(source: str) -> None:
    """Modules that only compute are welcome in a decision."""
    assert violations_of_purity(ast.parse(source)) == []


@pytest.mark.parametrize(
    ("module", "homes", "reason"),
    [
        ("ctypes", {"kernel"}, "a wrong struct layout corrupts memory: such code is kept, and reviewed, in one place"),
        ("sqlite3", {"store"}, "one module knows the schema; the others get values"),
        (
            "cryptography",
            {"trust", "kube"},
            "who judges signatures knows how; kube/ makes its own server's certificate",
        ),
        ("rfc3161_client", {"trust"}, "as cryptography"),
        ("sigstore", {"image"}, "optional: it fetches the public trusted root, and signs for identities"),
        ("subprocess", {"kernel", "cli", "image", "kube", "programs"}, "the daemon starts no processes but its worker"),
        ("grpc", {"rpc", "kube", "cli", "daemon"}, "front ends translate; the manager and below never see the wire"),
        ("lightkube", {"kube"}, "only the processes of a cluster talk to an API server"),
        ("httpx2", {"kube"}, "it is lightkube's; everything else fetches with urllib3"),
        ("click", {"cli"}, "the command line is a front end like the others"),
        ("rich", {"cli"}, "only the command line prints"),
        ("skep.pb", {"rpc", "kube"}, "wire types end where they are converted"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_one_door_to_each_outside_system(module: str, homes: set[str], reason: str) -> None:
    """Only one place calls a given outside system, so that a change of it is a change of one place (style rule 17)."""
    guilty = [
        f"{source_tree.shown(path)}:{line}"
        for path in source_tree.python_modules()
        if source_tree.layer(path) not in homes
        for name, line in source_tree.imports(source_tree.parse(path))
        if name == module or name.startswith(module + ".")
    ]
    assert guilty == [], reason


def test_only_the_command_line_prints() -> None:
    """A daemon's words go to its log, once and with fields; a stray print corrupts the worker's protocol on stdout."""
    guilty = [
        f"{source_tree.shown(path)}:{node.lineno}"
        for path in source_tree.python_modules()
        if source_tree.layer(path) != "cli"
        for node in ast.walk(source_tree.parse(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert guilty == []
