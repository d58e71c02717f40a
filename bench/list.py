"""How long does List of a full host take over gRPC, against ``bpftool -j prog show``?

Half of the programs are managed, half are foreign. Both sides see the same kernel; bpftool's side is its whole
process, as a script would use it, and so is the client's call, answer parsed.
"""

from __future__ import annotations

import json
import subprocess

from bench import api, measure
from tests import instance

QUESTION = "List of managed and foreign programs over gRPC, as a multiple of `bpftool -j prog show`"
TARGET = 3.0


def main() -> None:
    """Loads, lists in turns, reports."""
    parser = measure.parser(QUESTION, ["python -m bench.list", "python -m bench.list --each 50 --pairs 10"])
    parser.add_argument(
        "--each", type=int, default=500, help="managed programs, and as many foreign ones (default 500)"
    )
    parser.add_argument("--pairs", type=int, default=50, help="pairs of one list each (default 50)")
    arguments = parser.parse_args()
    measure.need_root()
    with instance.instance("skep-list") as daemon, api.connect(daemon) as client, measure.foreign(arguments.each):
        measure.progress(f"list: loading {arguments.each} programs")
        path = measure.bpf_object("member.bpf.c")
        for _ in range(arguments.each):
            client.load(path, "member")
        measure.progress(f"list: {arguments.pairs} pairs")
        seen = client.list()
        peer_seen = len(json.loads(bpftool()))
        ours, theirs, managed = measure.in_turns(
            arguments.pairs,
            lambda: measure.timed(client.list),
            lambda: measure.timed(bpftool),
            lambda: measure.timed(lambda: client.list(managed_only=True)),
        )
    figures = [measure.figure("list", measure.ratio(ours, theirs), TARGET)]
    detail = {
        "programs": {"skep": seen, "bpftool": peer_seen},
        "skep": measure.summary(ours),
        "bpftool": measure.summary(theirs),
        "skep, managed only": measure.summary(managed),
    }
    measure.report(arguments, QUESTION, figures, detail)


def bpftool() -> bytes:
    """What bpftool prints for all programs."""
    return subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, check=True).stdout


if __name__ == "__main__":
    main()
