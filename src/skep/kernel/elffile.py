"""Where things are in an executable or library: what user-space probes need of ELF. BPF objects: ``bytecode.elf``.

Works on a ``read(offset, size)`` function, so that a large executable is never mapped (one that is truncated meanwhile
would kill the daemon with SIGBUS) and a hostile one costs bounded memory and time: a file decides how many symbols it
has and how long their names seem, so nothing here looks at more than a table's bytes times a constant.

Source: elf(5), ELF-64 and ELF-32 gABI; symbol versions: LSB Core, "Symbol Versioning".
"""

from __future__ import annotations

import array
import contextlib
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

Read = Callable[[int, int], bytes]
"""Bytes of the file at an offset; fewer at its end."""

_SHT_SYMTAB: Final = 2
_SHT_NOTE: Final = 7
_SHT_DYNSYM: Final = 11
_SHT_VERDEF: Final = 0x6FFFFFFD
_SHT_VERSYM: Final = 0x6FFFFFFF
_PT_LOAD: Final = 1
_PF_X: Final = 1
_STT_OBJECT: Final = 1
_STT_FUNC: Final = 2
_STT_GNU_IFUNC: Final = 10
_SHN_UNDEF: Final = 0
_VERSION_HIDDEN: Final = 0x8000  # not the one that a name without a version means
_LARGEST_TABLE: Final = 256 << 20  # bytes of a symbol or string table; Chromium's are about 40 MiB
_LARGEST_NOTES: Final = 16 << 20  # bytes of all notes
_MOST_SECTIONS: Final = 65_536
_MOST_NAMED_ALIKE: Final = 100_000  # strings with one ending
_LONGEST_LISTED: Final = 1_024  # bytes of a name that is listed
_MOST_LISTED: Final = 3_000_000  # symbols; Chromium has 1,700,000, and each takes about half a microsecond


class Malformed(Exception):
    """The file is not an ELF file, or is damaged."""


@dataclass(frozen=True, slots=True)
class _Section:
    name: int
    type: int
    address: int
    offset: int
    size: int
    link: int


@dataclass(frozen=True, slots=True)
class _Segment:
    flags: int
    offset: int
    address: int
    size: int


