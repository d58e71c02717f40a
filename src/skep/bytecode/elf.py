"""Read a relocatable BPF object (ELF64, EM_BPF, ET_REL): its sections and symbols.

Layout: elf.h / the System V ABI. Nothing is relocated here; that is libbpf's work. Whatever the bytes are, the only
exceptions are ``BadObject`` (they are not such an object) and ``Exhausted`` (there are too many of them to look at).
"""

from __future__ import annotations

import enum
import struct
import sys
from dataclasses import dataclass
from typing import Final

from skep import errors
from skep.bytecode.recent import OBJECTS, recent

MAX_BYTES: Final = 16 << 20  # 16 MiB; larger objects are refused unread
EM_BPF: Final = 247
ET_REL: Final = 1

SHT_PROGBITS: Final = 1
SHT_SYMTAB: Final = 2
SHT_STRTAB: Final = 3
SHT_NOBITS: Final = 8
SHF_EXECINSTR: Final = 0x4

STT_OBJECT: Final = 1
STT_FUNC: Final = 2
STB_LOCAL: Final = 0
STB_GLOBAL: Final = 1
STB_WEAK: Final = 2

_MAGIC: Final = b"\x7fELF"
_CLASS64: Final = 2
_MOST_SECTIONS: Final = 0xFF00  # SHN_LORESERVE
_LONGEST_NAME: Final = 4_096  # bytes; C++ would need more, BPF C does not
_MACHINES: Final = {3: "i386", 8: "MIPS", 20: "PowerPC", 21: "PowerPC64", 22: "S390", 40: "ARM", 62: "x86-64"} | {
    183: "AArch64",
    243: "RISC-V",
    258: "LoongArch",
}
_KINDS: Final = {2: "an executable", 3: "a shared library or executable", 4: "a core dump"}


class ByteOrder(enum.Enum):
    """EI_DATA of an ELF."""

    LITTLE = 1
    BIG = 2


