"""Images pushed by another tool into the CNCF's registry are read, and the reverse."""

from __future__ import annotations

import dataclasses
import json
import tarfile
from pathlib import Path

import pytest

from skep import errors, model
from skep.image import access, bytecode, manifest, reference, registries, registry, source
from skep.image.manifest import Descriptor, Manifest
from tests import images
from tests.image import rig


def pushed(registry: rig.Real, count: Path, name: str, tmp_path: Path, **environment: str) -> str:
    """An image that crane made of an object, as bpfman's documentation has users make them."""
    layer = tmp_path / "layer.tar.gz"
    with tarfile.open(layer, "w:gz") as archive:
        archive.add(count, "count.o")
    whole = f"{registry.host}/{name}"
    rig.crane("append", "--oci-empty-base", "-f", layer, "-t", whole, **environment)
    labels = [f"--label={name}={value}" for name, value in images.LABELS.items()]
    rig.crane("mutate", whole, *labels, **environment)
    return whole


def test_an_image_that_crane_pushed_is_pulled(registry: rig.Real, bed: rig.Bed, count: Path, tmp_path: Path) -> None:
    url = pushed(registry, count, "a/count:v1", tmp_path)
    found = bed.pull(url)
    assert found.digest == rig.crane("digest", url)
    assert (found.names, found.programs, found.fresh) == ((url,), {"count": "xdp"}, True)
    assert bed.object(url) == count.read_bytes()
    assert bed.told == [("pull", f"image {url}@{found.digest}", None)]
    assert "secret" not in repr(bed.told)


def test_what_is_pushed_here_crane_reads(registry: rig.Real, count: Path) -> None:
    store = images.Store()
    one = store.image(images.layer(count.read_bytes()))
    url = reference.parse(f"{registry.host}/b/count:v2")
    there = registry_of(url)
    whole = manifest.parse(store.blobs[one.digest])
    assert isinstance(whole, Manifest)
    for each in (whole.config, *whole.layers):
        there.upload_blob(each, store.blobs[each.digest])
        there.upload_blob(each, store.blobs[each.digest])  # a second time it is there
    assert there.put_manifest(store.blobs[one.digest], one.media_type, reference.tag("v2")) == one.digest
    assert rig.crane("digest", str(url)) == one.digest
    labels = json.loads(rig.crane("config", str(url)))["config"]["Labels"]
    assert labels == images.LABELS
    rig.crane("validate", "--remote", str(url))
    assert there.tags() == ("v2",)


def test_referrers_are_kept_where_the_registry_has_no_api_for_them(registry: rig.Real, bed: rig.Bed) -> None:
    """This registry has none: the fallback tag of the OCI's specification is written and read."""
    store = images.Store()
    url = reference.parse(f"{registry.host}/c/count:v1")
    there = registry_of(url)
    one = push(there, store, store.image(), "v1")
    signed = push(there, store, store.image(b"signature", artifact_type="application/x.sig", subject=one))
    push(there, store, store.image(b"sbom", artifact_type="application/x.sbom", subject=one))
    assert [each.artifact_type for each in there.referrers(one.digest)] == ["application/x.sig", "application/x.sbom"]
    (found,) = there.referrers(one.digest, "application/x.sig")
    assert found.digest == signed.digest
    image = bed.pull(str(url))
    kept = bed.images().repository(reference.digest(image.digest))
    assert image.evidence == 2
    assert [each.digest for each in kept.referrers(one.digest, "application/x.sig")] == [signed.digest]
    document = kept.manifest(signed.digest).parse()
    assert isinstance(document, Manifest)
    assert source.read_blob(kept, document.layers[0]) == b"signature"


def test_older_signatures_come_with_the_image(registry: rig.Real, bed: rig.Bed) -> None:
    store = images.Store()
    url = reference.parse(f"{registry.host}/d/count:v1")
    there = registry_of(url)
    one = push(there, store, store.image(), "v1")
    tag = reference.fallback_tag(one.digest, ".sig")
    push(there, store, store.image(b"{}", labels={}, tag=""), tag)
    image = bed.pull(str(url))
    kept = bed.images().repository(reference.digest(image.digest))
    assert kept.tags() == (tag,)
    assert isinstance(kept.manifest(tag).parse(), Manifest)


def test_an_index_leads_to_this_hosts_image(registry: rig.Real, bed: rig.Bed, count: Path) -> None:
    store = images.Store()
    url = reference.parse(f"{registry.host}/e/count:v1")
    there = registry_of(url)
    ours = bytecode.host_platform("x86_64", "little")
    mine = push(there, store, store.image(images.layer(count.read_bytes())))
    other = push(there, store, store.image(images.layer(images.elf(size=512))))
    for tag, docker in (("oci", False), ("docker", True)):
        index = store.index([(other, "linux/s390x"), (mine, str(ours))], docker=docker)
        there.put_manifest(store.blobs[index.digest], index.media_type, reference.tag(tag))
        found = bed.pull(f"{registry.host}/e/count:{tag}")
        assert (found.digest, found.manifest, found.platform) == (index.digest, mine.digest, str(ours))
        assert bed.object(f"{registry.host}/e/count:{tag}") == count.read_bytes()


