"""How much memory do the daemon and its worker hold with 200 programs loaded?

From ``/proc/<pid>/smaps_rollup`` of the daemon and of every process below it. RSS counts a shared page once for each
process, PSS shares it out; the target is on the sum of RSS, the stricter of the two.
"""

from __future__ import annotations

import time
from pathlib import Path

from bench import api, measure
from tests import instance

QUESTION = "Resident memory of daemon and worker, MiB"
TARGET_MIB = 90.0


def main() -> None:
    """Loads, reads /proc, reports."""
    parser = measure.parser(QUESTION, ["python -m bench.memory", "python -m bench.memory --programs 20"])
    parser.add_argument("--programs", type=int, default=200, help="programs to load (default 200)")
    arguments = parser.parse_args()
    measure.need_root()
    states: dict[str, object] = {}
    with instance.instance("skep-memory") as daemon, api.connect(daemon) as client:
        states["started"] = family(daemon.pid)
        programs = [client.load(instance.EXAMPLES / "xdp_count.bpf.o", "xdp_count") for _ in range(arguments.programs)]
        client.list()
        full = family(daemon.pid)
        states[f"{arguments.programs} programs"] = full
        for program in programs:
            client.unload(program)
        time.sleep(1)  # whatever is freed later shall have been
        states["all unloaded"] = family(daemon.pid)
    name = f"memory with {arguments.programs} programs"
    figures = [
        measure.figure(f"{name}, RSS", total(full, "Rss"), TARGET_MIB, unit="MiB"),
        measure.figure(f"{name}, PSS", total(full, "Pss"), unit="MiB"),
    ]
    measure.report(arguments, QUESTION, figures, states)


def family(pid: int) -> list[dict[str, object]]:
    """Memory of a process and of all processes below it, MiB."""
    found: list[dict[str, object]] = []
    todo = [pid]
    while todo:
        one = todo.pop()
        found.append({"command": Path(f"/proc/{one}/comm").read_text().strip(), **resident(one)})
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            todo += [int(child) for child in children.read_text().split()]
    return found


def resident(pid: int) -> dict[str, float]:
    """``Rss``, ``Pss`` and what belongs to this process alone, MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {key: int(value.split()[0]) for key, _, value in (line.partition(":") for line in lines)}
    alone = kib["Private_Clean"] + kib["Private_Dirty"]
    return {"Rss": _mib(kib["Rss"]), "Pss": _mib(kib["Pss"]), "private": _mib(alone)}


def _mib(kib: int) -> float:
    return round(kib / 1024, 1)


def total(processes: list[dict[str, object]], key: str) -> float:
    """The sum of one figure over all processes, MiB."""
    return round(sum(float(str(process[key])) for process in processes), 1)


if __name__ == "__main__":
    main()
