"""How much stack a member takes: the deepest byte each subprogram can touch, and the sums along its calls.

The linker must know it before the verifier does: it keeps the context just below the deepest slot that an inlined body
uses. The kernel does not tell the depth of a loaded program, so it is computed from the code.

Goal: never too small for code that the verifier accepted. Parts: ``pointers`` bounds what a function reaches from its
frame pointer. Limits: what has no bound counts as the whole 512 bytes, with ``exact`` False; an index into an array is
taken to be positive. If that were wrong, the body would overwrite the saved context and the verifier would refuse the
chain; whoever lays frames of numbers side by side needs ``sure``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from skep.bytecode import insn
from skep.bytecode.insn import Insn
from skep.bytecode.recent import PROGRAMS, recent
from skep.bytecode.relocated import Member
from skep.chain import pointers

STACK: Final = pointers.STACK  # bytes, all frames of a call together
FRAMES: Final = 8  # MAX_CALL_FRAMES, linux/bpf_verifier.h
BEFORE_TAIL_CALL: Final = 256  # bytes of stack that callers of a tail-calling subprogram may use together
_GRAIN: Final = 16  # the verifier rounds a frame up to this (kernel/bpf/verifier.c, round_up_stack_depth)


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One subprogram: instructions [start, end), bytes of own stack, and the subprograms it calls, by start.

    ``addresses``: subprograms whose address it takes (callbacks). ``exact``: False when ``depth`` is a guess (512).
    ``sure``: nothing below ``depth`` can be touched through its frame pointer, not even by an index.
    ``reaches_back``: it may touch memory below an address that its caller passes. ``passes_frame``: the calls, by
    index, that may get an address of its frame.
    """

    start: int
    end: int
    depth: int
    exact: bool
    sure: bool
    reaches_back: bool
    passes_frame: frozenset[int]
    calls: tuple[int, ...]
    addresses: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Stack bytes and frames of the deepest call; ``exact`` is False when it may really be less."""

    stack: int
    frames: int
    exact: bool

    @property
    def fits(self) -> bool:
        """False only when the verifier is sure to refuse."""
        return not self.exact or (self.stack <= STACK and self.frames <= FRAMES)


def functions(code: Sequence[Insn], starts: Sequence[int] = ()) -> tuple[Function, ...]:
    """Split a program into its subprograms, main first. ``starts``: more starts known from func_info."""
    listed = list(code)
    targets = {0, *starts}
    for index, one in insn.first_halves(listed):
        if one.is_local_call or one.is_function_address:
            targets.add(index + 1 + one.imm)
    ordered = sorted(start for start in targets if 0 <= start < len(listed))
    return tuple(_function(listed, start, end) for start, end in zip(ordered, [*ordered[1:], len(listed)], strict=True))


def of_member(member: Member) -> tuple[Function, ...]:
    """The subprograms of ``member``. Remembered: a chain is linked anew, with the same members, at every change."""
    return _of_code(member.insns, tuple(info.insn_off for info in member.func_info))


@recent(PROGRAMS)
def _of_code(insns: bytes, starts: tuple[int, ...]) -> tuple[Function, ...]:
    """By the code alone: the same program loaded twice has other maps and the same frames."""
    return functions(insn.decode(insns), starts)


def use(whole: Sequence[Function], start: int = 0) -> Use:
    """What calling the subprogram at ``start`` takes, its own frame included."""
    by_start = {one.start: one for one in whole}
    return _use(by_start, start, ())


def under(caller: int, callee: Use) -> Use:
    """What a call of ``callee`` from a frame of ``caller`` bytes takes in all."""
    return Use(stack=rounded(caller) + callee.stack, frames=callee.frames + 1, exact=callee.exact)


def rounded(depth: int) -> int:
    """A frame of ``depth`` bytes as the verifier counts it."""
    return (max(depth, 1) + _GRAIN - 1) // _GRAIN * _GRAIN


def _use(by_start: dict[int, Function], start: int, path: tuple[int, ...]) -> Use:
    own = by_start.get(start)
    if own is None or start in path or len(path) > FRAMES + 1:
        return Use(stack=0, frames=1, exact=False)  # recursion: the verifier has refused it before
    deepest = Use(stack=rounded(own.depth), frames=1, exact=own.exact)
    for callee in own.calls:
        below = under(own.depth, _use(by_start, callee, (*path, start)))
        deepest = _deeper(deepest, Use(stack=below.stack, frames=below.frames, exact=below.exact and own.exact))
    for callee in own.addresses:  # a timer's callback has a stack of its own, so this is an upper bound
        below = under(own.depth, _use(by_start, callee, (*path, start)))
        deepest = _deeper(deepest, Use(stack=below.stack, frames=below.frames, exact=False))
    return deepest


def _deeper(left: Use, right: Use) -> Use:
    if right.stack > left.stack or (right.stack == left.stack and not right.exact):
        left, right = right, left
    return Use(stack=left.stack, frames=max(left.frames, right.frames), exact=left.exact)


def _function(code: list[Insn], start: int, end: int) -> Function:
    body = code[start:end]
    calls: list[int] = []
    addresses: list[int] = []
    for index, one in insn.first_halves(body):
        if one.is_local_call:
            calls.append(start + index + 1 + one.imm)
        elif one.is_function_address:
            addresses.append(start + index + 1 + one.imm)
    own, given = pointers.from_frame(body), pointers.from_arguments(body)
    callbacks_see_it = bool(addresses) and own.lowest < 0
    return Function(
        start=start,
        end=end,
        depth=-own.lowest,
        exact=own.exact,
        sure=own.exact and not own.indexed and not callbacks_see_it,
        reaches_back=not given.exact
        or given.indexed
        or given.lowest < 0
        or given.stored is not None
        or bool(given.passed),
        passes_frame=frozenset(start + at for at in own.passed) if own.stored is None else frozenset(range(start, end)),
        calls=tuple(calls),
        addresses=tuple(addresses),
    )
