"""The kept form of a loaded program: its relocated instructions, with maps named by pin path.

When libbpf has loaded a program, its instructions are complete (CO-RE done, subprograms appended), but they name maps
by file descriptors that die with the process. A ``Member`` names them by an index into ``maps`` instead, so it can be
stored, compared, merged with others (``chain.linked``) and given real descriptors again later, on this kernel and boot.

What cannot be kept: code that names an object of a kernel *module* (its BTF is named by a descriptor too).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from skep import errors
from skep.bytecode import btf, insn, recent
from skep.bytecode.insn import Insn

ROW_VERSION: Final = 1

_UNKEEPABLE_DO: Final = "attach this program alone, without a chain"


class FuncInfo(NamedTuple):
    """``struct bpf_func_info``: which BTF FUNC the subprogram at instruction ``insn_off`` is."""

    insn_off: int
    type_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A loaded program as a value.

    ``insns``: instructions in host byte order; in every map reference, ``imm`` is an index into ``maps``.
    ``maps``: pin paths, each once. ``btf``: a BTF blob (may be empty) that holds what ``func_info`` refers to.
    ``func_info``: empty, or one entry per subprogram in order of ``insn_off``, the first at 0.
    ``prog_type``, ``expected_attach_type``, ``prog_flags``: as passed to BPF_PROG_LOAD.
    ``verified_insns``: instructions the verifier walked when it was loaded alone (bpf_prog_info; Linux 5.16), or 0.
    """

    name: str
    insns: bytes
    maps: tuple[str, ...]
    prog_type: int
    expected_attach_type: int
    prog_flags: int
    licence: str
    btf: bytes = b""
    func_info: tuple[FuncInfo, ...] = ()
    verified_insns: int = 0

    def decoded(self) -> list[Insn]:
        return list(_decoded(self.insns))


def keep(
    insns: bytes,
    maps: Mapping[int, str],
    *,
    name: str,
    prog_type: int,
    expected_attach_type: int,
    prog_flags: int,
    licence: str,
    btf_blob: bytes = b"",
    func_info: Sequence[FuncInfo] = (),
    verified_insns: int = 0,
) -> Member:
    """Make the member of what ``bpf_program__insns()`` returned after load; ``maps`` is file descriptor -> pin path.

    ``btf_blob`` is the object's whole BTF; only what the functions need is kept.
    ``Unsupported``: a kernel function or variable of a module. ``BadObject``: a map that is not in ``maps``, or code
    that is cut short.
    """
    code = insn.decode(insns)
    names: list[str] = []
    for index, one in insn.first_halves(code):
        if one.code == insn.LD_IMM64:
            _refuse_unkeepable_load(name, one, code[index + 1])
        elif one.is_kernel_call and one.off != 0:
            raise errors.Unsupported(
                f"the code of {name!r} cannot be kept",
                feature="kernel functions of a module in a kept program",
                why="it calls a function of a kernel module",
                do=_UNKEEPABLE_DO,
            )
        if not one.is_map_reference:
            continue
        path = maps.get(one.imm)
        if path is None:
            raise errors.BadObject(
                f"the code of {name!r} cannot be kept",
                why=f"instruction {index} uses a map that is not pinned",
                do="report this with the object file",
            )
        if path not in names:
            names.append(path)
        code[index] = one._replace(imm=names.index(path))
    blob, infos = btf.for_functions(btf_blob, tuple(func_info)) if btf_blob and func_info else (b"", ())
    return Member(
        name=name,
        insns=insn.encode(code),
        maps=tuple(names),
        prog_type=prog_type,
        expected_attach_type=expected_attach_type,
        prog_flags=prog_flags,
        licence=licence,
        btf=blob,
        func_info=tuple(FuncInfo(*info) for info in infos),
        verified_insns=verified_insns,
    )


