"""Network interfaces: their XDP hook, which holds one link, and their ordered hooks (TCX)."""

from __future__ import annotations

import errno
from typing import Final

from skep import errors, model
from skep.hooks import request
from skep.kernel import abi, bpffs, libbpf_query, netns, observe, refused, sys, tcx
from skep.kernel.targets.place import Made, NextPlease, Place

_MODES: Final = {0: "", abi.XDP_FLAGS_SKB: "skb", abi.XDP_FLAGS_DRV: "drv", abi.XDP_FLAGS_HW: "hw"}


def xdp_on(ref: model.InterfaceRef) -> tuple[model.ProgramId, ...]:
    """Programs on an interface's XDP hook, by anyone."""
    return netns.inside(ref.netns, lambda: _xdp_here(ref, netns.here(ref).ifindex))


def _check(target: request.InterfaceTarget | request.FilterTarget) -> None:
    netns.find(target.interface)


def _no_link(pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest, target: request.FilterTarget) -> Made:
    raise errors.Broken(f"{target} takes a filter and no link", why="see kernel.filters", do="report this")


def _create(pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest, target: request.InterfaceTarget) -> Made:
    ref = target.interface
    return netns.inside(ref.netns, lambda: _on_interface(pins, program, candidate, ref))


def _on_interface(pins: bpffs.Bpffs, program: int, candidate: request.LinkRequest, ref: model.InterfaceRef) -> Made:
    """Runs in the interface's namespace, where the kernel looks the index up."""
    interface = netns.here(ref)
    ordered = candidate.attach_type in tcx.LISTS
    try:
        if ordered:
            return tcx.create(pins, program, interface.ifindex, candidate), interface
        return sys.link_create(program, interface.ifindex, candidate.attach_type, candidate.flags), interface
    except OSError as refusal:
        code = refusal.errno or 0
        if code == errno.ENODEV:
            raise netns.no_interface(ref) from refusal
        if ordered:
            raise _list_refused(ref, interface, candidate, refusal) from refusal
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
        return NextPlease(
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
    return NextPlease(f"{refused.number(code)}{': ' + hint if hint else ''}", error)


def _list_refused(
    ref: model.InterfaceRef, interface: model.Interface, candidate: request.LinkRequest, refusal: OSError
) -> errors.SkepError:
    code = refusal.errno or 0
    name, first = tcx.LISTS[candidate.attach_type]
    what = f"cannot attach to the {name} hook of {ref.name}"
    match code:
        case errno.EEXIST:
            return errors.AlreadyExists(
                what, why="this program is there already", do="load it once more to attach it twice", errno=code
            )
        case errno.ERANGE:
            return errors.Exhausted(what, why="64 programs are there already", do="detach one", errno=code)
        case errno.EINVAL if not tcx.known(interface.ifindex, candidate.attach_type):
            return tcx.unsupported(ref, candidate.attach_type, code)
        case _:
            if (other := tcx.not_here(ref, candidate.attach_type, code)) is not None:
                return other
            return refused.general(what, refusal, feature=name, first=first)


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


PLACE: Final = Place(check=_check, create=_create)
FILTER: Final = Place(check=_check, create=_no_link)
