from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep import errors
from skep.bytecode import btf, elf, insn, maps, programs, variables
from skep.bytecode.elf import ByteOrder
from tests import mutants
from tests.unit.bytecode import real_objects

HEADER = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 1, 247, 1, 0, 0, 64, 0, 64, 0, 0, 64, 1, 0)


def _read_all(data: bytes) -> None:
    """Everything that skep reads of an object before libbpf does."""
    whole = elf.parse(data)
    programs.licence(whole)
    for read in (programs.programs, maps.maps, maps.data_sections, variables.variables):
        read(whole)


def _changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def test_sections_and_symbols_of_a_compiled_object() -> None:
    whole = elf.parse(real_objects.compiled("count"))
    section = whole.section("xdp")
    assert section is not None
    assert section.executable
    assert section.size == len(section.data) == 14 * insn.SIZE
    assert {one.name for one in whole.symbols if one.type == elf.STT_FUNC} == {"count", "count_frags"}
    assert [one.index for one in whole.sections] == list(range(len(whole.sections)))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b"#!/bin/sh\n" * 10, "does not start like an ELF", id="a script"),
        pytest.param(b"\x7fE", "does not start like an ELF", id="two bytes"),
        pytest.param(b"\x7fELF\x02\x01", "ends within its header", id="six bytes"),
        pytest.param(_changed(HEADER, 4, b"\x01"), "32-bit ELF", id="32 bits"),
        pytest.param(_changed(HEADER, 5, b"\x03"), "its byte order is 3", id="no byte order"),
        pytest.param(_changed(HEADER, 18, struct.pack("<H", 62)), "ELF file for x86-64", id="x86-64"),
        pytest.param(_changed(HEADER, 18, struct.pack("<H", 999)), "ELF file for machine 999", id="unknown machine"),
        pytest.param(_changed(HEADER, 16, struct.pack("<H", 3)), "not a relocatable object", id="linked"),
        pytest.param(_changed(HEADER, 40, struct.pack("<Q", 1 << 63)), "beyond its end", id="section table far away"),
        pytest.param(HEADER, "beyond its end", id="no section table"),
    ],
)
def test_what_is_no_bpf_object_is_said_plainly(data: bytes, words: str) -> None:
    with pytest.raises(errors.BadObject) as refused:
        elf.parse(data, ByteOrder.LITTLE)
    assert words in refused.value.why
    assert refused.value.do


def test_the_other_byte_order_is_named() -> None:
    data = real_objects.compiled("count")
    with pytest.raises(errors.BadObject, match=r"little-endian and this machine is big-endian.*bpfeb"):
        elf.parse(data, ByteOrder.BIG)


def test_an_object_of_16_mib_is_read_and_one_more_byte_is_not() -> None:
    data = real_objects.compiled("count")
    assert elf.parse(data + bytes(elf.MAX_BYTES - len(data))).sections
    with pytest.raises(errors.Exhausted, match="16777217 bytes of at most 16777216"):
        elf.parse(data + bytes(elf.MAX_BYTES - len(data) + 1))


def test_every_truncation_is_refused() -> None:
    data = real_objects.compiled("globals")
    for length in range(0, len(data), 7):
        with pytest.raises(errors.BadObject):
            elf.parse(data[:length])


@given(st.binary(max_size=512))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(errors.BadObject):
        elf.parse(data)


@given(st.binary(max_size=512))
def test_random_bytes_behind_a_good_header_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(errors.BadObject):
        _read_all(HEADER + data)


@given(st.binary(max_size=256))
def test_random_bytes_behind_a_good_btf_header_are_read_or_refused(data: bytes) -> None:
    header = struct.pack(
        "=HBBIIIII", btf.MAGIC, 1, 0, 24, 0, len(data) // 2, len(data) // 2, len(data) - len(data) // 2
    )
    try:
        read = btf.parse(header + data)
    except errors.BadObject:
        return
    assert btf.parse(btf.build(read.types)) == read


@pytest.mark.slow
def test_damaged_objects_are_read_or_refused_and_never_anything_else() -> None:
    refused = 0
    for mutant in mutants.mutants(real_objects.everything(), count=1500, seed=11):
        try:
            _read_all(mutant.data)
        except errors.BadObject:
            refused += 1
    assert refused > 200


def test_sections_that_overlap_cannot_take_all_memory() -> None:
    """60,000 sections that are all the whole file would be copied to a terabyte."""
    count = 60_000
    size = 64 + 64 * count
    section = struct.pack("<IIQQQQIIQQ", 0, 1, 0, 0, 0, size, 0, 0, 0, 0)
    head = _changed(HEADER, 60, struct.pack("<H", count))
    with pytest.raises(errors.BadObject, match="larger than the file"):
        elf.parse(head + section * count)


def test_a_name_without_end_is_not_read_to_the_end() -> None:
    """A hundred thousand types that all share four million letters would be a hundred thousand copies of them."""
    body = struct.pack("=III", 1, 7 << 24, 0)
    strings = b"\0" + b"a" * 5000 + b"\0"
    blob = struct.pack("=HBBIIIII", btf.MAGIC, 1, 0, 24, 0, len(body), len(body), len(strings)) + body + strings
    with pytest.raises(errors.BadObject, match="outside its strings"):
        btf.parse(blob)
