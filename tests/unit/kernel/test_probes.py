"""USDT probes of a file: where its sites are. Files are made by hand; a damaged one never does more than say so."""

from __future__ import annotations

import os
import platform
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skep import errors, model
from skep.bytecode import stapsdt
from skep.hooks import request
from skep.kernel import probes
from tests.unit.bytecode.test_stapsdt import note

MACHINE = {"x86_64": 62, "aarch64": 183}[platform.machine()]
SPECS = model.MapPin("/sys/fs/bpf/specs")
CODE, DATA = 0x1000, 0x3000
"""Addresses of two segments of 0x100 bytes, executable and not, at 0x400 and 0x500 in the file."""


def site(address: int, arguments: str = "", *, semaphore: int = 0, base: int = 0x2004, name: str = "b") -> stapsdt.Note:
    return stapsdt.Note(provider="a", name=name, address=address, base=base, semaphore=semaphore, arguments=arguments)


def program(notes: Sequence[stapsdt.Note], *, base: int | None = 0x2004, machine: int = MACHINE) -> bytes:
    """A 64-bit file with notes."""
    written = b"".join(note(one) for one in notes)
    names = b"\0.note.stapsdt\0.stapsdt.base\0.shstrtab\0"
    notes_at = 0x600
    names_at = notes_at + len(written)
    sections_at = names_at + len(names)
    sections = [
        struct.pack("<IIQQQQIIQQ", *[0] * 10),
        struct.pack("<IIQQQQIIQQ", 1, 7, 0, 0, notes_at, len(written), 0, 0, 4, 0),
        struct.pack("<IIQQQQIIQQ", 29, 3, 0, 0, names_at, len(names), 0, 0, 1, 0),
    ]
    if base is not None:
        sections.append(struct.pack("<IIQQQQIIQQ", 15, 1, 2, base, 0x400, 1, 0, 0, 1, 0))
    header = b"\x7fELF\2\1\1" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, sections_at, 0, 64, 56, 2, 64, len(sections), 2)
    segments = struct.pack("<IIQQQQQQ", 1, 5, 0x400, CODE, CODE, 0x100, 0x100, 4096)
    segments += struct.pack("<IIQQQQQQ", 1, 6, 0x500, DATA, DATA, 0x100, 0x100, 4096)
    return (header + segments).ljust(notes_at, b"\0") + written + names + b"".join(sections)


def resolve(directory: Path, data: bytes, name: str = "b") -> tuple[probes.Site, ...]:
    path = directory / "program"
    path.write_bytes(data)
    found = probes.resolve(request.UsdtTarget(path=str(path), provider="a", name=name, specs=SPECS))
    os.close(found.fd)
    return found.sites


def test_sites_are_found_at_their_place_in_the_file(tmp_path: Path) -> None:
    data = program([site(CODE + 8), site(CODE + 16, semaphore=DATA + 2), site(CODE, name="c"), site(CODE + 8)])
    assert [(one.offset, one.semaphore) for one in resolve(tmp_path, data)] == [(0x408, 0), (0x410, 0x502)]


def test_a_library_that_prelink_moved(tmp_path: Path) -> None:
    notes = [site(CODE + 8 + 0x70000, semaphore=DATA + 0x70000, base=0x72004)]
    (found,) = resolve(tmp_path, program(notes, base=0x2004))
    assert (found.offset, found.semaphore) == (0x408, 0x500)


def test_a_file_without_a_base(tmp_path: Path) -> None:
    (found,) = resolve(tmp_path, program([site(CODE)], base=None))
    assert found.offset == 0x400


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (site(0x9000), "its site at 0x9000 is in no part"),
        (site(DATA), "its site at 0x3000 is in no part"),
        (site(CODE, semaphore=0x9000), "its semaphore at 0x9000"),
    ],
    ids=["outside", "in data", "semaphore outside"],
)
def test_a_site_that_cannot_be(tmp_path: Path, wrong: stapsdt.Note, told: str) -> None:
    with pytest.raises(errors.InvalidRequest, match=told):
        resolve(tmp_path, program([wrong]))


def test_a_program_of_another_machine(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidRequest, match="another machine"):
        resolve(tmp_path, program([site(CODE)], machine=40))


def test_probes_are_listed_but_not_all_of_hundreds(tmp_path: Path) -> None:
    data = program([site(CODE, name=f"{number:03}") for number in range(300)])
    with pytest.raises(errors.NotFound, match=r"it has a:000, a:001.* and 288 more"):
        resolve(tmp_path, data, name="zzz")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_refused_or_read(tmp_path: Path, data: st.DataObject) -> None:
    damaged = bytearray(program([site(CODE + 8, "8@%rax", semaphore=DATA), site(CODE + 16, "-4@$3")]))
    interesting = [*range(16, 176), *range(0x600, len(damaged))]
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.sampled_from(interesting))
        damaged[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
    try:
        resolve(tmp_path, bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
    except errors.SkepError:
        return
