"""The container image: it has what skep needs and nothing to play with, and the same input gives the same digest."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.container import image
from skep.image.making import Built

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


def _in(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the image with only the image's files, as nobody."""
    return subprocess.run(
        ["/usr/sbin/chroot", "--userspec=65532:65532", root, *words],
        capture_output=True,
        text=True,
        check=False,
        env={},
    )
