"""Loading code that skep keeps: a chain's members, and what they were linked to."""

from __future__ import annotations

from skep import errors, model, steps
from skep.bytecode import relocated
from skep.chain import linked
from skep.kernel import bpffs, counts, loading, refused, verifier


def load(
    pins: bpffs.Bpffs,
    candidates: tuple[linked.Linked, ...],
    pin: model.ProgramPin,
    counted: model.MapPin,
    slots: int,
) -> steps.LoadedLinked:
    """Make the counter map and load the first candidate that the verifier accepts; Rejected by the last one's log."""
    counts.create(pins, counted, slots)
    notes: list[str] = []
    try:
        for taken, one in enumerate(candidates):
            last = taken == len(candidates) - 1
            try:
                kernel = loading.load_kept(pins, _image(one), one.maps, pin)
            except errors.Rejected as refusal:
                if last:
                    raise
                forms = ",".join(form.value for form in one.forms)
                notes.append(f"{forms}: {refused.number(refusal.errno)} {refusal.why}".strip())
                continue
            return steps.LoadedLinked(kernel=kernel, taken=taken, refused=tuple(notes))
        raise errors.Broken("nothing to link", why="the request has no candidates")
    except BaseException:
        pins.release(counted)
        raise


def load_member(pins: bpffs.Bpffs, member: relocated.Member, pin: model.ProgramPin) -> model.KernelProgram:
    """Load one kept program again and pin it."""
    return loading.load_kept(pins, _image(member), member.maps, pin)


def _image(code: linked.Linked | relocated.Member) -> verifier.Image:
    return verifier.Image(
        name=code.name,
        prog_type=code.prog_type,
        expected_attach_type=code.expected_attach_type,
        prog_flags=code.prog_flags,
        licence=code.licence,
        insns=code.insns,
        btf=code.btf,
        func_info=code.func_info,
    )
