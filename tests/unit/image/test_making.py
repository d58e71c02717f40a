"""Images are the same bytes for the same input, and say of a program what its object says."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile

import pytest

from skep import errors
from skep.bytecode.elf import ByteOrder
from skep.cli import imagefiles
from skep.image import bytecode, making, manifest, platforms
from skep.image.manifest import Index, Manifest, Platform
from tests import bpf_build
from tests.unit.house import source_tree

AMD64 = Platform(os="linux", architecture="amd64")
ARM64 = Platform(os="linux", architecture="arm64")


def part(platform: Platform = AMD64, name: str = "capable.bpf.o", data: bytes | None = None) -> making.Part:
    content = bpf_build.build("capable").read_bytes() if data is None else data
    return making.Part(platform=platform, order=ByteOrder.LITTLE, name=name, data=content)


def content(built: making.Built) -> dict[str, bytes]:
    return {one.digest: data for one, data in (*built.blobs, *built.manifests)}


def test_the_same_input_gives_the_same_digest() -> None:
    first = making.build([part(AMD64), part(ARM64)], annotations={"a": "1"})
    second = making.build([part(ARM64), part(AMD64)], annotations={"a": "1"})

    assert first == second


def test_the_layer_does_not_depend_on_anybodys_zlib() -> None:
    """The digest of a fixed input: whoever changes it changes every image's."""
    layer = making._gzip(making._tar("count.o", b"\x7fELF" * 20_000, 0))

    assert hashlib.sha256(layer).hexdigest() == "01ed0c01fbecb5e7e00913d285d34f9d21775218f97a17ff0c32d840ab2434c3"


def test_every_blob_has_its_digest_and_size() -> None:
    built = making.build([part(AMD64), part(ARM64)])

    for one, data in (*built.blobs, *built.manifests):
        assert (one.digest, one.size) == (f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))


def test_a_single_object_makes_a_manifest_with_the_file_at_its_root() -> None:
    built = making.build([part()], seconds=1_700_000_000)

    whole = manifest.parse(content(built)[built.top.digest], built.top.media_type)
    assert isinstance(whole, Manifest)
    (layer,) = whole.layers
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(content(built)[layer.digest]))) as archive:
        (entry,) = archive.getmembers()
        assert (entry.name, entry.mode, entry.mtime, entry.uid) == ("capable.bpf.o", 0o644, 1_700_000_000, 0)
        file = archive.extractfile(entry)
        assert file is not None
        assert file.read() == bpf_build.build("capable").read_bytes()
    config = json.loads(content(built)[whole.config.digest])
    assert config["created"] == "2023-11-14T22:13:20Z"
    assert config["rootfs"]["diff_ids"] == [
        f"sha256:{hashlib.sha256(gzip.decompress(content(built)[layer.digest])).hexdigest()}"
    ]


def test_several_make_an_index_from_which_each_machine_gets_its_own() -> None:
    built = making.build([part(ARM64), part(AMD64)])

    index = manifest.parse(content(built)[built.top.digest], built.top.media_type)
    assert isinstance(index, Index)
    chosen = bytecode.choose(index, ARM64, "little")
    whole = manifest.parse(content(built)[chosen.digest], chosen.media_type)
    assert isinstance(whole, Manifest)
    assert json.loads(content(built)[whole.config.digest])["architecture"] == "arm64"
    assert len(built.blobs) == 3  # one object for both, two configurations


def test_labels_come_from_the_object() -> None:
    found = making.labels(bpf_build.build("capable").read_bytes(), ByteOrder.LITTLE)

    programs = json.loads(found["io.ebpf.programs"])
    assert programs["writes"] == "xdp"
    assert programs["stores_bytes"] == "tc"
    assert programs["of_no_known_type"] == "unspec"
    assert json.loads(found["io.ebpf.maps"]) == {"hits": "array"}
    assert "rewrite-packets" in json.loads(found["io.skep.capabilities"])["writes"]


def test_the_image_reader_reads_them_back() -> None:
    built = making.build([part()])
    whole = manifest.parse(content(built)[built.top.digest])
    assert isinstance(whole, Manifest)

    told = bytecode.labels(whole, json.loads(content(built)[whole.config.digest]))

    assert told.told
    assert told.maps == {"hits": "array"}


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"", "empty"), (b"#!/bin/sh\n", "does not start like an ELF"), (b"\x7fELF" + bytes(80), "32-bit")],
    ids=["empty", "script", "broken"],
)
def test_what_is_no_object_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(errors.BadObject, match=says):
        making.build([part(data=data)])


def test_an_object_of_the_other_byte_order_is_refused() -> None:
    big = making.Part(
        platform=Platform(os="linux", architecture="s390x"),
        order=ByteOrder.BIG,
        name="x.o",
        data=bpf_build.build("capable").read_bytes(),
    )
    with pytest.raises(errors.BadObject, match="byte order"):
        making.build([big])


def test_two_files_for_one_platform_are_refused() -> None:
    with pytest.raises(errors.InvalidRequest, match="two files are for linux/amd64"):
        making.build([part(name="a.o"), part(name="b.o")])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("count_x86_bpfel.o", "linux/amd64"),
        ("count_x86_64_bpfel.o", "linux/amd64"),
        ("bpf_arm64_bpfel.o", "linux/arm64"),
        ("count_bpfel.o", "linux/bpfel"),
        ("count_s390_bpfeb.o", "linux/s390x"),
        ("count_powerpc_bpfel.o", "linux/ppc64le"),
        ("count_mips_bpfeb.o", "linux/mips"),
        ("count.o", None),
        ("count_x86.o", None),
        ("bpfel_bpfeb.o", None),
    ],
)
def test_platforms_by_file_name(name: str, expected: str | None) -> None:
    found = platforms.by_file_name(name)

    assert (found and str(found[0])) == expected


def test_an_unknown_architecture_has_near_misses() -> None:
    with pytest.raises(errors.NotFound) as caught:
        platforms.by_architecture("linux/arm46")

    assert "arm64" in caught.value.near


def test_the_containerfile_for_several_platforms_has_them_all() -> None:
    text = (source_tree.ROOT / "deploy/image/Containerfile.bytecode.multi.arch").read_text()

    stages = re.findall(r"FROM scratch AS linux(\w+)\nARG (\w+)\nCOPY --chmod=0644 \$\{(\w+)\} /\n", text)

    assert stages == [(one.architecture, one.argument, one.argument) for one in platforms.MACHINES]


def test_bpfmans_options_are_the_same_platforms() -> None:
    wanted = ["--" + one.argument.lower().replace("_", "-") for one in platforms.MACHINES]

    assert list(imagefiles.BY_PLATFORM) == wanted


def test_build_arguments_are_those_of_bpfmans_containerfiles() -> None:
    several = making.arguments([(part(AMD64, "a.o"), True), (part(ARM64, "b.o"), True)])
    single = making.arguments([(part(name="a.o"), False)])

    assert several["BC_AMD64_EL"] == "a.o"
    assert several["BC_ARM64_EL"] == "b.o"
    assert single["BYTECODE_FILE"] == "a.o"
    assert json.loads(single["MAPS"]) == {"hits": "array"}
