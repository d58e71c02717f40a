"""Making links: one candidate after the other until the kernel takes one, with every refusal explained.

A candidate that meets a busy hook or a missing target ends the search, since no other candidate would fare better; one
that the kernel cannot do (no driver support, MTU too large) is noted and the next is tried.
"""

from __future__ import annotations

import errno
from typing import Final, assert_never

from skep import errors, model, steps
from skep.hooks import request
from skep.kernel import abi, bpffs, libbpf_query, netns, observe, perf, refused, sys, tcx

_MODES: Final = {0: "", abi.XDP_FLAGS_SKB: "skb", abi.XDP_FLAGS_DRV: "drv", abi.XDP_FLAGS_HW: "hw"}


def attach(
    pins: bpffs.Bpffs, program: model.ProgramPin, candidates: tuple[request.LinkRequest, ...], pin: model.LinkPin
) -> steps.Linked:
    """Create and pin a link by the first candidate that works; nothing stays attached when anything fails."""
    with sys.held(pins.need(program)) as program_fd:
        notes: list[str] = []
        last: errors.SkepError | None = None
        for taken, candidate in enumerate(candidates):
            try:
                link_fd, interface = _create(pins, program_fd, candidate)
            except _NextPlease as refusal:
                notes.append(f"{candidate.label}: {refusal.short}" if candidate.label else refusal.short)
                last = refusal.error
                continue
            with sys.held(link_fd):
                kernel = observe.link(link_fd)
                pins.pin(link_fd, pin)
            return steps.Linked(kernel=kernel, taken=taken, interface=interface, refused=tuple(notes))
    if last is None:
        raise errors.Broken("nothing to attach by", why="the request has no candidates")
    if len(notes) > 1:
        last.why = "; ".join(notes)
    raise last


def check(target: request.Target) -> None:
    """Look for a target without attaching to it."""
    match target:
        case request.InterfaceTarget(interface=ref):
            netns.find(ref)
        case request.TracepointTarget():
            perf.tracepoint_id(target)
        case request.UprobeTarget():
            perf.check_uprobe(target)
        case _:
            assert_never(target)


def xdp_on(ref: model.InterfaceRef) -> tuple[model.ProgramId, ...]:
    """Programs on an interface's XDP hook, by anyone."""
    return netns.inside(ref.netns, lambda: _xdp_here(ref, netns.here(ref).ifindex))


def swap(pins: bpffs.Bpffs, link: model.LinkPin, old: model.ProgramPin | None, new: model.ProgramPin) -> bool:
    """BPF_LINK_UPDATE; with ``old`` only if that one runs. False when the link's pin is missing."""
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


class _NextPlease(Exception):
    """This candidate cannot work here, another may."""

    def __init__(self, short: str, error: errors.SkepError) -> None:
        super().__init__(short)
        self.short = short
        self.error = error


def _create(pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest) -> tuple[int, model.Interface | None]:
    match candidate.target:
        case request.InterfaceTarget(interface=ref):
            return netns.inside(ref.netns, lambda: _on_interface(pins, program, candidate, ref))
        case request.TracepointTarget() as target:
            event, what = perf.open_tracepoint(target), f"tracepoint {target.group}/{target.name}"
        case request.UprobeTarget() as target:
            event, what = perf.open_uprobe(target), f"{target.symbol or hex(target.offset)} in {target.path}"
        case _:
            assert_never(candidate.target)
    with sys.held(event):
        cookie = candidate.options.value if isinstance(candidate.options, request.Cookie) else 0
        try:
            tail = abi.TAIL_PERF_EVENT.pack(cookie)
            return sys.link_create(program, event, candidate.attach_type, candidate.flags, tail), None
        except OSError as refusal:
            raise _perf_refused(what, refusal) from refusal


def _on_interface(
    pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest, ref: model.InterfaceRef
) -> tuple[int, model.Interface]:
    """Runs in the interface's namespace, where the kernel looks the index up."""
    interface = netns.here(ref)
    ordered = candidate.attach_type in (abi.TCX_INGRESS, abi.TCX_EGRESS)
    try:
        if ordered:
            return tcx.create(pins, program, interface.ifindex, candidate), interface
        return sys.link_create(program, interface.ifindex, candidate.attach_type, candidate.flags), interface
    except OSError as refusal:
        code = refusal.errno or 0
        if code == errno.ENODEV:
            raise netns.no_interface(ref) from refusal
        if ordered:
            raise _tcx_refused(ref, interface, candidate, refusal) from refusal
        raise _xdp_refused(ref, interface, candidate, refusal) from refusal


