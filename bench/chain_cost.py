"""What a linked chain costs per packet, as ratios: BPF_PROG_TEST_RUN, best of interleaved rounds, JSON on stdout.

Compared in one run: an empty program (the floor of the harness), the bare member, the linked chain, and libxdp's
``xdp-dispatcher.o`` with ten enabled, empty slots. Needs root and clang. The ratios carry over to other machines of the
same kind, the nanoseconds do not.
"""

from __future__ import annotations

import os
import struct
from contextlib import ExitStack
from pathlib import Path

from bench import measure
from skep.chain import codes, linked, verdict
from skep.chain.linked import Part
from tests import bpf_build
from tests.kernel import bpf_raw

QUESTION = "Cost of a linked chain per packet, as a multiple of libxdp's dispatcher with empty slots"
REPEAT = 300_000
DISPATCHER = Path("/usr/lib/x86_64-linux-gnu/bpf/xdp-dispatcher.o")
EMPTY = bytes.fromhex("b700000002000000") + bytes.fromhex("9500000000000000")  # r0 = XDP_PASS; exit


def dispatcher(stack: ExitStack, enabled: int) -> int:
    """libxdp's dispatcher with ``enabled`` slots, each returning at once."""
    proceed = 1 << 2 | 1 << 31
    conf = struct.pack("<BBBB10I", 236, 2, enabled, 0, *[proceed] * 10)
    loaded = bpf_raw.load(
        DISPATCHER, "d", only=["xdp_dispatcher"], prepare=lambda maps: bpf_raw.set_global(maps, ".rodata", 0, conf)
    )
    stack.callback(loaded.close)
    return loaded.programs["xdp_dispatcher"]


def chain(stack: ExitStack, source: str, program: str, length: int) -> int:
    """A chain of ``length`` copies of one program of ``tests/bpf/<source>.bpf.c``, each with maps of its own."""
    path = bpf_build.build(source)
    members = []
    fds: dict[str, int] = {}
    for number in range(length):
        loaded = bpf_raw.load(path, f"m{number}", only=[program])
        stack.callback(loaded.close)
        fds.update(loaded.maps)
        members.append(loaded.members[program])
    forms = linked.candidates(members)[0]
    parts = [
        Part(member=member, proceed=verdict.default(codes.XDP), form=form)
        for member, form in zip(members, forms, strict=True)
    ]
    whole = linked.link(codes.XDP, parts, counter_map="counters", name="chain")
    return stack.enter_context(bpf_raw.chain(whole, fds)).fd


def main() -> None:
    """Measure and print."""
    parser = measure.parser(QUESTION, ["python -m bench.chain_cost", "python -m bench.chain_cost --rounds 5"])
    parser.add_argument("--rounds", type=int, default=15, help="rounds, of which the best counts (default 15)")
    arguments = parser.parse_args()
    measure.need_root()
    with ExitStack() as stack:
        bare = bpf_raw.load(bpf_build.build("count"), "bare", only=["count"])
        stack.callback(bare.close)
        programs = {
            "empty": bpf_raw.prog_load(EMPTY),
            "bare": bare.programs["count"],
            "linked_1": chain(stack, "count", "count", 1),
            "linked_10": chain(stack, "count", "count", 10),
            "linked_10_static": chain(stack, "subprogram", "with_static", 10),
            "linked_10_global": chain(stack, "subprogram", "with_global", 10),
            "libxdp_10": dispatcher(stack, 10),
        }
        best = dict.fromkeys(programs, 1 << 60)
        for _ in range(arguments.rounds):
            for name, fd in programs.items():
                best[name] = min(best[name], bpf_raw.send(fd, repeat=REPEAT)[1])
        os.close(programs["empty"])
    floor, peer = best["empty"], best["libxdp_10"]
    figures = [
        measure.figure("one member / bare program", round(best["linked_1"] / best["bare"], 3), 1.10),
        measure.figure("ten members / libxdp's ten empty slots", round(best["linked_10"] / peer, 3), 0.38),
        measure.figure(
            "the same, net of the empty program", round((best["linked_10"] - floor) / (peer - floor), 3), 0.20
        ),
        measure.figure("ten members with a static subprogram", round(best["linked_10_static"] / peer, 3), 0.60),
        measure.figure("ten members with a global subprogram", round(best["linked_10_global"] / peer, 3), 0.60),
    ]
    measure.report(arguments, QUESTION, figures, {"nanoseconds": best})


if __name__ == "__main__":
    main()
