"""The kernel's tests on a stock Debian kernel, whose policy refuses nothing, with both generations of libbpf.

scripts/guest boots it. What fails in there is told by pytest's own words, on the terminal while it runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import instance

GUEST = instance.REPOSITORY / "scripts/guest"
SECONDS = 900
PYTEST = (sys.executable, "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", "-o", "timeout=600")
CHOSEN = ("-m", "(guest or (kernel and not slow)) and not boots")
ATTACHED = ("xdp", "tcx", "tracepoint", "uprobe")
"""A test called ``test_<hook>_runs_while_attached`` saw its program run, and saw it end."""
REFUSED_SOMEWHERE = ("kprobe", "kprobe-multi", "fentry", "lsm", "freplace")

pytestmark = pytest.mark.timeout(SECONDS + 60)


@dataclass(frozen=True, slots=True)
class Boot:
    """What came of one run of scripts/guest; ``directory`` is where all its own files were."""

    code: int
    output: str
    results: Path
    directory: Path

    def cases(self, name: str) -> dict[str, str]:
        """The tests of a JUnit file and how each ended: passed, skipped, failure or error."""
        found = {}
        for case in ET.parse(self.results / name).iter("testcase"):
            ends = [one.tag for one in case if one.tag in ("skipped", "failure", "error")]
            found[f"{case.get('classname')}::{case.get('name')}"] = ends[0] if ends else "passed"
        return found

    def left(self) -> list[str]:
        """Files and processes that scripts/guest did not take away."""
        found = [str(one) for one in self.directory.iterdir()]
        for one in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = one.read_bytes()
            except OSError:  # ended meanwhile
                continue
            if os.fsencode(f"{self.directory}/") in words:
                found.append(words.replace(b"\0", b" ").decode(errors="replace"))
        return found


def boot(request: pytest.FixtureRequest, tmp_path: Path, *words: str) -> Boot:
    """Run scripts/guest and show what it says as it says it."""
    directory = tmp_path / "guest"
    directory.mkdir()
    environment = {**os.environ, "TMPDIR": str(directory), "PYTHONPATH": str(instance.REPOSITORY / "src")}
    said = []
    capture = request.config.pluginmanager.getplugin("capturemanager")
    command = [str(GUEST), "--results", str(tmp_path / "results"), *words]
    with (
        capture.global_and_fixture_disabled(),
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment,
            cwd=instance.REPOSITORY,
        ) as running,
    ):  # fmt: skip
        assert running.stdout is not None
        try:
            for line in running.stdout:
                said.append(line)
                sys.stdout.write(line)
                sys.stdout.flush()
        except BaseException:
            running.terminate()
            raise
    return Boot(running.returncode, "".join(said), tmp_path / "results", directory)


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Compile and cache here what the guest imports: there it takes ten times as long, and is thrown away."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    collect = [sys.executable, "-m", "pytest", "-q", "--collect-only", *CHOSEN, "tests/contract", "tests/kernel"]
    subprocess.run(collect, cwd=instance.REPOSITORY, env=environment, check=True, capture_output=True)


@pytest.fixture(scope="module")
def here() -> dict[str, bool]:
    """This machine's features."""
    words = [sys.executable, "-m", "tests.guest.features"]
    environment = {**os.environ, "PYTHONPATH": "src"}
    done = subprocess.run(words, cwd=instance.REPOSITORY, env=environment, check=True, capture_output=True, text=True)
    return {one["name"]: one["available"] for one in json.loads(done.stdout)}


def test_the_kernel_suite_passes_there_and_this_machine_is_untouched(
    request: pytest.FixtureRequest, tmp_path: Path, here: dict[str, bool]
) -> None:
    made = instance.REPOSITORY / f"made-in-the-guest-{os.getpid()}"
    script = f"""
        touch {made}
        {sys.executable} -m tests.guest.features >$SKEP_GUEST_RESULTS/features.json || exit 3
        exec "$@" --junitxml=$SKEP_GUEST_RESULTS/junit.xml
    """
    run = boot(request, tmp_path, "--time", str(SECONDS), "bash", "-c", script, "run",
               *PYTEST, *CHOSEN, "tests/contract", "tests/kernel")  # fmt: skip
    assert run.code == 0, run.output
    assert not made.exists()
    assert run.left() == []

    cases = run.cases("junit.xml")
    assert set(cases.values()) == {"passed"}
    for hook in ATTACHED:
        assert any(f"test_{hook}_runs_while_attached" in name for name in cases), hook

    there = {one["name"]: one for one in json.loads((run.results / "features.json").read_text())}
    assert set(there) == set(here)
    assert all(there[name]["available"] for name in REFUSED_SOMEWHERE), there
    assert [name for name, available in here.items() if available and not there[name]["available"]] == []


def test_libbpf_of_backports_loads_the_same(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    script = """
        "$0" -c 'import ctypes; print("libbpf", ctypes.CDLL("libbpf.so.1").libbpf_minor_version())'
        exec "$@" --junitxml=$SKEP_GUEST_RESULTS/junit.xml
    """
    run = boot(request, tmp_path, "--libbpf", "--time", str(SECONDS), "bash", "-c", script, sys.executable,
               *PYTEST, *CHOSEN, "tests/contract", "tests/kernel/test_load.py")  # fmt: skip
    assert run.code == 0, run.output
    minor = int(run.output.split("libbpf ", 1)[1].split()[0])
    assert minor >= 4
    cases = run.cases("junit.xml")
    assert len(cases) > 20
    assert set(cases.values()) == {"passed"}


def test_a_guest_that_takes_too_long_is_ended(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    before = time.monotonic()
    run = boot(request, tmp_path, "--time", "3", "true")
    assert (run.code, time.monotonic() - before < 30) == (125, True)
    assert "not done after 3 s" in run.output
    assert run.left() == []


def test_a_kernel_that_panics_is_told_with_its_last_words(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    run = boot(request, tmp_path, "bash", "-c", "echo c >/proc/sysrq-trigger")
    assert run.code == 125
    assert "Kernel panic" in run.output
    assert "the guest ended by itself" in run.output
    assert run.left() == []


@pytest.mark.parametrize("words", [(), ("--nonsense", "true")], ids=["no command", "unknown option"])
def test_wrong_words_are_told_at_once(request: pytest.FixtureRequest, tmp_path: Path, words: tuple[str, ...]) -> None:
    run = boot(request, tmp_path, *words)
    assert run.code == 125
    assert "guest" in run.output
    assert "booting" not in run.output
