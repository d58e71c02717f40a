"""The container image: it has what skep needs and nothing to play with, and the same input gives the same digest."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.container import image, sbom
from scripts.container.tree import File, archive, compressed
from skep.image import manifest
from skep.image.making import Built
from tests import instance
from tests.parts import Server, free_port, part

pytestmark = [pytest.mark.slow, pytest.mark.node]

LARGEST = 50 << 20
"""Bytes of what a node pulls; 39 MB when this was written."""
IMPORTS = """
import importlib, pathlib, pkgutil, sys
import skep
failed = []
modules = [each.name for each in pkgutil.walk_packages(skep.__path__, "skep.")]
modules += [each.name.split(".")[0] for each in pathlib.Path(sys.prefix, "lib/python3.11/lib-dynload").glob("*.so")]
for name in modules:
    if name in ("skep.__main__",) or name.startswith("skep.image.child"):
        continue
    try:
        importlib.import_module(name)
    except Exception as error:
        failed.append(f"{name}: {error!r}")
print(len(modules))
sys.exit("; ".join(failed) or 0)
"""


@pytest.fixture(scope="module")
def built() -> Built:
    return image.built(image.cache(), 0)


@pytest.fixture(scope="module")
def root(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The image's files, unpacked."""
    place = tmp_path_factory.mktemp("image") / "root"
    image.unpack(built, place)
    yield place
    shutil.rmtree(place)


def test_the_same_input_gives_the_same_digest(built: Built, tmp_path: Path) -> None:
    # The same packages and wheels; the layers are made anew.
    for name in ("debs", "wheels"):
        (tmp_path / name).symlink_to(image.cache() / name)
    again = image.built(tmp_path, 0)
    assert [one.digest for one, _ in again.manifests] == [one.digest for one, _ in built.manifests]


def test_the_same_image_gives_the_same_layout(built: Built, tmp_path: Path) -> None:
    for name in ("a", "b"):
        image.write(built, tmp_path / name, "localhost/skep:same")
        image.write(built, tmp_path / f"{name}.tar", "localhost/skep:same")
    done = subprocess.run(["diff", "-r", tmp_path / "a", tmp_path / "b"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_its_bill_of_materials_names_all_that_is_in_it(root: Path) -> None:
    bill = json.loads((root / sbom.PLACE).read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    told = {one["purl"].split("@")[0].split("/", 1)[1]: one for one in bill["components"]}
    debian = {f"debian/{path.name}" for path in (root / "var/lib/dpkg/status.d").iterdir()}
    wheels = {path.name.split("-")[0] for path in root.rglob("*.dist-info")}
    python = {re.sub("[-_.]+", "-", name).lower() for name in wheels}
    assert set(told) == debian | python and "skep" in python and len(debian) > 15
    unclear = [
        name
        for name, one in told.items()
        if not one["version"] or any("see " in each.get("license", {}).get("name", "") for each in one["licenses"])
    ]
    assert not unclear
    assert told["click"]["licenses"] == [{"expression": "BSD-3-Clause"}]


def test_who_asks_what_refers_to_it_gets_its_bill_of_materials(built: Built, root: Path, tmp_path: Path) -> None:
    """From a registry, with somebody else's program: copied there with all that refers to it."""
    digest = image.write(built, tmp_path / "layout", "localhost/skep:v1")
    port = free_port()
    config = tmp_path / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
        f"storage: {{filesystem: {{rootdirectory: {tmp_path}/registry}}}}\n"
    )
    name = f"127.0.0.1:{port}/skep"
    with contextlib.closing(Server(tmp_path / "registry.log", part("registry"), "serve", config)) as registry:
        registry.wait_until_it_listens(port)
        copy = [*instance.command(), "image", "push", f"oci:{tmp_path}/layout:v1", f"{name}:v1"]
        subprocess.run(copy, check=True, capture_output=True, env=instance.environment())
        (entry,) = json.loads(_crane("manifest", f"{name}:{digest.replace(':', '-')}"))["manifests"]
        assert entry["artifactType"] == sbom.MEDIA_TYPE
        whole = json.loads(_crane("manifest", f"{name}@{entry['digest']}"))
        assert whole["subject"]["digest"] == digest == _crane("digest", f"{name}:v1").strip()
        assert _crane("blob", f"{name}@{whole['layers'][0]['digest']}") == (root / sbom.PLACE).read_text()


def test_what_is_no_image_of_ours_has_no_bill() -> None:
    layer = compressed(archive({"readme": File(data=b"")}, seconds=0))
    assert image.referrer(image.assembled([layer], {}, seconds=0)) is None


def test_who_runs_it_is_nobody_unless_they_say_otherwise(built: Built) -> None:
    (config,) = (json.loads(data) for one, data in built.blobs if one.media_type == manifest.OCI_CONFIG)
    assert config["config"]["User"] == f"{image.NONROOT}:{image.NONROOT}"


def test_every_module_of_skep_and_of_python_can_be_imported(root: Path) -> None:
    done = _in(root, "/usr/bin/python3", "-I", "-c", IMPORTS)
    assert not done.stderr
    assert int(done.stdout) > 300


def test_its_command_is_skep(root: Path) -> None:
    done = _in(root, "/usr/bin/skep", "version")
    assert "skep" in done.stdout, done.stderr


def test_it_trusts_the_authorities_that_debian_trusts(root: Path) -> None:
    done = _in(root, "/usr/bin/python3", "-c", "import ssl; print(len(ssl.create_default_context().get_ca_certs()))")
    assert int(done.stdout) > 50


def test_there_is_nothing_to_play_with(root: Path) -> None:
    programs = {path.name for path in (root / "usr/bin").iterdir()} | {
        path.name for path in (root / "usr").glob("sbin/*")
    }
    assert programs == {"python3", "python3.11", "skep"}
    marked = [path for path in root.rglob("*") if path.is_file() and path.stat().st_mode & 0o6022]
    assert not marked, "set-uid, or writable for others"


def test_a_scanner_finds_its_packages(root: Path) -> None:
    there = {path.name for path in (root / "var/lib/dpkg/status.d").iterdir()}
    assert {"libc6", "libssl3", "libbpf1", "python3.11-minimal"} <= there


def test_it_is_not_large(built: Built) -> None:
    assert sum(descriptor.size for descriptor, _ in built.blobs) < LARGEST


def _crane(*words: str) -> str:
    return subprocess.run([part("crane"), *words], check=True, capture_output=True, text=True).stdout


def _in(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the image with only the image's files, as nobody."""
    return subprocess.run(
        ["/usr/sbin/chroot", "--userspec=65532:65532", root, *words],
        capture_output=True,
        text=True,
        check=False,
        env={},
    )
