"""Which function each part of loaded code is: the table that BPF_PROG_LOAD wants and the kernel half gives back.

The kernel tells a program's functions in order, at their places in *translated* code. When the verifier dropped one
that can never run, the rest no longer says which parts they are; then the object's own table (.BTF.ext) is taken, and
parts are recognised by their length and opcodes, which relocation leaves alone.
Source: struct btf_ext_header and btf_ext_info_sec, tools/lib/bpf/libbpf_internal.h; struct bpf_func_info, linux/bpf.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final

from skep.bytecode import elf, insn
from skep.bytecode.relocated import FuncInfo

_BTF_HEADER: Final = struct.Struct("=HBBIIIII")  # …, hdr_len, type_off, type_len, str_off, str_len
_EXT_HEADER: Final = struct.Struct("=HBBIII")  # …, hdr_len, func_info_off, func_info_len
_SECTION: Final = struct.Struct("=II")  # sec_name_off, num_info
_RECORD: Final = struct.Struct("=II")  # insn_off (bytes), type_id
_WORD: Final = struct.Struct("=I")
_STT_FUNC: Final = 2


def table(code: bytes, seen: Sequence[FuncInfo], whole: elf.Object) -> tuple[FuncInfo, ...]:
    """The functions of ``code`` as it was before the verifier translated it; () when they cannot be told for sure.

    ``seen`` is the kernel's table, ``whole`` the object that the code is from.
    """
    starts = _starts(code)
    if len(starts) == len(seen):
        return tuple(FuncInfo(start, info.type_id) for start, info in zip(starts, seen, strict=True))
    try:
        known = list(_known(whole))
    except struct.error:
        return ()
    found: list[FuncInfo] = []
    for start, end in zip(starts, [*starts[1:], len(code) // insn.SIZE], strict=True):
        part = _opcodes(code[start * insn.SIZE : end * insn.SIZE])
        types = {type_id for type_id, body in known if _opcodes(body) == part}
        if len(types) != 1:
            return ()
        found.append(FuncInfo(start, types.pop()))
    return tuple(found)


def _starts(code: bytes) -> list[int]:
    starts = {0}
    for at, one in insn.first_halves(insn.decode(code)):
        if one.is_local_call or one.is_function_address:
            starts.add(at + one.imm + 1)
    return sorted(starts)


def _opcodes(code: bytes) -> bytes:
    """Every instruction's opcode: registers of map loads, offsets and immediates are what relocation changes."""
    return code[:: insn.SIZE]


def _known(whole: elf.Object) -> Iterator[tuple[int, bytes]]:
    """Type and code of every function in the object's own table."""
    types, ext = whole.section(".BTF"), whole.section(".BTF.ext")
    if types is None or ext is None:
        return
    bodies = {
        (whole.sections[one.section].name, one.value): whole.sections[one.section].data[one.value :][: one.size]
        for one in whole.symbols
        if one.type == _STT_FUNC and 0 < one.section < len(whole.sections)
    }
    _, _, _, length, _, _, names_at, names_size = _BTF_HEADER.unpack_from(types.data)
    names = types.data[length + names_at :][:names_size]
    _, _, _, length, info_at, info_size = _EXT_HEADER.unpack_from(ext.data)
    info = ext.data[length + info_at :][:info_size]
    (record_size,) = _WORD.unpack_from(info)
    at = _WORD.size
    while at < len(info) and record_size >= _RECORD.size:
        name_at, count = _SECTION.unpack_from(info, at)
        at += _SECTION.size
        section = names[name_at:].partition(b"\0")[0].decode(errors="replace")
        for _ in range(count):
            offset, type_id = _RECORD.unpack_from(info, at)
            at += record_size
            if body := bodies.get((section, offset)):
                yield type_id, body
