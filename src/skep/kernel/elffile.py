"""Where a function is in an executable or library: what a uprobe needs of ELF. BPF objects: ``bytecode.elf``.

Works on a ``read(offset, size)`` function, so that a large executable is never mapped (one that is truncated meanwhile
would kill the daemon with SIGBUS) and a hostile one costs bounded memory. Source: elf(5), ELF-64 and ELF-32 gABI.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

Read = Callable[[int, int], bytes]
"""Bytes of the file at an offset; fewer at its end."""

_SHT_SYMTAB: Final = 2
_SHT_DYNSYM: Final = 11
_PT_LOAD: Final = 1
_STT_FUNC: Final = 2
_STT_GNU_IFUNC: Final = 10
_SHN_UNDEF: Final = 0
_LARGEST_TABLE: Final = 256 << 20  # bytes of a symbol or string table; Chromium's are about 40 MiB
_MOST_TABLES: Final = 4  # of a kind; linkers make one
_MOST_SECTIONS: Final = 65_536


class Malformed(Exception):
    """The file is not an ELF file, or is damaged."""


@dataclass(frozen=True, slots=True)
class _Section:
    type: int
    offset: int
    size: int
    link: int


@dataclass(frozen=True, slots=True)
class _Segment:
    offset: int
    address: int
    size: int


class Elf:
    """An ELF file of either class and byte order."""

    def __init__(self, read: Read) -> None:
        self._read = read
        ident = read(0, 16)
        if len(ident) < 16 or ident[:4] != b"\x7fELF" or ident[4] not in (1, 2) or ident[5] not in (1, 2):
            raise Malformed("not an ELF file")
        self._wide = ident[4] == 2
        self._order = "<" if ident[5] == 1 else ">"
        header = struct.Struct(self._order + ("HHIQQQIHHHHHH" if self._wide else "HHIIIIIHHHHHH"))
        fields = header.unpack(self._exactly(16, header.size))
        program_at, section_at = fields[4], fields[5]
        program_size, program_count, section_size, section_count = fields[8:12]
        self._segments = list(self._program_headers(program_at, program_size, program_count))
        self._sections = list(self._section_headers(section_at, section_size, section_count))

    def function(self, name: str) -> int | None:
        """Offset in the file (bytes) of a function's first instruction, None when no symbol table defines it."""
        for symbols, names in self._symbol_tables():
            places = _ends(names, name.encode())
            if not places:
                continue
            for name_at, address in self._functions(symbols):
                if name_at in places and (offset := self._file_offset(address)) is not None:
                    return offset
        return None

    def functions(self) -> Iterator[str]:
        """Names of the functions it defines, for near misses."""
        for symbols, names in self._symbol_tables():
            for name_at, _ in self._functions(symbols):
                end = names.find(b"\0", name_at)
                if end > name_at:
                    yield names[name_at:end].decode(errors="replace")

    def places(self) -> Iterator[tuple[str, int]]:
        """Names of the functions it defines, with their offsets in the file (bytes)."""
        for symbols, names in self._symbol_tables():
            for name_at, address in self._functions(symbols):
                end, offset = names.find(b"\0", name_at), self._file_offset(address)
                if end > name_at and offset is not None:
                    yield names[name_at:end].decode(errors="replace"), offset

    def _symbol_tables(self) -> Iterator[tuple[bytes, bytes]]:
        """Symbols and their names; .symtab has more than .dynsym but is often stripped."""
        for kind in (_SHT_SYMTAB, _SHT_DYNSYM):
            tables = [one for one in self._sections if one.type == kind and one.link < len(self._sections)]
            for one in tables[:_MOST_TABLES]:
                yield self._table(one), self._table(self._sections[one.link])

    def _functions(self, symbols: bytes) -> Iterator[tuple[int, int]]:
        if self._wide:
            entry = struct.Struct(self._order + "IBBHQQ")
            for name, info, _, section, value, _ in entry.iter_unpack(symbols[: len(symbols) // 24 * 24]):
                if section != _SHN_UNDEF and info & 15 in (_STT_FUNC, _STT_GNU_IFUNC):
                    yield name, value
        else:
            entry = struct.Struct(self._order + "IIIBBH")
            for name, value, _, info, _, section in entry.iter_unpack(symbols[: len(symbols) // 16 * 16]):
                if section != _SHN_UNDEF and info & 15 in (_STT_FUNC, _STT_GNU_IFUNC):
                    yield name, value

    def _file_offset(self, address: int) -> int | None:
        for one in self._segments:
            if one.address <= address < one.address + one.size:
                return address - one.address + one.offset
        return None

    def _program_headers(self, at: int, size: int, count: int) -> Iterator[_Segment]:
        layout = struct.Struct(self._order + ("IIQQQQQQ" if self._wide else "IIIIIIII"))
        if count and size < layout.size:
            raise Malformed("its program headers are too small")
        for index in range(count):
            fields = layout.unpack(self._exactly(at + index * size, layout.size))
            kind = fields[0]
            if self._wide:
                offset, address, file_size = fields[2], fields[3], fields[5]
            else:
                offset, address, file_size = fields[1], fields[2], fields[4]
            if kind == _PT_LOAD:
                yield _Segment(offset, address, file_size)

    def _section_headers(self, at: int, size: int, count: int) -> Iterator[_Section]:
        if not at:
            return
        layout = struct.Struct(self._order + ("IIQQQQIIQQ" if self._wide else "IIIIIIIIII"))
        if size < layout.size:
            raise Malformed("its section headers are too small")
        first = layout.unpack(self._exactly(at, layout.size))
        if count == 0:
            count = first[5]  # more than 65,279 sections: the number is in the first one's size
        if count > _MOST_SECTIONS:
            raise Malformed(f"it has {count} sections")
        data = self._exactly(at, size * count)
        for index in range(count):
            _, kind, _, _, offset, length, link, *_ = layout.unpack_from(data, index * size)
            yield _Section(kind, offset, length, link)

    def _table(self, section: _Section) -> bytes:
        return self._exactly(section.offset, section.size)

    def _exactly(self, offset: int, size: int) -> bytes:
        if size > _LARGEST_TABLE or offset + size >= 1 << 63:
            raise Malformed("a table is too large")
        data = self._read(offset, size)
        if len(data) != size:
            raise Malformed("it ends early")
        return data


def _ends(names: bytes, name: bytes) -> frozenset[int]:
    """Every offset at which ``name`` and a NUL stand; linkers let one name be the tail of another."""
    found: list[int] = []
    wanted = name + b"\0"
    at = names.find(wanted) if name else -1
    while at >= 0:
        found.append(at)
        at = names.find(wanted, at + 1)
    return frozenset(found)
