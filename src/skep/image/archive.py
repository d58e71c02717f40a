"""Images in one tar file: an OCI layout, or what ``docker save`` and ``podman save`` write. Read without unpacking.

Source of the second: docker's image-spec v1.2, ``manifest.json`` at the root of the archive.
"""

from __future__ import annotations

import io
import json
import posixpath
import tarfile
from typing import Any, Final

from skep import errors
from skep.image import layout, manifest
from skep.image.layout import INDEX, NAME, Layout
from skep.image.manifest import Descriptor, Index, Manifest
from skep.image.reference import Digest, digest_of, hex_of

MOST_MEMBERS: Final = 20_000
_DOCKER: Final = "manifest.json"


def open_(data: bytes, where: str) -> Layout:
    """The images of an archive, as those of a layout. BadObject."""
    files = _files(data, where)
    if INDEX in files and _DOCKER not in files:
        return Layout(_reader(files, where), where=where)
    if _DOCKER in files:
        return Layout(_reader(_as_layout(files, where), where), where=where)
    raise _bad(where, "it has neither index.json nor manifest.json", "make it with 'docker save' or 'skopeo copy'")


def _files(data: bytes, where: str) -> dict[str, bytes]:
    """Every regular file by its path, and what symbolic links within the archive lead to: old docker links layers."""
    files: dict[str, bytes] = {}
    links: dict[str, str] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:", errorlevel=2) as archive:
            for number, member in enumerate(archive):
                if number >= MOST_MEMBERS:
                    raise _bad(where, f"it has more than {MOST_MEMBERS} files", "save one image only")
                name = posixpath.normpath(member.name)
                if name.startswith(("/", "..")) or member.issparse():
                    raise _bad(where, "a path leads out of it, or a file is sparse", "make it again")
                if member.issym():
                    links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
                elif member.isreg():
                    file = archive.extractfile(member)
                    content = b"" if file is None else file.read()
                    if len(content) != member.size:
                        raise _bad(where, f"{name[:100]!r} ends in the middle", "save it again")
                    files[name] = content
    except (tarfile.TarError, ValueError, OverflowError, EOFError, OSError, IndexError, RecursionError) as error:
        raise _bad(where, f"it is not a sound tar archive: {str(error)[:120]}", "save it again") from None
    for name, target in links.items():
        if target in files:
            files.setdefault(name, files[target])
    return files


def _as_layout(files: dict[str, bytes], where: str) -> dict[str, bytes]:
    """The layout that ``manifest.json`` amounts to: its configurations and layers, with manifests made for them."""
    made: dict[str, bytes] = {}
    entries: list[Descriptor] = []
    for one in _listed(files, where):
        config = _put(made, _file(files, one.get("Config"), where), manifest.DOCKER_CONFIG)
        layers = one.get("Layers")
        if not isinstance(layers, list) or len(layers) > manifest.MOST_LAYERS:
            raise _bad(where, "an image in it has no list of layers", "save it again")
        packed = manifest.pack(
            Manifest(
                media_type=manifest.DOCKER_MANIFEST,
                config=config,
                layers=tuple(_put(made, _file(files, each, where), manifest.DOCKER_LAYER) for each in layers),
            )
        )
        whole = _put(made, packed, manifest.DOCKER_MANIFEST)
        tags = one.get("RepoTags")
        names = [each for each in tags if isinstance(each, str)] if isinstance(tags, list) else []
        entries += [_named(whole, name) for name in names] or [whole]
    made[INDEX] = manifest.pack(Index(media_type=manifest.OCI_INDEX, manifests=tuple(entries)))
    return made


def _listed(files: dict[str, bytes], where: str) -> list[dict[str, Any]]:  # Any: JSON
    data = files[_DOCKER]
    try:
        found = json.loads(data) if len(data) <= manifest.MOST_BYTES else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        raise _bad(where, "its manifest.json is not a list of images", "save it again")
    return found


def _named(one: Descriptor, name: str) -> Descriptor:
    return Descriptor(media_type=one.media_type, digest=one.digest, size=one.size, annotations={NAME: name})


def _file(files: dict[str, bytes], name: object, where: str) -> bytes:
    found = files.get(posixpath.normpath(name)) if isinstance(name, str) and name else None
    if found is None:
        raise _bad(where, f"{str(name)[:100]!r} is missing in it", "save it again")
    return found


def _put(made: dict[str, bytes], data: bytes, media_type: str) -> Descriptor:
    digest = digest_of(data)
    made[layout.blob_path(digest)] = data
    return Descriptor(media_type=media_type, digest=Digest(f"sha256:{hex_of(digest)}"), size=len(data))


def _reader(files: dict[str, bytes], where: str) -> layout.Reader:
    def read(name: str, most: int) -> bytes:
        if name not in files:
            raise errors.NotFound(f"{where} has no {name}", why="it is not in the archive", do="save the image again")
        if len(files[name]) > most:
            raise errors.Exhausted(f"{name} of {where} is too large", why=f"{most} bytes are allowed", do="strip it")
        return files[name]

    return read


def _bad(where: str, why: str, do: str) -> errors.BadObject:
    return errors.BadObject(f"{where} cannot be used", why=why, do=do)
