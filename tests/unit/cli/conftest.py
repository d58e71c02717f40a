"""Run the command line in this process against the stand-in of ``fake``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click import testing

from skep.cli import door, root, session
from tests.unit.cli import fake


@dataclass(frozen=True)
class Result:
    """What a user sees."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


@pytest.fixture
def skep() -> fake.FakeSkep:
    return fake.FakeSkep()


@pytest.fixture
def run(skep: fake.FakeSkep, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    for name in ("SKEP_CONFIG", "BPFMAN_CONFIG", "SKEP_LOCK_TIMEOUT", "BPFMAN_LOCK_TIMEOUT", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def invoke(*words: str) -> Result:
        current = session.Session(opener=lambda: door.opened(skep), config_file=None)
        outcome = testing.CliRunner().invoke(root.ROOT, list(words), obj=current)
        assert outcome.exception is None or isinstance(outcome.exception, SystemExit), outcome.exception
        assert "Traceback" not in outcome.output
        return Result(code=outcome.exit_code, out=outcome.stdout, err=outcome.stderr)

    return invoke


@pytest.fixture
def object_file(tmp_path: Path) -> str:
    path = tmp_path / "a.o"
    path.write_bytes(b"\x7fELF and so on")
    return str(path)
