"""The kernel's refusals in words: an ``OSError`` becomes the ``errors`` class that says who must act."""

from __future__ import annotations

import errno
import os
from typing import Final

from skep import errors, hooks
from skep.kernel import abi, needs

_FULL: Final = (errno.ENOSPC, errno.ENOMEM, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.E2BIG)
_UNSUPPORTED: Final = (errno.EOPNOTSUPP, errno.ENOSYS, abi.ENOTSUPP)


def number(code: int) -> str:
    """The name of an errno: "EBUSY"; ENOTSUPP is not in errno.h."""
    return "ENOTSUPP" if code == abi.ENOTSUPP else errno.errorcode.get(code, f"errno {code}")


def explain(code: int) -> str:
    """An errno for people: "EBUSY, Device or resource busy"."""
    if code == abi.ENOTSUPP:
        return "ENOTSUPP, Operation not supported by this kernel"
    return f"{number(code)}, {os.strerror(code)}"


def general(what: str, refused: OSError, *, feature: str = "", first: str = "", do: str = "") -> errors.SkepError:
    """The error for ``what`` that failed, by errno alone; for refusals that have no closer explanation."""
    code = refused.errno or 0
    why = explain(code)
    if code in _FULL:
        return errors.Exhausted(what, why=why, do=do or "free some, or raise the limit", errno=code)
    if code in _UNSUPPORTED:
        do = do or "see 'skep feature' for what this kernel can"
        return errors.Unsupported(what, feature=feature or what, first=first, why=why, do=do, errno=code)
    if code == errno.EEXIST:
        return errors.AlreadyExists(what, why=why, do=do or "take away what is there, or use it", errno=code)
    if code in (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ESRCH):
        return errors.NotFound(what, why=why, do=do or "check the name; it may have gone meanwhile", errno=code)
    if code in (errno.EBUSY, errno.ESTALE, errno.ENOLINK):
        return errors.Conflict(what, why=why, do=do or "see what holds it, then try again", errno=code)
    if code in (errno.EPERM, errno.EACCES):
        return errors.Denied(what, why=why, do=do or "give skep the rights that this needs", errno=code)
    return errors.Rejected(what, why=why, do=do or "see the kernel's log (dmesg)", errno=code)


def traffic_control(what: str, refused: OSError, text: str) -> errors.SkepError:
    """The error for a refusal over netlink; ``text`` is what the kernel says beside the errno, "" for nothing."""
    code = refused.errno or 0
    why = explain(code) + (f": {text}" if text else "")
    # "Specified qdisc kind is unknown" (net/sched/sch_api.c), "TC classifier not found" (cls_api.c).
    if code == errno.ENOENT and ("unknown" in text or "not found" in text):
        (hook,) = (one for one in hooks.HOOKS if one.name == "tc")
        return errors.Unsupported(
            what,
            feature="clsact and BPF filters",
            first=hook.first,
            why=why,
            do=f"load the modules sch_ingress and cls_bpf; this needs {needs.told(code, hook.config, hook.first)}",
            errno=code,
        )
    error = general(what, refused)
    error.why = why
    if isinstance(error, errors.Denied):
        error.do = "give skep CAP_NET_ADMIN"
    return error


def program_type(name: str, prog_type: int, attach_type: int, code: int) -> errors.SkepError:
    """A load that was refused before the verifier looked: the kernel lacks the type, or its policy or our capabilities
    forbid it.

    libbpf's own hint here ("try raising ulimit -l") is wrong since Linux 5.11 and is never shown.
    """
    known = hooks.loaded_as(prog_type, attach_type)
    types = ", ".join(one.name for one in known) or f"type {prog_type}"
    options = known[0].config if known else ()
    first = min((one.first for one in known), key=_release, default="")
    since = f" (Linux has them since {first})" if first else ""
    needed = needs.told(code, ("BPF_SYSCALL", *options), first)
    return errors.Unsupported(
        f"program {name!r} cannot be loaded",
        feature=f"{types} programs",
        first=first,
        why=f"{types} programs are not supported here: the kernel refuses them with {explain(code)}, before the "
        f"verifier looked at it{since}",
        do=f"this needs {needed}; 'skep feature' tells more" if needed else "see 'skep feature'",
        errno=code,
    )


def _release(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split("."))


def unsupported_btf(refused: OSError) -> errors.Unsupported:
    """The kernel's BTF is not there."""
    return errors.Unsupported(
        "the kernel does not tell its types",
        feature="BTF of the kernel",
        first="5.4",
        why=f"/sys/kernel/btf/vmlinux: {explain(refused.errno or 0)}",
        do="use a kernel with CONFIG_DEBUG_INFO_BTF",
        errno=refused.errno or 0,
    )


def listing(what: str, refused: OSError) -> errors.SkepError:
    """A walk over ids was refused."""
    if refused.errno == errno.EPERM:
        return errors.Denied(
            f"cannot list the kernel's {what}",
            why="EPERM: looking at BPF objects by id needs CAP_SYS_ADMIN",
            do="run skep as root or add CAP_SYS_ADMIN to its service",
            errno=errno.EPERM,
        )
    return general(f"cannot list the kernel's {what}", refused)
