"""BPF instructions as values: decode, encode, and builders for what skep itself emits.

Source of layout and numbers: ``struct bpf_insn`` and the opcode tables of linux/bpf.h, linux/bpf_common.h, and
RFC 9669. Instructions handled here are always in the byte order of this host: they come from, and go to, its kernel.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable
from typing import Final, NamedTuple

from skep import errors

SIZE: Final = 8  # bytes of one instruction; ld_imm64 takes two

# Classes (code & 0x07), linux/bpf_common.h.
CLASS_LD: Final = 0x00
CLASS_LDX: Final = 0x01
CLASS_ST: Final = 0x02
CLASS_STX: Final = 0x03
CLASS_ALU: Final = 0x04
CLASS_JMP: Final = 0x05
CLASS_JMP32: Final = 0x06
CLASS_ALU64: Final = 0x07

# Operations (code & 0xf0) of the jump and arithmetic classes.
JA: Final = 0x00
JEQ: Final = 0x10
JGT: Final = 0x20
JGE: Final = 0x30
JSET: Final = 0x40
JNE: Final = 0x50
CALL_OP: Final = 0x80
EXIT_OP: Final = 0x90
JLT: Final = 0xA0
JLE: Final = 0xB0
ALU_ADD: Final = 0x00
ALU_SUB: Final = 0x10
ALU_LSH: Final = 0x60
ALU_MOV: Final = 0xB0
SOURCE_REGISTER: Final = 0x08  # BPF_X: the second operand is a register, not imm

# Whole opcodes.
LD_IMM64: Final = 0x18
CALL: Final = 0x85
EXIT: Final = 0x95
JUMP: Final = 0x05
JUMP_LONG: Final = 0x06  # ``gotol``: the distance is in imm; Linux 6.6
LDX_W: Final = 0x61
LDX_DW: Final = 0x79
STX_DW: Final = 0x7B
ST_DW: Final = 0x7A
ADD64_IMM: Final = 0x07
ADD64_REG: Final = 0x0F
SUB64_IMM: Final = 0x17
MOV64_IMM: Final = 0xB7
MOV64_REG: Final = 0xBF
ADD32_IMM: Final = 0x04
ADD32_REG: Final = 0x0C
MOV32_IMM: Final = 0xB4
MOV32_REG: Final = 0xBC
LSH32_REG: Final = 0x6C
XOR32_REG: Final = 0xAC
LEGACY_ABS: Final = 0x20  # BPF_LD | BPF_ABS, size in bits 3-4
LEGACY_IND: Final = 0x40

# src_reg of ld_imm64 (linux/bpf.h, BPF_PSEUDO_*).
PSEUDO_MAP_FD: Final = 1
PSEUDO_MAP_VALUE: Final = 2
PSEUDO_BTF_ID: Final = 3
PSEUDO_FUNC: Final = 4
PSEUDO_MAP_IDX: Final = 5
PSEUDO_MAP_IDX_VALUE: Final = 6
# src_reg of call.
PSEUDO_CALL: Final = 1
PSEUDO_KFUNC_CALL: Final = 2

# Helpers that the linker emits or looks for (enum bpf_func_id).
HELPER_MAP_LOOKUP: Final = 1
HELPER_TAIL_CALL: Final = 12

FRAME: Final = 10  # r10, the read-only frame pointer

_LITTLE: Final = sys.byteorder == "little"
LOW_HALF: Final = 0 if _LITTLE else 4  # where in 8 bytes of memory the low 32 bits are
_PACKED: Final = struct.Struct("<BBhi" if _LITTLE else ">BBhi")
IMM: Final = struct.Struct("=i")
IMM_AT: Final = 4  # where imm lies in struct bpf_insn


class Insn(NamedTuple):
    """One ``struct bpf_insn``; the second half of an ld_imm64 is an ``Insn`` of its own with ``code`` 0."""

    code: int
    dst: int = 0
    src: int = 0
    off: int = 0
    imm: int = 0

    @property
    def is_exit(self) -> bool:
        return self.code == EXIT

    @property
    def is_local_call(self) -> bool:
        """A call of a subprogram of the same program (BPF_PSEUDO_CALL)."""
        return self.code == CALL and self.src == PSEUDO_CALL

    @property
    def is_function_address(self) -> bool:
        """An ld_imm64 of a subprogram's address, as callbacks are passed (BPF_PSEUDO_FUNC; Linux 5.13)."""
        return self.code == LD_IMM64 and self.src == PSEUDO_FUNC

    @property
    def is_map_reference(self) -> bool:
        """An ld_imm64 of a map, or of an address inside the map's only value (.rodata, .data, .bss)."""
        return self.code == LD_IMM64 and self.src in (PSEUDO_MAP_FD, PSEUDO_MAP_VALUE)

    @property
    def is_kernel_call(self) -> bool:
        """A call of a kernel function by BTF id (kfunc; Linux 5.13)."""
        return self.code == CALL and self.src == PSEUDO_KFUNC_CALL

    def calls_helper(self, helper: int) -> bool:
        return self.code == CALL and self.src == 0 and self.imm == helper


