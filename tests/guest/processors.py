"""What becomes of a perf event on every processor when one is switched off and on again, as JSON; for a guest with two.

Run in the guest only: it switches a processor off.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from skep.hooks import perf_event
from skep.kernel import cpus
from tests.kernel import types_rig
from tests.kernel.type_cases import worked

_SWITCH = Path("/sys/devices/system/cpu/cpu1/online")
EVERYWHERE = perf_event.PerfEventAttachment(event="cpu-clock", frequency=500)


def told(rig: types_rig.Rig, moment: str) -> dict[str, object]:
    """The link's status, and whether the program runs on each processor that is online."""
    status = rig.links()[0].status
    runs = {}
    online = cpus.online()
    for cpu in online:
        os.sched_setaffinity(0, {cpu})
        runs[f"cpu {cpu}"] = worked(rig)
    os.sched_setaffinity(0, range(2))
    return {"moment": moment, "state": status.state.value, "reason": status.reason, "runs": runs}


def story(rig: types_rig.Rig) -> Iterator[dict[str, object]]:
    """One processor goes, comes back, and the program is replaced."""
    program = rig.load("on_perf_event", only_tgid=os.getpid())
    link = rig.attach(program, EVERYWHERE)
    yield told(rig, "attached")
    _SWITCH.write_text("0")
    yield told(rig, "cpu 1 is off")
    _SWITCH.write_text("1")
    yield told(rig, "cpu 1 is on again")
    rig.replace(program)
    yield told(rig, "replaced")
    _SWITCH.write_text("0")
    rig.detach(link)
    rig.attach(rig.load("on_perf_event", only_tgid=os.getpid()), EVERYWHERE)
    _SWITCH.write_text("1")
    yield told(rig, "attached while cpu 1 was off")


def main() -> None:
    """Print the story."""
    with tempfile.TemporaryDirectory() as directory, types_rig.rig(Path(directory)) as rig:
        json.dump(list(story(rig)), sys.stdout, indent=2)


if __name__ == "__main__":
    main()
