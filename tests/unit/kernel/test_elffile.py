"""Symbols of ELF files: found at their place in the file; no damage makes the parser do more than say so."""

from __future__ import annotations

import ctypes.util
import os
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.kernel import elffile

FUNC, OBJECT, IFUNC = 2, 1, 10


def program(*symbols: tuple[str, int, int, int], wide: bool = True, order: str = "<", table: int = 2) -> bytes:
    """A file with one loaded segment (file offset 0x40, address 0x1000, 0x1000 bytes) and a symbol table.

    ``symbols``: name, type, section (0: undefined), address.
    """
    names, entries = b"\0", bytes(24 if wide else 16)
    for name, kind, section, address in symbols:
        at = len(names)
        names += name.encode() + b"\0"
        if wide:
            entries += struct.pack(order + "IBBHQQ", at, kind, 0, section, address, 8)
        else:
            entries += struct.pack(order + "IIIBBH", at, address, 8, kind, 0, section)
    header_size, segment_size, section_size = (64, 56, 64) if wide else (52, 32, 40)
    segments_at = header_size
    entries_at = segments_at + segment_size
    names_at = entries_at + len(entries)
    sections_at = names_at + len(names)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    layout = "HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH"
    header = ident + struct.pack(
        order + layout, 3, 62, 1, 0, segments_at, sections_at, 0, header_size, segment_size, 1, section_size, 3, 2
    )
    if wide:
        segment = struct.pack(order + "IIQQQQQQ", 1, 5, 0x40, 0x1000, 0x1000, 0x1000, 0x1000, 4096)
    else:
        segment = struct.pack(order + "IIIIIIII", 1, 0x40, 0x1000, 0x1000, 0x1000, 0x1000, 5, 4096)
    row = struct.Struct(order + ("IIQQQQIIQQ" if wide else "IIIIIIIIII"))
    sections = (
        row.pack(*[0] * 10)
        + row.pack(0, table, 0, 0, entries_at, len(entries), 2, 0, 8, 24 if wide else 16)
        + row.pack(0, 3, 0, 0, names_at, len(names), 0, 0, 1, 0)
    )
    return header + segment + entries + names + sections


def parse(data: bytes) -> elffile.Elf:
    return elffile.Elf(lambda offset, size: data[offset : offset + size])


SYMBOLS = (
    ("main", FUNC, 1, 0x1010),
    ("table", OBJECT, 1, 0x1020),
    ("imported", FUNC, 0, 0),
    ("fast_copy", IFUNC, 1, 0x1030),
    ("elsewhere", FUNC, 1, 0x9000),
    ("domain", FUNC, 1, 0x1040),
)


@pytest.mark.parametrize("table", [2, 11], ids=["symtab", "dynsym"])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("wide", [True, False], ids=["64", "32"])
@pytest.mark.parametrize(
    ("name", "offset"),
    [
        ("main", 0x50),
        ("fast_copy", 0x70),
        ("domain", 0x80),
        ("table", None),
        ("imported", None),
        ("elsewhere", None),
        ("mai", None),
        ("ain", None),
        ("", None),
    ],
)
def test_a_function_is_found_at_its_place_in_the_file(
    name: str, offset: int | None, wide: bool, order: str, table: int
) -> None:
    assert parse(program(*SYMBOLS, wide=wide, order=order, table=table)).function(name) == offset


def test_a_name_that_is_the_tail_of_another_is_found() -> None:
    """Linkers store "main" inside "domain_main"."""
    data = bytearray(program(("domain_main", FUNC, 1, 0x1000), ("x", FUNC, 1, 0x1010)))
    names = data.find(b"domain_main")
    entry = data.find(struct.pack("<IBBHQQ", 13, FUNC, 0, 1, 0x1010, 8))
    struct.pack_into("<I", data, entry, 1 + len("domain_"))
    assert names > 0
    assert parse(bytes(data)).function("main") == 0x50


def test_functions_are_listed_without_data_and_imports() -> None:
    assert list(parse(program(*SYMBOLS)).functions()) == ["main", "fast_copy", "elsewhere", "domain"]


def test_a_real_library_agrees_with_the_dynamic_linker() -> None:
    """Where libc's getppid is in memory, less where libc was mapped, is where it is in the file."""
    libc = ctypes.CDLL(ctypes.util.find_library("c"))
    address = ctypes.cast(libc.getppid, ctypes.c_void_p).value
    assert address is not None
    with open("/proc/self/maps", encoding="utf-8") as file:
        for line in file:
            first, last = (int(part, 16) for part in line.split()[0].split("-"))
            if first <= address < last:
                path, start = line.split()[-1], int(line.split()[2], 16) - first
                break
        else:
            raise AssertionError("getppid is not mapped")
    with open(path, "rb") as library:
        elf = elffile.Elf(lambda offset, size: os.pread(library.fileno(), size, offset))
        assert elf.function("getppid") == address + start


@pytest.mark.parametrize(
    "data",
    [b"", b"\x7fELF", b"#!/bin/sh\n" * 9, program()[:100], program(*SYMBOLS)[:-1], b"\x7fELF\x03" + bytes(100)],
    ids=["empty", "magic only", "script", "cut", "cut by one", "class 3"],
)
def test_what_is_no_elf_is_malformed(data: bytes) -> None:
    with pytest.raises(elffile.Malformed):
        parse(data).function("main")


@given(st.binary(max_size=200))
def test_any_bytes_are_malformed_or_read(data: bytes) -> None:
    try:
        list(parse(b"\x7fELF\x02\x01\x01" + bytes(9) + data).functions())
    except elffile.Malformed:
        return


@given(st.data())
def test_a_damaged_file_is_malformed_or_read(data: st.DataObject) -> None:
    damaged = bytearray(program(*SYMBOLS, wide=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(16, len(damaged) - 1))] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
    try:
        elf = parse(bytes(damaged))
        found = elf.function("main")
        names = list(elf.functions())
    except elffile.Malformed:
        return
    assert found is None or found >= 0
    assert all(isinstance(name, str) for name in names)


def test_this_interpreter_has_functions() -> None:
    with open(sys.executable, "rb") as file:
        elf = elffile.Elf(lambda offset, size: os.pread(file.fileno(), size, offset))
        assert next(iter(elf.functions()), None)


def test_a_name_that_ends_millions_of_others_is_given_up() -> None:
    """A hostile string table costs bounded memory."""
    data = bytearray(program(("a", FUNC, 1, 0x1000)))
    sections_at = int.from_bytes(data[40:48], "little")
    names = sections_at + 2 * 64
    struct.pack_into("<QQ", data, names + 24, len(data), 2_000_000)
    data += b"a\0" * 1_000_000
    with pytest.raises(elffile.Malformed, match="end in 'a'"):
        parse(bytes(data)).function("a")
