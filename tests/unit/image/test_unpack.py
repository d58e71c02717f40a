"""The object in a layer, and every layer that has none."""

from __future__ import annotations

import gzip
import random
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep import errors
from skep.image import unpack
from tests import images

OBJECT = images.elf()
GOOD = images.tar([("count.o", OBJECT)])


@pytest.mark.parametrize(
    "layer",
    [
        images.layer(OBJECT),
        GOOD,
        OBJECT,
        gzip.compress(OBJECT),
        gzip.compress(GOOD[:700]) + gzip.compress(GOOD[700:]),
        images.tar([("./count.o", OBJECT)]),
        images.tar([(images.special(".", tarfile.DIRTYPE), b""), ("count.o", OBJECT), ("README", b"text")]),
        images.tar([("a/other.o", OBJECT), ("count.o", OBJECT)]),
        images.tar([("count", OBJECT)]),
    ],
    ids=["tar.gz", "tar", "bare", "bare gzip", "gzip of two members", "./", "with more", "one below", "no suffix"],
)
def test_one_object_at_the_root_is_found(layer: bytes) -> None:
    assert unpack.object_of([layer]) == OBJECT


def sparse() -> bytes:
    """A GNU sparse file of 10 GB: one block of head, no data."""
    info = images.special("big.o", tarfile.GNUTYPE_SPARSE, size=0)
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    head[483:495] = b"%011o\0" % (10 << 30)
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + b"\0" * 1024


BAD = {
    "empty": (b"", "neither tar nor"),
    "no tar": (b"x" * 4096, "sound tar|no object"),
    "truncated gzip": (images.layer(random.Random(1).randbytes(3000))[:-700], "ends in the middle"),
    "no gzip inside": (b"\x1f\x8b" + b"x" * 100, "not gzip"),
    "garbage after gzip": (images.layer() + b"garbage", "not gzip"),
    "zstd": (b"\x28\xb5\x2f\xfd" + b"x" * 100, "gzip and plain tar"),
    "truncated tar": (GOOD[:600], "ends in the middle|sound tar"),
    "up": (images.tar([("../count.o", OBJECT)]), "leads out"),
    "far up": (images.tar([("a/../../count.o", OBJECT)]), "leads out"),
    "absolute": (images.tar([("/count.o", OBJECT)]), "leads out"),
    "symbolic link": (
        images.tar([(images.special("count.o", tarfile.SYMTYPE, linkname="/etc/shadow"), b"")]), "is a link"
    ),
    "hard link": (images.tar([(images.special("count.o", tarfile.LNKTYPE, linkname="x"), b"")]), "is a link"),
    "device": (images.tar([(images.special("count.o", tarfile.CHRTYPE, devmajor=1), b"")]), "device"),
    "FIFO": (images.tar([(images.special("count.o", tarfile.FIFOTYPE), b"")]), "FIFO"),
    "sparse": (sparse(), "sparse"),
    "several": (images.tar([("a.o", OBJECT), ("b.o", OBJECT)]), "2 object files: a.o, b.o"),
    "none": (images.tar([("README", b"text")]), "no object file"),
    "only below": (images.tar([("a/count.o", OBJECT)]), "no object file"),
    "no ELF": (images.tar([("count.o", b"text" * 10)]), "not an ELF"),
    "another machine": (images.tar([("count.o", images.elf(machine=62))]), "machine 62"),
    "linked": (images.tar([("count.o", images.elf(kind=3))]), "type 3"),
    "other byte order": (images.tar([("count.o", images.elf(little=False))]), "big-endian"),
    "thousands of files": (images.tar((str(n), b"") for n in range(1100)), "more than 1024"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_bytecode_image_is_refused_for_its_own_reason(name: str) -> None:
    layer, reason = BAD[name]
    with pytest.raises(errors.BadObject, match=reason) as refused:
        unpack.object_of([layer])
    assert refused.value.do


def test_a_bomb_is_not_unpacked() -> None:
    with pytest.raises(errors.Exhausted):
        unpack.object_of([gzip.compress(b"\0" * (unpack.MOST_UNPACKED + 1), 1)])


def test_a_large_object_is_refused() -> None:
    with pytest.raises(errors.Exhausted, match=r"count\.o"):
        unpack.object_of([images.tar([("count.o", images.elf(size=unpack.MOST_OBJECT + 1))])])


def test_the_older_label_says_which_object_is_meant() -> None:
    two = images.tar([("a.o", images.elf(size=300)), ("b.o", OBJECT)])
    assert unpack.object_of([two], "/b.o") == OBJECT


@given(st.binary(max_size=2000))
def test_any_bytes_are_refused_in_our_words(data: bytes) -> None:
    with pytest.raises((errors.BadObject, errors.Exhausted)):
        unpack.object_of([data])


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_archive_has_an_object_or_is_refused(changes: list[tuple[int, int]]) -> None:
    """Bits changed in the head of a real archive, where the parser decides."""
    damaged = bytearray(GOOD)
    for at, byte in changes:
        damaged[at % 520] = byte
    try:
        found = unpack.object_of([bytes(damaged)])
    except (errors.BadObject, errors.Exhausted):
        return
    assert found.startswith(b"\x7fELF")
