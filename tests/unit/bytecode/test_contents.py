"""Programs, maps and variables of a compiled object, as its source says."""

from __future__ import annotations

import pytest

from skep import errors
from skep.bytecode import elf, maps, programs, variables
from skep.bytecode.maps import DataSection, Map
from tests.unit.bytecode import real_objects


@pytest.fixture(scope="module")
def whole() -> elf.Object:
    return elf.parse(real_objects.compiled("globals"))


def test_programs_are_the_functions_outside_text(whole: elf.Object) -> None:
    assert [(one.name, one.section) for one in programs.programs(whole)] == [
        ("first_program", "xdp"),
        ("second_program", "xdp.frags"),
        ("third_program", "tracepoint/syscalls/sys_enter_kill"),
    ]
    assert programs.programs(whole)[1].insns == 2


def test_subprograms_are_no_programs() -> None:
    found = programs.programs(elf.parse(real_objects.compiled("subprogram")))
    assert [one.name for one in found] == ["with_static", "with_global", "with_both"]


def test_licence(whole: elf.Object) -> None:
    assert programs.licence(whole) == "Dual BSD/GPL"


def test_an_unknown_program_is_answered_with_near_misses(whole: elf.Object) -> None:
    assert programs.find(whole, "first_program").section == "xdp"
    with pytest.raises(errors.NotFound, match="did you mean first_program") as refused:
        programs.find(whole, "first_porgram")
    assert refused.value.near[0] == "first_program"
    with pytest.raises(errors.NotFound, match="it has first_program, second_program, third_program"):
        programs.find(whole, "zzz")


def test_declared_maps(whole: elf.Object) -> None:
    inner = Map(
        name="one_inner", type=2, key_size=4, value_size=16, max_entries=3, flags=0, pinned_by_name=False, inner=None
    )
    found = {one.name: one for one in maps.maps(whole)}
    assert found["one_inner"] == inner
    assert found["shared"] == Map(
        name="shared", type=9, key_size=6, value_size=12, max_entries=100, flags=2, pinned_by_name=True
    )
    assert found["events"] == Map(
        name="events", type=27, key_size=0, value_size=0, max_entries=4096, flags=0, pinned_by_name=False
    )
    outer = found["outer"]
    assert (outer.type, outer.key_size, outer.value_size, outer.max_entries) == (12, 4, 4, 2)
    assert outer.inner is not None
    assert (outer.inner.type, outer.inner.value_size, outer.inner.max_entries) == (2, 16, 3)


def test_data_sections(whole: elf.Object) -> None:
    found = {one.name: one for one in maps.data_sections(whole)}
    assert set(found) >= {".rodata", ".rodata.custom", ".data", ".bss"}
    assert found[".rodata.custom"] == DataSection(name=".rodata.custom", size=8, read_only=True)
    assert not found[".data"].read_only
    assert found[".bss"].size == 2


@pytest.mark.parametrize(
    ("name", "section", "size", "type"),
    [
        ("first", ".rodata", 4, "const volatile __u32"),
        ("address", ".rodata", 16, "const volatile __u8[16]"),
        ("pair", ".rodata", 16, "const volatile struct pair"),
        ("colour", ".rodata", 4, "const volatile enum colour"),
        ("wide", ".rodata", 8, "const volatile enum wide"),
        ("secret", ".rodata", 5, "const volatile char[5]"),
        ("custom", ".rodata.custom", 8, "const volatile __u64"),
        ("counter", ".data", 8, "__u64"),
        ("hidden", ".data", 4, "__u32"),
        ("zero", ".bss", 2, "__u16"),
    ],
)
def test_global_variables(whole: elf.Object, name: str, section: str, size: int, type: str) -> None:
    one = variables.find(variables.variables(whole), name)
    assert (one.section, one.size, one.type) == (section, size, type)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("first", (7).to_bytes(4, "little")),
        ("address", bytes([1]) + bytes(15)),
        ("pair", bytes([1, 0, 0, 0, 0, 0, 0, 0, 2]) + bytes(7)),
        ("secret", b"abcd\0"),
        ("custom", (9).to_bytes(8, "little")),
        ("wide", (1 << 40).to_bytes(8, "little")),
        ("counter", (3).to_bytes(8, "little")),
        ("hidden", (4).to_bytes(4, "little")),
    ],
)
def test_offsets_are_where_the_compiler_put_the_values(whole: elf.Object, name: str, value: bytes) -> None:
    one = variables.find(variables.variables(whole), name)
    section = whole.section(one.section)
    assert section is not None
    assert section.data[one.offset : one.offset + one.size] == value


def test_an_unknown_variable_is_answered_with_near_misses(whole: elf.Object) -> None:
    with pytest.raises(errors.NotFound, match="did you mean") as refused:
        variables.find(variables.variables(whole), "frist")
    assert "first" in refused.value.near


@pytest.mark.parametrize("length", [0, 3, 5, 8])
def test_a_value_of_the_wrong_size_is_refused(whole: elf.Object, length: int) -> None:
    one = variables.find(variables.variables(whole), "first")
    assert variables.check_value(one, bytes(4)) == bytes(4)
    with pytest.raises(errors.InvalidRequest, match=f"__u32 of 4 bytes and the value has {length}"):
        variables.check_value(one, bytes(length))


def test_debians_filter_declares_maps_pinned_by_name() -> None:
    path = real_objects.SYSTEM / "xdpfilt_alw_all.o"
    found = maps.maps(elf.parse(path.read_bytes()))
    assert {one.name for one in found if one.pinned_by_name} == {
        "filter_ports",
        "filter_ipv4",
        "filter_ipv6",
        "filter_ethernet",
        "xdp_stats_map",
    }
