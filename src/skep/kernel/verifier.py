"""BPF_PROG_LOAD with the verifier's whole log: loads without a log first, asks for one only when refused."""

from __future__ import annotations

import ctypes
import errno
import struct
from dataclasses import dataclass
from typing import Final

from skep import errors
from skep.bytecode.relocated import FuncInfo
from skep.kernel import abi, refused, sys

_FIRST_LOG: Final = 1 << 20  # bytes; doubled up to the largest the kernel takes
_LARGEST_LOG: Final = 16 << 20  # what does not fit is left out at its beginning (Linux 6.4)
_NOISE: Final = ("processed ", "verification time", "stack depth", "-- BEGIN", "-- END")
_U32: Final = struct.Struct("=I")
_SHOWN: Final = 3  # last useful lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What BPF_PROG_LOAD takes; ``insns`` hold real map descriptors."""

    name: str
    prog_type: int
    expected_attach_type: int
    prog_flags: int
    licence: str
    insns: bytes
    btf: bytes = b""
    func_info: tuple[FuncInfo, ...] = ()


def load(image: Image) -> int:
    """Load a program; its descriptor. ``Rejected`` with the log, ``Exhausted``, ``Unsupported``."""
    if not image.btf:
        return _load(image, 0)
    try:
        types = sys.btf_load(image.btf)
    except OSError as refusal:
        raise refused.general(f"the type information of program {image.name!r} is refused", refusal) from refusal
    with sys.held(types):
        return _load(image, types)


def reason(log: str) -> str:
    """The last lines of a verifier log that tell why, without statistics and register dumps; "" for an empty log."""
    lines = [line.strip() for line in log.splitlines()]
    useful = [line for line in lines if line and not line.startswith(_NOISE)]
    words = [line for line in useful if not line.startswith((";", "R0", "from ", "caller:", "callee:", "frame"))]
    if not words:
        return ""
    # The verdict is the last line; the instructions before it say where.
    return " / ".join(words[-_SHOWN:])


def refusal(name: str, prog_type: int, attach_type: int, code: int, log: str) -> errors.SkepError:
    """The error for a refused load, from its errno and log."""
    what = f"program {name!r} was refused by the verifier"
    if not log.strip():
        if code == errno.EPERM:
            return refused.program_type(name, prog_type, attach_type, code)
        if code == errno.EINVAL:
            return errors.Rejected(
                f"program {name!r} cannot be loaded",
                why=f"{refused.explain(code)}, and the verifier gave no reason: its type, attach type or flags do not"
                " fit this kernel",
                do="check the program's type and what `skep feature` says",
                errno=code,
            )
        return refused.general(f"program {name!r} cannot be loaded", OSError(code, ""))
    if code == errno.E2BIG:
        return errors.Rejected(
            what, why=reason(log) or refused.explain(code), do="make it smaller: a limit of the verifier", errno=code,
            log=log,
        )  # fmt: skip
    return errors.Rejected(
        what, why=reason(log) or refused.explain(code), errno=code, log=log,
        do="correct the program there; the verifier's log shows how it came there",
    )  # fmt: skip


def _load(image: Image, btf_fd: int) -> int:
    insns = ctypes.create_string_buffer(image.insns, len(image.insns))
    licence = ctypes.create_string_buffer(image.licence.encode())
    records = b"".join(abi.FUNC_INFO.pack(*info) for info in image.func_info) if btf_fd else b""
    functions = ctypes.create_string_buffer(records, len(records) or 1)
    attr = ctypes.create_string_buffer(abi.ATTR_PROG_LOAD.size)

    def attempt(log: sys.Buffer | None) -> int:
        abi.ATTR_PROG_LOAD.pack_into(
            attr, 0,
            image.prog_type, len(image.insns) // 8, ctypes.addressof(insns), ctypes.addressof(licence),
            0 if log is None else 1, 0 if log is None else len(log), 0 if log is None else ctypes.addressof(log),
            0, image.prog_flags, sys.object_name(image.name), 0, image.expected_attach_type,
            btf_fd, abi.FUNC_INFO.size if records else 0, ctypes.addressof(functions) if records else 0,
            len(image.func_info) if records else 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        )  # fmt: skip
        return sys.prog_load(attr)

    try:
        return attempt(None)
    except OSError as first:
        code = first.errno or 0
    room = _FIRST_LOG
    while True:
        log = ctypes.create_string_buffer(room)
        try:
            return attempt(log)  # a refusal for want of memory may pass the second time
        except OSError as again:
            if again.errno == errno.ENOSPC and room < _LARGEST_LOG:
                wanted = _U32.unpack_from(attr, abi.PROG_LOAD_LOG_TRUE_SIZE)[0]  # 0 before Linux 6.4
                room = min(max(room * 4, wanted + 1), _LARGEST_LOG)
                continue
            if again.errno != errno.ENOSPC:
                code = again.errno or code
        raise refusal(image.name, image.prog_type, image.expected_attach_type, code, log.value.decode(errors="replace"))
