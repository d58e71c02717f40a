"""Which form each member takes, in the order worth trying: what fits is predicted, the verifier decides.

Trying costs a verification each (up to a second for heavy members), so forms that cannot fit are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from skep.bytecode.relocated import Member
from skep.chain import ending, flatten, frames, functions, limits
from skep.chain.frames import Function, Use
from skep.chain.parts import Form

_CONTEXT_BYTES: Final = 8
_LONGEST_INLINE: Final = 30_000  # instructions; the exits of an inlined body are short jumps


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What decides the form of one member."""

    member: Member
    functions: tuple[Function, ...]
    flat: tuple[Function, ...]  # the same when flattened; empty when that changes nothing
    leaves_chain: bool

    def of(self, form: Form) -> tuple[Function, ...]:
        """The subprograms that there are in this form."""
        return self.flat if form is Form.FLAT else self.functions

    @property
    def main(self) -> Function:
        return self.functions[0]

    def must_call(self, alone: bool) -> bool:
        """Whether only a call is right, or possible at all. ``alone``: the chain has no other member."""
        deep = not alone and (not self.main.exact or context_depth([self.main]) > frames.STACK)
        return self.leaves_chain or deep or self.main.end > _LONGEST_INLINE


def context_depth(inlined: Sequence[Function]) -> int:
    """How far below the frame pointer the context is saved: just under the deepest slot of the inlined bodies."""
    deepest = max((one.depth for one in inlined), default=0)
    return (deepest + 7) // 8 * 8 + _CONTEXT_BYTES


def candidates(members: Sequence[Member]) -> tuple[tuple[Form, ...], ...]:
    """Best first: as much inlined as can be; own subprograms called; big frames called; members that have subprograms
    called; everything called.

    ``Exhausted``: the stack or the nesting of calls fits in no form.
    """
    shapes = [_shape(member) for member in members]
    first = tuple(Form.CALL if shape.must_call(len(shapes) == 1) else Form.INLINE for shape in shapes)
    pairs = list(zip(shapes, first, strict=True))
    flat = tuple(Form.FLAT if shape.flat and form is Form.INLINE else form for shape, form in pairs)
    tried = [
        flat,
        first,
        _deep_called(shapes, first),
        tuple(Form.CALL if len(shape.functions) > 1 else form for shape, form in pairs),
        (Form.CALL,) * len(shapes),
    ]
    fitting = tuple(dict.fromkeys(forms for forms in tried if _fits(shapes, forms)))
    if not fitting:
        raise _exhausted(shapes)
    return fitting


def _shape(member: Member) -> _Shape:
    leaves_chain = functions.can_end_program(member.insns)
    flat = None if leaves_chain else flatten.flatten(member)
    return _Shape(
        member=member,
        functions=frames.of_member(member),
        flat=() if flat is None else frames.of_member(flat),
        leaves_chain=leaves_chain,
    )


def _deep_called(shapes: Sequence[_Shape], forms: tuple[Form, ...]) -> tuple[Form, ...]:
    """Call the deepest inlined members, one after the other, until the whole fits."""
    chosen = list(forms)
    order = sorted(range(len(shapes)), key=lambda index: shapes[index].main.depth, reverse=True)
    for index in order:
        if _fits(shapes, tuple(chosen)):
            break
        chosen[index] = Form.CALL
    return tuple(chosen)


def _fits(shapes: Sequence[_Shape], forms: Sequence[Form]) -> bool:
    own = _main_depth(shapes, forms)
    if frames.rounded(own) > frames.STACK:
        return False
    calls_tail = any(shape.leaves_chain for shape in shapes)
    if calls_tail and frames.rounded(own) >= frames.BEFORE_TAIL_CALL:
        return False
    return all(_use(shape, form, own).fits for shape, form in zip(shapes, forms, strict=True))


def _main_depth(shapes: Sequence[_Shape], forms: Sequence[Form]) -> int:
    inlined = [shape.of(form)[0] for shape, form in zip(shapes, forms, strict=True) if form is not Form.CALL]
    if len(shapes) == 1:  # nobody needs the context again
        return max(ending.FRAME_BYTES, *(one.depth for one in inlined), 0)
    return max(ending.FRAME_BYTES, context_depth(inlined))


def _use(shape: _Shape, form: Form, own: int) -> Use:
    """Stack and frames of the deepest call that this member makes from a main function of ``own`` bytes."""
    if form is Form.CALL:
        return frames.under(own, frames.use(shape.functions))
    below = [frames.under(own, frames.use(shape.of(form), start)) for start in shape.of(form)[0].calls]
    return max(below, key=lambda use: use.stack, default=Use(stack=frames.rounded(own), frames=1, exact=True))


def _exhausted(shapes: Sequence[_Shape]) -> Exception:
    members = [shape.member for shape in shapes]
    uses = {shape.member.name: _use(shape, Form.CALL, ending.FRAME_BYTES) for shape in shapes}
    nested = max(use.frames for use in uses.values())
    if nested > frames.FRAMES:
        return limits.too_nested(members, nested, frames.FRAMES, lambda member: uses[member.name].frames)
    deepest = max(use.stack for use in uses.values())
    return limits.too_deep(members, deepest, frames.STACK, lambda member: uses[member.name].stack)
