"""Random operations, packets, failures and restarts on one host: what must hold after each of them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import hypothesis
import pytest
from hypothesis import stateful
from hypothesis import strategies as st

from skep import errors, model
from skep.hooks import tcx
from tests.unit import host as hosts
from tests.unit import scenarios, test_apply

PRIORITIES = st.sampled_from([0, 10, 10, 20, 2**31 - 1])
VERSIONS = ((), ("RETURN=XDP_DROP",), ("EXTRA",), ("NAMED",))
XDP_PROGRAMS = ("first", "second", "third")


class Operations(stateful.RuleBasedStateMachine):
    """A host, and beside it how many packets each link of a chain must have seen."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(prefix="skep-")
        self.host = hosts.Host(Path(self.directory.name) / "skep.db")
        self.runs: dict[model.LinkId, int] = {}
        self.breaks: tuple[str, int] | None = None

    def teardown(self) -> None:
        self.host.store.close()
        self.directory.cleanup()

    # ---------------------------------------------------------------- what happens

    @stateful.rule(
        names=st.sets(st.sampled_from((*XDP_PROGRAMS, "packet", "point")), min_size=1, max_size=3),
        version=st.sampled_from(VERSIONS),
        borrow=st.booleans(),
        data=st.data(),
    )
    def load(self, names: set[str], version: tuple[str, ...], borrow: bool, data: st.DataObject) -> None:
        owners = [one.id for one in self._programs() if one.owner is None]
        owner = data.draw(st.sampled_from(owners)) if borrow and owners else None
        self._try(hosts.load(*sorted(names), object=hosts.kinds(*version), owner=owner))

    @stateful.precondition(lambda self: self._programs())
    @stateful.rule(
        data=st.data(),
        priority=PRIORITIES,
        interface=st.sampled_from([hosts.ETH0, hosts.ETH1]),
        proceed_on=st.sampled_from([(), (1, 2)]),
        way=st.sampled_from(["tcx", "ingress", "egress"]),
    )
    def attach(
        self, data: st.DataObject, priority: int, interface: model.InterfaceRef, proceed_on: tuple[int, ...], way: str
    ) -> None:
        program = data.draw(st.sampled_from(self._programs()))
        attachment: object
        match program.hook:
            case "xdp":
                attachment = hosts.on_xdp(priority, interface=interface, proceed_on=proceed_on)
            case "tc" if way == "tcx":
                attachment = hosts.on_tcx(priority)
            case "tc":
                attachment = hosts.on_tc(priority, interface, proceed_on, tcx.Direction(way))
            case _:
                attachment = hosts.POINT
        self._try(model.Attach(program=program.id, attachment=attachment))

    @stateful.precondition(lambda self: self._links())
    @stateful.rule(data=st.data())
    def detach(self, data: st.DataObject) -> None:
        self._try(model.Detach(link=data.draw(st.sampled_from(self._links())).id))

    @stateful.precondition(lambda self: self._programs())
    @stateful.rule(data=st.data())
    def unload(self, data: st.DataObject) -> None:
        self._try(model.Unload(program=data.draw(st.sampled_from(self._programs())).id))

    @stateful.precondition(lambda self: self._links())
    @stateful.rule(data=st.data(), priority=PRIORITIES)
    def update(self, data: st.DataObject, priority: int) -> None:
        link = data.draw(st.sampled_from(self._links()))
        self._try(model.UpdateLink(link=link.id, priority=priority))

    @stateful.precondition(lambda self: self._programs())
    @stateful.rule(data=st.data(), version=st.sampled_from(VERSIONS))
    def replace(self, data: st.DataObject, version: tuple[str, ...]) -> None:
        program = data.draw(st.sampled_from(self._programs()))
        self._try(scenarios.replace(program.id, hosts.kinds(*version)))

    @stateful.rule(interface=st.sampled_from(["eth0", "eth1"]), number=st.integers(1, 50), where=st.integers(0, 40))
    def packets(self, interface: str, number: int, where: int) -> None:
        for chain in self.host.store.snapshot().chains.values():
            if chain.interface == interface:
                at = where % len(chain.members)
                direction = chain.key.type.removeprefix("tc-") if chain.filter_priority else ""
                self.host.kernel.packets(interface, number, member=at, code=2, direction=direction)
                for member in chain.members[: at + 1]:
                    self.runs[member.link] = self.runs.get(member.link, 0) + number

    @stateful.rule(method=st.sampled_from(test_apply.ACTING), after=st.integers(0, 3))
    def break_next(self, method: str, after: int) -> None:
        self.breaks = (method, after)

    @stateful.rule()
    def restart(self) -> None:
        self.host.restart()

    # ---------------------------------------------------------------- what must hold

    @stateful.invariant()
    def pins_are_records(self) -> None:
        assert self.host.store.pending() == ()
        test_apply.assert_pins_are_records(self.host)

    @stateful.invariant()
    def chains_run_in_order(self) -> None:
        records = self.host.store.snapshot()
        for chain in records.chains.values():
            priorities = [member.priority for member in chain.members]
            assert priorities == sorted(priorities)
            assert len({member.program for member in chain.members}) == len(chain.members)
            assert self.running(chain) == (chain.program_id,)
            for member in chain.members:
                link = records.links[member.link]
                assert (link.chain, link.priority) == (chain.key, member.priority)
        linked = {member.link for chain in records.chains.values() for member in chain.members}
        assert linked == {link.id for link in records.links.values() if link.hook in ("xdp", "tc")}
        qdiscs = {one.interface for one in records.chains.values() if one.filter_priority}
        for name in ("eth0", "eth1"):
            assert bool(self.host.kernel.qdisc(name)) == (name in qdiscs)

    def running(self, chain: model.ChainRecord) -> tuple[model.ProgramId, ...]:
        """What runs where a chain should."""
        interface = model.InterfaceRef(name=chain.interface)
        if chain.key.type == "xdp":
            return self.host.kernel.xdp_on(interface)
        there = self.host.kernel.filters_on(interface)
        return tuple(one.program_id for one in there if f"tc-{one.direction}" == chain.key.type)

    @stateful.invariant()
    def tcx_runs_in_order(self) -> None:
        records = self.host.store.snapshot()
        priority = {
            kernel: link.priority
            for link in records.links.values()
            if isinstance(link.attachment, tcx.TcxAttachment)
            for kernel in link.kernel_ids
        }
        running = [entry.link_id for entry in self.host.kernel.tcx_on(hosts.ETH0, 46)]
        assert set(running) == set(priority)
        priorities = [priority[link] or 0 for link in running]
        assert priorities == sorted(priorities)
        programs = {link.program for link in records.links.values()}
        for entry in self.host.kernel.tcx_on(hosts.ETH0, 46):
            assert any(records.programs[key].id == entry.program_id for key in programs)

    @stateful.invariant()
    def every_packet_is_counted_once(self) -> None:
        for chain in self.host.manager.chains():
            for member, counts in zip(chain.record.members, chain.counts, strict=True):
                assert counts.runs == self.runs.get(member.link, 0)
                assert counts.runs == counts.proceeded + sum(counts.stopped.values())

    # ---------------------------------------------------------------- inside

    def _try(self, operation: model.Operation) -> None:
        before = self.host.state()
        if self.breaks is not None:
            self.host.kernel.fail(self.breaks[0], errors.Exhausted("injected"), after=self.breaks[1])
            self.breaks = None
        try:
            self.host.run(operation)
        except errors.Broken:
            raise
        except errors.SkepError:
            failed = True
        else:
            failed = False
        self.host.kernel.heal()
        if failed:
            assert self.host.state() == before

    def _programs(self) -> list[model.ProgramRecord]:
        return list(self.host.store.snapshot().programs.values())

    def _links(self) -> list[model.LinkRecord]:
        return list(self.host.store.snapshot().links.values())


TestOperations = pytest.mark.slow(Operations.TestCase)
TestOperations.settings = hypothesis.settings(
    hypothesis.settings.get_profile("skep"), max_examples=40, stateful_step_count=30
)
