"""Images out of files: OCI layouts and archives, read with the rights of who asks."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from skep import errors
from skep.image import local
from tests import images
from tests.image import rig
from tests.image.test_cache import layout


def test_what_crane_saves_is_read(registry: rig.Real, bed: rig.Bed, tmp_path: Path, count: Path) -> None:
    from tests.image.test_registry import pushed

    url = pushed(registry, count, "h/count:v1", tmp_path)
    rig.crane("pull", url, tmp_path / "saved.tar")
    rig.crane("pull", "--format=oci", url, tmp_path / "layout")
    for where in (f"docker-archive:{tmp_path}/saved.tar", f"oci:{tmp_path}/layout"):
        assert bed.pull(where).programs == {"count": "xdp"}
        assert bed.object(where) == count.read_bytes()


def test_a_layout_in_an_archive(bed: rig.Bed, tmp_path: Path) -> None:
    store = images.Store()
    store.image(tag="v1")
    store.image(images.layer(images.elf(size=700)), tag="v2")
    archive = tmp_path / "layout.tar"
    archive.write_bytes(images.tar(store.files().items()))
    for transport in ("oci", "oci-archive"):
        assert bed.pull(f"{transport}:{archive}:v2").digest == store.tags["v2"]
        assert len(bed.object(f"{transport}:{archive}:v2")) == 700


def test_docker_save_as_it_was_before_it_was_oci(bed: rig.Bed, tmp_path: Path) -> None:
    store = images.Store()
    one = store.image(images.tar([("count.o", images.elf())]), docker=True)
    path = tmp_path / "saved.tar"
    path.write_bytes(images.docker_archive(store, one, "count:v1", "count:latest"))
    found = bed.pull(f"docker-archive:{path}:count:v1")
    assert found.programs == {"count": "xdp"}
    assert bed.object(f"docker-archive:{path}:count:v1") == images.elf()


def test_which_image_is_meant_must_be_said(bed: rig.Bed, tmp_path: Path) -> None:
    store = images.Store()
    store.image(tag="v1")
    store.image(images.layer(images.elf(size=700)), tag="v2")
    where = layout(tmp_path / "layout", store)
    with pytest.raises(errors.InvalidRequest, match="2 images") as refused:
        bed.pull(f"oci:{where}")
    assert "v1, v2" in refused.value.do
    with pytest.raises(errors.NotFound, match="v3"):
        bed.pull(f"oci:{where}:v3")


BAD = {
    "no archive": b"text" * 200,
    "nothing in it": images.tar([("README", b"text")]),
    "no list": images.tar([("manifest.json", b"{}")]),
    "a list of something": images.tar([("manifest.json", b'[{"Layers":3}]')]),
    "what it lists is missing": images.tar([("manifest.json", b'[{"Config":"x.json","Layers":[]}]')]),
    "a path that leads out": images.tar([("../manifest.json", b"[]")]),
    "cut": images.tar([("manifest.json", b"[]" * 600)])[:700],
    "a link in place of the list": images.tar(
        [(images.special("index.json", tarfile.SYMTYPE, linkname="/etc/passwd"), b"")]
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_an_archive_of_something_else(bed: rig.Bed, tmp_path: Path, name: str) -> None:
    path = tmp_path / "saved.tar"
    path.write_bytes(BAD[name])
    with pytest.raises(errors.BadObject) as refused:
        bed.pull(f"docker-archive:{path}")
    assert refused.value.do
    assert bed.files() == []


def test_a_layout_whose_blob_is_another(bed: rig.Bed, tmp_path: Path) -> None:
    store = images.Store()
    one = store.image(tag="v1")
    where = layout(tmp_path / "layout", store)
    (tmp_path / "layout/blobs/sha256" / one.digest[7:]).write_bytes(b"{}")
    with pytest.raises(errors.BadObject, match="is not sha256:"):
        bed.pull(f"oci:{where}:v1")
    assert bed.files() == []


def test_a_path_that_is_not_there(bed: rig.Bed, tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound):
        bed.pull(f"oci:{tmp_path}/none")


@pytest.mark.parametrize("url", ["oci:relative", "docker-archive:", "oci:/a\nb"])
def test_a_path_must_be_whole(url: str) -> None:
    with pytest.raises(errors.InvalidRequest):
        local.parse(url)
