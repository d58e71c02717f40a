"""What a tc chain costs per packet, against as many separate clsact filters.

Real frames leave by an interface that throws them away. Every member counts the packet in a map of its own and hands
it on. Compared in turns, each on an interface of its own: nothing, one filter, ten filters behind each other, and a
chain of ten behind one filter. The sending itself costs the same everywhere and most of all, so it is taken off. Needs
root, clang and gcc.
"""

from __future__ import annotations

import dataclasses
import socket
import statistics
import struct
import subprocess
from contextlib import ExitStack
from functools import partial

from bench import measure
from skep import model
from skep.chain import codes, linked, verdict
from skep.chain.linked import Part
from skep.kernel import netlink, netns, tc
from tests import bpf_build, instance
from tests.kernel import bpf_raw

QUESTION = "Cost of a tc chain per packet, as a multiple of as many separate clsact filters"
MEMBERS = 10
FRAMES = 100_000


def main() -> None:
    """Measure and print."""
    parser = measure.parser(QUESTION, ["python -m bench.tc_cost", "python -m bench.tc_cost --rounds 5"])
    parser.add_argument("--rounds", type=int, default=25, help="rounds, taken in turns (default 25)")
    arguments = parser.parse_args()
    measure.need_root()
    program = str(measure.compiled("burst.c"))
    with ExitStack() as stack:
        network = stack.enter_context(instance.network("skep-tc"))
        filters = {
            "none": [],
            "one": members(stack, 1)[0],
            "separate": members(stack, MEMBERS)[0],
            "chain": [chain(stack)],
        }
        for name, fds in filters.items():
            subprocess.run(
                ["ip", "-n", network.name, "link", "add", name, "txqueuelen", "0", "type", "ifb"], check=True
            )
            subprocess.run(["ip", "-n", network.name, "link", "set", name, "up"], check=True)
            netns.inside(network.path, partial(attach, name, fds))
        burst = stack.enter_context(measure.Rounds([*network.enter, program, str(FRAMES)]))
        taken = measure.in_turns(arguments.rounds, *(partial(sending, burst, name) for name in filters))
    best = {name: min(values) for name, values in zip(filters, taken, strict=True)}
    floor = best["none"]
    net = {name: value - floor for name, value in best.items()}
    figures = [
        measure.figure("a chain of ten / ten filters, net of sending", round(net["chain"] / net["separate"], 3), 0.8),
        measure.figure("a chain of ten / one filter, net of sending", round(net["chain"] / net["one"], 3)),
    ]
    medians = {name: round(statistics.median(values), 1) for name, values in zip(filters, taken, strict=True)}
    measure.report(arguments, QUESTION, figures, {"nanoseconds, best": best, "nanoseconds, median": medians})


def sending(burst: measure.Rounds, interface: str) -> float:
    """Nanoseconds for one frame."""
    return burst.round(interface)["total"] / FRAMES


def members(stack: ExitStack, number: int) -> tuple[list[int], list[bpf_raw.Loaded]]:
    """Copies of one counting program, each with a map of its own; what they answer hands the packet on."""
    loads = []
    for _ in range(number):
        loaded = bpf_raw.load(bpf_build.build("tc_count"), f"m{len(loads)}", only=["count"], prepare=next_please)
        stack.callback(loaded.close)
        loads.append(loaded)
    return [one.programs["count"] for one in loads], loads


def next_please(maps: dict[str, int]) -> None:
    """Let the program answer TC_ACT_UNSPEC, after which the next filter is asked."""
    bpf_raw.set_global(maps, ".rodata", 0, struct.pack("=i", -1))


def chain(stack: ExitStack) -> int:
    """The same, linked into one program."""
    _, loads = members(stack, MEMBERS)
    # The rig, made for XDP, says so of whatever it loads.
    kept = [
        dataclasses.replace(one.members["count"], prog_type=codes.TC.prog_type, expected_attach_type=0) for one in loads
    ]
    hands_on = verdict.parse_names(codes.TC, ["unspec"])
    parts = [
        Part(member=one, proceed=hands_on, form=form)
        for one, form in zip(kept, linked.candidates(kept)[0], strict=True)
    ]
    maps = {name: fd for one in loads for name, fd in one.maps.items()}
    whole = linked.link(codes.TC, parts, counter_map="counters", name="chain")
    return stack.enter_context(bpf_raw.chain(whole, maps)).fd


def attach(interface: str, fds: list[int]) -> None:
    """Filters behind each other on an interface's egress, in the calling thread's network namespace."""
    index = socket.if_nametoindex(interface)
    with netlink.Route() as route:
        if fds:
            tc.add_clsact(route, index)
        for number, fd in enumerate(fds, 1):
            one = model.Filter(
                interface=interface, ifindex=model.IfIndex(index), direction=tc.EGRESS, priority=number, handle=1,
                kind="bpf", name="bench",
            )  # fmt: skip
            tc.set_filter(route, one, fd, replace=False)


if __name__ == "__main__":
    main()