HOST: Final = ByteOrder.LITTLE if sys.byteorder == "little" else ByteOrder.BIG


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section. ``data`` is empty for SHT_NOBITS (.bss), whose ``size`` in bytes is only promised."""

    index: int
    name: str
    type: int
    flags: int
    size: int
    link: int
    info: int
    data: bytes

    @property
    def executable(self) -> bool:
        return bool(self.flags & SHF_EXECINSTR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """One symbol. ``value`` and ``size`` are bytes within section ``section`` (an index; 0 means undefined)."""

    name: str
    type: int
    binding: int
    section: int
    value: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """A BPF object: ``sections[0]`` is the null section, so that indexes fit."""

    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]

    def section(self, name: str) -> Section | None:
        """The first section of this name."""
        for one in self.sections:
            if one.name == name:
                return one
        return None


@recent(OBJECTS)
def parse(data: bytes, order: ByteOrder = HOST) -> Object:
    """Read an object made for a machine of byte order ``order``.

    ``Exhausted``: more than ``MAX_BYTES``. ``BadObject``: not an ELF, not for BPF, other byte order, damaged.
    """
    if len(data) > MAX_BYTES:
        raise errors.Exhausted(
            "the object is too large",
            why=f"{len(data)} bytes of at most {MAX_BYTES}",
            do="strip its debug sections: llvm-strip -g",
        )
    _check_header(data, order)
    prefix = "<" if order is ByteOrder.LITTLE else ">"
    sections = _sections(data, prefix)
    return Object(sections=sections, symbols=_symbols(sections, prefix))


def text(data: bytes, at: int) -> str:
    """The NUL-terminated string at ``at``; ``BadObject`` when there is none within ``_LONGEST_NAME`` bytes."""
    end = data.find(b"\0", at, at + _LONGEST_NAME)
    if at >= len(data) or end < 0:
        raise _damaged("a name lies outside its string table")
    return data[at:end].decode("utf-8", "replace")


def _check_header(data: bytes, order: ByteOrder) -> None:
    if not data:
        raise errors.BadObject("this is not a BPF object", why="it is empty", do=_COMPILE)
    if data[:4] != _MAGIC[: len(data)] or len(data) < 4:
        start = data[:4].hex(" ")
        raise errors.BadObject(
            "this is not a BPF object", why=f"it does not start like an ELF file but with {start}", do=_COMPILE
        )
    if len(data) < 64:
        raise _damaged(f"it ends within its header, after {len(data)} bytes")
    if data[4] != _CLASS64:
        raise errors.BadObject("this is not a BPF object", why="it is a 32-bit ELF file", do=_COMPILE)
    if data[5] not in (ByteOrder.LITTLE.value, ByteOrder.BIG.value):
        raise _damaged(f"its byte order is {data[5]}")
    found = ByteOrder(data[5])
    kind, machine = struct.unpack_from("<HH" if found is ByteOrder.LITTLE else ">HH", data, 16)
    if machine != EM_BPF:
        name = _MACHINES.get(machine, f"machine {machine}")
        raise errors.BadObject("this is not a BPF object", why=f"it is an ELF file for {name}", do=_COMPILE)
    if found is not order:
        target = "bpfel" if order is ByteOrder.LITTLE else "bpfeb"
        raise errors.BadObject(
            "the object has the wrong byte order",
            why=f"it is {found.name.lower()}-endian and this machine is {order.name.lower()}-endian",
            do=f"compile it with clang -target {target}",
        )
    if kind != ET_REL:
        what = _KINDS.get(kind, f"of ELF type {kind}")
        raise errors.BadObject("this is not a BPF object", why=f"it is {what}, not a relocatable object", do=_COMPILE)


def _sections(data: bytes, prefix: str) -> tuple[Section, ...]:
    (table,) = struct.unpack_from(prefix + "Q", data, 40)
    entry_size, count, names_at = struct.unpack_from(prefix + "HHH", data, 58)
    if count == 0:
        raise _damaged("it has no sections")
    if entry_size != 64 or count >= _MOST_SECTIONS or table + 64 * count > len(data):
        raise _damaged("its section table reaches beyond its end")
    headers = [struct.unpack_from(prefix + "IIQQQQIIQQ", data, table + 64 * number) for number in range(count)]
    if names_at >= count:
        raise _damaged("it names no section names")
    if sum(header[5] for header in headers if header[1] != SHT_NOBITS) > 2 * len(data):
        raise _damaged("its sections are larger than the file")  # they overlap: copying them could take all memory
    names = _content(data, headers[names_at])
    result: list[Section] = []
    for number, header in enumerate(headers):
        name_at, kind, flags, _address, _offset, size, link, info, _align, _entry = header
        result.append(
            Section(
                index=number,
                name=text(names, name_at) if number else "",
                type=kind,
                flags=flags,
                size=size,
                link=link,
                info=info,
                data=_content(data, header) if number else b"",
            )
        )
    return tuple(result)


def _content(data: bytes, header: tuple[int, ...]) -> bytes:
    kind, offset, size = header[1], header[4], header[5]
    if kind == SHT_NOBITS:
        return b""
    if offset + size > len(data):
        raise _damaged(f"a section of {size} bytes at {offset} reaches beyond its end ({len(data)})")
    return data[offset : offset + size]


def _symbols(sections: tuple[Section, ...], prefix: str) -> tuple[Symbol, ...]:
    tables = [section for section in sections if section.type == SHT_SYMTAB]
    if not tables:
        return ()
    table = tables[0]
    if table.link >= len(sections) or len(table.data) % 24:
        raise _damaged("its symbol table is cut or has no names")
    names = sections[table.link].data
    result: list[Symbol] = []
    for name_at, info, _other, section, value, size in struct.iter_unpack(prefix + "IBBHQQ", table.data):
        name = text(names, name_at) if name_at else ""
        result.append(Symbol(name=name, type=info & 0x0F, binding=info >> 4, section=section, value=value, size=size))
    return tuple(result)


_COMPILE: Final = "compile C with clang -O2 -g -target bpf -c, or check the path"


def _damaged(why: str) -> errors.BadObject:
    return errors.BadObject("the object is damaged", why=why, do="copy or compile it again")
