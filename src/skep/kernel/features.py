"""What this kernel can, found out by trying: tiny loads and attachments that cannot succeed but tell why not.

Versions are never compared: distributions backport, and a policy refuses what the version has.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from skep import errors, hooks, model
from skep.bytecode import insn
from skep.hooks import kprobe_multi, uprobe_multi
from skep.kernel import abi, facts, needs, netlink, netns, perf, sys, tc

_RETURN: Final = insn.encode((insn.mov32_imm(0, 0), insn.EXIT_INSN))
_BOGUS_SYMBOL: Final = b"\0" * 4 + (1).to_bytes(4, "little") + b"\0" * 24  # flags, count; null pointers
_BOGUS_PATH: Final = b"\0" * 32 + (1).to_bytes(4, "little") + b"\0" * 12  # null pointers; count, flags, pid
_LOOPBACK: Final = 1  # ifindex of lo in every network namespace


class _Missing(Exception):
    """The kernel cannot; ``errno`` and a word to it."""

    def __init__(self, code: int, note: str = "") -> None:
        super().__init__(code, note)
        self.errno = code
        self.note = note


@dataclass(frozen=True, slots=True, kw_only=True)
class _Probe:
    """``attempt`` returns a note, or raises ``_Missing`` or ``OSError``."""

    name: str
    first: str
    attempt: Callable[[], str]
    group: model.FeatureGroup
    config: tuple[str, ...] = ()
    lasting: str = ""


def probe() -> tuple[model.Feature, ...]:
    """Run every probe; a few milliseconds in all."""
    return (*map(of_type, hooks.HOOKS), *map(_run, _OTHERS))


def of_type(hook: hooks.Hook[Any]) -> model.Feature:  # Any: see hooks.HOOKS
    """Try one program type."""
    return _run(
        _Probe(
            name=hook.name,
            first=hook.first,
            attempt=_attempt(hook),
            group=model.FeatureGroup.TYPE,
            config=hook.config,
            lasting=hook.lasting,
        )
    )


def loads(prog_type: int, attach_type: int) -> bool:
    """Whether the kernel has a kind of program at all: its verifier looks at one, whatever it then says."""
    try:
        _reaches_verifier(prog_type, attach_type)()
    except (_Missing, OSError):
        return False
    return True


def _attempt(hook: hooks.Hook[Any]) -> Callable[[], str]:  # Any: see hooks.HOOKS
    """How to find out about a program type: its own way, or by its numbers."""
    own = _OWN.get(hook.name)
    if own is not None:
        return own
    attach_type = next(iter(hook.points.values()), hook.expected_attach_type)
    if hook.attachment in _TAILS:
        return _multi(attach_type, _TAILS[hook.attachment])
    if hook.unattached or hook.lasting:  # nothing to link
        return _loads(hook.prog_type, attach_type, abi.F_SLEEPABLE if hook.always_sleepable else 0)
    if hook.aimed:
        return _reaches_verifier(hook.prog_type, attach_type)
    return _links(hook.prog_type, attach_type)


def _run(one: _Probe) -> model.Feature:
    asked = model.Feature(
        name=one.name, available=True, first=one.first, group=one.group, config=one.config, lasting=one.lasting
    )
    try:
        return replace(asked, note=one.attempt())
    except _Missing as missing:
        code, note = missing.errno, missing.note
    except errors.Unsupported as missing:
        code, note = missing.errno, f"no {missing.feature}"
    except OSError as refusal:
        code, note = refusal.errno or 0, ""
    return replace(
        asked, available=False, errno=code, note=note, needs=needs.told(code, ("BPF_SYSCALL", *one.config), one.first)
    )


def _load(prog_type: int, attach_type: int = 0, flags: int = 0, code: bytes = _RETURN) -> tuple[int | OSError, str]:
    """Try to load a two-instruction program: its descriptor or the refusal, and the verifier's log."""
    insns = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(4096)
    attr = ctypes.create_string_buffer(abi.ATTR_PROG_LOAD.size)
    abi.ATTR_PROG_LOAD.pack_into(
        attr, 0,
        prog_type, len(code) // insn.SIZE, ctypes.addressof(insns), ctypes.addressof(licence), 1, len(log),
        ctypes.addressof(log), 0, flags, b"skep_probe", 0, attach_type, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    )  # fmt: skip
    try:
        return sys.prog_load(attr), ""
    except OSError as refusal:
        return refusal, log.value.decode(errors="replace").strip()


def _loads(prog_type: int, attach_type: int = 0, flags: int = 0) -> Callable[[], str]:
    """Whether a trivial program of a type loads."""

    def attempt() -> str:
        result, log = _load(prog_type, attach_type, flags)
        if isinstance(result, OSError):
            raise _Missing(result.errno or 0, log)
        os.close(result)
        return ""

    return attempt


