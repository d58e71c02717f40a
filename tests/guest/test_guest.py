"""The kernel's tests on a stock Debian kernel, whose policy refuses nothing, with both generations of libbpf.

scripts/guest boots it. What fails in there is told by pytest's own words, on the terminal while it runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import instance

GUEST = instance.REPOSITORY / "scripts/guest"
SECONDS = 1500
PYTEST = (sys.executable, "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", "-o", "timeout=600")
CHOSEN = ("-m", "guest or (kernel and not slow and not native)")
SUITE = ("tests/contract", "tests/kernel")
# Shared out, so that both take about as long: what is about loading and linking, and what is wrong, is for the newer
# libbpf, and both see every type run.
_NEWER = (
    "test_load.py", "test_linked_", "test_every_type_", "test_runs.py", "test_struct_ops.py", "test_types_wrong.py",
)  # fmt: skip
ONE = (*SUITE, "-k", " and ".join(f"not {name}" for name in (*_NEWER, "(test_usdt.py and multi)")))
TWO = (*SUITE, "-k", f"{' or '.join(_NEWER)} or runs_while_attached or test_usdt.py and multi")
ATTACHED = ("xdp", "tcx", "tracepoint", "uprobe")
"""A test called ``test_<hook>_runs_while_attached`` saw its program run, and saw it end."""
REFUSED_SOMEWHERE = ("kprobe", "kprobe_multi", "fentry", "lsm", "freplace")

pytestmark = pytest.mark.timeout(SECONDS + 60)


@dataclass(frozen=True, slots=True)
class Boot:
    """A run of scripts/guest. ``directory`` is where all its own files are; ``output`` a file."""

    process: subprocess.Popen[bytes]
    output: Path
    results: Path
    directory: Path

    def finish(self, request: pytest.FixtureRequest) -> str:
        """Wait, and show on the terminal what it says when it says it; all of that."""
        capture = request.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled(), self.output.open(errors="replace") as said:
            sys.stdout.write("\n")
            while True:
                ended = self.process.poll() is not None
                sys.stdout.write(said.read())
                sys.stdout.flush()
                if ended:
                    break
                time.sleep(0.5)
        return self.output.read_text(errors="replace")

    def cases(self) -> dict[str, str]:
        """The tests that it ran and how each ended: passed, skipped, failure or error."""
        found = {}
        for case in ET.parse(self.results / "junit.xml").iter("testcase"):
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


@contextlib.contextmanager
def boot(place: Path, *words: str) -> Iterator[Boot]:
    """Start scripts/guest with everything of it below ``place``."""
    directory, output = place / "guest", place / "output"
    directory.mkdir(parents=True)
    environment = {**os.environ, "TMPDIR": str(directory), "PYTHONPATH": str(instance.REPOSITORY / "src")}
    command = [str(GUEST), "--results", str(place / "results"), *words]
    with (
        output.open("wb") as said,
        subprocess.Popen(command, stdout=said, stderr=said, env=environment, cwd=instance.REPOSITORY) as process,
    ):
        try:
            yield Boot(process, output, place / "results", directory)
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def suites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Boot, Boot]]:
    """Two guests at once, each on one of this machine's processors: with this machine's libbpf and with backports'."""
    # Compiled and cached here: there it takes ten times as long, and is thrown away.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    collect = [sys.executable, "-m", "pytest", "-q", "--collect-only", *CHOSEN, *SUITE]
    subprocess.run(collect, cwd=instance.REPOSITORY, env=environment, check=True, capture_output=True)
    place = tmp_path_factory.mktemp("guests")
    whole = f"""
        touch {place.name}-made-in-the-guest
        uname -r >$SKEP_GUEST_RESULTS/release
        {sys.executable} -m tests.guest.features >$SKEP_GUEST_RESULTS/features.json || exit 3
        exec "$@" --junitxml=$SKEP_GUEST_RESULTS/junit.xml
    """
    loads = f"""
        {sys.executable} -c 'import ctypes; print("libbpf", ctypes.CDLL("libbpf.so.1").libbpf_minor_version())'
        exec "$@" --junitxml=$SKEP_GUEST_RESULTS/junit.xml
    """
    limit = ("--time", str(SECONDS))
    with (
        boot(place / "one", *limit, "bash", "-c", whole, "run", *PYTEST, *CHOSEN, *ONE) as one,
        boot(place / "two", *limit, "--libbpf", "bash", "-c", loads, "run", *PYTEST, *CHOSEN, *TWO) as two,
    ):
        yield one, two


