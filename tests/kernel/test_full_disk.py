"""A full disk: on a file system of one megabyte, whatever cannot be written is refused and changes nothing."""

from __future__ import annotations

import contextlib
import subprocess

import pytest

from skep import errors, model, steps, store
from tests.kernel import manager_rig
from tests.kernel.manager_rig import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def small(tmp_path):
    """A directory on a tmpfs of 1 MiB; mounting needs root."""
    directory = tmp_path / "small"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "skep-test", str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(directory, left: int) -> None:
    """Leave ``left`` bytes, in whole pages, free."""
    (directory / "filler").unlink(missing_ok=True)
    with (directory / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    with (directory / "filler").open("r+b") as file:
        file.truncate(max(0, file.seek(0, 2) - left))


def test_a_store_that_cannot_be_made_says_the_disk_is_full(small):
    fill(small, 0)
    with pytest.raises(errors.Exhausted, match="full"):
        store.Store(small / "skep.db")
    (small / "filler").unlink()
    store.Store(small / "skep.db").close()


def test_what_does_not_fit_is_not_written_at_all(small):
    opened = store.Store(small / "skep.db")
    operation = opened.take_ids().operation
    opened.begin(operation, "load", ())
    before = opened.snapshot()
    large = steps.StoreChange(objects={model.Digest("0" * 64): bytes(2 * 1024 * 1024)})
    with pytest.raises(errors.Exhausted) as refused:
        opened.commit(operation, large)
    assert "free some space" in refused.value.do
    assert opened.snapshot() == before
    opened.done(operation)
    assert opened.pending() == ()
    assert opened.take_ids().operation == operation + 1
    opened.close()


@pytest.mark.parametrize("pages", range(0, 40, 3))
def test_with_little_space_an_operation_is_done_or_not_begun(tmp_path, small, pages):
    """However much is free, an operation that fails leaves kernel, pins and records as they were."""
    with manager_rig.rig(small) as rig:
        (program,) = rig.load("on_xdp")
        link = rig.attach(program, rig.attachment("on_xdp"))
        fill(small, pages * 4096)
        refused = 0
        for op in (
            manager_rig.load("on_tcx"),
            model.UpdateLink(link=link, priority=7),
            manager_rig.load("on_xdp", "on_tracepoint"),
            model.UpdateLink(link=link, priority=8),
            model.Detach(link=link),
        ):
            before = rig.state()
            try:
                rig.manager.run(ROOT, op)
            except errors.Exhausted:
                refused += 1
                assert rig.state()[:-1] == before[:-1]
        (small / "filler").unlink()
        rig.manager.run(ROOT, manager_rig.load("on_tcx"))
        assert rig.store.pending() == ()
        assert rig.manager.doctor() == ()
        if pages == 0:
            assert refused > 0
