"""The cache: whole or not at all, checked whenever it is used, shared, and emptied only of what nobody needs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import errors, model
from skep.image import fetcher
from skep.image.reference import Digest, hex_of
from tests import images
from tests.image import rig

NEVER = model.PullPolicy.NEVER


def layout(directory: Path, store: images.Store) -> str:
    """Write a store as an OCI layout; its path."""
    for name, data in store.files().items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return str(directory)


def test_tags_and_images_share_blobs(bed: rig.Bed, tmp_path: Path) -> None:
    store = images.Store()
    store.tags["v2"] = store.image(tag="v1").digest
    store.image(labels={"io.ebpf.programs": '{"other":"xdp"}'}, tag="v3")
    where = layout(tmp_path / "layout", store)
    first, second, third = (bed.pull(f"oci:{where}:{tag}") for tag in ("v1", "v2", "v3"))
    assert first.digest == second.digest != third.digest
    assert second.names == (f"oci:{where}:v1", f"oci:{where}:v2")
    blobs = [name for name in bed.files() if name.startswith("blobs/")]
    assert len(blobs) == 5, "two manifests, two configurations, one layer"


def test_it_survives_a_restart(bed: rig.Bed, tmp_path: Path) -> None:
    store = images.Store()
    store.image(tag="v1")
    url = f"oci:{layout(tmp_path / 'layout', store)}:v1"
    found = bed.pull(url)
    # Every ``images()`` is one as after a start.
    assert bed.object(url, found.digest) == images.elf()
    assert bed.images().one(found.digest[7:19]).names == (url,)
    bed.images().ensure(rig.ME, model.ImageRequest(url=url))
    assert bed.images().listed()[0].digest == found.digest


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
@pytest.mark.parametrize("part", ["manifest", "config", "layer"])
def test_a_blob_that_somebody_changed_is_seen_when_it_is_used(
    bed: rig.Bed, tmp_path: Path, part: str, damage: str
) -> None:
    store = images.Store()
    one = store.image(tag="v1")
    with rig.hostile(store) as registry:
        found = bed.pull(f"{registry.url}:v1")
        fields = json.loads(store.blobs[one.digest])
        digests = {"manifest": one.digest, "config": fields["config"]["digest"], "layer": fields["layers"][0]["digest"]}
        path = bed.directory / "blobs/sha256" / hex_of(Digest(digests[part]))
        data = path.read_bytes()
        match damage:
            case "changed":
                path.write_bytes(data[:-1] + b"\x7f")
            case "cut":
                path.write_bytes(data[:-1])
            case "gone":
                path.unlink()
        with pytest.raises(errors.Broken, match=digests[part]) as refused:
            bed.object(found.names[0], found.digest)
        assert "Always" in refused.value.do
        assert bool(bed.images().listed()[0].damage) is (part != "layer")
        # The remedy that it names is one.
        bed.pull(f"{registry.url}:v1")
        assert bed.object(found.names[0], found.digest) == images.elf()


def test_what_a_killed_pull_left_behind_goes_at_the_next_one(bed: rig.Bed, tmp_path: Path) -> None:
    store = images.Store()
    store.image(tag="v1")
    url = f"oci:{layout(tmp_path / 'layout', store)}:v1"
    left = bed.directory / "staging" / "0123"
    left.mkdir(parents=True)
    (left / "sha256-00").write_bytes(b"half")
    half = bed.directory / "blobs/sha256/.new-0123"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    with fetcher.staging(str(left.parent)) as under_way:
        bed.pull(url)
        assert not left.exists()
        assert not half.exists()
        os.fstat(under_way)
        assert len(list((bed.directory / "staging").iterdir())) == 1, "a pull under way keeps its own"


def test_a_pull_that_nobody_waits_for_any_more_leaves_nothing(bed: rig.Bed) -> None:
    store = images.Store()
    store.image(tag="v1")
    with rig.hostile(store) as registry:
        pull = bed.images().pull(rig.ME, model.ImageRequest(url=f"{registry.url}:v1"))
        assert isinstance(next(pull), model.PullProgress)
        pull.close()
    assert bed.files() == []
    assert list((bed.directory / "staging").iterdir()) == []


def test_pruning_keeps_what_programs_came_from(bed: rig.Bed, tmp_path: Path) -> None:
    store = images.Store()
    store.image(tag="v1")
    store.image(images.layer(images.elf(size=777)), tag="v2")
    where = layout(tmp_path / "layout", store)
    first, second = (bed.pull(f"oci:{where}:{tag}") for tag in ("v1", "v2"))
    bed.loaded = {first.digest: (model.ProgramId(7),)}
    everything = bed.images()
    assert everything.prune(rig.ME).digests == (), "both have names"
    assert everything.prune(rig.ME, everything=True, older_than=60).digests == (), "both were used just now"
    assert everything.prune(rig.ME, everything=True, dry_run=True).digests == (second.digest,)
    assert len(everything.listed()) == 2
    removed = everything.prune(rig.ME, everything=True)
    assert removed.digests == (second.digest,)
    assert removed.freed > 0
    assert bed.object(f"oci:{where}:v1") == images.elf()
    bed.loaded = {}
    assert everything.prune(rig.ME, everything=True).digests == (first.digest,)
    assert bed.files() == []


def test_a_name_that_moved_on_leaves_its_image_to_be_pruned(bed: rig.Bed) -> None:
    store = images.Store()
    store.image(tag="v1")
    with rig.hostile(store) as registry:
        first = bed.pull(f"{registry.url}:v1")
        store.image(images.layer(images.elf(size=777)), tag="v1")
        second = bed.pull(f"{registry.url}:v1")
        assert [each.names for each in bed.images().listed() if each.digest == first.digest] == [()]
        assert bed.images().prune(rig.ME).digests == (first.digest,)
        assert [each.digest for each in bed.images().listed()] == [second.digest]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k,mode=0700", "skep-test", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_full_disk_is_told_and_leaves_nothing_partial(small_disk: Path) -> None:
    bed = rig.Bed(small_disk / "cache")
    store = images.Store()
    store.image(images.tar([("count.o", images.elf() + os.urandom(200_000))]), tag="large")
    store.image(tag="small")
    with rig.hostile(store) as registry:
        with pytest.raises(errors.Exhausted, match="disk") as refused:
            bed.pull(f"{registry.url}:large")
        assert "prune" in refused.value.do
        assert bed.files() == []
        assert bed.pull(f"{registry.url}:small").fresh, "there is room for this one"
