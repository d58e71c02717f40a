"""Programs that a map of sockets holds without a link: all there is before Linux 6.10 (BPF_PROG_ATTACH; Linux 4.14).

Nothing can be pinned. A symbolic link in the place of the link's pin stands for it, whose text says which map and which
program; it is written before the program is attached and removed after it. The attachment ends with the map.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os

from skep import errors, model, steps
from skep.hooks import request
from skep.kernel import abi, bpffs, observe, refused, sys
from skep.kernel.targets import sockmap


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    """The text of the symbolic link: kernel ids of map and program, and ``enum bpf_attach_type``."""

    map: int
    program: int
    attach_type: int


def is_noted(pins: bpffs.Bpffs, pin: model.LinkPin) -> bool:
    """Whether a note is where a link would be pinned."""
    return pins.read_alias(pin) is not None


def observed(pins: bpffs.Bpffs, pin: model.LinkPin) -> model.KernelLink | None:
    """What is noted at ``pin`` as a link without a number; ``detail`` says by what it is held, or why it is defunct."""
    note = _read(pins, pin)
    if note is None:
        return None
    there: tuple[int, ...] | None = None
    with contextlib.suppress(FileNotFoundError), sys.held(sys.fd_by_id(abi.MAP_GET_FD_BY_ID, note.map)) as fd:
        there = _holds(fd, note.attach_type, otherwise=(note.program,))
    detail, defunct = f"map {note.map}", False
    if there is None:
        detail, defunct = "its map is gone", True
    elif note.program not in there:
        detail = f"its map holds program {there[0]} now" if there else "somebody else took it from its map"
        defunct = True
    return model.KernelLink(
        id=model.KernelLinkId(0),
        type=0,
        program_id=model.ProgramId(note.program),
        attach_type=note.attach_type,
        detail=detail,
        defunct=defunct,
    )


def attach(
    pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest, target: request.HeldMapTarget, pin: model.LinkPin
) -> steps.Linked:
    """Give the map a program. Conflict: it has one. AlreadyExists: something is noted at ``pin``."""
    what = f"cannot attach to the map {target}"
    if is_noted(pins, pin):
        raise errors.AlreadyExists(f"a map is noted at {pin} already", do="see 'skep doctor'")
    with sys.held(sockmap.opened(target.pin)) as fd:
        # The kernel would replace it without a word.
        if there := _holds(fd, candidate.attach_type, otherwise=()):
            raise errors.Conflict(what, why=f"it has program {there[0]} already", do="detach that first")
        note = _Note(map=observe.map_(fd).id, program=observe.program(program).id, attach_type=candidate.attach_type)
        pins.alias(pin, json.dumps(dataclasses.asdict(note)))
        try:
            sys.prog_attach(fd, program, candidate.attach_type)
        except OSError as refusal:
            pins.remove_alias(pin)
            raise refused.general(what, refusal, feature="programs for maps of sockets", first="4.14") from refusal
    seen = observed(pins, pin)
    assert seen is not None
    return steps.Linked(kernel=seen, taken=0)


def swap(pins: bpffs.Bpffs, pin: model.LinkPin, old: model.ProgramPin | None, new: model.ProgramPin) -> bool:
    """Put another program in the place of ours, at once; with ``old`` only if that is the one noted. False when the map
    is gone."""
    note = _read(pins, pin)
    if note is None:
        return False
    what = f"cannot change the program of map {note.map}"
    with contextlib.ExitStack() as stack:
        try:
            fd = stack.enter_context(sys.held(sys.fd_by_id(abi.MAP_GET_FD_BY_ID, note.map)))
        except FileNotFoundError:
            return False
        new_fd = stack.enter_context(sys.held(pins.need(new)))
        if old is not None:
            expected = observe.program(stack.enter_context(sys.held(pins.need(old)))).id
            there = _holds(fd, note.attach_type, otherwise=(note.program,))
            if expected not in there:
                runs = f"program {there[0]}" if there else "no program"
                raise errors.Conflict(what, why=f"it has {runs} now, not {expected}", do="look at it again")
        try:
            sys.prog_attach(fd, new_fd, note.attach_type)
        except OSError as refusal:
            raise refused.general(what, refusal) from refusal
        changed = dataclasses.replace(note, program=observe.program(new_fd).id)
        pins.alias(pin, json.dumps(dataclasses.asdict(changed)))
    return True


def detach(pins: bpffs.Bpffs, pin: model.LinkPin) -> None:
    """Take the program from the map, then forget it. Fine when either is gone already."""
    note = _read(pins, pin)
    if note is None:
        return
    with contextlib.ExitStack() as stack:
        try:
            fd = stack.enter_context(sys.held(sys.fd_by_id(abi.MAP_GET_FD_BY_ID, note.map)))
            program = stack.enter_context(sys.held(sys.fd_by_id(abi.PROG_GET_FD_BY_ID, note.program)))
            sys.prog_detach(fd, program, note.attach_type)
        except OSError as refusal:
            if refusal.errno != errno.ENOENT:  # the map or the program is gone, or the map has another one
                raise refused.general(f"cannot take the program from map {note.map}", refusal) from refusal
    pins.remove_alias(pin)


def _holds(fd: int, attach_type: int, *, otherwise: tuple[int, ...]) -> tuple[int, ...]:
    """Ids of the programs that a map holds for an attach type; ``otherwise`` where the kernel does not tell (before
    5.17)."""
    try:
        return tuple(sys.prog_query(fd, attach_type, room=1, linked=False)[0])
    except OSError:
        return otherwise


def _read(pins: bpffs.Bpffs, pin: model.LinkPin) -> _Note | None:
    text = pins.read_alias(pin)
    if text is None:
        return None
    try:
        return _Note(**{name: int(value) for name, value in json.loads(text).items()})
    except (ValueError, TypeError, AttributeError) as error:
        raise errors.Broken(
            f"the note at {os.path.basename(pin)} cannot be read", why=str(error), do="remove it"
        ) from error
