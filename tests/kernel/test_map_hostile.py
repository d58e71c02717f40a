"""Maps that change or go away while they are listed, and contents that are no text."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import threading
from collections.abc import Iterator

import pytest

from skep import errors, model
from skep.kernel import sys
from tests.kernel import manager_rig
from tests.kernel.manager_rig import ROOT

pytestmark = pytest.mark.native  # what it is about is the same in the guest, and slow there

HASH, ARRAY, LPM_TRIE = 1, 2, 11
COUNT = 5000


@pytest.fixture
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[manager_rig.Rig]:
    with manager_rig.rig(tmp_path_factory.mktemp("hostile")) as made:
        yield made


def made(kind: int, key: int, value: int, *, flags: int = 0) -> int:
    fd = sys.map_create(kind, key, value, COUNT, flags=flags, name="hostile")
    for number in range(COUNT):
        sys.map_update(fd, struct.pack("=I", number) + bytes(key - 4), struct.pack("=Q", number)[:value])
    return fd


def id_of(rig: manager_rig.Rig, fd: int) -> model.MapId:
    path = f"/sys/fs/bpf/skep-hostile-{os.getpid()}"
    sys.obj_pin(path, fd)
    try:
        return rig.manager.map_shape(ROOT, path).view.kernel.id
    finally:
        os.unlink(path)


def test_a_map_that_goes_away_while_it_is_listed(rig: manager_rig.Rig) -> None:
    fd = made(HASH, 4, 8)
    id = id_of(rig, fd)
    pages = rig.manager.map_pages(ROOT, model.MapDump(map=str(id)))
    assert next(pages).entries
    os.close(fd)
    rig.kernel.settle()
    with pytest.raises(errors.NotFound, match=f"no map {id}") as told:
        for _ in range(100):
            next(pages)
            rig.kernel.settle()
    assert told.value.do
    with pytest.raises(errors.NotFound):
        rig.manager.map_lookup(ROOT, str(id), model.Datum(json="1"))


def test_a_map_that_changes_while_it_is_listed_ends(rig: manager_rig.Rig) -> None:
    """What stays is told; what comes and goes may be told or not; and the list comes to an end."""
    fd = made(HASH, 4, 8)
    stays = {number for number in range(COUNT) if number % 2}
    over = threading.Event()

    def churn() -> None:
        while not over.is_set():
            for number in range(0, COUNT, 2):
                sys.map_delete(fd, struct.pack("=I", number))
            for number in range(0, COUNT, 2):
                sys.map_update(fd, struct.pack("=I", number), bytes(8))

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        seen: list[int] = []
        for page in rig.manager.map_pages(ROOT, model.MapDump(map=str(id_of(rig, fd)))):
            seen += [int(struct.unpack("=I", one.key)[0]) for one in page.entries]
    finally:
        over.set()
        thread.join()
        os.close(fd)
    assert stays <= set(seen)
    assert len(seen) < 2 * COUNT


def test_a_trie_that_loses_where_the_list_went_on_says_so(rig: manager_rig.Rig) -> None:
    """Tries are listed by their keys alone: without the last one, the kernel would begin anew."""
    fd = sys.map_create(LPM_TRIE, 8, 4, COUNT, flags=1, name="hostile")
    for number in range(COUNT):
        sys.map_update(fd, struct.pack("=I", 32) + struct.pack(">I", number), bytes(4))
    try:
        pages = rig.manager.map_pages(ROOT, model.MapDump(map=str(id_of(rig, fd))))
        first = next(pages)
        for entry in first.entries:
            sys.map_delete(fd, entry.key)
        told: list[bytes] = []
        with contextlib.suppress(errors.Conflict):
            for page in pages:
                told += [one.key for one in page.entries]
        assert not {one.key for one in first.entries} & set(told)
        assert len(told) <= COUNT
    finally:
        os.close(fd)


@pytest.mark.parametrize("label", [b"\xff\xfe\xfd", b"a\x00b", b"\x1b[31mred", b"\xc3\x28", b"12345678"])
def test_text_that_is_none_is_told_so_that_it_can_be_written_back(rig: manager_rig.Rig, label: bytes) -> None:
    from tests.kernel.test_map_contents import FLOW, MIXED, Bed

    bed = Bed(rig)
    bed.write("flows", FLOW, MIXED)
    (entry,) = bed.entries("flows")
    raw = entry.values[0]
    at = raw.index(b"abc")
    raw = raw[:at] + label.ljust(8, b"\0") + raw[at + 8 :]
    rig.manager.map_write(
        ROOT,
        model.MapWrite(
            map="flows", verb=model.MapVerb.UPDATE, key=model.Datum(raw=entry.key), value=model.Datum(raw=raw)
        ),
    )
    (entry,) = bed.entries("flows")
    assert entry.values == (raw,)
    told = json.loads(entry.values_json[0])["label"]
    assert told is not None and "\x1b" not in json.dumps(told)
    both = model.Datum(json=entry.values_json[0], raw=raw)
    bed.write("flows", FLOW, MIXED)
    rig.manager.map_write(
        ROOT,
        model.MapWrite(map="flows", verb=model.MapVerb.UPDATE, key=model.Datum(raw=entry.key), value=both),
    )
    (again,) = bed.entries("flows")
    assert again.values == (raw,)