def patch(insns: bytes, fds: Sequence[int]) -> bytes:
    """Put file descriptors back: map reference ``n`` becomes ``fds[n]``. The result is ready for BPF_PROG_LOAD."""
    code = bytearray(insns)
    for index, one in _map_references(insns):
        if not 0 <= one < len(fds):
            raise errors.Broken(
                "kept code names a map that it does not list",
                why=f"instruction {index} wants map {one} of {len(fds)}",
                do="load the program again",
            )
        insn.IMM.pack_into(code, index * insn.SIZE + insn.IMM_AT, fds[one])
    return bytes(code)


@recent.recent(recent.PROGRAMS)
def _decoded(insns: bytes) -> tuple[Insn, ...]:
    return tuple(insn.decode(insns))


@recent.recent(recent.PROGRAMS)
def _map_references(insns: bytes) -> tuple[tuple[int, int], ...]:
    """Where maps are named: the instruction's index, and the map's."""
    found = insn.first_halves(list(_decoded(insns)))
    return tuple((index, one.imm) for index, one in found if one.is_map_reference)


def parse_func_info(records: bytes, record_size: int) -> tuple[FuncInfo, ...]:
    """Read ``struct bpf_func_info`` records of ``record_size`` bytes each (>= 8; newer kernels may append fields)."""
    if record_size < 8 or len(records) % record_size:
        raise errors.BadObject(
            "the function table of the object is damaged",
            why=f"{len(records)} bytes in records of {record_size}",
            do="compile the object again",
        )
    return tuple(FuncInfo(*struct.unpack_from("=II", records, at)) for at in range(0, len(records), record_size))


def to_row(member: Member) -> tuple[dict[str, object], bytes, bytes]:
    """What the store keeps: a JSON-able header, the instructions and the BTF. ``from_row`` is the inverse."""
    header: dict[str, object] = {
        "version": ROW_VERSION,
        "name": member.name,
        "maps": list(member.maps),
        "prog_type": member.prog_type,
        "expected_attach_type": member.expected_attach_type,
        "prog_flags": member.prog_flags,
        "licence": member.licence,
        "func_info": [list(info) for info in member.func_info],
        "verified_insns": member.verified_insns,
    }
    return header, member.insns, member.btf


def from_row(header: Mapping[str, object], insns: bytes, btf_blob: bytes) -> Member:
    """Read back what ``to_row`` gave; ``Broken`` when it was damaged or written by a newer skep."""
    try:
        version = header["version"]
        if version != ROW_VERSION:
            raise errors.Broken(
                "a stored program cannot be read",
                why=f"its format is {version!r}, this skep reads {ROW_VERSION}",
                do="start the newer skep again, or load the program anew",
            )
        return Member(
            name=_text(header["name"]),
            insns=insns,
            maps=tuple(_text(path) for path in _items(header["maps"])),
            prog_type=_number(header["prog_type"]),
            expected_attach_type=_number(header["expected_attach_type"]),
            prog_flags=_number(header["prog_flags"]),
            licence=_text(header["licence"]),
            btf=btf_blob,
            func_info=tuple(_function(info) for info in _items(header["func_info"])),
            verified_insns=_number(header["verified_insns"]),
        )
    except (KeyError, TypeError, ValueError) as damaged:
        raise errors.Broken(
            "a stored program cannot be read", why=f"damaged field: {damaged}", do="load the program anew"
        ) from damaged


def _refuse_unkeepable_load(name: str, first: Insn, second: Insn) -> None:
    if first.src == insn.PSEUDO_BTF_ID and second.imm != 0:
        raise errors.Unsupported(
            f"the code of {name!r} cannot be kept",
            feature="kernel variables of a module in a kept program",
            why="it uses a variable of a kernel module",
            do=_UNKEEPABLE_DO,
        )
    if first.src in (insn.PSEUDO_MAP_IDX, insn.PSEUDO_MAP_IDX_VALUE):
        raise errors.Unsupported(
            f"the code of {name!r} cannot be kept",
            feature="maps named by index in a kept program",
            why="it was made by a loader that passes an array of file descriptors",
            do=_UNKEEPABLE_DO,
        )


def _function(pair: object) -> FuncInfo:
    insn_off, type_id = _items(pair)
    return FuncInfo(_number(insn_off), _number(type_id))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is not a number")
    return value


def _items(value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return value
