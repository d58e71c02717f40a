"""A loader of a few hundred bytes for tests of the linker: libbpf for the ELF, ``bpf(2)`` for everything else.

Independent of ``skep.kernel`` on purpose: these tests prove the pure linker against a real kernel.
"""

from __future__ import annotations

import ctypes as C
import errno
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from skep.bytecode import relocated
from skep.bytecode.relocated import FuncInfo, Member
from skep.chain import counts
from skep.chain import linked as linked_module
from skep.chain.linked import Linked

_NR_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
_MAP_CREATE, _LOOKUP, _UPDATE, _PROG_LOAD, _TEST_RUN, _INFO, _BTF_LOAD = 0, 1, 2, 5, 10, 15, 18

_libc = C.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = C.c_long
_syscall.argtypes = [C.c_long, C.c_long, C.c_void_p, C.c_ulong]


class Refused(Exception):
    """BPF_PROG_LOAD said no; ``log`` is the verifier's."""

    def __init__(self, number: int, log: str) -> None:
        super().__init__(f"{errno.errorcode.get(number, number)}\n{log[-2500:]}")
        self.errno = number
        self.log = log


def bpf(command: int, attributes: bytearray) -> int:
    buffer = (C.c_char * len(attributes)).from_buffer(attributes)
    result = int(_syscall(_NR_BPF, command, C.addressof(buffer), len(attributes)))
    if result < 0:
        number = C.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def address(data: bytearray) -> int:
    return C.addressof((C.c_char * len(data)).from_buffer(data))


def map_create(kind: int, key: int, value: int, entries: int) -> int:
    return bpf(_MAP_CREATE, bytearray(struct.pack("=IIIII", kind, key, value, entries, 0) + bytes(52)))


def map_update(fd: int, key: bytes, value: bytes) -> None:
    k, v = bytearray(key), bytearray(value)
    bpf(_UPDATE, bytearray(struct.pack("=IIQQQ", fd, 0, address(k), address(v), 0)))


def map_lookup(fd: int, key: bytes, size: int) -> bytes:
    k, v = bytearray(key), bytearray(size)
    bpf(_LOOKUP, bytearray(struct.pack("=IIQQQ", fd, 0, address(k), address(v), 0)))
    return bytes(v)


def possible_cpus() -> int:
    total = 0
    for piece in Path("/sys/devices/system/cpu/possible").read_text().strip().split(","):
        first, _, last = piece.partition("-")
        total += int(last or first) - int(first) + 1
    return total


def btf_load(blob: bytes) -> int:
    data, log = bytearray(blob), bytearray(1 << 16)
    try:
        attributes = struct.pack("=QQIIIIi", address(data), address(log), len(data), len(log), 1, 0, 0)
        return bpf(_BTF_LOAD, bytearray(attributes))
    except OSError as refused:
        raise Refused(refused.errno or 0, "BTF: " + bytes(log).split(b"\0")[0].decode()) from refused


def prog_load(
    insns: bytes,
    *,
    prog_type: int = 6,
    attach_type: int = 37,
    flags: int = 0,
    licence: str = "GPL",
    name: str = "test",
    btf: bytes = b"",
    func_info: Sequence[FuncInfo] = (),
) -> int:
    code = bytearray(insns)
    licence_text = bytearray(licence.encode() + b"\0")
    info = bytearray(b"".join(struct.pack("=II", *one) for one in func_info)) or bytearray(8)
    btf_fd = btf_load(btf) if btf else 0

    def attempt(log: bytearray | None) -> int:
        attributes = bytearray(144)
        struct.pack_into(
            "=IIQQIIQII16sII",
            attributes,
            0,
            prog_type,
            len(insns) // 8,
            address(code),
            address(licence_text),
            1 if log else 0,
            len(log) if log else 0,
            address(log) if log else 0,
            0,
            flags,
            name.encode()[:15],
            0,
            attach_type,
        )
        if func_info:
            struct.pack_into("=IIQI", attributes, 72, btf_fd, 8, address(info), len(func_info))
        return bpf(_PROG_LOAD, attributes)

    try:
        return attempt(None)
    except OSError as first:
        log = bytearray(1 << 24)
        try:
            return attempt(log)
        except OSError:
            raise Refused(first.errno or 0, bytes(log).split(b"\0")[0].decode(errors="replace")) from first
    finally:
        if btf_fd:
            os.close(btf_fd)


def send(fd: int, packet: bytes = bytes(64), repeat: int = 1) -> tuple[int, int]:
    """(verdict as u32, nanoseconds a run) of BPF_PROG_TEST_RUN."""
    data, out = bytearray(packet), bytearray(16384)
    attributes = bytearray(
        struct.pack(
            "=IIIIQQIIIIQQIII", fd, 0, len(data), len(out), address(data), address(out), repeat, 0, 0, 0, 0, 0, 0, 0, 0
        )
    )
    bpf(_TEST_RUN, attributes)
    return struct.unpack_from("=I", attributes, 4)[0], struct.unpack_from("=I", attributes, 36)[0]


