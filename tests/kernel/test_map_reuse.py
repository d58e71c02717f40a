"""A map that is there takes the place of an object's only when both agree in everything that the kernel fixes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import errors, model
from tests import bpf_build
from tests.kernel import every_type, types_rig
from tests.kernel.types_rig import ROOT, Rig

pytestmark = pytest.mark.native  # what it is about is the same in the guest, and slow there

DIFFERENT = {
    "type": (("TYPE=BPF_MAP_TYPE_LRU_HASH",), "type lru_hash against hash"),
    "key": (("KEY=__u64",), "key size 8 against 4"),
    "value": (("VALUE=__u32",), "value size 4 against 8"),
    "entries": (("ENTRIES=17",), "max entries 17 against 16"),
    "flags": (("FLAGS=BPF_F_NO_PREALLOC",), "flags 0x1 against 0x0"),
    "two things": (("KEY=__u64", "ENTRIES=32"), "key size 8 against 4, max entries 32 against 16"),
}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with types_rig.rig(tmp_path) as made:
        yield made


def load(rig: Rig, *defines: str, owner: model.Program | None = None) -> model.Program:
    wanted = model.Load(
        object=bpf_build.build("reused", *defines).read_bytes(),
        source=model.FileSource(path="reused.bpf.o"),
        programs=(model.ProgramSpec(name="reader"),),
        map_owner=None if owner is None else owner.record.id,
    )
    (program,) = rig.manager.run(ROOT, wanted).programs
    return program


def table(rig: Rig, program: model.Program) -> model.KernelMap:
    (pin,) = (one.pin for one in program.record.maps if one.name == "table")
    found = rig.kernel.map(model.MapPin(pin))
    assert found is not None
    return found


@pytest.mark.parametrize("by_name", [False, True], ids=["owner", "pin by name"])
def test_an_equal_map_is_shared(rig: Rig, by_name: bool) -> None:
    defines = ("BY_NAME",) if by_name else ()
    first = load(rig, *defines)
    second = load(rig, *defines, owner=None if by_name else first)
    assert table(rig, second) == table(rig, first)
    rig.unload(first)
    assert table(rig, second).max_entries == 16
    rig.unload(second)
    assert every_type.left(rig)["pins"] == ()


@pytest.mark.parametrize("by_name", [False, True], ids=["owner", "pin by name"])
@pytest.mark.parametrize("what", DIFFERENT)
def test_a_map_that_differs_is_told_in_what(rig: Rig, what: str, by_name: bool) -> None:
    defines, told = DIFFERENT[what]
    more = ("BY_NAME",) if by_name else ()
    first = load(rig, *more)
    before = every_type.left(rig)
    with pytest.raises(errors.Conflict, match="map 'table' cannot be shared") as refused:
        load(rig, *more, *defines, owner=None if by_name else first)
    assert refused.value.why == told
    assert table(rig, first).max_entries == 16
    assert "the first is the object's" in refused.value.do
    assert every_type.left(rig) == before