def features() -> dict[str, bool]:
    """This machine's."""
    words = [sys.executable, "-m", "tests.guest.features"]
    environment = {**os.environ, "PYTHONPATH": "src"}
    done = subprocess.run(words, cwd=instance.REPOSITORY, env=environment, check=True, capture_output=True, text=True)
    return {one["name"]: one["available"] for one in json.loads(done.stdout)["features"]}


def numbers(release: str) -> tuple[int, ...]:
    """ "6.12.95+deb12" -> (6, 12)."""
    return tuple(int(word) for word in release.split(".")[:2])


def test_the_kernel_suite_passes_there_and_this_machine_is_untouched(
    request: pytest.FixtureRequest, suites: tuple[Boot, Boot]
) -> None:
    run = suites[0]
    here = features()
    output = run.finish(request)
    assert run.process.returncode == 0, output
    assert list(instance.REPOSITORY.glob("*-made-in-the-guest")) == []
    assert run.left() == []

    cases = run.cases()
    assert set(cases.values()) == {"passed"}  # what may be skipped is marked native
    for hook in ATTACHED:
        assert any(f"test_{hook}_runs_while_attached" in name for name in cases), hook

    told = json.loads((run.results / "features.json").read_text())
    there = {one["name"]: one for one in told["features"]}
    assert set(there) == set(here)
    assert all(there[name]["available"] for name in REFUSED_SOMEWHERE), there
    # What only this machine has is newer than that kernel.
    release = (run.results / "release").read_text()
    only_here = [there[name] for name, available in here.items() if available and not there[name]["available"]]
    assert [one["name"] for one in only_here if numbers(one["first"]) <= numbers(release)] == []


def test_libbpf_of_backports_loads_and_attaches_the_same(
    request: pytest.FixtureRequest, suites: tuple[Boot, Boot]
) -> None:
    run = suites[1]
    output = run.finish(request)
    assert run.process.returncode == 0, output
    assert int(output.split("\nlibbpf ", 1)[1].split()[0]) >= 4
    cases = run.cases()
    assert len(cases) > 20
    assert set(cases.values()) == {"passed"}
    assert run.left() == []


def test_a_processor_s_event_goes_with_it_and_does_not_come_back(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Only a guest's processors may be switched off. docs/targets.md tells what is seen here."""
    words = f"{sys.executable} -m tests.guest.processors >$SKEP_GUEST_RESULTS/story.json"
    with boot(tmp_path, "--cpus", "2", "bash", "-c", words) as guest:
        guest.finish(request)
    told = json.loads((guest.results / "story.json").read_text())
    assert [(one["state"], one["reason"], list(one["runs"].values())) for one in told] == [
        ("attached", "", [True, True]),
        ("partial", "cpu 1: gone", [True]),
        ("attached", "", [True, False]),
        ("attached", "", [True, True]),
        ("partial", "cpu 1: came later", [True, False]),
    ]


def test_a_guest_that_takes_too_long_is_ended(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    before = time.monotonic()
    with boot(tmp_path, "--time", "3", "true") as run:
        output = run.finish(request)
    assert (run.process.returncode, time.monotonic() - before < 30) == (125, True)
    assert "not done after 3 s" in output
    assert run.left() == []


def test_a_guest_that_is_not_wanted_any_more_goes_at_once(tmp_path: Path) -> None:
    with boot(tmp_path, "sleep", "1000") as run:
        while "is up" not in run.output.read_text():
            assert run.process.poll() is None
            time.sleep(0.1)
        run.process.terminate()
        assert run.process.wait(30) == 130
    assert run.left() == []


def test_a_kernel_that_panics_is_told_with_its_last_words(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with boot(tmp_path, "bash", "-c", "echo c >/proc/sysrq-trigger") as run:
        output = run.finish(request)
    assert run.process.returncode == 125
    assert "Kernel panic" in output
    assert "the guest ended by itself" in output
    assert "Kernel panic" in (run.results / "console.log").read_text(errors="replace")
    assert run.left() == []


@pytest.mark.parametrize("words", [(), ("--nonsense", "true")], ids=["no command", "unknown option"])
def test_wrong_words_are_told_at_once(request: pytest.FixtureRequest, tmp_path: Path, words: tuple[str, ...]) -> None:
    with boot(tmp_path, *words) as run:
        output = run.finish(request)
    assert run.process.returncode == 125
    assert "guest" in output
    assert "booting" not in output
