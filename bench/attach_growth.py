"""Does attaching to a chain become slow as the chain grows?

32 small members are attached to one interface one after the other, then all detached; several rounds. The ratio is
the 32nd attach against the first of the same round.
"""

from __future__ import annotations

import statistics
import time
from functools import partial

from bench import api, measure
from tests import instance

QUESTION = "Attach of the 32nd small member of a chain, as a multiple of the first"
TARGET = 3.0


def main() -> None:
    """Attaches in rounds and reports."""
    parser = measure.parser(QUESTION, ["python -m bench.attach_growth", "python -m bench.attach_growth --rounds 2"])
    parser.add_argument("--members", type=int, default=32, help="length of the chain (default 32)")
    parser.add_argument("--rounds", type=int, default=9, help="chains built (default 9)")
    arguments = parser.parse_args()
    measure.need_root()
    attaches: list[list[float]] = [[] for _ in range(arguments.members)]
    detaches: list[float] = []
    with (
        instance.network("skep-grow") as network,
        instance.instance("skep-grow", enter=network.enter) as daemon,
        api.connect(daemon) as client,
    ):
        path = measure.bpf_object("member.bpf.c")
        programs = [client.load(path, "member") for _ in range(arguments.members)]
        for turn in range(arguments.rounds):
            measure.progress(f"attach_growth: round {turn + 1} of {arguments.rounds}")
            links: list[int] = []
            for number, program in enumerate(programs):
                start = time.perf_counter()
                links.append(client.attach(program, "xdp", network.near))
                attaches[number].append(time.perf_counter() - start)
            detaches += [measure.timed(partial(client.detach, link)) for link in links]
    last = arguments.members
    figures = [
        measure.figure(f"attach of member {last} against the first", measure.ratio(attaches[-1], attaches[0]), TARGET)
    ]
    detail: dict[str, object] = {
        "attach_median_ms": [round(statistics.median(times) * 1000, 2) for times in attaches],
        "first": measure.summary(attaches[0]),
        "last": measure.summary(attaches[-1]),
        "detach": measure.summary(detaches),
    }
    measure.report(arguments, QUESTION, figures, detail)


if __name__ == "__main__":
    main()
