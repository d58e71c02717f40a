"""Where an image is, for who looks at it or signs it with rights of their own: a registry, or an OCI layout."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skep import errors
from skep.image import admission, bytecode, local, pulling, reference, registries
from skep.image.layout import Layout, Writable, directory_reader
from skep.image.local import Place
from skep.image.manifest import Manifest
from skep.image.reference import Digest, Reference, Tag
from skep.image.registries import Registries
from skep.image.registry import Registry
from skep.image.saved import Saved, is_saved
from skep.image.source import Destination, Repository, read_blob


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An image at its place. ``name`` is without tag and digest; ``digests`` are from the top down to this host's."""

    name: str
    digests: tuple[Digest, ...]
    repository: Repository

    def __str__(self) -> str:
        return f"{self.name}@{self.digests[0]}"


def find(url: str, settings: Registries, environ: Mapping[str, str], machine: str) -> Found:
    """The image that ``url`` names. ``machine`` is this host's, as ``os.uname`` says it. See ``source.Repository``."""
    repository, name, which = open_(url, settings, environ)
    top = repository.manifest(which)
    digests = [top.digest]
    try:
        chain = pulling.resolve(repository, top.digest, bytecode.host_platform(machine, sys.byteorder), sys.byteorder)
        digests = [each.digest for each in chain]
    except (errors.InvalidRequest, errors.NotFound):
        pass  # for another kind of host: its index may be signed all the same
    return Found(name=name, digests=tuple(digests), repository=repository)


def open_(url: str, settings: Registries, environ: Mapping[str, str]) -> tuple[Repository, str, Tag | Digest]:
    """The place of an image that is there, the image's name, and what to ask the place for."""
    place = local.parse(url)
    if place is None:
        wanted = reference.parse(url)
        return _registry(wanted, settings, environ), wanted.name, wanted.which
    inside = _layout(place)
    return inside, str(place), inside.find(place.name or None).digest


def destination(url: str, settings: Registries, environ: Mapping[str, str]) -> tuple[Destination, str, Tag]:
    """Where a new image goes, its name without tag, and its tag. InvalidRequest for an archive, or for a digest: that
    follows from the image."""
    place = local.parse(url)
    if place is None:
        wanted = reference.parse(url)
        if wanted.digest is not None:
            raise errors.InvalidRequest(
                f"{url} names a digest", why="a new image's digest follows from its bytes", do="name a tag instead"
            )
        return _registry(wanted, settings, environ), wanted.name, wanted.tag or reference.DEFAULT_TAG
    if place.transport != "oci:":
        raise errors.InvalidRequest(
            f"{place} cannot be written",
            why="images are pushed to registries and OCI layouts",
            do=f"write a layout and pack it: skopeo copy oci:DIRECTORY {place}",
        )
    return Writable(Path(place.path)), f"oci:{place.path}", reference.tag(place.name or reference.DEFAULT_TAG)


def object_of(found: Found) -> bytes:
    """The object in an image, unpacked by a process without rights. What ``source.Repository`` raises."""
    image = found.repository.manifest(found.digests[-1]).parse()
    if not isinstance(image, Manifest):
        raise errors.NotFound(
            f"{found.name} is not for this host", why="it is an index", do="name the image of one platform"
        )
    return admission.object_of(image, lambda one: read_blob(found.repository, one))


def writable(url: str, settings: Registries, environ: Mapping[str, str]) -> tuple[Destination, str, Digest]:
    """The same as a place to push to: the place, the image's name and its top digest."""
    place = local.parse(url)
    if place is None:
        wanted = reference.parse(url)
        registry = _registry(wanted, settings, environ)
        found = registry.manifest(wanted.digest or wanted.tag or reference.DEFAULT_TAG)
        return registry, wanted.name, found.digest
    digest = _layout(place).find(place.name or None).digest
    return Writable(Path(place.path)), str(place), digest


def _registry(wanted: Reference, settings: Registries, environ: Mapping[str, str]) -> Registry:
    return Registry(wanted, registries.access_to(wanted, settings, None, environ))


def _layout(place: Place) -> Layout:
    if place.transport != "oci:":
        raise errors.InvalidRequest(
            f"{place} is an archive, which holds no signatures",
            why="only a registry or an OCI layout does",
            do=f"unpack it: skopeo copy {place} oci:DIRECTORY",
        )
    layout = Layout(directory_reader(Path(place.path)), where=place.path)
    return Saved(Path(place.path)) if is_saved(layout) else layout
