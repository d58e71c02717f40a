"""The container image of skep, made without a container engine: Debian with Python, what skep depends on, skep.

The same packages, wheels and checkout give the same digest. What is in it is told by a bill of materials (``sbom``),
which is in the image and, in a layout that is a directory, beside it: an artifact that refers to it.
"""

from __future__ import annotations

import datetime
import gzip
import io
import os
import platform
import re
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import skep
from scripts.container import debian, python, sbom
from scripts.container.tree import Directory, File, Tree, archive, compressed, key
from skep.image import document, manifest, transfer
from skep.image.layout import INDEX, Writable
from skep.image.making import Built
from skep.image.manifest import Descriptor, Manifest
from skep.image.reference import Digest, Tag, digest_of

CHECKOUT = Path(__file__).resolve().parents[2]
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Of uname(2), in Go's words."""
NONROOT = 65532
"""User and group of the processes that need no right: as in other images without a distribution."""
CONTAINERD_NAME = "io.containerd.image.name"
"""Annotation by which ``ctr image import`` names an image."""
_USERS = f"root:x:0:0:root:/root:/nonexistent\nnobody:x:65534:65534:nobody:/nonexistent:/nonexistent\n\
nonroot:x:{NONROOT}:{NONROOT}:nonroot:/home/nonroot:/nonexistent\n"
_GROUPS = f"root:x:0:\nnogroup:x:65534:\nnonroot:x:{NONROOT}:\n"


def cache() -> Path:
    """Where packages, wheels and layers are kept between images."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skep/container"


def built(cache: Path, seconds: int) -> Built:
    """The image's bytes. ``seconds``: since 1970, what every file's time is."""
    version = debian.python_version()
    packages = debian.fetched(cache, version)
    wheels = python.dependencies(CHECKOUT, cache, version=version, glibc=_glibc(packages))
    base: list[Tree] = []

    def debian_tree() -> Tree:
        if not base:
            base.append({**debian.tree(packages), **python.entry(version)})
        return base[0]

    # The first two change rarely and take most of the time; a layer's key is what it is made of, and what makes it.
    makers = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    made_of = [*makers, str(seconds).encode(), *(one.file.name.encode() for one in packages)]
    layers = [
        _kept(cache, made_of, seconds, lambda: {
            **python.compiled(debian_tree(), debian_tree(), version=version), **_settings(),
        }),
        _kept(cache, [*made_of, *(one.name.encode() for one in wheels)], seconds, lambda: python.compiled(
            {path: node for one in wheels for path, node in python.laid_out(one.read_bytes(), version=version).items()},
            debian_tree(), version=version,
        )),
        _kept(cache, [*made_of, *python.sources(CHECKOUT)], seconds, lambda: python.compiled(
            python.laid_out(python.own(CHECKOUT), version=version), debian_tree(), version=version,
        )),
    ]  # fmt: skip
    # Of what is in the layers, and no list that somebody keeps.
    layers.append(_kept(cache, [*made_of, *(digest_of(one).encode() for one in layers)], seconds, lambda: {
        sbom.PLACE: File(data=sbom.bill(_files(layers), name="skep", version=skep.__version__, seconds=seconds)),
    }))  # fmt: skip
    config = {
        "User": f"{NONROOT}:{NONROOT}",
        "Env": ["PATH=/usr/bin", "LANG=C.UTF-8"],
        "Entrypoint": ["/usr/bin/skep"],
        "WorkingDir": "/",
        "Labels": {
            "org.opencontainers.image.title": "skep",
            "org.opencontainers.image.description": "An eBPF manager: daemon, node agent, CSI driver and operator",
            "org.opencontainers.image.version": skep.__version__,
            "org.opencontainers.image.licenses": "Apache-2.0",
        },
    }
    return assembled(layers, config, seconds=seconds)


def write(image: Built, out: Path, name: str) -> Digest:
    """The image as a layout at ``out``, under a name with a tag; answers its digest."""
    tag = Tag(name.rpartition(":")[2])
    with tempfile.TemporaryDirectory(prefix="skep-layout-") as scratch:
        place = Path(scratch) / "layout" if out.suffix == ".tar" else out
        digest = transfer.push(image, Writable(place), tag)
        index = document.read((place / INDEX).read_bytes(), manifest.MOST_BYTES)
        for entry in index["manifests"]:
            entry["annotations"][CONTAINERD_NAME] = name
        (place / INDEX).write_bytes(document.write(index))
        # What loads an archive takes every entry for an image that runs.
        if out.suffix != ".tar" and (told := referrer(image)) is not None:
            transfer.push(told, Writable(place), None)
        if out.suffix == ".tar":
            with tarfile.open(out, "w", format=tarfile.USTAR_FORMAT) as whole:
                for path in sorted(one for one in place.rglob("*") if one.is_file()):
                    whole.add(path, str(path.relative_to(place)), filter=_nobodys)
    return digest


def referrer(image: Built) -> Built | None:
    """The image's bill of materials as an artifact that refers to it (OCI image-spec 1.1); None if it has none."""
    layer = next(data for one, data in reversed(image.blobs) if one.media_type == manifest.OCI_LAYER_GZIP)
    found = _files([layer], re.compile(re.escape(sbom.PLACE)))
    if sbom.PLACE not in found:
        return None
    described = _described(sbom.MEDIA_TYPE, found[sbom.PLACE])
    empty = _described(manifest.OCI_EMPTY, b"{}")
    top = image.top
    whole = Manifest(
        media_type=manifest.OCI_MANIFEST,
        config=empty[0],
        layers=(described[0],),
        artifact_type=sbom.MEDIA_TYPE,
        subject=Descriptor(media_type=top.media_type, digest=top.digest, size=top.size),
    )
    return Built(blobs=(empty, described), manifests=(_described(manifest.OCI_MANIFEST, manifest.pack(whole)),))


