"""Carrying out a plan, on the fake kernel: what is whole, what goes back, and what is told of each."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skep import errors, model
from skep.kube import act, host, reconcile, resources
from tests.unit import host as hosts

HERE = host.Host(labels={}, interfaces=("eth0",), primary=())


class Door:
    """A Manager, which refuses operations that ``refuse`` names by the program."""

    def __init__(self, one: hosts.Host) -> None:
        self.one = one
        self.refuse: tuple[type, str] | None = None
        self.done: list[str] = []

    def run(self, op: model.Operation, *, wait: float | None = None) -> model.Done:
        name = ""
        match op:
            case model.ReplaceProgram(program=program):
                name = self.one.record(program).name
            case model.Load(programs=programs):
                name = programs[0].name
        if self.refuse == (type(op), name):
            raise errors.Rejected("the verifier refused it", log="R1 is not allowed")
        self.done.append(f"{type(op).__name__} {name}".strip())
        return self.one.run(op)

    def programs(self, filter: model.ProgramFilter) -> tuple[model.Program | model.ForeignProgram, ...]:
        return self.one.manager.programs(filter)

    def links(self, filter: model.LinkFilter) -> tuple[model.Link, ...]:
        return self.one.manager.links(filter)

    @property
    def images(self) -> act.Images:
        raise AssertionError("no image is asked for")


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    one = hosts.Host(tmp_path / "skep.db")
    yield Door(one)
    one.store.close()


def application(*names: str, links: tuple[str, ...] = ()) -> resources.Application:
    body: dict[str, Any] = {"links": [{"interfaceSelector": {"interfaces": [each]}} for each in links]}
    return resources.read(
        {
            "apiVersion": "bpfman.io/v1alpha1",
            "kind": "ClusterBpfApplication",
            "metadata": {"name": "a"},
            "spec": {
                "nodeSelector": {},
                "byteCode": {"path": "/a.o"},
                "programs": [{"name": name, "type": "XDP", "xdp": body} for name in names],
            },
        }
    )


def plan(door: Door, wanted: resources.Application, object: bytes, **more: Any) -> act.Plan:
    digest = hashlib.sha256(object).hexdigest()
    code = act.Code(source=model.FileSource(path="/a.o"), digest=digest, object=object)
    return act.decide(wanted, host.programs(wanted, HERE), code, None, act.observe(door, wanted.key), **more)


def told(rows: tuple[act.Row, ...]) -> list[tuple[str, str, str]]:
    return [(row.action.noun, row.action.program, row.result) for row in rows]


def objects(door: Door) -> dict[str, str]:
    """The object of each program."""
    return {each.name: each.object for each in door.one.store.snapshot().programs.values()}


OLD, NEW = hosts.kinds(), hosts.kinds("RETURN=XDP_DROP")


def test_what_was_replaced_goes_back_when_another_is_refused(door: Door) -> None:
    wanted = application("first", "second", links=("eth0",))
    act.run(door, plan(door, wanted, OLD))
    before = objects(door)
    door.refuse = (model.ReplaceProgram, "second")
    door.done.clear()
    rows = act.run(door, plan(door, wanted, NEW), whole=True)
    assert told(rows)[:2] == [("program", "first", "skipped"), ("program", "second", "failed")]
    assert isinstance(rows[1].error, errors.Rejected)
    assert (door.done, objects(door)) == (["ReplaceProgram first", "ReplaceProgram first"], before)
    assert rows[0].id == next(each.id for each in door.one.store.snapshot().programs.values() if each.name == "first")
    door.refuse = None
    assert [row.result for row in act.run(door, plan(door, wanted, NEW), whole=True)[:2]] == ["changed", "changed"]
    assert set(objects(door).values()) == {hashlib.sha256(NEW).hexdigest()}


def test_without_that_each_has_what_it_takes(door: Door) -> None:
    wanted = application("first", "second")
    act.run(door, plan(door, wanted, OLD))
    door.refuse = (model.ReplaceProgram, "second")
    assert told(act.run(door, plan(door, wanted, NEW))) == [
        ("program", "first", "changed"),
        ("program", "second", "failed"),
    ]


def test_after_a_refused_version_links_are_made_to_the_old_one(door: Door) -> None:
    act.run(door, plan(door, application("first"), OLD))
    wanted = application("first", "second", links=("eth0",))
    door.refuse = (model.Load, "second")
    rows = act.run(door, plan(door, wanted, NEW), whole=True)
    assert told(rows) == [
        ("program", "first", "skipped"),
        ("program", "second", "failed"),
        ("link", "first", "created"),
        ("link", "second", "skipped"),
    ]
    assert objects(door) == {"first": hashlib.sha256(OLD).hexdigest()}
    assert len(act.observe(door, wanted.key).links) == 1


def test_what_goes_stays_until_the_new_version_is_there(door: Door) -> None:
    act.run(door, plan(door, application("first", "second"), OLD))
    door.refuse = (model.ReplaceProgram, "first")
    rows = act.run(door, plan(door, application("first"), NEW), whole=True)
    assert told(rows) == [("program", "first", "failed"), ("program", "second", "skipped")]
    assert set(objects(door)) == {"first", "second"}


def test_maps_that_differ_are_made_anew_if_the_application_says_so(door: Door) -> None:
    kept = application("first", links=("eth0",))
    act.run(door, plan(door, kept, OLD))
    (before,) = act.observe(door, kept.key).programs
    other = hosts.kinds("VALUE=__u32")
    (refused, *_) = act.run(door, plan(door, kept, other))
    assert isinstance(refused.error, errors.MapsDiffer) and "mapPolicy: Recreate" in refused.error.do
    anew = dataclasses.replace(kept, map_policy=resources.MapPolicy.RECREATE)
    door.done.clear()
    rows = act.run(door, plan(door, anew, other))
    assert door.done == ["ReplaceProgram first", "Load first", "Unload", "Attach"] and all(row.renewed for row in rows)
    (after,) = act.observe(door, kept.key).programs
    assert after.record.set != before.record.set
    door.refuse = (model.Load, "first")
    act.run(door, plan(door, anew, OLD))
    assert act.observe(door, kept.key).programs == (after,), "a refused load has cost nothing"


def test_a_program_is_not_replaced_by_an_object_that_nobody_has(door: Door) -> None:
    (id,) = door.one.load("first")
    wrong = model.ReplaceProgram(
        program=id, object=b"", source=model.FileSource(path="/a.o"), stored=model.Digest("0" * 64)
    )
    with pytest.raises(errors.NotFound, match="skep has no object"):
        door.one.run(wrong)


def test_a_file_that_the_daemon_reads_is_told_from_another_by_its_path(door: Door) -> None:
    wanted = application("first")
    act.run(door, plan(door, wanted, OLD))
    (program,) = act.observe(door, wanted.key).programs
    for path, verb in (("/a.o", reconcile.Verb.UNCHANGED), ("/b.o", reconcile.Verb.CHANGED)):
        code = act.Code(source=model.FileSource(path=path), digest="")
        decided = act.decide(wanted, host.programs(wanted, HERE), code, None, act.observe(door, wanted.key))
        assert [action.verb for action in decided.actions] == [verb], program


def test_only_a_file_whose_bytes_nobody_has_is_read_by_the_daemon(door: Door) -> None:
    wanted = application("first")
    programs = host.programs(wanted, HERE)
    for code, read in (
        (act.Code(source=model.FileSource(path="/a.o"), digest=""), True),
        (act.Code(source=model.FileSource(path="/a.o"), digest="a" * 64, object=b"ELF"), False),
        (act.Code(source=model.ImageSource(url="a", pull_policy="Never"), digest="sha256:a"), False),
    ):
        (action,) = act.decide(wanted, programs, code, None, act.observe(door, wanted.key)).actions
        assert isinstance(action.operation, model.Load)
        assert action.operation.read_file is read
