"""What does a fleet cost: 20 applications on 1,000 nodes, with nodes that come and go all the time?

Real etcd, API server and controllers; kwok keeps the nodes ready; one process plays their agents (skep's own Agent
before a daemon that is played, each with the token of its node); the operator is real, and so are the agent and the
daemon of one more node. Times are multiples of the same writes by a client that does nothing else, taken in the same
run before and after.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import measure
from skep.kube import naming
from tests.kube import nodes, operator_rig
from tests.kube.fleet import counts, rig, seen
from tests.kube.fleet.rig import APPLICATIONS, STATES
from tests.kube.plane import ControlPlane, until

QUESTION = "Applications on a fleet of played nodes: writes, memory, and times as multiples of a bare client's writes"
WRITES, OPERATOR_MIB, AGENT_MIB, SEEN_MS = 2.0, 200.0, 80.0, 1000.0
NAMESPACE = "fleet"
CHANGES = 20
BARE = 1
"""Applications whose states the bare client writes, before and after."""
OWN = "own"
"""The application whose changes the real node has to do."""


def main() -> None:
    """Builds it up, measures, reports."""
    parser = measure.parser(QUESTION, ["python -m bench.fleet", "python -m bench.fleet --nodes 100 --applications 5"])
    parser.add_argument("--nodes", type=int, default=1000, help="played nodes (default 1000)")
    parser.add_argument("--applications", type=int, default=20, help="applications on all nodes (default 20)")
    parser.add_argument("--churn", type=int, default=50, help="nodes that leave, and that join (default 50)")
    parser.add_argument("--listen", type=int, default=100, help="nodes whose watches are opened as well (default 100)")
    arguments = parser.parse_args()
    measure.need_root()
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory(prefix="skep-fleet-") as directory:
        run = Run(arguments.nodes, arguments.applications, arguments.churn, arguments.listen, Path(directory))
        run.run()
    measure.report(arguments, QUESTION, run.figures, run.detail)


class Run:
    """One run, step by step; ``figures`` and ``detail`` are what it found."""

    plane: ControlPlane
    fleet: rig.Fleet
    operator: operator_rig.Operator
    real: nodes.Node

    def __init__(self, count: int, applications: int, churn: int, listen: int, directory: Path) -> None:
        self.count, self.churn, self.listening = count, churn, listen
        self.names = [f"app-{number:02}" for number in range(applications)]
        self.directory = directory
        self.figures: list[dict[str, object]] = []
        self.detail: dict[str, Any] = {}
        self._began = time.monotonic()

    def run(self) -> None:
        """All of it."""
        for name in ("plane", "operator"):
            (self.directory / name).mkdir()
        with ControlPlane(self.directory / "plane") as self.plane, contextlib.ExitStack() as held:
            operator_rig.prepare(self.plane)
            self.plane.kubectl("create", "namespace", NAMESPACE)
            self.fleet = held.enter_context(rig.fleet(self.plane, self.directory, "fleet", NAMESPACE, self.count))
            self.say(f"{self.count} nodes are ready")
            before = self.bare("before")
            with operator_rig.operator(self.plane, self.directory / "operator", "--log", "info") as self.operator:
                self.with_operator()
            self.fleet.ask("hold")
            after = self.bare("after")
        states = self.count * len(self.names)
        alone = [(one + two) / 2 * len(self.names) / BARE for one, two in zip(before, after, strict=True)]
        rollout, change = self.detail["roll-out"]["seconds"], self.detail["change"]["seconds"]
        self.detail["bare"] = {
            "before": before, "after": after, "states": states, "roll-out alone": alone[0], "change alone": alone[1],
        }  # fmt: skip
        self.figure("roll-out, against the same writes by a bare client", rollout / alone[0])
        self.figure("change of one application, against the same", change / (alone[1] / len(self.names)))

    def with_operator(self) -> None:
        """What is measured while the operator leads, and with a real node among the others."""
        self.plane.apply(operator_rig.config(NAMESPACE))
        _, idle = counts.counted(self.plane)
        with nodes.node(self.plane, self.directory) as self.real:
            until("the agent is ready", self.real.ready)
            _, watched = counts.counted(self.plane)
            opened = {kind: number - idle.get(kind, 0) for kind, number in watched.items()}
            self.detail["watches of one agent"] = {kind: number for kind, number in opened.items() if number > 0}
            self.urls = [self.real.image(self.directory, "pair", f"VERSION={n}", tag=f"v{n}") for n in (1, 2)]
            self.memory("at rest")
            self.fleet.ask("begin")
            self.roll_out()
            self.change_one("change")
            self.listen()
            self.come_and_go()
            self.remove_one()
            self.memory("at the end")
        agent = self.detail["memory"]["at the end"]["agent"]
        operator = self.detail["memory"]["at the end"]["operator"]
        self.figure("operator, resident at most", operator["peak"], OPERATOR_MIB, unit="MiB")
        self.figure("operator, resident at the end", operator["now"], OPERATOR_MIB, unit="MiB")
        self.figure("real agent, resident at most", agent["peak"], AGENT_MIB, unit="MiB")

    def roll_out(self) -> None:
        """All applications come at once."""
        before, cost = counts.counted(self.plane)[0], self.processors()
        self.plane.apply(*(rig.application(name, self.urls[0]) for name in self.names))
        seconds = self.fleet.applied(*self.names, on=self.count + 1)
        came = counts.counted(self.plane)[0] - before
        states = (self.count + 1) * len(self.names)
        self.told("roll-out", came, states, seconds, cost)
        self.figure("writes per state, roll-out", came.writes(STATES) / states, WRITES, unit="writes")

    def change_one(self, name: str) -> None:
        """One application changes, and nothing else does."""
        others = {state: version for state, version in self.fleet.states().items() if not state.startswith("app-01-")}
        before, cost = counts.counted(self.plane)[0], self.processors()
        version = self.urls[1] if name == "change" else self.urls[0]
        self.plane.apply(rig.application("app-01", version))
        seconds = self.fleet.applied("app-01", on=self.count + 1)
        came = counts.counted(self.plane)[0] - before
        touched = [state for state, version in self.fleet.states().items() if others.get(state, version) != version]
        self.told(name, came, self.count + 1, seconds, cost)
        self.detail[name]["others touched"] = len(touched)
        if name == "change":
            self.figure("writes per state, change", came.writes(STATES) / (self.count + 1), WRITES, unit="writes")
            self.figure("states of others touched by it", len(touched), 0, unit="states")
            self.figure("writes of the application's status meanwhile", came.writes(APPLICATIONS), unit="writes")

    def listen(self) -> None:
        """The same with all watches that the agents of some nodes would hold open."""
        if not self.listening:
            return
        pid = self.apiserver()
        before = counts.memory(pid)["now"]
        opened = self.fleet.ask("listen", nodes=self.fleet.members[: self.listening])
        self.detail["watches"] = {**opened, "API server, MiB more": counts.memory(pid)["now"] - before}
        self.say(f"{opened['watches']} watches")
        self.change_one("change while many watch")

    def come_and_go(self) -> None:
        """Nodes leave and join all the time, applications change, and the real node does what it is told meanwhile."""
        own = rig.application(
            OWN, self.urls[0], nodeSelector={"matchLabels": {"kubernetes.io/hostname": self.real.name}}
        )
        self.plane.apply(own)
        self.real.becomes(OWN, "Success")
        before, cost, began = counts.counted(self.plane)[0], self.processors(), time.monotonic()
        over = threading.Event()
        gone: list[str] = []
        failed: list[BaseException] = []

        def stir() -> None:
            try:
                for turn in range(max(1, self.churn // 5)):
                    leaving = self.fleet.members[:5]
                    self.fleet.leave(leaving)
                    gone.extend(leaving)
                    self.fleet.join(5)
                    name = self.names[turn % len(self.names)]
                    self.plane.apply(rig.application(name, self.urls[1 - turn // len(self.names) % 2]))
                    over.wait(3)
            except BaseException as error:
                failed.append(error)

        stirring = threading.Thread(target=stir)
        stirring.start()
        order = self.real_changes(lambda number: {"programs": at_priority(60 + number % 2)})
        code = self.real_changes(lambda number: {"byteCode": {"image": {"url": self.urls[1 - number % 2]}}})
        stirring.join()
        if failed:
            raise failed[0]
        self.fleet.ready()
        self.fleet.applied(*self.names, on=self.count + 1)
        seconds = time.monotonic() - began
        hosts = {naming.label(name) for name in gone}
        left = f"{naming.HOSTNAME} in ({','.join(sorted(hosts))})"
        until("states of nodes that are gone are gone", lambda: not self.fleet.states(left), 120)
        self.told("nodes come and go", counts.counted(self.plane)[0] - before, 1, seconds, cost)
        self.detail["nodes come and go"] |= {
            "left": len(gone),
            "change of order seen after": measure.summary(order),
            "change of code seen after": measure.summary(code),
        }
        self.figure("states of nodes that are gone", len(self.fleet.states(left)), 0, unit="states")
        for name, times in (("order", order), ("code", code)):
            what = f"real agent: a link's new {name} until it is seen" if name == "order" else f"real agent: new {name}"
            self.figure(f"{what}, median", statistics.median(times) * 1000, SEEN_MS, unit="ms")
            self.figure(f"{what}, longest", max(times) * 1000, SEEN_MS, unit="ms")

    def real_changes(self, spec: Callable[[int], dict[str, Any]]) -> list[float]:
        """Seconds until the real agent's status has each of some changes."""
        specs = [spec(number) for number in range(CHANGES)]
        return seen.changes(self.plane.kubeconfig, OWN, self.real.name, specs, pause=0.7)

    def remove_one(self) -> None:
        """One application is deleted."""
        before, cost, began = counts.counted(self.plane)[0], self.processors(), time.monotonic()
        name = self.names[-1]
        self.plane.kubectl("delete", APPLICATIONS, name, "--timeout=300s")
        until("its states are gone", lambda: not self.fleet.states(f"{naming.OWNED}={name}"), 300, every=0.3)
        came = counts.counted(self.plane)[0] - before
        self.told("removal", came, self.count + 1, time.monotonic() - began, cost)
        self.figure("writes per state, removal", came.writes(STATES) / (self.count + 1), WRITES, unit="writes")

    def bare(self, when: str) -> tuple[float, float]:
        """Seconds that a bare client needs to create the states of some applications, and to change them."""
        made, changed = 0.0, 0.0
        for name in (f"bare-{when}-{number}" for number in range(BARE)):
            self.plane.apply(rig.application(name, "localhost/bare:1"))
            document = self.plane.get(APPLICATIONS, name)
            names = self.fleet.members[: self.count]
            made += self.fleet.ask("bare", application=document, nodes=names, change=False)["seconds"]
            document["metadata"]["generation"] = 2
            changed += self.fleet.ask("bare", application=document, nodes=names, change=True)["seconds"]
            self.plane.kubectl("delete", STATES, "-l", f"{naming.OWNED}={name}", "--wait=false")
            self.plane.kubectl("delete", APPLICATIONS, name, "--wait=false")
        self.say(f"bare writes {when}: {made:.1f} s and {changed:.1f} s for {BARE * self.count} states")
        return made, changed

    def told(self, name: str, came: counts.Counts, states: int, seconds: float, cost: dict[str, float]) -> None:
        """Keep what a step took."""
        used = self.processors()
        self.detail[name] = {
            "seconds": round(seconds, 1),
            "states": states,
            "requests about states": came.of(STATES),
            "requests about applications": came.of(APPLICATIONS),
            "processor seconds": {who: round(used[who] - cost[who], 1) for who in used},
            "memory, MiB": {"operator": counts.memory(self.operator.process.pid), "API server": self.api_memory()},
        }
        self.say(f"{name}: {self.detail[name]}")

    def memory(self, when: str) -> None:
        """Keep who has how much."""
        assert self.real.agent is not None
        found = {
            "operator": counts.memory(self.operator.process.pid),
            "agent": counts.memory(self.real.agent.pid),
            "API server": self.api_memory(),
        }
        self.detail.setdefault("memory", {})[when] = found
        self.say(f"memory {when}: {found}")

    def processors(self) -> dict[str, float]:
        """Processor seconds so far."""
        assert self.real.agent is not None
        return {
            "operator": counts.cpu(self.operator.process.pid),
            "agents": counts.cpu(self.fleet.process.pid),
            "real agent": counts.cpu(self.real.agent.pid),
            "API server": counts.cpu(self.apiserver()),
        }

    def apiserver(self) -> int:
        """Its process."""
        assert self.plane._api is not None
        return self.plane._api._process.pid

    def api_memory(self) -> dict[str, int]:
        """The API server's, MiB."""
        return counts.memory(self.apiserver())

    def figure(self, name: str, value: float, target: float | None = None, *, unit: str = "ratio") -> None:
        """Keep a line of the table."""
        self.figures.append(measure.figure(name, round(value, 3), target, unit=unit))

    def say(self, text: str) -> None:
        """One line for whoever waits."""
        measure.progress(f"fleet {time.monotonic() - self._began:5.0f} s: {text}")


def at_priority(priority: int) -> list[dict[str, Any]]:
    """The program of all applications, elsewhere in its chain."""
    link = {"interfaceSelector": {"interfaces": ["near"]}, "priority": priority}
    return [{"name": "first", "type": "XDP", "xdp": {"links": [link]}}]


if __name__ == "__main__":
    main()
