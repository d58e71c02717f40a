"""Arguments of USDT probes: from a note's text ("-4@-20(%rbp) 8@%rax") to what libbpf's usdt.bpf.h reads them by.

A BPF program that includes <bpf/usdt.bpf.h> looks the arguments up in an array of ``struct __bpf_usdt_spec``, by the
number that the link's cookie holds. libbpf fills that array for links of its own; skep's links are pinned, so skep
fills it. The structure's layout is taken from the BTF of the array, since libbpf promises nothing about it.

Formats of the text: GNU as operands, x86-64 and i386 ("%rax", "$-9", "8(%rsp)", "counter(%rip)"), AArch64 ("x0", "5",
"[sp, 60]"). The number before "@" is the size in bytes, negative for signed values.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from skep import errors
from skep.bytecode import btf

MOST_ARGUMENTS: Final = 12
"""BPF_USDT_MAX_ARG_CNT; <sys/sdt.h> has no macro for more either."""


class Machine(enum.Enum):
    """``e_machine`` of files whose argument formats are known."""

    I386 = 3
    X86_64 = 62
    AARCH64 = 183


class Kind(enum.Enum):
    """``enum __bpf_usdt_arg_type``; UNREADABLE is none of its values, so that the program is told EINVAL."""

    CONST = 0
    REG = 1
    REG_DEREF = 2
    UNREADABLE = 0x7F


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """``struct __bpf_usdt_arg_spec``. ``value``: the constant, or the distance from what the register holds (bytes).

    ``register``: offset in ``struct pt_regs``. ``size``: 1, 2, 4 or 8 bytes.
    """

    kind: Kind
    value: int = 0
    register: int = 0
    size: int = 8
    signed: bool = False


Symbol = Callable[[str], int | None]
"""The distance of a variable from the probe (bytes), None when the file does not tell."""

_TOKEN: Final = re.compile(r"(?:[+-]?\d+f?@)?(?:[^\s\[(]*[\[(][^\])]*[\])]|\S+)")
_SIZED: Final = re.compile(r"(?:(?P<size>[+-]?\d+)(?P<float>f?)@)?(?P<operand>.*)", re.DOTALL)
_NUMBER: Final = r"[+-]?(?:0x[0-9a-fA-F]{1,16}|\d{1,20})"
_X86_CONST: Final = re.compile(rf"\$({_NUMBER})")
_X86_REG: Final = re.compile(r"%(\w+)")
_X86_DEREF: Final = re.compile(rf"({_NUMBER})?\(\s*%(\w+)\s*\)")
_X86_SYMBOL: Final = re.compile(rf"([A-Za-z_.$][\w.$@]*)((?:{_NUMBER})?)\(\s*%rip\s*\)")
_ARM_CONST: Final = re.compile(rf"#?({_NUMBER})")
_ARM_REG: Final = re.compile(r"[a-z]+\d*")
_ARM_DEREF: Final = re.compile(rf"\[\s*([a-z]+\d*)\s*(?:,\s*#?({_NUMBER})\s*)?\]")


def arguments(text: str, machine: Machine, symbol: Symbol = lambda name: None) -> tuple[Argument, ...]:
    """The arguments that a note's text describes; those in a form that no BPF program can read are UNREADABLE.

    ``Unsupported``: more than ``MOST_ARGUMENTS``.
    """
    tokens = _TOKEN.findall(text)
    if len(tokens) > MOST_ARGUMENTS:
        raise errors.Unsupported(
            "the probe has too many arguments",
            feature=f"more than {MOST_ARGUMENTS} arguments",
            why=f"{len(tokens)}, and usdt.bpf.h reads {MOST_ARGUMENTS}",
            do="attach a program that does not include usdt.bpf.h",
        )
    return tuple(_argument(token, machine, symbol) for token in tokens)


def _argument(token: str, machine: Machine, symbol: Symbol) -> Argument:
    parts = _SIZED.fullmatch(token)
    assert parts is not None  # it matches everything
    size = int(parts["size"] or (4 if machine is Machine.I386 else 8))
    if parts["float"] or abs(size) not in (1, 2, 4, 8):
        return Argument(kind=Kind.UNREADABLE)
    found = (_arm if machine is Machine.AARCH64 else _x86)(parts["operand"], symbol)
    if found is None:
        return Argument(kind=Kind.UNREADABLE)
    kind, value, register = found
    if not -(1 << 63) <= value < 1 << 64:
        return Argument(kind=Kind.UNREADABLE)
    return Argument(kind=kind, value=value, register=register, size=abs(size), signed=size < 0)


_Found = tuple[Kind, int, int]


def _x86(operand: str, symbol: Symbol) -> _Found | None:
    if match := _X86_CONST.fullmatch(operand):
        return Kind.CONST, _number(match[1]), 0
    if match := _X86_REG.fullmatch(operand):
        register = X86_REGISTERS.get(match[1])
        return None if register is None else (Kind.REG, 0, register)
    if match := _X86_DEREF.fullmatch(operand):
        register = X86_REGISTERS.get(match[2])
        # "(%rip)" counts from the instruction's end, which for a note is no instruction.
        return None if register is None or match[2] == "rip" else (Kind.REG_DEREF, _number(match[1]), register)
    if match := _X86_SYMBOL.fullmatch(operand):
        distance = symbol(match[1])
        return None if distance is None else (Kind.REG_DEREF, distance + _number(match[2]), X86_REGISTERS["rip"])
    return None


def _arm(operand: str, symbol: Symbol) -> _Found | None:
    if match := _ARM_CONST.fullmatch(operand):
        return Kind.CONST, _number(match[1]), 0
    if operand in ("xzr", "wzr"):
        return Kind.CONST, 0, 0
    if match := _ARM_REG.fullmatch(operand):
        register = ARM_REGISTERS.get(operand)
        return None if register is None else (Kind.REG, 0, register)
    if match := _ARM_DEREF.fullmatch(operand):
        register = ARM_REGISTERS.get(match[1])
        return None if register is None else (Kind.REG_DEREF, _number(match[2]), register)
    return None


def _number(text: str | None) -> int:
    if not text:
        return 0
    return int(text, 16 if "x" in text else 10)


def _x86_registers() -> dict[str, int]:
    """Offsets in ``struct pt_regs`` of asm/ptrace.h; the parts of a register begin where it does, but for "ah"."""
    order = ("r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si", "di")
    at = {name: 8 * place for place, name in enumerate(order)} | {"ip": 128, "sp": 152}
    found: dict[str, int] = {}
    for name, offset in at.items():
        if name[0] == "r":
            found.update({f"{name}{part}": offset for part in ("", "d", "w", "b")})
            continue
        found.update({f"r{name}": offset, f"e{name}": offset, name: offset})
        if name.endswith("x"):
            found.update({f"{name[0]}l": offset, f"{name[0]}h": offset + 1})
        elif name != "ip":
            found[f"{name}l"] = offset
    return found


X86_REGISTERS: Final[Mapping[str, int]] = _x86_registers()
ARM_REGISTERS: Final[Mapping[str, int]] = (
    {f"{kind}{number}": 8 * number for kind in "xw" for number in range(31)}
    | {"fp": 8 * 29, "lr": 8 * 30}
    | {"sp": 248, "pc": 256}
)
"""Offsets in ``struct user_pt_regs`` of asm/ptrace.h, with which AArch64's ``struct pt_regs`` begins."""