def verified_insns(fd: int) -> int:
    info = bytearray(256)
    bpf(_INFO, bytearray(struct.pack("=IIQ", fd, len(info), address(info))))
    return int(struct.unpack_from("=I", info, 216)[0])


# --- libbpf -----------------------------------------------------------------------------------------------------------

_L = C.CDLL("libbpf.so.1", use_errno=True)


def _declare(name: str, result: object, *arguments: object) -> Callable[..., int]:
    function = getattr(_L, name)
    function.restype, function.argtypes = result, list(arguments)
    return function  # type: ignore[no-any-return]  # ctypes


_P, _S, _I = C.c_void_p, C.c_char_p, C.c_int
_open_file = _declare("bpf_object__open_file", _P, _S, _P)
_load = _declare("bpf_object__load", _I, _P)
_close = _declare("bpf_object__close", None, _P)
_next_program = _declare("bpf_object__next_program", _P, _P, _P)
_next_map = _declare("bpf_object__next_map", _P, _P, _P)
_program_name = _declare("bpf_program__name", _S, _P)
_program_fd = _declare("bpf_program__fd", _I, _P)
_set_autoload = _declare("bpf_program__set_autoload", _I, _P, C.c_bool)
_insns = _declare("bpf_program__insns", _P, _P)
_insn_count = _declare("bpf_program__insn_cnt", C.c_size_t, _P)
_map_name = _declare("bpf_map__name", _S, _P)
_map_fd = _declare("bpf_map__fd", _I, _P)
_set_pin_path = _declare("bpf_map__set_pin_path", _I, _P, _S)
_initial_value = _declare("bpf_map__initial_value", _P, _P, _P)
_object_btf = _declare("bpf_object__btf", _P, _P)
_btf_raw = _declare("btf__raw_data", _P, _P, _P)
_set_print = _declare("libbpf_set_print", _P, _P)
_register_handler = _declare("libbpf_register_prog_handler", _I, _S, _I, _I, _P)


class _Handler(C.Structure):
    """``struct libbpf_prog_handler_opts``, bpf/libbpf.h."""

    _fields_ = [("sz", C.c_size_t), ("cookie", C.c_long), ("setup", _P), ("prepare_load", _P), ("attach", _P)]


class _LoadOptions(C.Structure):
    """``struct bpf_prog_load_opts``, bpf/bpf.h; the part that all versions of libbpf.so.1 share."""

    _fields_ = [
        ("sz", C.c_size_t),
        ("attempts", C.c_int),
        ("expected_attach_type", C.c_int),
        ("prog_btf_fd", C.c_uint32),
        ("prog_flags", C.c_uint32),
        ("prog_ifindex", C.c_uint32),
        ("kern_version", C.c_uint32),
        ("attach_btf_id", C.c_uint32),
        ("attach_prog_fd", C.c_uint32),
        ("attach_btf_obj_fd", C.c_uint32),
        ("fd_array", _P),
        ("func_info", _P),
        ("func_info_cnt", C.c_uint32),
        ("func_info_rec_size", C.c_uint32),
    ]


# What libbpf passes to BPF_PROG_LOAD and has no other way to tell (libbpf 1.1): filled while an object is loaded.
_function_info: dict[str, tuple[FuncInfo, ...]] = {}
_flags: dict[str, int] = {}


@C.CFUNCTYPE(C.c_int, _P, C.POINTER(_LoadOptions), C.c_long)
def _prepare_load(program: int, options: object, cookie: int) -> int:
    opts = options.contents  # type: ignore[attr-defined]  # ctypes pointer
    records = C.string_at(opts.func_info, opts.func_info_cnt * opts.func_info_rec_size) if opts.func_info_cnt else b""
    name = C.string_at(_program_name(program)).decode()
    _function_info[name] = relocated.parse_func_info(records, opts.func_info_rec_size or 8)
    opts.prog_flags |= cookie
    _flags[name] = opts.prog_flags
    return 0


_said: list[str] = []


@C.CFUNCTYPE(C.c_int, C.c_int, C.c_char_p, C.c_void_p)
def _print(level: int, text: bytes, _arguments: int) -> int:
    if level <= 0:
        _said.append(text.decode(errors="replace"))
    return 0


_set_print(C.cast(_print, _P))


def _register(section: bytes, cookie: int) -> None:
    options = _Handler(C.sizeof(_Handler), cookie, None, C.cast(_prepare_load, _P), None)
    number = _register_handler(section, 6, 37, C.addressof(options))
    assert number > 0, os.strerror(-number)