class Elf:
    """An ELF file of either class and byte order. ``machine``: ``e_machine``."""

    def __init__(self, read: Read) -> None:
        self._read = read
        ident = read(0, 16)
        if len(ident) < 16 or ident[:4] != b"\x7fELF" or ident[4] not in (1, 2) or ident[5] not in (1, 2):
            raise Malformed("not an ELF file")
        self.wide = ident[4] == 2
        self.order = "<" if ident[5] == 1 else ">"
        header = struct.Struct(self.order + ("HHIQQQIHHHHHH" if self.wide else "HHIIIIIHHHHHH"))
        fields = header.unpack(self._exactly(16, header.size))
        self.machine: int = fields[1]
        program_at, section_at = fields[4], fields[5]
        program_size, program_count, section_size, section_count, self._names_at = fields[8:13]
        self._segments = list(self._program_headers(program_at, program_size, program_count))
        self._sections = list(self._section_headers(section_at, section_size, section_count))

    # ---------------------------------------------------------------- functions and variables

    def function(self, name: str) -> int | None:
        """Offset in the file (bytes) of a function's first instruction, None when no symbol table defines it.

        ``name`` may carry a version: "memcpy@GLIBC_2.2.5"; one without means the default version.
        """
        for address in self._addresses(name, (_STT_FUNC, _STT_GNU_IFUNC)):
            if (offset := self.offset(address)) is not None:
                return offset
        return None

    def variable(self, name: str) -> int | None:
        """The address of a variable (as the linker gave it), None when no symbol table defines it."""
        return next(self._addresses(name, (_STT_OBJECT,)), None)

    def versions(self, name: str) -> tuple[str, ...]:
        """The versions that a dynamic symbol has ("memcpy@GLIBC_2.2.5", …), () when the file has no versions of it."""
        found: dict[str, None] = {}
        for index, _, _ in self._matches(_SHT_DYNSYM, name.partition("@")[0]):
            version, _ = self._version(index)
            if version:
                found[f"{name.partition('@')[0]}@{version}"] = None
        return tuple(found)

    def functions(self) -> Iterator[str]:
        """Names of the functions it defines, for near misses; without endless names and endless tables."""
        with contextlib.suppress(Malformed):
            for name, _ in self._listed():
                yield name

    def places(self) -> Iterator[tuple[str, int]]:
        """Names of the functions it defines, with their offsets in the file (bytes)."""
        for name, address in self._listed():
            if (offset := self.offset(address)) is not None:
                yield name, offset

    def _addresses(self, name: str, kinds: tuple[int, ...]) -> Iterator[int]:
        """Where a name is defined; .symtab has more than .dynsym but is often stripped."""
        for table in (_SHT_SYMTAB, _SHT_DYNSYM):
            hidden = []
            for index, kind, address in self._matches(table, name):
                if kind not in kinds:
                    continue
                if table == _SHT_DYNSYM and self._version(index)[1]:
                    hidden.append(address)
                else:
                    yield address
            yield from hidden
        base, _, version = name.replace("@@", "@").partition("@")
        if version:
            for index, kind, address in self._matches(_SHT_DYNSYM, base):
                if kind in kinds and self._version(index)[0] == version:
                    yield address

    def _matches(self, table: int, name: str) -> Iterator[tuple[int, int, int]]:
        """Number, type and address of the defined symbols of a name."""
        symbols, names = self._symbols(table)
        places = _ends(names, name.encode(errors="surrogateescape"))
        if not places:
            return
        entry = self._entry()
        column = array.array("I", memoryview(symbols).cast("I")[:: entry.size // 4].tobytes())
        if (self.order == "<") != (sys.byteorder == "little"):
            column.byteswap()
        for index, at in enumerate(column):
            if at in places:
                _, kind, section, address = self._symbol(entry.unpack_from(symbols, index * entry.size))
                if section != _SHN_UNDEF:
                    yield index, kind, address

    def _listed(self) -> Iterator[tuple[str, int]]:
        for table in (_SHT_SYMTAB, _SHT_DYNSYM):
            symbols, names = self._symbols(table)
            if len(symbols) > _MOST_LISTED * self._entry().size:
                raise Malformed(f"it has more than {_MOST_LISTED} symbols")
            for fields in self._entry().iter_unpack(symbols):
                at, kind, section, address = self._symbol(fields)
                if section != _SHN_UNDEF and kind in (_STT_FUNC, _STT_GNU_IFUNC):
                    end = names.find(b"\0", at, at + _LONGEST_LISTED)
                    if end > at:
                        yield names[at:end].decode(errors="replace"), address

    def _entry(self) -> struct.Struct:
        return struct.Struct(self.order + ("IBBHQQ" if self.wide else "IIIBBH"))

    def _symbol(self, fields: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Name, type, section and address of one entry."""
        if self.wide:
            name, info, _, section, address, _ = fields
        else:
            name, address, _, info, _, section = fields
        return name, info & 15, section, address

    def _symbols(self, kind: int) -> tuple[bytes, bytes]:
        """A symbol table, a whole number of entries, and its names; empty when the file has none."""
        for one in self._sections:
            if one.type == kind and one.link < len(self._sections):
                size = self._entry().size
                return self._table(one)[: one.size // size * size], self._table(self._sections[one.link])
        return b"", b""

    def _version(self, index: int) -> tuple[str, bool]:
        """The version of a dynamic symbol by its number, "" when it has none, and whether it is not the default."""
        versym = next((one for one in self._sections if one.type == _SHT_VERSYM), None)
        if versym is None or 2 * index + 2 > versym.size:
            return "", False
        (word,) = struct.unpack(self.order + "H", self._exactly(versym.offset + 2 * index, 2))
        return self._definitions().get(word & ~_VERSION_HIDDEN, ""), bool(word & _VERSION_HIDDEN)

    def _definitions(self) -> dict[int, str]:
        """The versions that the file defines, by number."""
        section = next((one for one in self._sections if one.type == _SHT_VERDEF), None)
        if section is None or section.link >= len(self._sections):
            return {}
        data, names = self._table(section), self._table(self._sections[section.link])
        found: dict[int, str] = {}
        at = 0
        while at + 20 <= len(data) and len(found) < _VERSION_HIDDEN:
            _, _, number, _, _, auxiliary, following = struct.unpack_from(self.order + "HHHHIII", data, at)
            if at + auxiliary + 4 <= len(data):
                (name_at,) = struct.unpack_from(self.order + "I", data, at + auxiliary)
                end = names.find(b"\0", name_at, name_at + _LONGEST_LISTED)
                found.setdefault(number, names[name_at:end].decode(errors="replace") if end > 0 else "")
            if not following:
                break
            at += following
        return found

    # ---------------------------------------------------------------- addresses, notes

    def offset(self, address: int, *, executable: bool = False) -> int | None:
        """Offset in the file (bytes) of an address, None when nothing (``executable``) is loaded there."""
        for one in self._segments:
            if one.address <= address < one.address + one.size and (one.flags & _PF_X or not executable):
                return address - one.address + one.offset
        return None

    def notes(self) -> Iterator[bytes]:
        """The contents of the sections of notes."""
        room = _LARGEST_NOTES
        for one in self._sections:
            if one.type == _SHT_NOTE:
                room -= one.size
                if room < 0:
                    raise Malformed(f"its notes have more than {_LARGEST_NOTES} bytes")
                yield self._table(one)

    def address(self, section: str) -> int | None:
        """Where a section is (as the linker gave it), None when there is none of that name."""
        at = self._sections[0].link if self._names_at == 0xFFFF and self._sections else self._names_at
        if at >= len(self._sections):
            return None
        names = self._table(self._sections[at])
        wanted = section.encode() + b"\0"
        for one in self._sections:
            if names[one.name : one.name + len(wanted)] == wanted:
                return one.address
        return None

    # ---------------------------------------------------------------- headers

    def _program_headers(self, at: int, size: int, count: int) -> Iterator[_Segment]:
        layout = struct.Struct(self.order + ("IIQQQQQQ" if self.wide else "IIIIIIII"))
        if count and size < layout.size:
            raise Malformed("its program headers are too small")
        data = self._exactly(at, size * count) if count else b""
        for index in range(count):
            fields = layout.unpack_from(data, index * size)
            kind = fields[0]
            if self.wide:
                flags, offset, address, file_size = fields[1], fields[2], fields[3], fields[5]
            else:
                flags, offset, address, file_size = fields[6], fields[1], fields[2], fields[4]
            if kind == _PT_LOAD:
                yield _Segment(flags, offset, address, file_size)

    def _section_headers(self, at: int, size: int, count: int) -> Iterator[_Section]:
        if not at:
            return
        layout = struct.Struct(self.order + ("IIQQQQIIQQ" if self.wide else "IIIIIIIIII"))
        if size < layout.size:
            raise Malformed("its section headers are too small")
        first = layout.unpack(self._exactly(at, layout.size))
        if count == 0:
            count = first[5]  # more than 65,279 sections: the number is in the first one's size
        if count > _MOST_SECTIONS:
            raise Malformed(f"it has {count} sections")
        data = self._exactly(at, size * count)
        for index in range(count):
            name, kind, _, address, offset, length, link, *_ = layout.unpack_from(data, index * size)
            yield _Section(name, kind, address, offset, length, link)

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
        if len(found) > _MOST_NAMED_ALIKE:
            raise Malformed(f"more than {_MOST_NAMED_ALIKE} of its names end in {name.decode(errors='replace')!r}")
        at = names.find(wanted, at + 1)
    return frozenset(found)
