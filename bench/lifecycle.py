"""What does a life of a program cost over gRPC, against a C program on libbpf that pins the same?

One life is Load, Attach, Detach, Unload of one program. The C program (bench/c/lifecycle.c) does the kernel's part of
it and nothing else. The daemon is asked twice: by the gRPC client that the ``skep`` command has, and by grpcio's, whose
threads cost the caller some tenths of a millisecond a call. Most of a life is the kernel waiting for grace periods, in
steps of about 4 ms, so only medians over many pairs say anything.
"""

from __future__ import annotations

import time
from pathlib import Path

from bench import api, measure
from tests import instance

QUESTION = "Load+Attach+Detach+Unload over gRPC, as a multiple of a C libbpf program that pins the same"
PHASES = ("load", "attach", "detach", "unload")
PROGRAMS = {"xdp": "xdp_count", "tcx": "tcx_count", "tracepoint": "tp_getppid"}
TARGET = {"xdp": 1.3}
TRACEPOINT = "syscalls/sys_enter_getppid"


def main() -> None:
    """Runs the pairs and reports."""
    parser = measure.parser(QUESTION, ["python -m bench.lifecycle", "python -m bench.lifecycle --hook tcx --pairs 30"])
    parser.add_argument("--pairs", type=int, default=100, help="pairs of one life each (default 100)")
    parser.add_argument("--hook", choices=sorted(PROGRAMS), action="append", help="default: all three")
    arguments = parser.parse_args()
    measure.need_root()
    figures: list[dict[str, object]] = []
    detail: dict[str, object] = {}
    with (
        instance.network("skep-life") as network,
        instance.instance("skep-life", enter=network.enter) as daemon,
        api.connect_lightly(daemon) as client,
        api.connect(daemon) as grpcio,
    ):
        for hook in arguments.hook or list(PROGRAMS):
            # A tracepoint's detach alone takes 70 ms in the kernel; its ratio needs no hundred pairs.
            pairs = min(arguments.pairs, 30) if hook == "tracepoint" else arguments.pairs
            measure.progress(f"lifecycle {hook}: {pairs} pairs")
            figures_of, detail_of = compare((client, grpcio), network, hook, pairs)
            figures += figures_of
            detail[hook] = detail_of
    measure.report(arguments, QUESTION, figures, detail)


def compare(
    clients: tuple[api.Api, api.Api], network: instance.Network, hook: str, pairs: int
) -> tuple[list[dict[str, object]], dict[str, object]]:
    """The ratio of ``hook``, and both sides' times by phase."""
    place = TRACEPOINT if hook == "tracepoint" else network.near
    program = PROGRAMS[hook]
    source = instance.EXAMPLES / f"{program}.bpf.o"
    ours: dict[str, list[float]] = {phase: [] for phase in PHASES}
    by_grpcio: dict[str, list[float]] = {phase: [] for phase in PHASES}
    theirs: dict[str, list[float]] = {phase: [] for phase in PHASES}
    pins = f"/sys/fs/bpf/{network.name}-c"
    words = [*network.enter, str(measure.compiled("lifecycle.c", "-lbpf")), str(source), program, pins, hook, place]

    def over_grpc(client: api.Api, phases: dict[str, list[float]]) -> float:
        life(client, source, program, hook, place, phases)
        return sum(times[-1] for times in phases.values())

    def in_c() -> float:
        answer = peer.round()
        for phase in PHASES:
            extra = answer["open"] if phase == "load" else 0
            theirs[phase].append((answer[phase] + extra) / 1e9)
        return answer["total"] / 1e9

    with measure.Rounds(words) as peer:
        sides = (lambda: over_grpc(clients[0], ours), in_c, lambda: over_grpc(clients[1], by_grpcio))
        measure.in_turns(3, *sides)  # first use: files into the cache, libraries mapped
        for times in (*ours.values(), *by_grpcio.values(), *theirs.values()):
            times.clear()
        mine, other, third = measure.in_turns(pairs, *sides)
    figures = [
        measure.figure(f"lifecycle {hook}", measure.quotient_of_medians(mine, other), TARGET.get(hook)),
        measure.figure(f"lifecycle {hook}, by grpcio's client", measure.quotient_of_medians(third, other)),
    ]
    phases = {
        phase: {"skep": measure.summary(ours[phase]), "libbpf": measure.summary(theirs[phase])} for phase in PHASES
    }
    return figures, {
        "total": {
            "skep": measure.summary(mine),
            "libbpf": measure.summary(other),
            "grpcio": measure.summary(third),
        },
        "median of the pairs' ratios": measure.ratio(mine, other),
        "phases": phases,
    }


def life(client: api.Api, source: Path, program: str, hook: str, place: str, times: dict[str, list[float]]) -> None:
    """One life over gRPC; each phase's seconds are appended to ``times``."""
    clock = time.perf_counter
    start = clock()
    loaded = client.load(source, program, hook)
    times["load"].append(clock() - start)
    start = clock()
    link = client.attach(loaded, hook, place)
    times["attach"].append(clock() - start)
    start = clock()
    client.detach(link)
    times["detach"].append(clock() - start)
    start = clock()
    client.unload(loaded)
    times["unload"].append(clock() - start)


if __name__ == "__main__":
    main()
