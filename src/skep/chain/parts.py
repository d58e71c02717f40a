"""A member made ready for linking: its form, its code with the chain's map numbers, its subprograms."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

from skep.bytecode import insn
from skep.bytecode.insn import Insn
from skep.bytecode.relocated import Member
from skep.chain import emit, flatten, frames
from skep.chain.codes import Mask
from skep.chain.frames import Function


class Form(enum.Enum):
    """How a member is part of the linked program."""

    FLAT = "flat"  # inlined, and its own subprograms with it
    INLINE = "inline"
    CALL = "call"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One member of a chain, in the chain's order. ``proceed``: verdicts that hand on to the next part."""

    member: Member
    proceed: Mask
    form: Form = Form.INLINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A part and its code. ``number`` is its position; ``functions`` are its subprograms, main first."""

    number: int
    part: Part
    code: tuple[Insn, ...]
    functions: tuple[Function, ...]

    @property
    def inline(self) -> bool:
        return self.part.form is not Form.CALL

    @property
    def main(self) -> Function:
        return self.functions[0]

    @property
    def starts(self) -> tuple[int, ...]:
        return tuple(one.start for one in self.functions)

    def label(self, start: int) -> str:
        """What the linked code calls the subprogram that starts at ``start`` in the member's own code."""
        return f"member {self.number} function at {start}"


def prepare(number: int, part: Part, maps: Sequence[str]) -> Body:
    """The body of ``part``: flattened if its form says so, its map references renumbered to their place in ``maps``."""
    if part.form is Form.FLAT:
        part = replace(part, member=flatten.flatten(part.member) or part.member)
    places = {path: place for place, path in enumerate(maps)}
    code = part.member.decoded()
    for index, one in insn.first_halves(code):
        if one.is_map_reference:
            code[index] = one._replace(imm=places[part.member.maps[one.imm]])
    return Body(number=number, part=part, code=tuple(code), functions=frames.of_member(part.member))


def write_inline(body: Body, out: emit.Code) -> None:
    """Write the main body so that every exit of it goes to the instruction after it."""
    end = f"member {body.number} end"
    last = body.main.end - 1
    for index, one in enumerate(body.code[: body.main.end]):
        if one.is_exit:
            if index != last:
                out.to(end, emit.jump())
        elif one.is_local_call or one.is_function_address:
            out.to(body.label(index + 1 + one.imm), one)
        else:
            out.add(one)
    out.place(end)


def append_functions(body: Body, out: emit.Code) -> int:
    """Write the subprograms that the chain calls, main among them in the call form; how far they were moved.

    They keep their order and distances, so calls among them stay right.
    """
    wanted = body.functions[1:] if body.inline else body.functions
    if not wanted:
        return 0
    moved = len(out) - wanted[0].start
    for function in wanted:
        out.place(body.label(function.start))
        out.add(*body.code[function.start : function.end])
    return moved