def unpack(image: Built, root: Path) -> None:
    """The files of the image, below ``root``, which is made."""
    root.mkdir(mode=0o755)
    for descriptor, data in image.blobs:
        if descriptor.media_type == manifest.OCI_LAYER_GZIP:
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as layer:
                layer.extractall(root, filter="fully_trusted")


def assembled(layers: list[bytes], config: Mapping[str, object], *, seconds: int) -> Built:
    """An image of layers, each a gzip file; ``config``: how it is run, in the words of the image-spec."""
    packed = [_described(manifest.OCI_LAYER_GZIP, layer) for layer in layers]
    machine = platform.machine()
    fields = {
        "architecture": ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "created": datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [digest_of(gzip.decompress(layer)) for layer in layers]},
    }
    described = _described(manifest.OCI_CONFIG, document.write(fields))
    whole = Manifest(
        media_type=manifest.OCI_MANIFEST, config=described[0], layers=tuple(descriptor for descriptor, _ in packed)
    )
    return Built(blobs=(*packed, described), manifests=(_described(manifest.OCI_MANIFEST, manifest.pack(whole)),))


def _settings() -> Tree:
    """Users, and directories that processes expect."""
    empty = ("dev", "etc/skep", "proc", "run", "sys", "var/cache/skep", "var/lib/skep")
    return {
        "etc/passwd": File(data=_USERS.encode()),
        "etc/group": File(data=_GROUPS.encode()),
        "etc/nsswitch.conf": File(data=b"passwd: files\ngroup: files\nhosts: files dns\n"),
        "tmp": Directory(mode=0o1777),
        "root": Directory(mode=0o700),
        "home/nonroot": Directory(mode=0o700, owner=NONROOT),
        **{path: Directory() for path in empty},
    }


def _files(layers: list[bytes], which: re.Pattern[str] = sbom.NEEDED) -> dict[str, bytes]:
    """Contents of the files in layers whose path fits."""
    found = {}
    for data in layers:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as layer:
            for each in layer:
                content = layer.extractfile(each) if each.isreg() and which.match(each.name) else None
                if content is not None:
                    found[each.name] = content.read()
    return found


def _kept(cache: Path, made_of: list[bytes], seconds: int, make: Callable[[], Tree]) -> bytes:
    """A layer out of the cache, or made and put there."""
    place = cache / "layers" / f"{key(made_of)}.tar.gz"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = place.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(compressed(archive(make(), seconds=seconds)))
        fresh.replace(place)
    return place.read_bytes()


def _glibc(packages: tuple[debian.Package, ...]) -> int:
    """The minor version of the image's libc: 36 of 2.36."""
    (libc,) = (one.file.name for one in packages if one.name == "libc6")
    found = re.match(r"libc6_2\.(\d+)", libc)
    assert found is not None, libc
    return int(found[1])


def _described(media_type: str, data: bytes) -> tuple[Descriptor, bytes]:
    return Descriptor(media_type=media_type, digest=digest_of(data), size=len(data)), data


def _nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o644
    return entry
