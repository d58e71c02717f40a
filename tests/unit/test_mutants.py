"""The fuzz test's objects: deterministic, different from their base, and of every kind."""

from __future__ import annotations

import struct

import pytest

from tests import mutants

NAMES = b"\0.symtab\0.strtab\0xdp\0.relxdp\0.BTF\0.maps\0"


def _object() -> bytes:
    """A little ELF with one section of each sort that a mutator aims at; only its shape matters."""
    bodies = (
        (b"", 0, 0, b""),
        (b"xdp", 1, 6, struct.pack("<BBhi", 0xB7, 0, 0, 2) + struct.pack("<BBhi", 0x95, 0, 0, 0)),
        (b".relxdp", 9, 0, struct.pack("<QII", 0, 1, 1)),
        (b".maps", 1, 3, bytes(32)),
        (b".BTF", 1, 0, struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 12, 12, 4) + bytes(16)),
        (b".symtab", 2, 0, bytes(24) + struct.pack("<IBBHQQ", 1, 18, 0, 1, 0, 16)),
        (b".strtab", 3, 0, NAMES),
    )
    content, headers = bytearray(64), []
    for name, kind, flags, body in bodies:
        header = (NAMES.index(name), kind, flags, 0, len(content), len(body), 0, 0, 8, 0)
        headers.append(struct.pack("<IIQQQQIIQQ", *header))
        content += body
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 1, 247, 1, 0, 0, len(content), 0, 64, 0, 0, 64, len(headers), 6)
    return bytes(head + content[64:] + b"".join(headers))


OBJECTS = (("one.o", _object()), ("two.o", _object() + b"\0" * 8))


def test_same_seed_and_index_make_the_same_bytes():
    assert list(mutants.mutants(OBJECTS, count=64, seed=7)) == list(mutants.mutants(OBJECTS, count=64, seed=7))


def test_one_mutant_can_be_made_again_by_its_index():
    series = list(mutants.mutants(OBJECTS, count=40, seed=7))
    assert mutants.mutant(OBJECTS, index=33, seed=7) == series[33]


def test_another_seed_makes_other_bytes():
    one = [mutant.data for mutant in mutants.mutants(OBJECTS, count=64, seed=1)]
    assert one != [mutant.data for mutant in mutants.mutants(OBJECTS, count=64, seed=2)]


@pytest.mark.parametrize("kind", [name for name, _ in mutants.MUTATORS])
def test_every_kind_damages_every_object(kind):
    series = [mutant for mutant in mutants.mutants(OBJECTS, count=320, seed=3) if mutant.kind == kind]
    assert {mutant.base for mutant in series} == {"one.o", "two.o"}
    assert all(mutant.data != dict(OBJECTS)[mutant.base] for mutant in series)


def test_kinds_and_objects_take_turns():
    series = list(mutants.mutants(OBJECTS, count=2 * len(mutants.MUTATORS), seed=3))
    assert len({(mutant.base, mutant.kind) for mutant in series}) == len(series)
