"""How long does a user wait for ``skep program list``, from the start of the process to its first answer?

The target is absolute because it is about a person; the same interpreter that does nothing is taken in turns with it,
as the floor that no Python program can go below.
"""

from __future__ import annotations

import subprocess
import sys
import time

from bench import api, measure
from tests import instance

QUESTION = "`skep program list`, process start to first answer, milliseconds"
TARGET_MS = 150.0


def main() -> None:
    """Starts the processes in turns and reports."""
    parser = measure.parser(QUESTION, ["python -m bench.start", "python -m bench.start --rounds 10"])
    parser.add_argument("--rounds", type=int, default=40, help="starts of each command (default 40)")
    arguments = parser.parse_args()
    measure.need_root()
    python = [sys.executable, "-c"]
    with instance.instance("skep-start") as daemon, api.connect(daemon) as client:
        client.load(instance.EXAMPLES / "xdp_count.bpf.o", "xdp_count")
        skep = [*instance.command(), "--runtime-dir", daemon.layout.runtime]
        sides = {
            "skep program list": [*skep, "program", "list"],
            "skep program list -o json": [*skep, "program", "list", "-o", "json"],
            "skep version": [*skep, "version"],
            "python, nothing": [*python, "pass"],
            "python, import skep.cli.main": [*python, "import skep.cli.main"],
            "python, import grpc": [*python, "import grpc"],
        }
        for words in sides.values():
            first_answer(words)  # the first start compiles and fills the cache
        measure.progress(f"start: {arguments.rounds} rounds of {len(sides)} commands")
        times = measure.in_turns(
            arguments.rounds, *[lambda words=words: first_answer(words) for words in sides.values()]
        )
    taken = dict(zip(sides, times, strict=True))
    median = measure.summary(taken["skep program list"])["median_ms"]
    figures = [
        measure.figure("start to first answer", float(median), TARGET_MS, unit="ms"),
        measure.figure("start, against an empty interpreter", measure.ratio(times[0], taken["python, nothing"])),
    ]
    measure.report(arguments, QUESTION, figures, {name: measure.summary(values) for name, values in taken.items()})


def first_answer(words: list[str]) -> float:
    """Seconds from the start of a process to the first bytes of its answer, or to its end when it says nothing."""
    environment = instance.environment()
    begin = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        taken = time.perf_counter() - begin
        process.communicate()
    if process.returncode:
        raise RuntimeError(f"{words} ended with {process.returncode}")
    return taken


if __name__ == "__main__":
    main()