# Once, and never unregistered: removing the last handler leaves libbpf 1.1.2 with a freed array (realloc to 0 bytes).
_register(b"xdp", 0)
_register(b"xdp.frags", linked_module.XDP_HAS_FRAGS)


@dataclass(slots=True)
class Loaded:
    """A loaded object: the kept form of its programs, and descriptors by our pin names (nothing is pinned)."""

    handle: int
    members: dict[str, Member] = field(default_factory=dict)
    programs: dict[str, int] = field(default_factory=dict)
    maps: dict[str, int] = field(default_factory=dict)  # "object/map" -> fd, the names that members use
    plain: dict[str, int] = field(default_factory=dict)  # map name -> fd

    def close(self) -> None:
        _close(self.handle)


def load(
    path: Path,
    prefix: str,
    *,
    only: Sequence[str] = (),
    licence: str = "GPL",
    prepare: Callable[[dict[str, int]], None] = lambda _maps: None,
) -> Loaded:
    """Load ``path`` with libbpf and keep its programs; map ``m`` is called ``prefix/m``.

    ``prepare`` gets name -> ``struct bpf_map *`` before the load.
    """
    _said.clear()
    _function_info.clear()
    _flags.clear()
    handle = _open_file(str(path).encode(), None)
    assert handle, f"{path}: {os.strerror(C.get_errno())} {_said}"
    programs = {C.string_at(_program_name(p)).decode(): p for p in _each(_next_program, handle)}
    maps = {C.string_at(_map_name(m)).decode(): m for m in _each(_next_map, handle)}
    for one in maps.values():
        _set_pin_path(one, None)
    for name, program in programs.items():
        _set_autoload(program, not only or name in only)
    prepare(maps)
    result = _load(handle)
    if result < 0:
        _close(handle)
        raise Refused(-result, "".join(_said))
    blob = _raw_btf(handle)
    loaded = Loaded(handle)
    fds = {}
    for name, one in maps.items():
        fds[_map_fd(one)] = f"{prefix}/{name}"
        loaded.maps[f"{prefix}/{name}"] = loaded.plain[name] = _map_fd(one)
    for name, program in programs.items():
        if only and name not in only:
            continue
        fd = _program_fd(program)
        loaded.programs[name] = fd
        loaded.members[name] = relocated.keep(
            C.string_at(_insns(program), 8 * _insn_count(program)),
            fds,
            name=name,
            prog_type=6,
            expected_attach_type=37,
            prog_flags=_flags.get(name, 0),
            licence=licence,
            btf_blob=blob,
            func_info=_function_info.get(name, ()),
            verified_insns=verified_insns(fd),
        )
    return loaded


def _each(following: Callable[..., int], handle: int) -> Iterator[int]:
    one = following(handle, None)
    while one:
        yield one
        one = following(handle, one)


def _raw_btf(handle: int) -> bytes:
    types = _object_btf(handle)
    if not types:
        return b""
    size = C.c_uint32()
    return C.string_at(_btf_raw(types, C.addressof(size)), size.value)


def set_global(maps: dict[str, int], section: str, offset: int, value: bytes) -> None:
    """Change the initial value of an internal map (".rodata") before load."""
    one = next(handle for name, handle in maps.items() if name.endswith(section))
    size = C.c_size_t()
    C.memmove(_initial_value(one, C.addressof(size)) + offset, value, len(value))


# --- chains -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Chain:
    """A linked program in the kernel, and its counter map."""

    fd: int
    counters: int
    linked: Linked

    def slots(self) -> list[list[int]]:
        cpus = possible_cpus()
        return [
            list(struct.unpack(f"={cpus}Q", map_lookup(self.counters, struct.pack("=I", slot), 8 * cpus)))
            for slot in range(self.linked.slots)
        ]


def counter_map(slots: int) -> int:
    return map_create(counts.MAP_TYPE, counts.KEY_SIZE, counts.VALUE_SIZE, slots)


@contextmanager
def chain(linked: Linked, fds: dict[str, int]) -> Iterator[Chain]:
    """Load ``linked``; ``fds``: pin name -> descriptor of the members' maps."""
    counters = counter_map(linked.slots)
    everything = {**fds, linked.counter_map: counters}
    fd = -1
    try:
        fd = prog_load(
            relocated.patch(linked.insns, [everything[path] for path in linked.maps]),
            prog_type=linked.prog_type,
            attach_type=linked.expected_attach_type,
            flags=linked.prog_flags,
            licence=linked.licence,
            name=linked.name,
            btf=linked.btf,
            func_info=linked.func_info,
        )
        yield Chain(fd, counters, linked)
    finally:
        os.close(counters)
        if fd >= 0:
            os.close(fd)
