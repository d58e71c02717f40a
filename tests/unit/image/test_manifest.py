"""Indexes, manifests and labels out of hostile bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep import errors
from skep.image import bytecode, document, manifest
from skep.image.manifest import Index, Manifest, Platform
from tests import images

AMD64 = Platform(os="linux", architecture="amd64")
ONE = {"mediaType": manifest.OCI_CONFIG, "digest": "sha256:" + "ab" * 32, "size": 3}


def packed(**fields: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, **fields}).encode()


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_a_manifest_is_read_and_written_again(docker: bool) -> None:
    store = images.Store()
    one = store.image(docker=docker)
    found = manifest.parse(store.blobs[one.digest], one.media_type)
    assert isinstance(found, Manifest)
    assert manifest.pack(found) == store.blobs[one.digest]
    whole = store.index([(one, "linux/amd64"), (one, "linux/arm64/v8")], docker=docker)
    index = manifest.parse(store.blobs[whole.digest], whole.media_type)
    assert isinstance(index, Index)
    assert [str(each.platform) for each in index.manifests] == ["linux/amd64", "linux/arm64/v8"]


BAD = {
    "no JSON": b"<html>",
    "no object": b"[]",
    "deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep, but readable": packed(a=json.loads("[" * 40 + "]" * 40)),
    "too long": b" " * (manifest.MOST_BYTES + 1),
    "a name twice": b'{"layers":[],"layers":[]}',
    "NaN": b'{"layers": NaN}',
    "neither": packed(),
    "both": packed(manifests=[], layers=[], config=ONE),
    "schema 1": json.dumps({"schemaVersion": 1, "fsLayers": []}).encode(),
    "manifests no array": packed(manifests={}),
    "thousands of entries": packed(manifests=[ONE] * 513),
    "hundreds of layers": packed(config=ONE, layers=[ONE] * 129),
    "no config": packed(layers=[ONE]),
    "bad digest": packed(config=ONE, layers=[{**ONE, "digest": "sha256:../../etc/passwd"}]),
    "digest no text": packed(config=ONE, layers=[{**ONE, "digest": 3}]),
    "negative size": packed(config=ONE, layers=[{**ONE, "size": -1}]),
    "size true": packed(config=ONE, layers=[{**ONE, "size": True}]),
    "huge size": packed(config=ONE, layers=[{**ONE, "size": 10**30}]),
    "bad media type": packed(config=ONE, layers=[{**ONE, "mediaType": "a\nb/c"}]),
    "annotation no text": packed(config=ONE, layers=[], annotations={"a": 1}),
    "platform no object": packed(manifests=[{**ONE, "platform": "linux"}]),
    "not UTF-8": b'{"a":"\xff"}',
    "another type than it came with": packed(mediaType=manifest.OCI_INDEX, config=ONE, layers=[]),
}


@pytest.mark.parametrize("name", BAD)
def test_nonsense_is_refused(name: str) -> None:
    with pytest.raises(errors.BadObject):
        manifest.parse(BAD[name], manifest.OCI_MANIFEST if "another" in name else "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just(ONE),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
        ["manifests", "layers", "config", "digest", "size", "mediaType", "annotations", "platform", "subject", "x"]
    ), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_any_json_is_a_document_or_refused(value: Any) -> None:
    try:
        found = manifest.parse(json.dumps(value).encode())
    except errors.BadObject:
        return
    assert manifest.parse(manifest.pack(found)) == found


@given(st.binary(max_size=300))
def test_any_bytes_are_a_document_or_refused(data: bytes) -> None:
    with pytest.raises(errors.BadObject):
        manifest.parse(data)


@given(JSON)
def test_any_configuration_has_labels_or_is_refused(value: Any) -> None:
    bare = Manifest(media_type=manifest.OCI_MANIFEST, config=manifest.descriptor(ONE, "it"), layers=())
    for config in (
        {"config": {"Labels": value}},
        {"config": value},
        {"config": {"Labels": {"io.ebpf.maps": str(value)}}},
    ):
        try:
            labels = bytecode.labels(bare, config)
        except errors.BadObject:
            continue
        assert all(isinstance(each, str) for each in (*labels.programs.values(), *labels.maps.values()))


def chosen(*platforms: str, byteorder: str = "little") -> int:
    """Which of some entries is chosen on linux/amd64."""
    store = images.Store()
    entries = [(store.image(labels={"n": str(number)}), each) for number, each in enumerate(platforms)]
    index = manifest.parse(store.blobs[store.index(entries).digest])
    assert isinstance(index, Index)
    found = bytecode.choose(index, AMD64, byteorder)
    return [one.digest for one, _ in entries].index(found.digest)


@pytest.mark.parametrize(
    ("platforms", "number"),
    [
        (("linux/arm64", "linux/amd64"), 1),
        (("linux/bpfel", "linux/amd64"), 1),
        (("linux/bpfeb", "linux/bpfel"), 1),
        (("windows/amd64", "linux/amd64"), 1),
        (("linux/amd64/v3", "linux/amd64"), 1),
        (("linux/amd64/v3",), 0),
        (("",), 0),
        (("unknown/unknown", "linux/amd64"), 1),
    ],
)
def test_the_entry_for_this_host_is_chosen(platforms: tuple[str, ...], number: int) -> None:
    assert chosen(*platforms) == number


@pytest.mark.parametrize("platforms", [("linux/arm64",), ("linux/bpfeb",), (), ("", ""), ("unknown/unknown",)])
def test_an_index_without_an_entry_for_this_host_says_what_it_has(platforms: tuple[str, ...]) -> None:
    with pytest.raises(errors.NotFound, match="linux/amd64"):
        chosen(*platforms)


def test_the_older_labels_are_read() -> None:
    bare = Manifest(media_type=manifest.OCI_MANIFEST, config=manifest.descriptor(ONE, "it"), layers=())
    old = {
        "io.ebpf.program_name": "x",
        "io.ebpf.bpf_function_name": "pass",
        "io.ebpf.program_type": "xdp",
        "io.ebpf.filename": "pass.o",
    }
    labels = bytecode.labels(bare, {"config": {"Labels": old}})
    assert (dict(labels.programs), labels.filename, labels.told) == ({"pass": "xdp"}, "pass.o", True)
    assert not bytecode.labels(bare, {}).told


@pytest.mark.parametrize(
    ("machine", "byteorder", "architecture"),
    [("x86_64", "little", "amd64"), ("aarch64", "little", "arm64"), ("mips", "little", "mipsle"),
     ("s390x", "big", "s390x"), ("mips64", "little", "mips64le"), ("new", "little", "new")],
)  # fmt: skip
def test_a_machine_has_gos_name(machine: str, byteorder: str, architecture: str) -> None:
    assert bytecode.host_platform(machine, byteorder).architecture == architecture


def test_an_image_for_the_other_byte_order_is_refused_and_one_for_another_machine_is_not() -> None:
    bytecode.check_platform({"architecture": "arm64"}, AMD64, "little")
    with pytest.raises(errors.BadObject, match="big-endian"):
        bytecode.check_platform({"architecture": "s390x"}, AMD64, "little")


def test_json_is_written_the_same_each_time() -> None:
    assert document.write({"b": 1, "a": "é"}) == '{"b":1,"a":"é"}'.encode()
