"""The BTF of a linked program: one FUNC per subprogram, from the members' own BTF or made up where they have none.

The kernel wants func_info for all subprograms or none. A chain needs it when a subprogram tail-calls (or uses
BPF_LD_ABS), when a callback is passed to a helper, when a function is global (verified on its own), and for kfuncs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from skep.bytecode import btf, insn
from skep.bytecode.btf import FUNC_GLOBAL, FUNC_STATIC, Kind, Type
from skep.bytecode.insn import Insn
from skep.bytecode.recent import PROGRAMS, recent
from skep.bytecode.relocated import FuncInfo, Member

_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9_]")
_INT_ENCODING: Final = 1 << 24 | 32  # signed, 32 bits: linux/btf.h BTF_INT_*


def leaves_chain(code: Sequence[Insn]) -> bool:
    """Whether the code can end the whole program from its midst, so that inlining it would skip later members.

    A taken tail call never returns to its program, and a failed BPF_LD_ABS/BPF_LD_IND load ends it with 0. Inside a
    subprogram both end only that subprogram.
    """
    real = (one for _, one in insn.first_halves(list(code)))
    return any(one.calls_helper(insn.HELPER_TAIL_CALL) or _is_legacy_load(one) for one in real)


@recent(PROGRAMS)
def can_end_program(insns: bytes) -> bool:
    """``leaves_chain`` of encoded instructions. Remembered, since chains are linked anew with the same members."""
    return leaves_chain(insn.decode(insns))


@recent(PROGRAMS)
def _names_functions(insns: bytes) -> bool:
    code = insn.decode(insns)
    return leaves_chain(code) or any(
        one.is_function_address or one.is_kernel_call for _, one in insn.first_halves(code)
    )


def needs_types(member: Member) -> bool:
    """Whether a chain with ``member`` has to be loaded with BTF."""
    if _names_functions(member.insns):
        return True
    if len(member.func_info) < 2:
        return False
    types = btf.parse(member.btf)
    later = (types.type(info.type_id) for info in member.func_info[1:])
    return any(one is not None and one.kind is Kind.FUNC and one.vlen == FUNC_GLOBAL for one in later)


@dataclass(slots=True)
class Functions:
    """The types of a linked program being collected. ``context`` is the C struct that main programs take."""

    context: str
    _types: list[Type] = field(default_factory=list)
    _infos: list[FuncInfo] = field(default_factory=list)
    _proto: int = 0

    def __post_init__(self) -> None:
        self._types = [
            Type(Kind.INT, "int", 4, ((_INT_ENCODING,),)),
            Type(Kind.STRUCT, self.context),
            Type(Kind.PTR, "", 2),
            Type(Kind.FUNC_PROTO, "", 1, (("ctx", 3),), 1),
        ]
        self._proto = 4

    def main(self, at: int, name: str, linkage: int = FUNC_STATIC) -> None:
        """A function ``int name(struct <context> *ctx)`` starts at instruction ``at``."""
        self._types.append(Type(Kind.FUNC, identifier(name), self._proto, (), linkage))
        self._infos.append(FuncInfo(at, len(self._types)))

    def of_member(self, member: Member, starts: Sequence[int], moved: int) -> None:
        """The subprograms of ``member`` at ``starts`` (in its own code) were placed ``moved`` instructions further."""
        known = {info.insn_off: info.type_id for info in member.func_info}
        shift = len(self._types)
        if member.btf and any(start in known for start in starts):
            own = btf.parse(member.btf)
            self._types.extend(btf.shift(one, lambda type_id: type_id + shift) for one in own.types)
        for number, start in enumerate(starts):
            type_id = known.get(start)
            if type_id is None:
                self.main(start + moved, f"{member.name}_{number + 1}")
            else:
                self._infos.append(FuncInfo(start + moved, type_id + shift))

    def finish(self) -> tuple[bytes, tuple[FuncInfo, ...]]:
        """The BTF blob and func_info in order of instructions."""
        return btf.build(self._types), tuple(sorted(self._infos))


def identifier(name: str) -> str:
    """``name`` as a C identifier, which is what the kernel accepts as the name of a FUNC."""
    clean = _NOT_IN_A_NAME.sub("_", name) or "_"
    return clean if not clean[0].isdigit() else f"_{clean}"


def _is_legacy_load(one: Insn) -> bool:
    return one.code & 0x07 == insn.CLASS_LD and one.code & 0xE0 in (insn.LEGACY_ABS, insn.LEGACY_IND)
