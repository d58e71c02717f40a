"""Tables of functions are read out of objects as libbpf reads them, and damaged ones are refused."""

from __future__ import annotations

import pytest

from skep import errors
from skep.bytecode import btf, elf, kernel_types, struct_ops
from skep.bytecode.btf import Kind, Type
from tests import bpf_build


def tables(*defines: str) -> tuple[struct_ops.Table, ...]:
    return struct_ops.tables(elf.parse(bpf_build.build("struct_ops", *defines).read_bytes()))


@pytest.mark.parametrize("linked", [True, False])
def test_a_table_names_its_programs_and_holds_its_data(linked: bool) -> None:
    (table,) = tables('NAME="abc"', *(("LINK",) if linked else ()))
    assert (table.name, table.type, table.linked) == ("slow", "tcp_congestion_ops", linked)
    assert table.programs == ("begin", "threshold", "undo", "avoid")
    members = {one.name: one for one in table.members}
    assert members["name"].data == b"abc".ljust(16, b"\0")
    assert members["init"].program == "begin"
    assert "flags" not in members  # all zeros: the kernel's struct need not have it


def test_an_object_without_tables_has_none() -> None:
    assert struct_ops.tables(elf.parse(bpf_build.build("count").read_bytes())) == ()


def test_a_linked_object_gets_the_name_that_every_libbpf_knows() -> None:
    data = bpf_build.build("struct_ops", "LINK").read_bytes()
    plain = struct_ops.unlinked(data)
    whole = elf.parse(plain)
    assert len(plain) == len(data)
    assert whole.section(".struct_ops.link") is None
    (table,) = struct_ops.tables(whole)
    assert not table.linked
    assert table.members == tables("LINK")[0].members


def test_only_names_are_changed() -> None:
    """A program may well hold the same text."""
    data = bpf_build.build("struct_ops", "LINK", 'NAME=".struct_ops.lin"').read_bytes()
    text = b".struct_ops.lin\0"
    assert text in data
    assert text in struct_ops.unlinked(data)


def test_mutants_are_read_or_refused() -> None:
    """Whatever the bytes are: BadObject, Exhausted, or tables whose names can be pins."""
    data = bpf_build.build("struct_ops", "LINK").read_bytes()
    for at in range(0, len(data), 3):
        changed = bytearray(data)
        changed[at] ^= 0xFF
        try:
            found = struct_ops.tables(elf.parse(bytes(changed)))
        except (errors.BadObject, errors.Exhausted):
            continue
        assert all(one.name.isidentifier() for one in found)
        assert len({one.name for one in found}) == len(found)


KERNEL = btf.build(
    [
        Type(Kind.INT, "int", 4, ((32,),)),  # 1
        Type(Kind.STRUCT, "sock", 4, (("number", 1, 0),), vlen=1),  # 2
        Type(Kind.CONST, size=2),  # 3
        Type(Kind.PTR, size=3),  # 4
        Type(Kind.FUNC_PROTO, "", 1, (("", 4),), vlen=1),  # 5
        Type(Kind.PTR, size=5),  # 6
        Type(Kind.STRUCT, "ops", 24, (("run", 6, 0), ("who", 4, 64), ("next", 8, 128)), vlen=3),  # 7
        Type(Kind.PTR, size=7),  # 8
        Type(Kind.ENUM, "state", 4, (("IDLE", 0), ("BUSY", 1)), vlen=2),  # 9
        Type(Kind.STRUCT, "value", 32, (("state", 9, 0), ("data", 7, 64)), vlen=2),  # 10
    ]
)


def test_a_part_of_the_kernels_types_ends_at_pointers() -> None:
    types, whole = kernel_types.part(KERNEL, 10)
    outer = types.type(whole)
    assert outer is not None
    (_, state, _), (_, data, at) = outer.items
    assert types.spell(int(state)) == "enum state"
    assert at == 64
    shape = types.resolve(int(data))
    assert shape is not None
    assert [(name, types.spell(int(one))) for name, one, _ in shape.items] == [
        ("run", kernel_types.PROGRAM),
        ("who", "struct sock *"),
        ("next", "struct ops *"),
    ]
    assert types.size_of(whole) == 32
    assert types.find("sock", Kind.STRUCT) == 0


@pytest.mark.parametrize("id", [0, 11, 4_000_000_000])
def test_a_type_that_is_not_there_has_no_part(id: int) -> None:
    assert kernel_types.part(KERNEL, id)[1] == 0


@pytest.mark.parametrize("blob", [b"", b"\0" * 24, KERNEL[:40]], ids=["empty", "no magic", "cut"])
def test_types_that_are_not_the_kernels_are_refused(blob: bytes) -> None:
    with pytest.raises(errors.BadObject):
        kernel_types.part(blob, 1)