def _xdp_refused(
    ref: model.InterfaceRef, interface: model.Interface, candidate: request.LinkRequest, refusal: OSError
) -> Exception:
    code = refusal.errno or 0
    what = f"cannot attach to {ref.name}"
    if code in (errno.EBUSY, errno.EEXIST):
        return errors.Conflict(
            what,
            why=f"its XDP hook is held by {_holders(ref, interface.ifindex)}",
            do="detach that first; skep never replaces a program it did not attach",
            errno=code,
        )
    if code in (errno.EPERM, errno.EACCES):
        return errors.Denied(what, why=refused.explain(code), do="skep needs CAP_NET_ADMIN and CAP_BPF", errno=code)
    mode = _MODES.get(candidate.flags, "")
    if mode == "hw" and code in (errno.EINVAL, errno.EOPNOTSUPP):
        why = "its driver offloads no programs to the card"
        return _NextPlease(
            f"{refused.number(code)}: {why}",
            errors.Unsupported(
                what,
                feature=f"XDP in mode hw on {ref.name}",
                first="4.13",
                why=why,
                do="use mode drv or skb",
                errno=code,
            ),
        )
    hint = {
        errno.EOPNOTSUPP: "the driver has no native XDP",
        errno.ERANGE: f"the MTU of {interface.mtu} is too large for a program without multi-buffer support",
        errno.EINVAL: f"the driver refuses the program or its settings (MTU {interface.mtu})",
        errno.ENOMEM: "the driver lacks queues or memory for XDP",
        errno.ENOSPC: "the driver lacks queues for XDP",
    }.get(code, "")
    why = refused.explain(code) + (f": {hint}" if hint else "")
    error: errors.SkepError
    if code in (errno.EOPNOTSUPP, abi.ENOTSUPP):
        error = errors.Unsupported(
            what,
            feature=f"XDP in mode {mode or 'default'} on {ref.name}",
            first="4.8",
            why=why,
            errno=code,
            do="let skep choose the mode, or demand skb, which every interface has",
        )
    else:
        error = errors.Rejected(
            what, why=why, do='lower the MTU, build for SEC("xdp.frags") or use mode skb', errno=code
        )
    return _NextPlease(f"{refused.number(code)}{': ' + hint if hint else ''}", error)


def _tcx_refused(
    ref: model.InterfaceRef, interface: model.Interface, candidate: request.LinkRequest, refusal: OSError
) -> errors.SkepError:
    code = refusal.errno or 0
    what = f"cannot attach to the TCX hook of {ref.name}"
    match code:
        case errno.EEXIST:
            return errors.AlreadyExists(
                what, why="this program is there already", do="load it once more to attach it twice", errno=code
            )
        case errno.ERANGE:
            return errors.Exhausted(what, why="64 programs are there already", do="detach one", errno=code)
        case errno.EINVAL if not tcx.known(interface.ifindex, candidate.attach_type):
            return tcx.unsupported(ref, code)
        case _:
            return refused.general(what, refusal, feature="TCX", first="6.6")


def _perf_refused(what: str, refusal: OSError) -> errors.SkepError:
    code = refusal.errno or 0
    if code == errno.EINVAL:
        return errors.Rejected(
            f"cannot attach to {what}",
            why=f"{refused.explain(code)}: the program does not fit it (it reads beyond the event's fields, sleeps "
            "where it may not), or this kernel has no perf links (Linux 5.15)",
            errno=code,
            do="attach it to a tracepoint that has these fields, or change the program",
        )
    if code == errno.E2BIG:
        return errors.Exhausted(
            f"cannot attach to {what}", why="64 programs are there already", errno=code, do="detach some"
        )
    return refused.general(f"cannot attach to {what}", refusal, feature="perf event links", first="5.15")


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


def _xdp_here(ref: model.InterfaceRef, ifindex: int) -> tuple[model.ProgramId, ...]:
    try:
        return tuple(model.ProgramId(id_) for id_ in libbpf_query.xdp(ifindex))
    except OSError as refusal:
        raise refused.general(f"cannot read the XDP hook of {ref.name}", refusal) from refusal


def _holders(ref: model.InterfaceRef, ifindex: int) -> str:
    names: list[str] = []
    for id_ in _xdp_here(ref, ifindex):
        try:
            seen = observe.program_by_id(id_)
        except errors.SkepError:  # no CAP_SYS_ADMIN: the id alone must do
            seen = None
        names.append(f"program {id_} ({seen.name})" if seen else f"program {id_}")
    return ", ".join(names) or "another program"
