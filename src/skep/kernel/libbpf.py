"""ctypes over the system's ``libbpf.so.1`` (1.1 or later): opening, patching, relocating and loading objects.

Used inside the worker process only, since libbpf can crash on a damaged object; imports next to nothing so that the
worker starts fast. Exception: ``xdp_query``, which reads no user bytes. Declarations follow bpf/libbpf.h and bpf/bpf.h.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections.abc import Iterator

_int, _pointer, _string, _size = ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
_u32 = ctypes.c_uint32

_PRINT_TYPE = ctypes.CFUNCTYPE(_int, _int, _pointer, _pointer)  # libbpf_print_fn_t: level, format, va_list
_WARN = 0  # enum libbpf_print_level; 1 is INFO, 2 DEBUG
LOG_BYTES = 16 << 20
"""The most that is kept of a verifier log: its end, since Linux 6.4; before, its beginning."""
_VA_LIST = 32  # bytes; struct __va_list_tag is 24 on x86-64, struct __va_list 32 on AArch64


class _OpenOpts(ctypes.Structure):
    """``struct bpf_object_open_opts`` up to the name."""

    _fields_ = (("sz", _size), ("object_name", _string))


class _XdpQueryOpts(ctypes.Structure):
    """``struct bpf_xdp_query_opts``."""

    _fields_ = (
        ("sz", _size), ("prog_id", _u32), ("drv_prog_id", _u32), ("hw_prog_id", _u32), ("skb_prog_id", _u32),
        ("attach_mode", ctypes.c_uint8),
    )  # fmt: skip


class Library:
    """The library and the messages it printed."""

    def __init__(self) -> None:
        self._lib = ctypes.CDLL(os.environ.get("SKEP_LIBBPF", "libbpf.so.1"), use_errno=True)
        self._c = ctypes.CDLL(None)
        # Untouched pages cost nothing. Without a buffer libbpf doubles its own until a log of any length fits.
        self._log = (ctypes.c_char * LOG_BYTES).from_buffer(mmap.mmap(-1, LOG_BYTES))
        self.messages: list[str] = []
        declare = self._declare
        declare("libbpf_set_print", _pointer, _PRINT_TYPE)
        declare("bpf_object__open_mem", _pointer, _pointer, _size, _pointer)
        declare("bpf_object__load", _int, _pointer)
        declare("bpf_object__close", None, _pointer)
        declare("bpf_object__next_program", _pointer, _pointer, _pointer)
        declare("bpf_object__next_map", _pointer, _pointer, _pointer)
        declare("bpf_program__name", _string, _pointer)
        declare("bpf_program__fd", _int, _pointer)
        declare("bpf_program__insns", _pointer, _pointer)
        declare("bpf_program__insn_cnt", _size, _pointer)
        declare("bpf_program__flags", _u32, _pointer)
        declare("bpf_program__expected_attach_type", _int, _pointer)
        declare("bpf_program__set_autoload", _int, _pointer, ctypes.c_bool)
        declare("bpf_program__set_type", _int, _pointer, _int)
        declare("bpf_program__set_expected_attach_type", _int, _pointer, _int)
        declare("bpf_program__set_flags", _int, _pointer, _u32)
        declare("bpf_program__set_log_buf", _int, _pointer, _pointer, _size)
        declare("bpf_program__set_attach_target", _int, _pointer, _int, _string)
        declare("bpf_map__name", _string, _pointer)
        declare("bpf_map__fd", _int, _pointer)
        declare("bpf_map__type", _int, _pointer)
        declare("bpf_map__key_size", _u32, _pointer)
        declare("bpf_map__value_size", _u32, _pointer)
        declare("bpf_map__max_entries", _u32, _pointer)
        declare("bpf_map__map_flags", _u32, _pointer)
        declare("bpf_map__set_map_flags", _int, _pointer, _u32)
        declare("bpf_map__is_internal", ctypes.c_bool, _pointer)
        declare("bpf_map__initial_value", _pointer, _pointer, _pointer)
        declare("bpf_map__reuse_fd", _int, _pointer, _int)
        declare("bpf_map__set_pin_path", _int, _pointer, _string)
        declare("bpf_xdp_query", _int, _int, _int, _pointer)
        self._c.vsnprintf.argtypes = [_pointer, _size, _pointer, _pointer]
        self._print = _PRINT_TYPE(self._keep_message)
        self._lib.libbpf_set_print(self._print)

    def open(self, data: ctypes.Array[ctypes.c_char]) -> Object:
        """Parse an object; ``data`` must outlive it. OSError when libbpf does not understand it.

        The object is named "" so that data sections keep their bare ELF names (".rodata", not "name.rodata").
        """
        options = _OpenOpts(ctypes.sizeof(_OpenOpts), b"")
        handle = self._lib.bpf_object__open_mem(ctypes.addressof(data), len(data), ctypes.byref(options))
        if not handle:
            raise _failed(ctypes.get_errno() or errno.EINVAL)
        self._log[0] = b"\0"
        return Object(self._lib, handle, ctypes.addressof(self._log))

    @property
    def log(self) -> str:
        """What the verifier wrote about the object's program that it refused, "" when none was."""
        return self._log.value.decode(errors="replace")

    def xdp_query(self, ifindex: int) -> tuple[int, ...]:
        """Ids of the programs on an interface's XDP hook in any mode, by netlink (no privilege needed)."""
        options = _XdpQueryOpts(sz=ctypes.sizeof(_XdpQueryOpts))
        _check(self._lib.bpf_xdp_query(ifindex, 0, ctypes.byref(options)))
        ids = (options.drv_prog_id, options.skb_prog_id, options.hw_prog_id, options.prog_id)
        return tuple(dict.fromkeys(id_ for id_ in ids if id_))

    def _declare(self, name: str, result: object, *types: object) -> None:
        function = getattr(self._lib, name)
        function.restype = result
        function.argtypes = list(types)

    def _keep_message(self, level: int, template: int, arguments: int) -> int:
        if level != _WARN:
            return 0
        # vsnprintf consumes the va_list, so measuring takes a copy of it.
        copy = ctypes.create_string_buffer(ctypes.string_at(arguments, _VA_LIST), _VA_LIST)
        length = self._c.vsnprintf(None, 0, template, ctypes.addressof(copy))
        if length > 0:
            text = ctypes.create_string_buffer(length + 1)
            self._c.vsnprintf(ctypes.addressof(text), length + 1, template, arguments)
            self.messages.append(text.value.decode(errors="replace"))
        return 0