def _reaches_verifier(prog_type: int, attach_type: int = 0) -> Callable[[], str]:
    """Whether a type that needs a target gets as far as the verifier, which complains that none is given.

    A kernel that does not know the type, or whose policy refuses it, says so before the verifier writes anything.
    """

    def attempt() -> str:
        result, log = _load(prog_type, attach_type)
        if not isinstance(result, OSError):
            os.close(result)
        elif not log:
            raise _Missing(result.errno or 0, "refused before the verifier looked")
        return ""

    return attempt


def _with_program(prog_type: int, attach_type: int, attempt: Callable[[int], str]) -> str:
    """Run ``attempt`` with the descriptor of a trivial program."""
    result, log = _load(prog_type, attach_type)
    if isinstance(result, OSError):
        raise _Missing(result.errno or 0, log)
    with sys.held(result):
        return attempt(result)


def _links(prog_type: int, attach_type: int) -> Callable[[], str]:
    """Whether a trivial program loads, and a link of it to nothing is refused for that and not for its kind."""

    def attempt() -> str:
        def link(program: int) -> str:
            try:
                os.close(sys.link_create(program, -1, attach_type, 0))
            except OSError as refusal:
                if refusal.errno in (errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, abi.ENOTSUPP):
                    raise
            return ""

        return _with_program(prog_type, attach_type, link)

    return attempt


def _ordered_hook(attach_type: int, known: tuple[int, ...]) -> Callable[[], str]:
    """Whether BPF_PROG_QUERY knows an ordered hook of interfaces; ``known`` errnos mean that it does."""

    def attempt() -> str:
        try:
            sys.prog_query(_LOOPBACK, attach_type)
        except OSError as refusal:
            if refusal.errno not in known:
                raise
        return ""

    return attempt


def _filters() -> str:
    """Make a clsact qdisc and a filter on the loopback of a network namespace that ends with the attempt."""

    def attempt(program: int) -> str:
        def make() -> None:
            sys.unshare(abi.CLONE_NEWNET)
            with netlink.Route() as route:
                tc.add_clsact(route, _LOOPBACK)
                one = model.Filter(
                    interface="lo",
                    ifindex=model.IfIndex(_LOOPBACK),
                    direction=tc.INGRESS,
                    priority=1,
                    handle=1,
                    kind="bpf",
                    name="skep_probe",
                )
                tc.set_filter(route, one, program, replace=False)

        netns.elsewhere(make)
        return ""

    return _with_program(abi.PROG_TYPE_SCHED_CLS, 0, attempt)


def _perf_links() -> str:
    """A perf link without an event: EBADF from a kernel that has them, EINVAL from one that does not."""

    def attempt(program: int) -> str:
        try:
            os.close(sys.link_create(program, -1, abi.PERF_EVENT, 0, abi.TAIL_PERF_EVENT.pack(0)))
        except OSError as refusal:
            if refusal.errno != errno.EBADF:
                raise
        return ""

    return _with_program(abi.PROG_TYPE_TRACEPOINT, 0, attempt)


def _tracepoints() -> str:
    _perf_links()
    return f"tracefs at {perf.tracefs()}"


def _pmu(name: str) -> Callable[[], str]:
    """Whether programs of type kprobe load and the perf PMU that triggers them exists."""

    def attempt() -> str:
        _loads(abi.PROG_TYPE_KPROBE)()
        return f"perf PMU {perf.pmu_type(name)}"

    return attempt


def _multi(attach_type: int, tail: bytes) -> Callable[[], str]:
    """Whether a multi link gets as far as looking at its (useless) arguments: EFAULT, where EINVAL says that the
    kernel does not know the kind."""

    def attempt() -> str:
        def link(program: int) -> str:
            try:
                os.close(sys.link_create(program, 0, attach_type, 0, tail))
            except OSError as refusal:
                if refusal.errno != errno.EFAULT:
                    raise
            return ""

        return _with_program(abi.PROG_TYPE_KPROBE, attach_type, link)

    return attempt


def _calls(helper: int) -> Callable[[], str]:
    """Whether programs of type kprobe may call a helper, which takes their context."""

    def attempt() -> str:
        code = insn.encode((insn.call_helper(helper), insn.EXIT_INSN))
        result, log = _load(abi.PROG_TYPE_KPROBE, code=code)
        if isinstance(result, OSError):
            raise _Missing(result.errno or 0, log.rpartition("processed")[0].strip().rpartition("\n")[2])
        os.close(result)
        return ""

    return attempt


def _struct_ops_links() -> str:
    """A map of no known type with the flag: ENOTSUPP comes after the flags were looked at, EINVAL is about them."""
    attr = abi.ATTR_STRUCT_OPS_CREATE.pack(
        abi.MAP_TYPE_STRUCT_OPS, 4, 256, 1, abi.F_LINK_MAP, b"skep_probe", _NO_STRUCT_OPS
    )
    try:
        os.close(sys.bpf(abi.MAP_CREATE, attr))
    except OSError as refusal:
        if refusal.errno != abi.ENOTSUPP:
            raise
    return ""


