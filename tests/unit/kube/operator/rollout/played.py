"""A cluster that is played: agents run what they are assigned, and an operator decides again and again."""

from __future__ import annotations

import dataclasses
import datetime
from dataclasses import dataclass, field

from skep.kube import naming
from skep.kube.operator.records import NodeLabel
from skep.kube.operator.rollout import decide
from skep.kube.operator.rollout.asked import Asked
from skep.kube.operator.rollout.decide import Decision, Member
from skep.kube.operator.rollout.told import Phase, Told

START = datetime.datetime(2026, 1, 31, 12, 0, 0, tzinfo=datetime.UTC)


@dataclass
class Cluster:
    """``refuses``: which revisions a node refuses, by its name. ``dead``: nodes whose agents do nothing."""

    asked: Asked = field(default_factory=Asked)
    spec: str = "v1"
    nodes: dict[str, Member] = field(default_factory=dict)
    refuses: dict[str, set[str]] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    stored: set[str] = field(default_factory=set)
    told: Told | None = None
    now: datetime.datetime = START
    most_under_way: int = 0

    def join(self, *names: str, group: int = 0) -> None:
        """Nodes come: their agents have made a state, and reported nothing."""
        for name in names:
            self.nodes[name] = Member(label=NodeLabel(name), name=name, group=group)

    def change(self, name: str, **changes: object) -> None:
        """Change what is seen of a node."""
        self.nodes[name] = dataclasses.replace(self.nodes[name], **changes)  # type: ignore[arg-type]

    def decide(self) -> Decision:
        """One look of the operator, which knows only what is stored in the cluster."""
        self.stored.add(self.spec)
        made = decide.decide(self.asked, self.spec, self.stored, self.nodes.values(), self.told, self.now)
        self._judge(made)
        self.told = made.told
        for label, revision in made.assign:
            self.change(label, assigned=revision)
        return made

    def run(self, *names: str) -> None:
        """Agents of these nodes (all) do what they are told, and report."""
        for name in names or tuple(self.nodes):
            if name not in self.dead and name in self.nodes:
                self._report(name)

    def settle(self, *, steps: int = 200) -> Told:
        """Go on until nothing changes; time passes meanwhile. The status then."""
        for _ in range(steps):
            before = (dict(self.nodes), self.told)
            made = self.decide()
            self.run()
            if (self.nodes, self.told) == before:
                if made.again is None:
                    return made.told
                self.now += made.again
        raise AssertionError(f"it does not end: {self.told}, {self.nodes}")

    def brief(self) -> str:
        """Which revision each node has been assigned: "a=v1 b=v2"."""
        return " ".join(f"{name}={each.assigned or '-'}" for name, each in sorted(self.nodes.items()))

    def _report(self, name: str) -> None:
        node = self.nodes[name]
        wanted = node.assigned or node.running
        if not wanted:
            self.change(name, type=naming.PENDING)
            return
        if wanted in self.refuses.get(name, ()):
            type, running = naming.ERROR, node.running
        elif wanted != self.spec and wanted not in self.stored:
            type, running = naming.PENDING, node.running
        else:
            type, running = naming.SUCCESS, wanted
        message = f"{wanted} is no good" if type == naming.ERROR else ""
        same = (node.type, node.observed) == (type, wanted)
        since = node.since if same else self.now
        self.change(name, observed=wanted, running=running, type=type, message=message, since=since)

    def _judge(self, made: Decision) -> None:
        """Never are more nodes without the application than allowed because of what is decided."""
        if made.told.phase not in (Phase.PROGRESSING, Phase.PAUSED):
            return
        forward = [self.nodes[label] for label, revision in made.assign if revision == self.spec]
        moved = [each for each in forward if each.assigned or each.running != self.spec]
        known = self.told
        joins = made.told.previous == self.spec  # new nodes get what is known to be good
        moved = [each for each in moved if not (joins and not each.assigned and not each.running)]
        assert made.told.phase is Phase.PROGRESSING or not moved, "nothing is moved while paused"
        most = self.asked.most(len(self.nodes))

        def done(each: Member) -> bool:
            settled = each.since is not None and each.since + self.asked.settle <= self.now
            return each.assigned == self.spec and each.well and settled

        under_way = [each for each in self.nodes.values() if each.assigned == self.spec and not done(each)]
        if moved:
            assert len(under_way) + len(moved) <= most, (known, self.nodes, made)
        healthy = [each for each in moved if each.well]
        without = [
            each
            for each in self.nodes.values()
            if not (done(each) if each.assigned == self.spec else each.well) and each not in moved
        ]
        ill = [each for each in moved if not each.well]
        if healthy:
            assert len(without) + len(ill) + len(healthy) <= most, (known, self.nodes, made)
        self.most_under_way = max(self.most_under_way, len(under_way) + len(moved))


def running(revision: str, *names: str, **asked: object) -> Cluster:
    """Nodes that all run a revision, whose rollout is complete."""
    made = Cluster(asked=Asked(**asked), spec=revision)  # type: ignore[arg-type]
    made.join(*names)
    told = made.settle()
    assert told.phase is Phase.COMPLETE, told
    return made