# ---------------------------------------------------------------- the array


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Who uses an element: a link of skep's and the program it runs (the last 16 bits of its id).

    It lies in the padding behind the element's last field, which no BPF program reads.
    """

    link: int
    program: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the fields of ``struct __bpf_usdt_spec`` are: (offset, width) in bits. ``size`` in bytes."""

    size: int
    count: tuple[int, int]
    cookie: tuple[int, int]
    first: int
    step: int
    value: tuple[int, int]
    kind: tuple[int, int]
    register: tuple[int, int]
    signed: tuple[int, int]
    shift: tuple[int, int]

    def encode(self, arguments: tuple[Argument, ...], cookie: int, mark: Mark) -> bytes:
        """One element. ``cookie``: what ``bpf_usdt_cookie`` returns."""
        whole = _put(self.count, len(arguments)) | _put(self.cookie, cookie)
        for place, one in enumerate(arguments):
            element = (
                _put(self.value, one.value)
                | _put(self.kind, one.kind.value)
                | _put(self.register, one.register)
                | _put(self.signed, int(one.signed))
                | _put(self.shift, 64 - 8 * one.size)
            )
            whole |= element << (self.first + place * self.step)
        data = whole.to_bytes(self.size, "little")
        return data[:-6] + mark.program.to_bytes(2, "little") + mark.link.to_bytes(4, "little")

    def mark(self, data: bytes) -> Mark | None:
        """Who uses an element, None for nobody; a foreign user's has link number 0."""
        if not any(data):
            return None
        return Mark(program=int.from_bytes(data[-6:-4], "little"), link=int.from_bytes(data[-4:], "little"))


def layout(types: btf.Btf, type_id: int, size: int) -> Layout:
    """The layout of the array's values. ``Unsupported``: it is not one that skep knows how to fill."""
    spec = _members(types, type_id)
    array = types.resolve(spec["args"][0]) if "args" in spec else None
    if array is None or array.kind is not btf.Kind.ARRAY or not {"usdt_cookie", "arg_cnt"} <= spec.keys():
        raise _strange("its values are no struct __bpf_usdt_spec")
    element, _, length = (int(word) for word in array.items[0])
    argument = _members(types, element)
    needed = ("val_off", "arg_type", "reg_off", "arg_signed", "arg_bitshift")
    if any(name not in argument for name in needed) or length < MOST_ARGUMENTS:
        raise _strange("it describes arguments in another way")
    value, kind, register, signed, shift = (argument[name][1] for name in needed)
    (first, _), count, cookie = spec["args"][1], spec["arg_cnt"][1], spec["usdt_cookie"][1]
    step = 8 * types.size_of(element)
    end = 8 * (size - 6)
    if max(first + length * step, sum(count), sum(cookie)) > end or max(map(sum, (value, kind, register))) > step:
        raise _strange("it has no room for a mark")
    return Layout(
        size=size, count=count, cookie=cookie, first=first, step=step, value=value, kind=kind, register=register,
        signed=signed, shift=shift,
    )  # fmt: skip


def _members(types: btf.Btf, type_id: int) -> dict[str, tuple[int, tuple[int, int]]]:
    """Fields of a structure by name: type, and (offset, width) in bits."""
    one = types.resolve(type_id)
    if one is None or one.kind is not btf.Kind.STRUCT:
        return {}
    found = {}
    for name, member, place in one.items:
        width = int(place) >> 24 if one.flag else 0
        offset = int(place) & 0xFFFFFF if one.flag else int(place)
        found[str(name)] = (int(member), (offset, width or 8 * types.size_of(int(member))))
    return found


def _put(field: tuple[int, int], value: int) -> int:
    offset, width = field
    return (value & ((1 << width) - 1)) << offset


def _strange(why: str) -> errors.Unsupported:
    return errors.Unsupported(
        "the program's map __bpf_usdt_specs cannot be filled",
        feature="this version of usdt.bpf.h",
        why=why,
        do="compile the program against the headers of libbpf 1.1 to 1.6, with -g",
    )