def decode(code: bytes) -> list[Insn]:
    """The instructions in ``code``; ``BadObject`` when its length is not a multiple of 8 or an ld_imm64 is cut."""
    if len(code) % SIZE:
        raise errors.BadObject(
            "these are not BPF instructions",
            why=f"{len(code)} bytes is not a multiple of {SIZE}",
            do="compile the object again with clang -target bpf",
        )
    result: list[Insn] = []
    wide = False
    for opcode, registers, off, imm in _PACKED.iter_unpack(code):
        low, high = registers & 0x0F, registers >> 4
        result.append(Insn(opcode, low if _LITTLE else high, high if _LITTLE else low, off, imm))
        wide = not wide and opcode == LD_IMM64
    if wide:
        raise errors.BadObject(
            "these are not BPF instructions",
            why="the last instruction is the first half of a 64-bit load",
            do="compile the object again with clang -target bpf",
        )
    return result


def encode(insns: Iterable[Insn]) -> bytes:
    """The bytes that BPF_PROG_LOAD takes."""
    pack = _PACKED.pack
    if _LITTLE:
        return b"".join(pack(i.code, i.dst | i.src << 4, i.off, i.imm) for i in insns)
    return b"".join(pack(i.code, i.dst << 4 | i.src, i.off, i.imm) for i in insns)


def first_halves(insns: list[Insn]) -> Iterable[tuple[int, Insn]]:
    """Index and instruction, leaving out the second half of every ld_imm64, which is data and not an instruction."""
    skip = False
    for index, insn in enumerate(insns):
        if skip:
            skip = False
            continue
        skip = insn.code == LD_IMM64
        yield index, insn


def mov64(dst: int, src: int) -> Insn:
    """``dst = src``"""
    return Insn(MOV64_REG, dst, src)


def mov32_imm(dst: int, imm: int) -> Insn:
    """``(u32)dst = imm``"""
    return Insn(MOV32_IMM, dst, 0, 0, imm)


def mov32(dst: int, src: int) -> Insn:
    """``(u32)dst = src``"""
    return Insn(MOV32_REG, dst, src)


def add64_imm(dst: int, imm: int) -> Insn:
    """``dst += imm``"""
    return Insn(ADD64_IMM, dst, 0, 0, imm)


def add32_imm(dst: int, imm: int) -> Insn:
    """``(u32)dst += imm``"""
    return Insn(ADD32_IMM, dst, 0, 0, imm)


def add32(dst: int, src: int) -> Insn:
    """``(u32)dst += src``"""
    return Insn(ADD32_REG, dst, src)


def load64(dst: int, base: int, off: int) -> Insn:
    """``dst = *(u64 *)(base + off)``"""
    return Insn(LDX_DW, dst, base, off)


def load32(dst: int, base: int, off: int) -> Insn:
    """``dst = *(u32 *)(base + off)``"""
    return Insn(LDX_W, dst, base, off)


def xor32(dst: int, src: int) -> Insn:
    """``(u32)dst ^= src``"""
    return Insn(XOR32_REG, dst, src)


def store64(base: int, off: int, src: int) -> Insn:
    """``*(u64 *)(base + off) = src``"""
    return Insn(STX_DW, base, src, off)


def store64_imm(base: int, off: int, imm: int) -> Insn:
    """``*(u64 *)(base + off) = imm``"""
    return Insn(ST_DW, base, 0, off, imm)


def map_address(dst: int, reference: int) -> tuple[Insn, Insn]:
    """``dst = map``; ``reference`` is a file descriptor, or in kept code an index into the map names."""
    return Insn(LD_IMM64, dst, PSEUDO_MAP_FD, 0, reference), Insn(0)


def call_helper(helper: int) -> Insn:
    """``r0 = helper(r1, r2, ...)``"""
    return Insn(CALL, 0, 0, 0, helper)


EXIT_INSN: Final = Insn(EXIT)