def _usdt() -> str:
    """By uprobe.multi, or else by perf links; both carry the cookie that finds the arguments."""
    try:
        return _multi(abi.TRACE_UPROBE_MULTI, _TAILS[uprobe_multi.UprobeMultiAttachment])() or "by uprobe_multi"
    except (_Missing, OSError):
        _perf_links()
        return f"one perf event for each site; {_pmu('uprobe')()}"


def _vmlinux_btf() -> str:
    return f"{os.stat('/sys/kernel/btf/vmlinux').st_size} bytes"


def _enumeration() -> str:
    attr = ctypes.create_string_buffer(abi.ATTR_ID.size)
    try:
        sys.bpf(abi.PROG_GET_NEXT_ID, attr)
    except OSError as refusal:
        if refusal.errno != errno.ENOENT:
            raise _Missing(refusal.errno or 0, "needs CAP_SYS_ADMIN") from refusal
    return ""


_NOWHERE: Final = 1  # an address that is never mapped, and not null
_TAILS: Final[Mapping[type, bytes]] = {
    kprobe_multi.KprobeMultiAttachment: abi.TAIL_KPROBE_MULTI.pack(0, 1, _NOWHERE, 0, 0),
    uprobe_multi.UprobeMultiAttachment: abi.TAIL_UPROBE_MULTI.pack(_NOWHERE, _NOWHERE, 0, 0, 1, 0, 0),
}
"""The arguments of links to many places, by their attachment; none of them can be read."""
_NO_STRUCT_OPS: Final = 1  # a type id of the kernel: a number, never the struct of a struct_ops

_OWN: Final[Mapping[str, Callable[[], str]]] = {
    "xdp": _loads(abi.PROG_TYPE_XDP, abi.XDP),
    "tc": _filters,
    "tcx": _ordered_hook(abi.TCX_INGRESS, (errno.ENOENT,)),
    "netkit": _ordered_hook(abi.NETKIT_PRIMARY, (errno.ENOENT, errno.ENXIO)),
    "tracepoint": _tracepoints,
    "uprobe": _pmu("uprobe"),
    "uretprobe": _pmu("uprobe"),
    "kprobe": _pmu("kprobe"),
    "kretprobe": _pmu("kprobe"),
    "usdt": _usdt,
    "raw_tracepoint": _loads(abi.PROG_TYPE_RAW_TRACEPOINT),
    "perf_event": _loads(abi.PROG_TYPE_PERF_EVENT),
    "struct_ops": _reaches_verifier(abi.PROG_TYPE_STRUCT_OPS),
}
"""Program types whose probe is their own; ``_attempt`` does for the others."""

_BPF_GET_ATTACH_COOKIE: Final = 174  # enum bpf_func_id
_RINGBUF, _USER_RINGBUF, _ARENA = 27, 31, 33  # enum bpf_map_type
_F_MMAPABLE: Final = 1 << 10
_TYPE, _LINK, _KERNEL = model.FeatureGroup.TYPE, model.FeatureGroup.LINK, model.FeatureGroup.KERNEL
_OTHERS: Final = (
    _Probe(group=_LINK, name="xdp-frags", first="5.18",
           attempt=_loads(abi.PROG_TYPE_XDP, abi.XDP, abi.F_XDP_HAS_FRAGS)),
    _Probe(group=_LINK, name="link-update", first="5.7", attempt=facts.LINK_UPDATE),
    _Probe(group=_LINK, name="link-detach", first="5.9", attempt=facts.LINK_DETACH),
    _Probe(group=_LINK, name="struct_ops-link", first="6.4", attempt=_struct_ops_links, config=("BPF_JIT",)),
    _Probe(group=_LINK, name="perf-links", first="5.15", attempt=_perf_links, config=("BPF_EVENTS",)),
    _Probe(group=_LINK, name="bpf-cookie", first="5.15", attempt=_calls(_BPF_GET_ATTACH_COOKIE),
           config=("BPF_EVENTS",)),
    _Probe(group=_LINK, name="cgroup-order", first="6.16", attempt=facts.cgroup_order, config=("CGROUP_BPF",)),
    _Probe(group=_KERNEL, name="btf", first="5.4", attempt=_vmlinux_btf, config=("DEBUG_INFO_BTF",)),
    _Probe(group=_KERNEL, name="module-btf", first="5.11", attempt=facts.modules_with_types,
           config=("DEBUG_INFO_BTF_MODULES",)),
    _Probe(group=_KERNEL, name="list-all", first="4.13", attempt=_enumeration),
    _Probe(group=_KERNEL, name="ring-buffer", first="5.8", attempt=facts.creates(_RINGBUF, 0, 0, 4096)),
    _Probe(group=_KERNEL, name="user-ring-buffer", first="6.1", attempt=facts.creates(_USER_RINGBUF, 0, 0, 4096)),
    _Probe(group=_KERNEL, name="arena", first="6.9", attempt=facts.creates(_ARENA, 0, 0, 1, _F_MMAPABLE)),
)  # fmt: skip
"""What is no program type of ``hooks``."""
