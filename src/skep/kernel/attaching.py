"""Making links: one candidate after the other until the kernel takes one, with every refusal explained.

A candidate that meets a busy hook or a missing target ends the search, since no other candidate would fare better; one
that the kernel cannot do (no driver support, MTU too large) is noted and the next is tried.
"""

from __future__ import annotations

import dataclasses
import errno

from skep import errors, hooks, model, steps
from skep.hooks import request
from skep.kernel import bpffs, features, filters, held, noted, observe, refused, registration, sockets, sys, targets


def attach(
    pins: bpffs.Bpffs, program: model.ProgramPin, candidates: tuple[request.LinkRequest, ...], pin: model.LinkPin
) -> steps.Linked:
    """Create and pin a link by the first candidate that works; nothing stays attached when anything fails."""
    if candidates and isinstance(candidates[0].target, request.SocketTarget):
        return sockets.attach(pins, program, candidates[0].target, pin)
    if candidates and isinstance(candidates[0].target, request.FilterTarget):
        return filters.attach(pins, program, candidates[0].target, pin)
    with sys.held(pins.need(program)) as program_fd:
        notes: list[str] = []
        last: errors.SkepError | None = None
        for taken, candidate in enumerate(candidates):
            if isinstance(candidate.target, request.HeldMapTarget):
                made = held.attach(pins, program_fd, candidate, candidate.target, pin)
                return dataclasses.replace(made, taken=taken, refused=tuple(notes))
            try:
                link_fd, interface = targets.create(pins, program_fd, candidate)
            except errors.Rejected as refusal:
                raise _unsupported(candidate, refusal) or refusal from refusal
            except targets.NextPlease as refusal:
                notes.append(f"{candidate.label}: {refusal.short}" if candidate.label else refusal.short)
                last = refusal.error
                continue
            with sys.held(link_fd):
                pins.pin(link_fd, pin)
                try:
                    targets.start(pins, link_fd, candidate)
                    kernel = seen(link_fd)
                except BaseException:
                    pins.unlink(pin)
                    raise
            return steps.Linked(
                kernel=kernel,
                taken=taken,
                interface=interface,
                refused=tuple(notes),
                process_start=targets.process_start(candidate.target),
            )
    if last is None:
        raise errors.Broken("nothing to attach by", why="the request has no candidates")
    if len(notes) > 1:
        last.why = "; ".join(notes)
    raise last


def seen(fd: int) -> model.KernelLink:
    """A link, or what stands for one."""
    return registration.read(fd) if registration.is_linkless(fd) else observe.link(fd)


def _unsupported(candidate: request.LinkRequest, refusal: errors.Rejected) -> errors.Unsupported | None:
    """EINVAL is also what a kernel says of a kind of link that it does not know: then its probe fails, too."""
    if refusal.errno != errno.EINVAL or not candidate.attach_type:
        return None
    for hook in hooks.HOOKS:
        if candidate.attach_type in (hook.expected_attach_type, *hook.points.values()):
            probed = features.of_type(hook)
            if not probed.available:
                return errors.Unsupported(
                    refusal.what,
                    feature=f"{hook.name} links",
                    first=hook.first,
                    why=f"{hook.name} is not supported here: the kernel refuses it with "
                    f"{refused.explain(probed.errno)} (Linux has it since {hook.first})",
                    do=f"this needs {probed.needs}; 'skep feature' tells more",
                    errno=probed.errno,
                )
    return None


def swap(pins: bpffs.Bpffs, link: model.LinkPin, old: model.ProgramPin | None, new: model.ProgramPin) -> bool:
    """BPF_LINK_UPDATE; with ``old`` only if that one runs. False when the link's pin is missing."""
    kind = noted.kind(pins, link)
    if kind is not None:
        return kind.swap(pins, link, old, new)
    link_fd = pins.get(link)
    if link_fd is None:
        return False
    with sys.held(link_fd), sys.held(pins.need(new)) as new_fd:
        try:
            if old is None:
                sys.link_update(link_fd, new_fd, None)
            else:
                with sys.held(pins.need(old)) as old_fd:
                    sys.link_update(link_fd, new_fd, old_fd)
        except OSError as refusal:
            raise _swap_refused(link, link_fd, refusal) from refusal
    return True


def _swap_refused(link: model.LinkPin, link_fd: int, refusal: OSError) -> errors.SkepError:
    what = f"cannot change the program of {link}"
    code = refusal.errno or 0
    if code == errno.ENOLINK:
        return errors.Conflict(
            what, why="the link is defunct: its device is gone", do="detach it and attach again", errno=code
        )
    if code == errno.EPERM:
        runs = observe.link(link_fd).program_id
        return errors.Conflict(
            what, why=f"it runs program {runs} now, not the expected one", do="look at it again", errno=code
        )
    if code in (errno.ERANGE, errno.EINVAL):
        why = "the interface's driver refuses the new program"
        if code == errno.ERANGE:
            why = "the interface's MTU is too large for a program without multi-buffer support"
        return errors.Rejected(
            what, why=f"{refused.explain(code)}: {why}", do='lower the MTU or build for SEC("xdp.frags")', errno=code
        )
    return refused.general(what, refusal)
