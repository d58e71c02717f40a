"""``kubectl skep`` as a user has it: a directory for PATH with kubectl, the plugin and what completes it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import instance
from tests.parts import part

PROGRAMS = {"kubectl-skep": "main", "kubectl_complete-skep": "complete"}
"""Of pyproject.toml, and the function that each calls."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended. ``both``: what it printed on stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def both(self) -> str:
        return self.out + self.err


@dataclass(frozen=True, slots=True)
class Plugin:
    """The directory, and the kubeconfig of whoever types."""

    directory: Path
    kubeconfig: Path

    def run(self, *words: str, kubeconfig: Path | None = None) -> Done:
        """``kubectl <words>``; a traceback is never an answer."""
        made = subprocess.run(
            ["kubectl", *words], env=self.environment(kubeconfig), capture_output=True, text=True, check=False,
            timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert "Traceback" not in made.stderr and "internal error" not in made.stderr, made.stderr
        return Done(made.returncode, made.stdout, made.stderr)

    def environment(self, kubeconfig: Path | None = None) -> dict[str, str]:
        """Where PATH leads to the plugin, and KUBECONFIG to the cluster."""
        path = f"{self.directory}:{os.environ['PATH']}"
        return {**instance.environment(), "PATH": path, "KUBECONFIG": str(kubeconfig or self.kubeconfig)}


def plugin(directory: Path, kubeconfig: Path, *, enter: Sequence[str] = ()) -> Plugin:
    """Put the programs there; ``enter``: words before each command, with which it runs somewhere else."""
    directory.mkdir(parents=True, exist_ok=True)
    commands: dict[str, list[str]] = {
        name: [sys.executable, "-c", f"import sys; from skep.cli.kubectl.main import {call}; sys.exit({call}())"]
        for name, call in PROGRAMS.items()
    }
    commands["kubectl"] = [*enter, str(part("kubernetes").parent / "kubernetes.d/kubectl")]
    for name, words in commands.items():
        script = directory / name
        script.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        script.chmod(0o755)
    return Plugin(directory, kubeconfig)
