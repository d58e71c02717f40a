"""Every type and what does not fit: wrong values in every field, attaching twice, detaching twice, another's place."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import errors, hooks, model
from skep.hooks import codec
from tests.kernel import every_type, types_rig
from tests.kernel.types_rig import Rig
from tests.kernel.wrong_values import WRONG

every = pytest.mark.parametrize("name", every_type.NAMES)


TWICE: dict[str, type[errors.SkepError] | None] = {
    "xdp": errors.AlreadyExists,
    "tcx": errors.AlreadyExists,
    "tracepoint": errors.AlreadyExists,
    "uprobe": None,
    "usdt": None,
    "uretprobe": None,
    "kprobe": None,
    "kretprobe": None,
    "fentry": errors.AlreadyExists,
    "fexit": errors.AlreadyExists,
    "fmod_ret": errors.AlreadyExists,
    "lsm": errors.AlreadyExists,
    "raw_tracepoint": None,
    "tp_btf": None,
    "perf_event": None,
    "iter": None,
    "uprobe_multi": None,
    "kprobe_multi": None,
    "cgroup_skb": None,
    "cgroup_sock": None,
    "cgroup_sock_addr": None,
    "cgroup_sockopt": None,
    "cgroup_sysctl": None,
    "cgroup_device": None,
    "sockops": None,
    "lsm_cgroup": None,
    "netfilter": errors.Conflict,
    "sk_lookup": None,
    "flow_dissector": errors.Conflict,
    "sk_msg": errors.Conflict,
    "sk_skb": errors.Conflict,
    "socket_filter": errors.AlreadyExists,
    "sk_reuseport": errors.AlreadyExists,
}
"""What becomes of a second attachment of a program to its place: refused as told, or (None) a link beside the first.
A type that is not here says it in its case (``Case.twice``)."""


@pytest.fixture(scope="module")
def features() -> dict[str, model.Feature]:
    return types_rig.features()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with types_rig.rig(tmp_path) as made:
        yield made


def loaded(rig: Rig, name: str, feature: model.Feature) -> model.Program | None:
    """A program of a type, None where this kernel refuses the type at load (see ``test_every_type_refused``)."""
    try:
        return every_type.load(rig, name)
    except errors.Unsupported:
        assert not feature.available
        return None


def test_types_that_are_tested_elsewhere_are() -> None:
    here = Path(__file__).parent
    for name, file in every_type.ELSEWHERE.items():
        assert hooks.by_name(name).name == name
        assert "pytest.raises(errors." in (here / file).read_text(), f"{file} refuses nothing"


@pytest.mark.parametrize("name", every_type.NAMES)
def test_there_is_a_row_for_every_type(name: str) -> None:
    every_type.case(name)
    hook = hooks.by_name(name)
    rows = WRONG.get(hook.attachment, {})
    lacking = set(every_type.fields(hook.attachment)) - set(rows)
    assert not lacking, f"say in wrong_values.WRONG how {hook.attachment.__name__} refuses wrong values of {lacking}"


@pytest.mark.parametrize("name", [pytest.param(one, marks=every_type.marks(one)) for one in every_type.NAMES])
def test_bad_input_leaves_nothing(rig: Rig, features: dict[str, model.Feature], name: str) -> None:
    """One test for a type, since in the guest a rig takes seconds: from an empty rig to an empty rig."""
    empty = every_type.left(rig)
    program = loaded(rig, name, features[name])
    wrong_values(rig, name, program, features[name])
    if program is not None:
        if features[name].available:
            twice(rig, name, program)
            rig.attach(program, every_type.case(name).attachment(rig))
        rig.unload(program)  # and its link goes along
        with pytest.raises(errors.NotFound) as told:
            rig.unload(program)
        every_type.check_told(told.value, errors.NotFound)
    assert every_type.left(rig) == empty


def wrong_values(rig: Rig, name: str, program: model.Program | None, feature: model.Feature) -> None:
    """Every wrong value of every field is refused, in words that name it, and changes nothing."""
    valid = every_type.case(name).attachment(rig)
    before = every_type.left(rig)
    for field, rows in WRONG[type(valid)].items():
        for row in rows:
            with pytest.raises(errors.SkepError) as told:
                wrong = every_type.changed(name, valid, field, row)
                if program is None:
                    raise row.error(row.says, do="load it first")  # what only an attachment could tell
                rig.attach(program, wrong)
            where = (field, row.made(getattr(valid, field, "")), told.value)
            if not feature.available and isinstance(told.value, errors.Unsupported):
                continue
            every_type.check_told(told.value, row.error, row.near if program else "")
            assert row.says in str(told.value), where
            assert every_type.left(rig) == before, where


def twice(rig: Rig, name: str, program: model.Program) -> None:
    """A second attachment is what TWICE or the case says, and a second detaching finds nothing."""
    empty = every_type.left(rig)
    attachment = every_type.case(name).attachment(rig)
    first = rig.attach(program, attachment)
    one = every_type.left(rig)
    kind = TWICE.get(name, every_type.case(name).twice)
    if kind is None:
        second = rig.attach(program, attachment)
        assert second != first
        rig.detach(second)
    else:
        with pytest.raises(errors.SkepError) as told:
            rig.attach(program, attachment)
        every_type.check_told(told.value, kind)
    assert every_type.left(rig) == one
    (shown,) = rig.links()
    assert (shown.record.id, shown.status.state) == (first, model.LinkState.ATTACHED)
    rig.detach(first)
    with pytest.raises(errors.NotFound) as told:
        rig.detach(first)
    every_type.check_told(told.value, errors.NotFound)
    assert every_type.left(rig) == empty


@every
def test_what_is_missing_is_named(name: str) -> None:
    """Without anything, a type that needs something says what."""
    hook = hooks.by_name(name)
    needed = [
        one.name
        for one in dataclasses.fields(hook.attachment)
        if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
    ]
    if needed:
        with pytest.raises(errors.InvalidRequest, match="lacks") as told:
            codec.decode(name, {})
        assert all(one in told.value.what for one in needed)
    with pytest.raises(errors.InvalidRequest, match="has no field 'nonsense'"):
        codec.decode(name, {"nonsense": 1})


@pytest.mark.native
@every
def test_a_place_of_another_type_is_refused(rig: Rig, features: dict[str, model.Feature], name: str) -> None:
    program = loaded(rig, name, features[name])
    if program is None:
        return
    before = every_type.left(rig)
    mine = hooks.by_name(name).attachment
    for other in every_type.NAMES:
        attachment = every_type.case(other).attachment
        if other in ("sk_msg", "sk_skb") or hooks.by_name(other).attachment is mine:
            continue
        if model.HookName(other) in hooks.by_name(name).family:  # a tc program is a TCX program too, if so attached
            continue
        with pytest.raises(errors.Conflict, match=f"it is a {name} program") as told:
            rig.attach(program, attachment(rig))
        every_type.check_told(told.value, errors.Conflict)
    after = every_type.left(rig)
    assert after == before
