"""Which members may be one program: a linked chain has one licence, and some helpers demand a compatible one.

A member that is not GPL-compatible was verified without GPL-only helpers, so it runs under any licence; but linked
with a member that uses such helpers it would reach them, which its author may not do. That mix is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from skep import errors
from skep.bytecode import insn
from skep.bytecode.relocated import Member

# ``license_is_gpl_compatible()``, include/linux/license.h.
COMPATIBLE: Final = frozenset(
    {"GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"}
)

# Helpers whose ``struct bpf_func_proto`` says ``.gpl_only = true`` in Linux 6.18 (kernel/bpf/helpers.c,
# kernel/trace/bpf_trace.c, net/core/filter.c), by enum bpf_func_id of linux/bpf.h.
_GPL_ONLY: Final = frozenset(
    {4, 6, 25, 27, 36, 45, 55, 56, 58, 67, 69, 74, 100, 110, 111, 112, 113, 114, 115, 116, 121, 126, 127, 149, 150}
    | {163, 165, 169, 170, 171, 172, 173, 177, 191, 204, 205, 206, 207}
)
_LAST_KNOWN_HELPER: Final = 211  # bpf_cgrp_storage_delete; a later helper counts as GPL-only


def is_compatible(licence: str) -> bool:
    """Whether the kernel lets a program of this licence call GPL-only helpers."""
    return licence in COMPATIBLE


def needs_gpl(member: Member) -> bool:
    """Whether ``member`` calls a GPL-only helper, or any kernel function (all of those are GPL-only)."""
    return any(
        one.is_kernel_call or (one.code == insn.CALL and one.src == 0 and _is_gpl_only(one.imm))
        for one in member.decoded()
    )


def of_chain(members: Sequence[Member]) -> str:
    """The licence of the linked program: the first one that is not GPL-compatible, else "GPL".

    ``Conflict``: some member is not GPL-compatible and another needs GPL-only helpers; both are named.
    """
    others = [member for member in members if not is_compatible(member.licence)]
    if not others:
        return "GPL"
    demanding = [member for member in members if is_compatible(member.licence) and needs_gpl(member)]
    if demanding:
        raise errors.Conflict(
            "these programs cannot be in one chain",
            why=f"{_names(demanding)} uses GPL-only helpers and {_names(others)} has the licence "
            f"{others[0].licence!r}, which is not GPL-compatible",
            do="put them on different interfaces, or change the licence",
        )
    return others[0].licence


def _is_gpl_only(helper: int) -> bool:
    return helper in _GPL_ONLY or helper > _LAST_KNOWN_HELPER


def _names(members: Sequence[Member]) -> str:
    return ", ".join(repr(member.name) for member in members)
