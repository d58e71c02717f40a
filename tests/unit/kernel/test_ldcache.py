"""The dynamic linker's cache: bare names find their library, and no damage makes the parser fail."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skep.kernel import ldcache

X86_64, I386 = 0x0303, 0x0003


def cache(*entries: tuple[str, str, int], old: bool = False) -> bytes:
    """A cache as ldconfig writes it."""
    header, entry = 48, 24
    strings = b""
    table = b""
    base = header + entry * len(entries)
    for name, path, flags in entries:
        key = base + len(strings)
        strings += name.encode() + b"\0"
        value = base + len(strings)
        strings += path.encode() + b"\0"
        table += struct.pack("=iIIIQ", flags, key, value, 0, 0)
    new = b"glibc-ld.so.cache1.1" + struct.pack("=II20x", len(entries), len(strings)) + table + strings
    return b"ld.so-1.7.0\0" + struct.pack("=I", 0) + new if old else new


LIBRARIES = (
    ("libcap.so.2", "/lib/libcap.so.2", X86_64),
    ("libc.so.6", "/lib32/libc.so.6", I386),
    ("libc.so.6", "/lib64/libc.so.6", X86_64),
    ("libold.so.1", "/lib32/libold.so.1", I386),
    ("libplain.so", "/lib64/libplain.so", X86_64),
)


@pytest.mark.parametrize("old", [False, True], ids=["new format", "behind the old format"])
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("libc", "/lib64/libc.so.6"),
        ("libc.so", "/lib64/libc.so.6"),
        ("libc.so.6", "/lib64/libc.so.6"),
        ("libcap", "/lib/libcap.so.2"),
        ("libold", "/lib32/libold.so.1"),
        ("libplain", "/lib64/libplain.so"),
        ("lib", None),
        ("libc.so.7", None),
        ("", None),
    ],
)
def test_a_bare_name_finds_the_machines_library(name: str, path: str | None, old: bool) -> None:
    assert ldcache.find(cache(*LIBRARIES, old=old), name, "x86_64") == path


def test_names_are_for_near_misses_with_and_without_version() -> None:
    assert {"libc", "libc.so.6", "libplain.so", "libplain"} <= ldcache.names(cache(*LIBRARIES))


def test_a_relative_path_in_the_cache_is_left_out() -> None:
    assert list(ldcache.parse(cache(("libx.so", "libx.so", X86_64)))) == []


@given(st.binary(max_size=300))
@example(b"glibc-ld.so.cache1.1")
@example(b"glibc-ld.so.cache1.1" + b"\xff" * 100)
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    for entry in ldcache.parse(data):
        assert entry.name
        assert entry.path.startswith("/")


@given(st.data())
def test_a_damaged_cache_is_read_without_an_error(data: st.DataObject) -> None:
    damaged = bytearray(cache(*LIBRARIES, old=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    path = ldcache.find(cut, "libc", "x86_64")
    assert path is None or path.startswith("/")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("libc", "/lib/libc.musl-x86_64.so.1"),
        ("libz", "/usr/lib/libz.so.1"),
        ("libz.so.1", "/usr/lib/libz.so.1"),
        ("libplain", "/usr/lib/libplain.so"),
        ("lib", None),
    ],
)
def test_without_a_cache_the_first_file_that_fits_best(name: str, path: str | None) -> None:
    files = ["/lib/libc.musl-x86_64.so.1", "/usr/lib/libz.so.1", "/usr/lib/libz.so.1.2", "/usr/lib/libplain.so"]
    assert ldcache.best(files, name) == path
