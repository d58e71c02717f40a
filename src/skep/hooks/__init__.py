"""The table of program types. Pure. A new type is one file beside these and one entry in ``HOOKS``."""

from __future__ import annotations

from typing import Any, TypeAlias

from skep import errors, model
from skep.hooks import (
    cgroup_device,
    cgroup_skb,
    cgroup_sock,
    cgroup_sock_addr,
    cgroup_sockopt,
    cgroup_sysctl,
    fentry,
    fexit,
    flow_dissector,
    fmod_ret,
    freplace,
    iter,
    kprobe,
    kprobe_multi,
    kprobe_session,
    kretprobe,
    lsm,
    lsm_cgroup,
    lwt_in,
    lwt_out,
    lwt_seg6local,
    lwt_xmit,
    netfilter,
    netkit,
    perf_event,
    raw_tracepoint,
    sk_lookup,
    sk_msg,
    sk_reuseport,
    sk_skb,
    socket_filter,
    sockops,
    struct_ops,
    syscall,
    tc,
    tcx,
    tp_btf,
    tracepoint,
    uprobe,
    uprobe_multi,
    uprobe_session,
    uretprobe,
    usdt,
    xdp,
)
from skep.hooks.hook import Hook, Option, Ordering, Placing

HOOKS: tuple[Hook[Any], ...] = (  # Any: each type has an attachment of its own
    xdp.HOOK,
    tc.HOOK,
    tcx.HOOK,
    tracepoint.HOOK,
    uprobe.HOOK,
    uretprobe.HOOK,
    kprobe.HOOK,
    kretprobe.HOOK,
    fentry.HOOK,
    fexit.HOOK,
    fmod_ret.HOOK,
    lsm.HOOK,
    raw_tracepoint.HOOK,
    tp_btf.HOOK,
    perf_event.HOOK,
    iter.HOOK,
    uprobe_multi.HOOK,
    usdt.HOOK,
    uprobe_session.HOOK,
    kprobe_multi.HOOK,
    kprobe_session.HOOK,
    cgroup_skb.HOOK,
    cgroup_sock.HOOK,
    cgroup_sock_addr.HOOK,
    cgroup_sockopt.HOOK,
    cgroup_sysctl.HOOK,
    cgroup_device.HOOK,
    sockops.HOOK,
    lsm_cgroup.HOOK,
    netfilter.HOOK,
    sk_lookup.HOOK,
    flow_dissector.HOOK,
    sk_msg.HOOK,
    sk_skb.HOOK,
    netkit.HOOK,
    struct_ops.HOOK,
    freplace.HOOK,
    socket_filter.HOOK,
    sk_reuseport.HOOK,
    syscall.HOOK,
    lwt_in.HOOK,
    lwt_out.HOOK,
    lwt_xmit.HOOK,
    lwt_seg6local.HOOK,
)

_ELSEWHERE = ("xdp/devmap", "xdp/cpumap", "xdp.frags/devmap", "xdp.frags/cpumap")
"""XDP programs for map entries: the kernel refuses them on an interface (BPF_XDP_DEVMAP, BPF_XDP_CPUMAP)."""

_FOREIGN = (
    "ksyscall", "kretsyscall", "kprobe.session", "uprobe.session", "raw_tp.w", "raw_tracepoint.w",
    "cgroup", "cgroup_", "sk_skb", "lirc_mode2",
)  # fmt: skip
"""Section names of libbpf's ``section_defs`` (src/libbpf.c) that ``HOOKS`` lacked at first; a type that has come
since keeps them here."""

LISTS = (tcx.TcxAttachment, netkit.NetkitAttachment)
"""Attachments to a list that the kernel keeps for an interface (TCX, netkit): both have the same fields but for one."""
InList: TypeAlias = tcx.TcxAttachment | netkit.NetkitAttachment

_BY_NAME = {hook.name: hook for hook in HOOKS}


def by_name(name: str) -> Hook[Any]:  # Any: see HOOKS
    """The program type called ``name``; a name that is only a family's ("raw_tp") gives the type that stands for it.
    NotFound."""
    found = _BY_NAME.get(model.HookName(name))
    if found is not None:
        return found
    for hook in HOOKS:
        if hook.accepts(model.HookName(name)):
            return hook
    names = tuple(_BY_NAME)
    raise errors.NotFound(
        f"no program type {name!r}",
        why="skep knows " + ", ".join(names),
        near=errors.near_misses(name, names),
    )


def loaded_as(prog_type: int, attach_type: int) -> tuple[Hook[Any], ...]:  # Any: see HOOKS
    """The types whose programs are loaded with these numbers; several where only the attachment tells them apart, or
    where nothing is known of the attach type."""
    family = tuple(hook for hook in HOOKS if hook.prog_type == prog_type)
    exact = (hook for hook in family if attach_type in (*hook.points.values(), hook.expected_attach_type))
    return tuple(exact) or family


def declarable() -> tuple[model.HookName, ...]:
    """Every name a caller may declare."""
    names: dict[model.HookName, None] = {}
    for hook in HOOKS:
        names.update(dict.fromkeys((hook.name, *hook.family)))
    return tuple(names)


def from_section(section: str) -> Hook[Any] | None:  # Any: see HOOKS
    """The program type that an ELF section's name means to libbpf, None when skep has no such type.

    A leading '?' (do not load by itself) is ignored; ".s" (sleepable) and ".frags" may follow the type.
    """
    word = section.removeprefix("?")
    if word.startswith(_ELSEWHERE):
        return None
    for hook in HOOKS:
        for prefix in hook.sections:
            if _continues(word, prefix):
                return hook
    return None


def is_foreign(section: str) -> bool:
    """Whether a section's name belongs to a program type that skep does not have ("kprobe/do_sys_open", "lsm/...").

    Other unknown names ("prog" in Debian's xdpfilt objects) say nothing: there the caller's declaration decides.
    """
    word = section.removeprefix("?")
    if from_section(section) is not None:
        return False
    return word.startswith(_ELSEWHERE) or any(_continues(word, prefix) for prefix in _FOREIGN)


def _continues(word: str, prefix: str) -> bool:
    if prefix.endswith("_"):
        return word.startswith(prefix)
    return word in (prefix, f"{prefix}.s", f"{prefix}.frags") or word.startswith(
        (f"{prefix}/", f"{prefix}.s/", f"{prefix}.frags/")
    )


def is_sleepable(section: str) -> bool:
    """Whether a section's name says that its program may sleep ("lsm.s/file_open", "uprobe.multi.s")."""
    return section.removeprefix("?").split("/", 1)[0].endswith(".s")


def has_frags(section: str) -> bool:
    """Whether a section's name says that its program reads multi-buffer packets ("xdp.frags", "xdp.frags/name")."""
    return section.removeprefix("?").split("/", 1)[0].endswith(".frags")


__all__ = [
    "HOOKS", "LISTS", "Hook", "InList", "Option", "Ordering", "Placing", "by_name", "declarable", "from_section",
    "has_frags", "is_foreign", "is_sleepable", "loaded_as",
]  # fmt: skip
