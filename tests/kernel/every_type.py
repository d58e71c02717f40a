"""What the tests of every type share: a case for each type, its fields, and what a rig's manager leaves behind."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

import pytest

from skep import errors, hooks, model
from skep.hooks import codec
from skep.rpc import status
from tests.kernel.type_cases import CASES, Case
from tests.kernel.types_rig import ROOT, Rig
from tests.kernel.wrong_values import Wrong

ELSEWHERE = {
    "struct_ops": "test_struct_ops.py",  # several programs of one load, which are attached together
    "freplace": "test_freplace.py",  # its place is another program
    "netkit": "test_netkit.py",  # its interfaces are a kind of their own
}
"""Types that no case of ``type_cases`` fits, and the tests that do for each what is done here for the others."""
NAMES = tuple(str(hook.name) for hook in hooks.HOOKS if not hook.unattached and hook.name not in ELSEWHERE)
REFUSED = frozenset({
    "kprobe", "kretprobe", "kprobe_multi", "kprobe_session", "fentry", "fexit", "fmod_ret", "lsm", "lsm_cgroup",
})  # fmt: skip
"""Types that the kernels of virtual machines often refuse: these are proven in the guest."""


def marks(name: str) -> tuple[pytest.MarkDecorator, ...]:
    """For a test of a type about what is decided before the kernel is asked: the guest runs it only of what others
    refuse, for it takes minutes of emulation there."""
    return () if name in REFUSED else (pytest.mark.native,)


def case(name: str) -> Case:
    """How a program of a type is attached validly."""
    found = [one for one in CASES.values() if one.hook == name]
    assert found, (
        f"give type {name} a case in tests/kernel/cases/{name}.py: a program, a place of its own and its effect"
    )
    return found[0]


def load(rig: Rig, name: str) -> model.Program:
    """The program of a type's case."""
    one = case(name)
    one.ready(rig)
    return rig.load(one.program, one.target, source=one.source, **one.values)


def fields(attachment: type) -> tuple[str, ...]:
    """Fields as the API has them: an interface is a name and a namespace."""
    names = []
    for one in dataclasses.fields(attachment):
        names += ["interface", "netns"] if one.name == "interface" else [one.name]
    return tuple(names)


def changed(hook: str, attachment: object, field: str, wrong: Wrong) -> object:
    """A valid attachment with one wrong value, read from JSON as the store and the command line read it."""
    value = codec.encode(attachment)
    interface = value.get("interface")
    if isinstance(interface, dict) and field in ("interface", "netns"):
        key = "name" if field == "interface" else "netns"
        value["interface"] = {**interface, key: wrong.made(interface[key])}
    else:
        value[field] = wrong.made(value[field])
    return codec.decode(hook, {**value, **wrong.also})


def left(rig: Rig) -> Mapping[str, object]:
    """All that an operation could leave behind: pins, records, what was begun, descriptors, links in the kernel."""
    records = rig.store.snapshot()
    ours = {one.id for one in records.programs.values()}
    return {
        "pins": rig.kernel.pins(model.PinDir(rig.pins.root)),
        "programs": tuple(records.programs),
        "links": tuple(records.links),
        "chains": tuple(records.chains),
        "begun": rig.store.pending(),
        "descriptors": descriptors(os.getpid()),
        "kernel links": sorted(one.id for one in rig.kernel.links() if one.program_id in ours),
        "kernel programs": sorted(one.id for one in rig.kernel.programs() if one.id in ours),
    }


def descriptors(pid: int) -> dict[str, int]:
    """How many BPF objects and perf events a process and its loader hold."""
    children = [
        int(child)
        for task in os.listdir(f"/proc/{pid}/task")
        for child in _text(f"/proc/{pid}/task/{task}/children").split()
    ]
    found: dict[str, int] = {}
    for process in (pid, *children):
        try:
            names = os.listdir(f"/proc/{process}/fd")
        except OSError:  # ended meanwhile
            continue
        for name in names:
            try:
                target = os.readlink(f"/proc/{process}/fd/{name}")
            except OSError:
                continue
            if "bpf" in target or "perf" in target:
                found[target] = found.get(target, 0) + 1
    return found


def check_told(error: errors.SkepError, kind: type[errors.SkepError], near: str = "") -> None:
    """An error for people and for programs: the class, all three parts, and names like the wrong one."""
    assert type(error) is kind, repr(error)
    assert error.what
    assert error.do, repr(error)
    assert error.why or isinstance(error, errors.NotFound) or error.errno == 0, repr(error)
    assert status.code(error) == status.CODES[kind]
    assert "Traceback" not in str(error)
    if near:
        assert isinstance(error, errors.NotFound) and near in error.near, (near, error)
        assert near in error.do


def link(rig: Rig, id: model.LinkId) -> model.Link:
    """One link as it is now."""
    return rig.manager.link(id)


def detach(rig: Rig, id: model.LinkId) -> None:
    """Detach; where it is gone already, NotFound."""
    rig.manager.run(ROOT, model.Detach(link=id))


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""
