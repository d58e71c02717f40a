"""The linker: the relocated code of a chain's members becomes one program.

What the program does, for every packet: run the first member; when its verdict is in its proceed-on set run the next,
else return the verdict unchanged. A verdict that the kernel does not know ends the chain as ``hook.abort``; a packet
that every member hands on gets ``hook.fall_off``. One slot of a per-CPU counter map is increased (``counts``).

How a member gets in (``Form``):

- FLAT: its main body, with its own subprograms in it, is part of the chain's main function, every exit being a jump
  to what follows. Calls cost more than small members do, so this is what is tried first.
- INLINE: the same, but its own subprograms are appended and called.
- CALL: its main body is a subprogram like any other. Needed for members that can end the whole program from their
  midst (tail calls), for very long or deep ones, and as the fallback when the verifier refuses the inlined form.

The result names maps by index into ``Linked.maps``; ``bytecode.relocated.patch`` puts descriptors in before loading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from skep import errors
from skep.bytecode import insn
from skep.bytecode.insn import FRAME
from skep.bytecode.relocated import FuncInfo, Member
from skep.chain import counts, emit, forms, functions, ladder, licence, limits, parts
from skep.chain.codes import Hook
from skep.chain.ending import Ending
from skep.chain.parts import Body, Form, Part
from skep.hooks import xdp

__all__ = ["XDP_HAS_FRAGS", "Form", "Linked", "Part", "candidates", "link", "without_frags"]

XDP_HAS_FRAGS: Final = xdp.BPF_F_XDP_HAS_FRAGS

_ARGUMENT: Final = 1  # r1
_VERDICT: Final = 0  # r0
_JUMP_REACH: Final = 32_000  # instructions; a little less than a short jump can skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """A linked program, complete but for map descriptors: everything BPF_PROG_LOAD needs.

    ``insns`` name maps by index into ``maps`` (pin paths; the counter map is one of them). ``forms`` has one entry per
    part that can run, INLINE or CALL (FLAT is a way to inline); parts that can never be reached are left out.
    ``slots``: max_entries of the counter map.
    ``btf`` and ``func_info`` are empty when no part needs them.
    """

    name: str
    insns: bytes
    maps: tuple[str, ...]
    counter_map: str
    slots: int
    prog_type: int
    expected_attach_type: int
    prog_flags: int
    licence: str
    forms: tuple[Form, ...]
    btf: bytes = b""
    func_info: tuple[FuncInfo, ...] = ()


def candidates(members: Sequence[Member]) -> tuple[tuple[Form, ...], ...]:
    """Forms to try, best first; the first that the verifier accepts is taken.

    ``Exhausted``: no form can fit the stack or the call depth of one program.
    """
    return forms.candidates(members)


def without_frags(members: Sequence[Member]) -> tuple[Member, ...]:
    """The members that keep the chain from handling multi-buffer packets, which a jumbo MTU needs."""
    return tuple(member for member in members if not member.prog_flags & XDP_HAS_FRAGS)


def link(hook: Hook, chain: Sequence[Part], *, counter_map: str, name: str) -> Linked:
    """Make one program of the chain's members.

    ``counter_map``: pin path of a map made with ``counts.max_entries(hook, len(chain))`` entries.
    ``InvalidRequest``: an empty chain, or a member of another type. ``Conflict``: licences or tail calls that cannot go
    together. ``Exhausted``: more maps, stack or code than one program may have.
    """
    if not chain:
        raise errors.InvalidRequest("an empty chain cannot be linked", do="detach the last member instead")
    members = [part.member for part in chain]
    for member in members:
        _check_type(hook, member)
    flags = _flags(members)
    chain_licence = licence.of_chain(members)
    maps = tuple(dict.fromkeys([counter_map, *(path for member in members for path in member.maps)]))
    limits.check_maps(members, maps)
    bodies = [parts.prepare(number, part, maps) for number, part in enumerate(_reached(chain))]
    out = emit.Code()
    _write_main(hook, bodies, len(chain), maps.index(counter_map), out)
    types = functions.Functions(context=hook.context)
    types.main(0, name)
    for body in bodies:
        moved = parts.append_functions(body, out)
        own = list(body.starts[1:])
        if not body.inline:
            types.main(moved, body.part.member.name)
        types.of_member(body.part.member, own, moved)
    limits.check_length(members, len(out))
    typed = any(functions.needs_types(body.part.member) for body in bodies)
    blob, infos = types.finish() if typed else (b"", ())
    return Linked(
        name=name,
        insns=insn.encode(out.finish()),
        maps=maps,
        counter_map=counter_map,
        slots=counts.max_entries(hook, len(chain)),
        prog_type=hook.prog_type,
        expected_attach_type=hook.attach_type,
        prog_flags=flags,
        licence=chain_licence,
        forms=tuple(Form.INLINE if body.inline else Form.CALL for body in bodies),
        btf=blob,
        func_info=infos,
    )


def _reached(chain: Sequence[Part]) -> Sequence[Part]:
    """The parts up to the first that hands nothing on: the verifier refuses code that cannot be reached."""
    for position, part in enumerate(chain):
        if not part.proceed:
            return chain[: position + 1]
    return chain


def _check_type(hook: Hook, member: Member) -> None:
    if member.prog_type != hook.prog_type:
        raise errors.InvalidRequest(
            f"{member.name!r} cannot be in a chain of {hook.name} programs",
            why=f"its program type is {member.prog_type}, the chain's {hook.prog_type}",
            do="attach it to a hook of its own type",
        )


def _flags(members: Sequence[Member]) -> int:
    """BPF_F_XDP_HAS_FRAGS only when every member has it: it promises that all code handles multi-buffer packets.

    A prog array remembers the flag of the program that used it first, so a member that tail-calls cannot lose it.
    """
    bare = without_frags(members)
    if not bare:
        return XDP_HAS_FRAGS
    for member in members:
        if member.prog_flags & XDP_HAS_FRAGS and functions.leaves_chain(member.decoded()):
            raise errors.Conflict(
                "these programs cannot be in one chain",
                why=f"{member.name!r} tail-calls and handles multi-buffer packets, {bare[0].name!r} does not",
                do=f'build {bare[0].name!r} for SEC("xdp.frags"), or put it on another interface',
            )
    return 0


def _write_main(hook: Hook, bodies: Sequence[Body], length: int, counter_map: int, out: emit.Code) -> None:
    context = -forms.context_depth([body.main for body in bodies if body.inline])
    ending = Ending(hook=hook, counter_map=counter_map)
    leaving = [functions.leaves_chain(body.part.member.decoded()) for body in bodies]
    if len(bodies) > 1 or any(leaving):
        out.add(insn.store64(FRAME, context, _ARGUMENT))
    for position, body in enumerate(bodies):
        if position:
            out.place(_after(position - 1))
            out.add(insn.load64(_ARGUMENT, FRAME, context))
        if body.inline:
            parts.write_inline(body, out)
        else:
            out.to(body.label(0), insn.Insn(insn.CALL, 0, insn.PSEUDO_CALL))
        if leaving[position]:
            out.add(*_forget_verdict(hook, context))
        for test in ladder.tests(hook, body.part.proceed):
            if test.hands_on:
                out.to(_after(position), test.insn)
            else:
                out.add(test.insn)
        if position == len(bodies) - 1:
            ending.stop_here(body.number, out)
        else:
            ending.stop(body.number, out)
            following = bodies[position + 1]
            if ending.distance(out) + (following.main.end if following.inline else 0) > _JUMP_REACH:
                ending.write(out)
    if bodies[-1].part.proceed:
        out.place(_after(len(bodies) - 1))
        ending.fall_off(length, out)


def _forget_verdict(hook: Hook, context: int) -> Sequence[insn.Insn]:
    """Keep the verdict in r0, but let the verifier forget what it believes about it.

    Older verifiers follow a subprogram's tail call only where it fails: when the member then returns a constant, they
    take that for the verdict and remove what the chain does with any other, though the tail-called program returned
    it. Seen on Linux 6.12.95 (a chain ended behind every tail call), not on 6.18.44. Exclusive or with an unknown
    number, twice, is nothing to a processor and makes a value unknown to a verifier.
    """
    return [
        insn.load64(_ARGUMENT, FRAME, context),
        insn.load32(_ARGUMENT, _ARGUMENT, hook.unforeseen),
        insn.xor32(_VERDICT, _ARGUMENT),
        insn.xor32(_VERDICT, _ARGUMENT),
    ]


def _after(position: int) -> str:
    return f"after member {position}"
