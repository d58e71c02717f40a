"""A registry that lies, stalls or has trouble: each is refused for its own reason, and leaves nothing in the cache."""

from __future__ import annotations

import dataclasses
import gzip
import os
import tarfile
import threading
import time
from pathlib import Path

import pytest

from skep import errors, model
from skep.image import manifest, reference, registries
from skep.image.manifest import Manifest
from tests import images
from tests.image import rig
from tests.image.rig import Said


def layer_of(store: images.Store, tag: str = "v1") -> str:
    whole = manifest.parse(store.blobs[store.tags[tag]])
    assert isinstance(whole, Manifest)
    return whole.layers[0].digest


def refused(bed: rig.Bed, url: str, kind: type[errors.SkepError], why: str) -> errors.SkepError:
    with pytest.raises(kind, match=why) as raised:
        bed.pull(url)
    assert raised.value.do
    assert bed.files() == [], "nothing partial remains"
    assert list((bed.directory / "staging").iterdir()) == []
    assert [(verb, type(failed)) for verb, _, failed in bed.told] == [("pull", kind)]
    return raised.value


BLOBS = {
    "other bytes": (lambda data: data[:-1] + b"x", errors.BadObject, "is not sha256:"),
    "fewer bytes": (lambda data: data[:-10], errors.BadObject, "bytes and should have"),
    "more bytes": (lambda data: data + b"x", errors.BadObject, "more than the"),
    "nothing": (lambda data: b"", errors.BadObject, "0 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", BLOBS)
def test_a_blob_that_is_not_its_digest(bed: rig.Bed, name: str) -> None:
    change, kind, why = BLOBS[name]
    store = images.Store()
    store.image(tag="v1")
    with rig.hostile(store) as registry:
        layer = layer_of(store)
        registry.says[f"blobs/{layer}"] = Said(body=change(store.blobs[reference.Digest(layer)]))
        refused(bed, f"{registry.url}:v1", kind, why)


LAYERS = {
    "up": (images.tar([("../count.o", images.elf())]), "leads out"),
    "a link": (images.tar([(images.special("count.o", tarfile.SYMTYPE, linkname="/etc/passwd"), b"")]), "is a link"),
    "a device": (images.tar([(images.special("count.o", tarfile.BLKTYPE), b"")]), "device"),
    "several objects": (images.tar([("a.o", images.elf()), ("b.o", images.elf())]), "2 object files"),
    "other byte order": (images.tar([("a.o", images.elf(little=False))]), "big-endian"),
    "truncated gzip": (images.layer()[:-20], "ends in the middle"),
    "no object": (images.tar([("README", b"text")]), "no object file"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_holds_something_else(bed: rig.Bed, name: str) -> None:
    layer, why = LAYERS[name]
    store = images.Store()
    store.image(layer, tag="v1")
    with rig.hostile(store) as registry:
        refused(bed, f"{registry.url}:v1", errors.BadObject, why)


def test_a_layer_that_unpacks_to_gigabytes(bed: rig.Bed) -> None:
    store = images.Store()
    store.image(gzip.compress(b"\0" * (65 << 20), 1), tag="v1")
    with rig.hostile(store) as registry:
        refused(bed, f"{registry.url}:v1", errors.Exhausted, "too large|bytes are allowed")


def test_a_layer_that_is_said_to_be_huge_is_not_fetched(bed: rig.Bed) -> None:
    store = images.Store()
    one = store.image()
    whole = manifest.parse(store.blobs[one.digest])
    assert isinstance(whole, Manifest)
    huge = dataclasses.replace(whole, layers=(dataclasses.replace(whole.layers[0], size=10 << 30),))
    store.document(manifest.pack(huge), one.media_type, "v1")
    with rig.hostile(store) as registry:
        refused(bed, f"{registry.url}:v1", errors.Exhausted, "too large")
        assert registry.times(whole.layers[0].digest) == 0


def test_an_index_of_thousands(bed: rig.Bed) -> None:
    store = images.Store()
    store.index([(store.image(), "linux/amd64")] * 3000, tag="v1")
    with rig.hostile(store) as registry:
        refused(bed, f"{registry.url}:v1", errors.BadObject, "3000 entries")


def test_indexes_without_end(bed: rig.Bed) -> None:
    store = images.Store()
    one = store.image()
    for _ in range(6):
        one = store.index([(one, "")])
    store.tags["v1"] = one.digest
    with rig.hostile(store) as registry:
        refused(bed, f"{registry.url}:v1", errors.BadObject, "nested")


def test_an_index_that_leads_to_itself(bed: rig.Bed) -> None:
    """No document can hold its own digest, so a registry that says so lies about the digest."""
    store = images.Store()
    inner = store.image()
    outer = store.index([(inner, "")], tag="v1")
    with rig.hostile(store) as registry:
        registry.says[f"manifests/{inner.digest}"] = Said(
            headers={"Content-Type": manifest.OCI_INDEX}, body=store.blobs[outer.digest]
        )
        refused(bed, f"{registry.url}:v1", errors.BadObject, "is not sha256:")


def test_no_entry_for_this_machine(bed: rig.Bed) -> None:
    store = images.Store()
    store.index([(store.image(), "linux/s390x"), (store.image(), "windows/amd64")], tag="v1")
    with rig.hostile(store) as registry:
        refused(bed, f"{registry.url}:v1", errors.NotFound, "linux/s390x")


def test_no_image_at_all(bed: rig.Bed) -> None:
    with rig.hostile(images.Store()) as registry:
        registry.says["manifests/v1"] = Said(headers={"Content-Type": "text/html"}, body=b"<html>Log in here")
        refused(bed, f"{registry.url}:v1", errors.BadObject, "not JSON")


def test_a_digest_that_a_tag_does_not_lead_to(bed: rig.Bed) -> None:
    store = images.Store()
    one = store.image(tag="v1")
    other = store.image(images.layer(images.elf(size=999)))
    with rig.hostile(store) as registry:
        registry.says[f"manifests/{one.digest}"] = Said(body=store.blobs[other.digest])
        refused(bed, f"{registry.url}@{one.digest}", errors.BadObject, "is not sha256:")


STATUSES = {
    401: (errors.Denied, "401"),
    403: (errors.Denied, "403"),
    404: (errors.NotFound, "404"),
    410: (errors.Unavailable, "410"),
    429: (errors.Unavailable, "too many requests"),
    500: (errors.Unavailable, "trouble"),
    503: (errors.Unavailable, "trouble"),
}  # fmt: skip


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_that_refuses(bed: rig.Bed, status: int) -> None:
    kind, why = STATUSES[status]
    with rig.hostile(images.Store()) as registry:
        registry.says["manifests/v1"] = Said(status, {"Retry-After": "3600"})
        refused(bed, f"{registry.url}:v1", kind, why)


@pytest.mark.parametrize("status", [429, 503])
def test_a_registry_that_is_busy_for_a_moment_is_asked_again(bed: rig.Bed, status: int) -> None:
    store = images.Store()
    store.image(tag="v1")
    with rig.hostile(store) as registry:
        registry.says["manifests/v1"] = lambda before: Said(status, {"Retry-After": "0"}) if before < 2 else None
        assert bed.pull(f"{registry.url}:v1").fresh
        assert registry.times("v1") == 3


@pytest.mark.parametrize("where", ["manifests/v1", "blob"])
def test_a_registry_that_stalls(bed: rig.Bed, where: str) -> None:
    bed.settings = dataclasses.replace(bed.settings, timeout=0.5)
    store = images.Store()
    store.image(tag="v1")
    with rig.hostile(store) as registry:
        path = f"blobs/{layer_of(store)}" if where == "blob" else where
        registry.says[path] = Said(body=b"x", length=10_000, stall=True)
        began = time.monotonic()
        refused(bed, f"{registry.url}:v1", errors.Unavailable, "stalls")
        assert time.monotonic() - began < 10


def test_a_registry_that_breaks_off(bed: rig.Bed) -> None:
    store = images.Store()
    store.image(tag="v1")
    with rig.hostile(store) as registry:
        registry.says[f"blobs/{layer_of(store)}"] = Said(body=b"x", length=10_000)
        refused(bed, f"{registry.url}:v1", errors.Unavailable, "broke off")


def test_nobody_answers(bed: rig.Bed) -> None:
    refused(bed, f"127.0.0.1:{rig.free_port()}/a:v1", errors.Unavailable, "cannot be reached")


def test_a_redirect_to_this_hosts_own_services_with_a_login(bed: rig.Bed) -> None:
    """The login is for the registry, not for whom it names."""
    store = images.Store()
    store.image(tag="v1")
    with rig.hostile(store) as elsewhere, rig.hostile(store, token="t0ken") as registry:
        layer = layer_of(store)
        registry.says[f"blobs/{layer}"] = Said(
            307, {"Location": f"http://{elsewhere.url.replace('/', '/v2/', 1)}/blobs/{layer}"}
        )
        bed.pull(f"{registry.url}:v1", login=model.Login(username=rig.USER, password=rig.PASSWORD))
        (asked,) = elsewhere.asked
        assert "authorization" not in asked[1]


def test_a_redirect_in_a_circle(bed: rig.Bed) -> None:
    with rig.hostile(images.Store()) as registry:
        registry.says["manifests/v1"] = Said(307, {"Location": "/v2/bpf/count/manifests/v1"})
        refused(bed, f"{registry.url}:v1", errors.Unavailable, "place to place")


def test_a_token_is_fetched_with_the_login(bed: rig.Bed) -> None:
    store = images.Store()
    store.image(tag="v1")
    with rig.hostile(store, token="t0ken") as registry:
        bed.pull(f"{registry.url}:v1", login=model.Login(username=rig.USER, password=rig.PASSWORD))
        assert sum(path.startswith("/token") for path, _ in registry.asked) == 1
        wrong = rig.Bed(bed.directory.parent / "other", bed.settings)
        refused(wrong, f"{registry.url}:v1", errors.Denied, "no login")


def test_tls_that_nobody_vouches_for(bed: rig.Bed, tmp_path: Path) -> None:
    store = images.Store()
    store.image(tag="v1")
    with rig.hostile(store, pem=rig.certificate(tmp_path)) as registry:
        refused(bed, f"{registry.url}:v1", errors.Unavailable, "not trusted")
        assert registry.asked == []


def test_a_name_without_a_port_is_not_asked_in_clear(bed: rig.Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a proxy that would take anything: plain HTTP is for loopback and for what the administrator names."""
    store = images.Store()
    store.image(tag="v1")
    with rig.hostile(store) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        refused(bed, "registry.test/bpf/count:v1", errors.Unavailable, "through the proxy")


def test_a_mirror_is_asked_first_and_the_registry_when_it_has_nothing(bed: rig.Bed) -> None:
    full, empty = images.Store(), images.Store()
    full.image(tag="v1")
    with rig.hostile(full) as registry, rig.hostile(empty) as mirror:
        bed.settings = dataclasses.replace(
            bed.settings, mirrors={f"127.0.0.1:{registry.port}": (f"127.0.0.1:{mirror.port}",)}
        )
        assert bed.pull(f"{registry.url}:v1").fresh
        assert mirror.times("v1") == 1
        asked = len(registry.asked)
        empty.blobs, empty.types, empty.tags = full.blobs, full.types, full.tags
        other = rig.Bed(bed.directory.parent / "other", bed.settings)
        assert other.pull(f"{registry.url}:v1").names == (f"{registry.url}:v1",)
        evidence = [path for path, _ in registry.asked[asked:] if "/blobs/" in path]
        assert evidence == [], "the mirror had everything"


def test_two_at_once_fetch_it_once(bed: rig.Bed) -> None:
    store = images.Store()
    one = store.image(tag="v1")
    store.tags["v2"] = one.digest
    images_ = bed.images()
    with rig.hostile(store) as registry:
        found: list[model.Image] = []

        def pull(tag: str) -> None:
            found.append(images_.ensure(rig.ME, model.ImageRequest(url=f"{registry.url}:{tag}")))

        threads = [threading.Thread(target=pull, args=(tag,)) for tag in ("v1", "v2", "v1")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {each.digest for each in found} == {one.digest}
        assert registry.times(layer_of(store)) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
def test_the_process_that_fetches_has_no_rights(bed: rig.Bed) -> None:
    """Seen while a registry keeps it waiting: nobody, no capability, and no way to more."""
    store = images.Store()
    store.image(tag="v1")
    seen: list[dict[str, str]] = []
    with rig.hostile(store) as registry:

        def look(before: int) -> Said | None:
            for status in Path("/proc").glob("[0-9]*/status"):
                try:
                    fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
                except OSError:
                    continue
                if fields["Name"] == "skep-image" and fields["PPid"] == str(os.getpid()):
                    seen.append(
                        fields
                        | {
                            "cmdline": (status.parent / "cmdline").read_text(),
                            "environ": (status.parent / "environ").read_text(),
                        }
                    )
            return None

        registry.says["manifests/v1"] = look
        bed.pull(f"{registry.url}:v1", login=model.Login(username="me", password="hunter2"))
    (fields,) = seen
    assert fields["Uid"].split() == fields["Gid"].split() == ["65534"] * 4
    assert {fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (fields["NoNewPrivs"], fields["Groups"].strip()) == ("1", "")
    assert "hunter2" not in fields["cmdline"] + fields["environ"]


def test_settings_that_cannot_be_read(bed: rig.Bed, tmp_path: Path) -> None:
    (tmp_path / "auth.json").write_text("{")
    bed.settings = registries.Registries(auth_file=str(tmp_path / "auth.json"))
    with pytest.raises(errors.InvalidRequest, match=r"auth\.json"):
        bed.pull("127.0.0.1:1/a")
