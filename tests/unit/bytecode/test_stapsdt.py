"""Notes of USDT probes: read as <sys/sdt.h> writes them; no damage makes the parser do more than say so."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep import errors
from skep.bytecode import stapsdt
from skep.bytecode.stapsdt import Note

NOTE = Note(provider="demo", name="plain", address=0x1170, base=0x2004, semaphore=0x4010, arguments="-4@%edi 8@$1")


def note(one: Note, *, wide: bool = True, order: str = "<", owner: bytes = b"stapsdt\0", kind: int = 3) -> bytes:
    """One note as the assembler writes it."""
    text = b"".join(part.encode() + b"\0" for part in (one.provider, one.name, one.arguments))
    addresses = struct.pack(order + ("QQQ" if wide else "III"), one.address, one.base, one.semaphore)
    description = addresses + text
    head = struct.pack(order + "III", len(owner), len(description), kind) + owner + bytes(-len(owner) % 4)
    return head + description + bytes(-len(description) % 4)


@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("wide", [True, False], ids=["64", "32"])
def test_notes_are_read(wide: bool, order: str) -> None:
    other = Note(provider="a", name="b", address=1, base=2, semaphore=0, arguments="")
    data = note(NOTE, wide=wide, order=order) + note(other, wide=wide, order=order)
    assert tuple(stapsdt.parse(data, wide=wide, order=order)) == (NOTE, other)


def test_notes_of_others_are_passed_over() -> None:
    data = note(NOTE, owner=b"GNU\0") + note(NOTE, kind=1) + note(NOTE)
    assert tuple(stapsdt.parse(data)) == (NOTE,)


@pytest.mark.parametrize(
    ("base", "address", "semaphore"),
    [(None, 0x1170, 0x4010), (0x2004, 0x1170, 0x4010), (0x7002004, 0x7001170, 0x7004010), (0x1004, 0x170, 0x3010)],
)
def test_what_prelink_moved_is_found_by_the_base(base: int | None, address: int, semaphore: int) -> None:
    moved = NOTE.moved(base)
    assert (moved.address, moved.semaphore) == (address, semaphore)


def test_a_probe_without_semaphore_gets_none_by_moving() -> None:
    assert Note(provider="a", name="b", address=8, base=1, semaphore=0, arguments="").moved(5).semaphore == 0


@pytest.mark.parametrize(
    "data",
    [
        note(NOTE)[:-8],
        struct.pack("<III", 8, 8, 3) + b"stapsdt\0" + bytes(8),
        struct.pack("<III", 8, 26, 3) + b"stapsdt\0" + bytes(24) + b"ab" + bytes(2),
        struct.pack("<III", 8, 0xFFFFFFFF, 3) + b"stapsdt\0",
        note(Note(provider="", name="b", address=1, base=2, semaphore=0, arguments="")),
        note(Note(provider="a", name="b" * 5000, address=1, base=2, semaphore=0, arguments="")),
    ],
    ids=["cut", "no addresses", "no names", "endless", "no provider", "endless name"],
)
def test_damaged_notes_are_refused(data: bytes) -> None:
    with pytest.raises(errors.BadObject):
        tuple(stapsdt.parse(data))


@given(st.binary(max_size=300), st.booleans(), st.sampled_from("<>"))
def test_any_bytes_are_refused_or_read(data: bytes, wide: bool, order: str) -> None:
    try:
        for one in stapsdt.parse(data, wide=wide, order=order):
            assert one.provider and one.name
    except errors.BadObject:
        return


@given(st.data())
def test_a_damaged_note_is_refused_or_read(data: st.DataObject) -> None:
    damaged = bytearray(note(NOTE) + note(NOTE))
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert len(tuple(stapsdt.parse(bytes(damaged)))) <= 2
    except errors.BadObject:
        return