class Object:
    """``struct bpf_object *``; programs and maps are bare pointers that die with it."""

    def __init__(self, lib: ctypes.CDLL, handle: int, log: int) -> None:
        self._lib = lib
        self._handle = handle
        self._log = log
        self.programs = dict(self._walk(lib.bpf_object__next_program, lib.bpf_program__name))
        self.maps = dict(self._walk(lib.bpf_object__next_map, lib.bpf_map__name))

    def close(self) -> None:
        """Free it and close its descriptors."""
        self._lib.bpf_object__close(self._handle)

    def load(self) -> None:
        """Make the maps, relocate and load the wanted programs."""
        _check(self._lib.bpf_object__load(self._handle))

    # ---- before load

    def forget_pin(self, map_: int) -> None:
        """Keep libbpf from looking for, and from making, the pins that the object asks for."""
        _check(self._lib.bpf_map__set_pin_path(map_, None))

    def skip(self, program: int) -> None:
        """Do not load a program."""
        _check(self._lib.bpf_program__set_autoload(program, False))

    def want(
        self, program: int, type_: int, attach_type: int, flags: int, attach_func: str | None, attach_program: int
    ) -> None:
        """Load a program as this type. 0 keeps the attach type, flags are added to those of its section.

        ``attach_func`` is the kernel's function, or with a descriptor ``attach_program`` (not 0) that program's.
        """
        _check(self._lib.bpf_program__set_autoload(program, True))
        _check(self._lib.bpf_program__set_type(program, type_))
        _check(self._lib.bpf_program__set_log_buf(program, self._log, LOG_BYTES))
        if attach_type:
            _check(self._lib.bpf_program__set_expected_attach_type(program, attach_type))
        if flags:
            _check(self._lib.bpf_program__set_flags(program, self._lib.bpf_program__flags(program) | flags))
        if attach_func is not None:
            _check(self._lib.bpf_program__set_attach_target(program, attach_program, attach_func.encode()))

    def reuse(self, map_: int, fd: int) -> None:
        """Use an existing map in place of a new one; libbpf keeps a descriptor of its own."""
        _check(self._lib.bpf_map__reuse_fd(map_, fd))

    def add_flags(self, map_: int, flags: int) -> None:
        """Make a map with more flags than the object gives it."""
        _check(self._lib.bpf_map__set_map_flags(map_, self._lib.bpf_map__map_flags(map_) | flags))

    def definition(self, map_: int) -> dict[str, int]:
        """What the object says a map is like."""
        lib = self._lib
        return {
            "type": lib.bpf_map__type(map_),
            "key_size": lib.bpf_map__key_size(map_),
            "value_size": lib.bpf_map__value_size(map_),
            "max_entries": lib.bpf_map__max_entries(map_),
            "flags": lib.bpf_map__map_flags(map_),
        }

    def patch(self, map_: int, offset: int, data: bytes) -> None:
        """Set initial bytes of a data section. ERANGE outside of it, EINVAL when the map is none."""
        size = _size()
        base = self._lib.bpf_map__initial_value(map_, ctypes.byref(size))
        if not base:
            raise _failed(errno.EINVAL)
        if offset < 0 or offset + len(data) > size.value:
            raise _failed(errno.ERANGE)
        ctypes.memmove(base + offset, data, len(data))

    # ---- after load

    def program_fd(self, program: int) -> int:
        """The object's own descriptor of a loaded program."""
        return _check(self._lib.bpf_program__fd(program))

    def map_fd(self, map_: int) -> int:
        """The object's own descriptor of a map, negative when none was made."""
        fd: int = self._lib.bpf_map__fd(map_)
        return fd

    def is_internal(self, map_: int) -> bool:
        """Whether a map is one of the compiler's data sections."""
        answer: bool = self._lib.bpf_map__is_internal(map_)
        return answer

    def insns(self, program: int) -> bytes:
        """The relocated instructions, naming maps by the object's descriptors."""
        return ctypes.string_at(self._lib.bpf_program__insns(program), self._lib.bpf_program__insn_cnt(program) * 8)

    def flags(self, program: int) -> int:
        """The flags it is loaded with."""
        flags: int = self._lib.bpf_program__flags(program)
        return flags

    def attach_type(self, program: int) -> int:
        """The expected attach type it is loaded with."""
        kind: int = self._lib.bpf_program__expected_attach_type(program)
        return kind

    def _walk(self, after: ctypes._NamedFuncPointer, name: ctypes._NamedFuncPointer) -> Iterator[tuple[str, int]]:
        one = after(self._handle, None)
        while one:
            yield (name(one) or b"").decode(errors="replace"), one
            one = after(self._handle, one)


def _failed(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def _check(result: int) -> int:
    """libbpf 1.x returns -errno."""
    if result < 0:
        raise _failed(-result)
    return result
