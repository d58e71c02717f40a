"""What a linked program may not exceed, and texts that name the limit, the sum and the heaviest members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from skep import errors
from skep.bytecode import insn
from skep.bytecode.relocated import Member

MAPS: Final = 64  # MAX_USED_MAPS, linux/bpf_verifier.h: maps of one program
VERIFIED: Final = 1_000_000  # BPF_COMPLEXITY_LIMIT_INSNS, linux/bpf.h: instructions the verifier walks, and length

_DO: Final = "detach one of them, or put some on another interface"


def check_maps(members: Sequence[Member], maps: Sequence[str]) -> None:
    """``Exhausted`` when the chain's maps, its counter map included, are more than one program may use."""
    if len(maps) > MAPS:
        raise errors.Exhausted(
            "the chain uses too many maps",
            why=f"{len(maps)} of at most {MAPS}, one of them the chain's counters; "
            + _heaviest(members, lambda member: len(member.maps)),
            do=_DO,
        )


def check_length(members: Sequence[Member], length: int) -> None:
    """``Exhausted`` when the linked code is longer than any program may be."""
    if length > VERIFIED:
        raise errors.Exhausted(
            "the chain is too long",
            why=f"{length} instructions of at most {VERIFIED}; "
            + _heaviest(members, lambda member: len(member.insns) // insn.SIZE),
            do=_DO,
        )


def verified(members: Sequence[Member]) -> int:
    """Instructions the verifier walked for all members one by one; linked, it walks about as many."""
    return sum(member.verified_insns for member in members)


def too_complex(members: Sequence[Member]) -> errors.Exhausted:
    """What to tell when the kernel refuses the linked program with E2BIG or says that it is too large."""
    return errors.Exhausted(
        "the verifier cannot check the chain",
        why=f"it walks at most {VERIFIED} instructions and these members take {verified(members)} on their own; "
        + _heaviest(members, lambda member: member.verified_insns),
        do=_DO,
    )


def too_deep(members: Sequence[Member], stack: int, limit: int, depth_of: Callable[[Member], int]) -> errors.Exhausted:
    """What to tell when the members' frames together do not fit the stack of one program."""
    return errors.Exhausted(
        "the chain needs too much stack",
        why=f"{stack} bytes of at most {limit}; " + _heaviest(members, depth_of),
        do=_DO,
    )


def too_nested(
    members: Sequence[Member], count: int, limit: int, frames_of: Callable[[Member], int]
) -> errors.Exhausted:
    """What to tell when a member's calls would go deeper than the kernel allows."""
    return errors.Exhausted(
        "the chain nests calls too deeply",
        why=f"{count} frames of at most {limit}; " + _heaviest(members, frames_of),
        do=_DO,
    )


def _heaviest(members: Sequence[Member], weight: Callable[[Member], int]) -> str:
    ordered = sorted(members, key=weight, reverse=True)[:3]
    return "heaviest: " + ", ".join(f"{member.name} ({weight(member)})" for member in ordered)
