"""What every benchmark shares: interleaved rounds, medians, the machine's description, and one JSON document out.

A benchmark answers one question with a *ratio* against a peer or against the kernel's own floor, both taken in the
same run and in turns, because absolute times on a shared machine do not carry over to another run. Nothing here fails
a build: a missed target is reported (``"met": false``) and is not an exit code.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
BUILD = REPOSITORY / "build/bench"


def parser(question: str, examples: Sequence[str]) -> argparse.ArgumentParser:
    """A command line whose help shows the ``examples``; ``--output FILE`` is common to all."""
    made = argparse.ArgumentParser(
        description=question,
        epilog="examples:\n" + "\n".join(f"  {example}" for example in examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--output", metavar="FILE", help="write the JSON here, not to standard output")
    return made


def need_root() -> None:
    """Ends the process with a plain word when it lacks root: every benchmark loads programs."""
    if os.geteuid() != 0:
        raise SystemExit(f"{sys.argv[0]} needs root: it loads BPF programs and makes network namespaces")


def in_turns(count: int, *sides: Callable[[], float]) -> list[list[float]]:
    """``count`` values of each side, taken in turns; the order alternates so that neither is always the second."""
    values: list[list[float]] = [[] for _ in sides]
    for turn in range(count):
        numbers = range(len(sides))
        for number in numbers if turn % 2 == 0 else reversed(numbers):
            values[number].append(sides[number]())
    return values


def timed(action: Callable[[], object]) -> float:
    """Seconds that ``action`` takes, by a clock that nobody sets."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def summary(seconds: Sequence[float]) -> dict[str, float | int]:
    """Median and spread in milliseconds."""
    ordered = sorted(seconds)
    return {
        "n": len(ordered),
        "median_ms": _ms(statistics.median(ordered)),
        "best_ms": _ms(ordered[0]),
        "p10_ms": _ms(ordered[len(ordered) // 10]),
        "p90_ms": _ms(ordered[len(ordered) * 9 // 10]),
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of pairs that were taken one after the other."""
    return round(statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True)), 3)


def quotient_of_medians(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of ours over the median of theirs.

    For times that come in steps (grace periods) it is steadier than the median of the pairs' ratios, where one step
    more on one side of a pair counts double.
    """
    return round(statistics.median(ours) / statistics.median(theirs), 3)


def figure(name: str, value: float, target: float | None = None, *, unit: str = "ratio") -> dict[str, object]:
    """One line of the table. With a target (an upper limit, inclusive) it says whether it was met."""
    line: dict[str, object] = {"name": name, "value": value, "unit": unit}
    if target is not None:
        line |= {"target": target, "met": value <= target}
    return line


def report(
    arguments: argparse.Namespace, question: str, figures: Sequence[dict[str, object]], detail: dict[str, object]
) -> None:
    """Prints the one JSON document of this run: question, figures, what they were made from, command and machine."""
    document = {
        "question": question,
        "figures": list(figures),
        "detail": detail,
        "command": " ".join(["python -m bench." + Path(sys.argv[0]).stem, *sys.argv[1:]]),
        "machine": machine(),
    }
    text = json.dumps(document, indent=2) + "\n"
    if arguments.output:
        Path(arguments.output).write_text(text)
    else:
        sys.stdout.write(text)


def machine() -> dict[str, object]:
    """Where the figures were taken: a figure without its machine means nothing."""
    memory = _value("/proc/meminfo", "MemTotal", ":").split()[0]
    return {
        "kernel": platform.release(),
        "system": _value("/etc/os-release", "PRETTY_NAME", "="),
        "cpu": _value("/proc/cpuinfo", "model name", ":"),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mib": int(memory) // 1024,
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "libbpf": _package("libbpf1"),
        "bpftool": _words("bpftool", "version").partition("\n")[0],
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": _words("git", "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD"),
    }


def _value(path: str, key: str, separator: str) -> str:
    """The value of the first line that starts with ``key``, or "0"."""
    for line in Path(path).read_text().splitlines():
        if line.startswith(key):
            return line.partition(separator)[2].strip(' "')
    return "0"


def _package(name: str) -> str:
    return _words("dpkg-query", "-W", "-f=${Version}", name) or "?"


def _words(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return "?"


def compiled(source: str, *libraries: str) -> Path:
    """The C program ``bench/c/<source>``, built into build/bench unless it is newer than its source."""
    path = HERE / "c" / source
    program = BUILD / path.stem
    if not program.exists() or program.stat().st_mtime < path.stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-O2", "-Wall", "-o", str(program), str(path), *libraries], check=True)
    return program


def bpf_object(source: str) -> Path:
    """The BPF object of ``bench/c/<source>``, built into build/bench unless it is newer than its source."""
    path = HERE / "c" / source
    made = BUILD / f"{path.stem}.o"
    if not made.exists() or made.stat().st_mtime < path.stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        include = f"-I/usr/include/{platform.machine()}-linux-gnu"
        words = ["clang", "-O2", "-g", "-target", "bpf", "-mcpu=v3", include, "-c", str(path), "-o", str(made)]
        subprocess.run(words, check=True)
    return made


class Rounds:
    """A program that does one round for every line it reads and answers with one line of JSON (bench/c/lifecycle.c)."""

    def __init__(self, words: Sequence[str]) -> None:
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Rounds:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def round(self, word: str = "") -> dict[str, int]:
        """One round's times in nanoseconds; ``word`` is what is done. ``RuntimeError`` when the program has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.wait(5)}")
        answer: dict[str, int] = json.loads(line)
        return answer


@contextlib.contextmanager
def foreign(count: int) -> Iterator[None]:
    """``count`` programs that no manager knows, held by a child process (bench/c/foreign.c)."""
    words = [str(compiled("foreign.c", "-lbpf")), str(count)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        if holder.stdout.readline() != b"ready\n":
            raise RuntimeError(f"{words} ended with {holder.wait(5)}")
        yield
        holder.stdin.close()


def progress(text: str) -> None:
    """One line for whoever waits; standard output belongs to the JSON."""
    print(text, file=sys.stderr, flush=True)


def batches(total: int, size: int) -> Iterator[int]:
    """The sizes of consecutive batches that make ``total``."""
    while total > 0:
        yield min(size, total)
        total -= size