@pytest.mark.parametrize(
    "kind", ["application/vnd.ebpf.object", "application/vnd.gadget.ebpf.program.v1+binary", manifest.OCI_LAYER_GZIP]
)
def test_an_artifact_of_its_own_media_type_is_pulled(registry: rig.Real, bed: rig.Bed, count: Path, kind: str) -> None:
    store = images.Store()
    url = reference.parse(f"{registry.host}/f/count:v1")
    layer = images.layer(count.read_bytes()) if "tar" in kind else count.read_bytes()
    one = store.image(layer, artifact_type="application/x.bpf", layer_type=kind, annotations=images.LABELS)
    push(registry_of(url), store, one, "v1")
    assert bed.pull(str(url)).programs == {"count": "xdp"}
    assert bed.object(str(url)) == count.read_bytes()


def test_a_login_is_asked_for_and_given(bed: rig.Bed, count: Path, tmp_path: Path) -> None:
    with rig.real(tmp_path, htpasswd=True) as locked:
        config = tmp_path / "docker"
        config.mkdir()
        rig.crane("auth", "login", locked.host, "-u", rig.USER, "-p", rig.PASSWORD, DOCKER_CONFIG=str(config))
        url = pushed(locked, count, "a/count:v1", tmp_path, DOCKER_CONFIG=str(config))
        bed.settings = dataclasses.replace(bed.settings, auth_file=str(tmp_path / "none"))
        with pytest.raises(errors.Denied, match="no login"):
            bed.pull(url)
        wrong = model.Login(username=rig.USER, password="guessed")
        with pytest.raises(errors.Denied, match="refuses the login") as refused:
            bed.pull(url, login=wrong)
        assert "guessed" not in str(refused.value)
        assert bed.files() == []
        assert bed.pull(url, login=model.Login(username=rig.USER, password=rig.PASSWORD)).fresh
        # The file that docker's tools write serves as well.
        other = rig.Bed(tmp_path / "other", registries.Registries(auth_file=str(config / "config.json")))
        assert other.pull(url).fresh


def test_tls_is_trusted_by_a_file_and_not_otherwise(bed: rig.Bed, count: Path, tmp_path: Path) -> None:
    pem = rig.certificate(tmp_path)
    with rig.real(tmp_path, certificate=pem) as secure:
        # crane takes its authorities from the environment, as Go's programs do.
        url = pushed(secure, count, "a/count:v1", tmp_path, SSL_CERT_FILE=f"{pem}.crt")
        with pytest.raises(errors.Unavailable, match=r"certificate of .* is not trusted"):
            bed.pull(url)
        bed.settings = dataclasses.replace(bed.settings, ca_file=f"{pem}.crt")
        assert bed.pull(url).fresh


def test_tags_move_and_digests_do_not(registry: rig.Real, bed: rig.Bed) -> None:
    store = images.Store()
    name = f"{registry.host}/g/count"
    there = registry_of(reference.parse(name))
    first = push(there, store, store.image(images.layer(images.elf(size=300))), "v1")
    assert bed.pull(f"{name}:v1", model.PullPolicy.IF_NOT_PRESENT).digest == first.digest
    second = push(there, store, store.image(images.layer(images.elf(size=400))), "v1")
    assert bed.pull(f"{name}:v1", model.PullPolicy.IF_NOT_PRESENT).digest == first.digest
    assert bed.pull(f"{name}:v1", model.PullPolicy.NEVER).digest == first.digest
    assert bed.pull(f"{name}:v1", model.PullPolicy.ALWAYS).digest == second.digest
    assert bed.pull(f"{name}:v1", model.PullPolicy.IF_NOT_PRESENT).digest == second.digest
    assert not bed.pull(f"{name}@{first.digest}", model.PullPolicy.IF_NOT_PRESENT).fresh
    with pytest.raises(errors.NotFound, match="Never"):
        bed.pull(f"{name}:v2", model.PullPolicy.NEVER)


def registry_of(url: reference.Reference) -> registry.Registry:
    return registry.Registry(url, access.Access())


def push(there: registry.Registry, store: images.Store, one: Descriptor, tag: str = "") -> Descriptor:
    """Push an image of a store with its blobs."""
    whole = manifest.parse(store.blobs[one.digest])
    assert isinstance(whole, Manifest)
    for each in (whole.config, *whole.layers):
        there.upload_blob(each, store.blobs[each.digest])
    there.put_manifest(store.blobs[one.digest], one.media_type, reference.tag(tag) if tag else None)
    return one
