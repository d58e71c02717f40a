"""What an image says about the bytecode in it: its labels, and the platform to choose. Pure.

The format is bpfman's (``io.ebpf.*`` labels of the image's configuration); the older four labels are read too. Labels
describe: what is loaded is decided by the ELF.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from skep import errors
from skep.image import document, platforms
from skep.image.manifest import CONFIGS, MOST_BYTES, Descriptor, Index, Manifest, Platform

PROGRAMS: Final = "io.ebpf.programs"
MAPS: Final = "io.ebpf.maps"
OLD_NAME: Final = "io.ebpf.program_name"
OLD_FUNCTION: Final = "io.ebpf.bpf_function_name"
OLD_TYPE: Final = "io.ebpf.program_type"
OLD_FILE: Final = "io.ebpf.filename"

ARCHITECTURES: Final[Mapping[str, str]] = {
    "x86_64": "amd64", "i386": "386", "i686": "386", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm",
    "riscv64": "riscv64", "s390x": "s390x", "ppc64le": "ppc64le", "ppc64": "ppc64", "loongarch64": "loong64",
    "mips64": "mips64", "mips": "mips",
}  # fmt: skip
"""``uname -m`` -> GOARCH."""
GENERIC: Final[Mapping[str, str]] = {"little": "bpfel", "big": "bpfeb"}
"""Byte order -> what bpf2go calls bytecode for every machine of that order."""
_TITLE: Final = "org.opencontainers.image.title"
_ATTESTATION: Final = "vnd.docker.reference.type"


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Programs and maps that an image names: function -> type, map -> type, in the image's words.

    ``told`` is False when the image says nothing at all. ``filename``: the older label of that name.
    """

    programs: Mapping[str, str] = field(default_factory=dict)
    maps: Mapping[str, str] = field(default_factory=dict)
    filename: str = ""
    told: bool = False


def host_platform(machine: str, byteorder: str) -> Platform:
    """The platform to choose on a host: ``os.uname().machine`` and ``sys.byteorder``."""
    name = ARCHITECTURES.get(machine, machine)
    if name in ("mips", "mips64") and byteorder == "little":
        name += "le"
    return Platform(os="linux", architecture=name)


def choose(index: Index, wanted: Platform, byteorder: str) -> Descriptor:
    """The entry of an index for a host: its architecture's, else bytecode for its byte order, else the only entry
    that names no platform. NotFound says what there is."""
    images = [each for each in index.manifests if not _is_attestation(each)]
    exact = [
        each
        for each in images
        if each.platform is not None
        and each.platform.os == wanted.os
        and each.platform.architecture == wanted.architecture
    ]
    if exact:
        # Bytecode does not depend on a CPU's variant; the plain entry is meant for all.
        plain = [each for each in exact if each.platform is not None and each.platform.variant in ("", wanted.variant)]
        return (plain or exact)[0]
    generic = GENERIC[byteorder]
    for each in images:
        if each.platform is not None and each.platform.architecture == generic:
            return each
    bare = [each for each in images if each.platform is None or not each.platform.architecture]
    if len(bare) == 1 and len(images) == 1:
        return bare[0]
    there = sorted({str(each.platform) for each in images if each.platform is not None})
    raise errors.NotFound(
        f"the image is not for {wanted}",
        why=f"it has {', '.join(there[:20])}" if there else "its index names no platform",
        do=f"build it for {wanted}, or for {generic}: such bytecode runs on every {byteorder}-endian machine",
    )


def check_platform(config: Mapping[str, Any], wanted: Platform, byteorder: str) -> None:
    """Refuse an image, outside of any index, that says it is for machines of the other byte order.

    Another architecture of the same order is no reason: bytecode is the same there, and images of one platform are
    loaded everywhere.
    """
    architecture = config.get("architecture")
    order = platforms.order_of(architecture) if isinstance(architecture, str) else None
    if order is not None and order.name.lower() != byteorder:
        raise errors.BadObject(
            f"the image is for linux/{architecture}",
            why=f"that is {order.name.lower()}-endian, and this host ({wanted}) is {byteorder}-endian",
            do=f"build it for {wanted}, with clang -target {GENERIC[byteorder]}",
        )


def labels(manifest: Manifest, config: Mapping[str, Any]) -> Labels:
    """What the labels say; for an artifact without labels its annotations of the same names. BadObject."""
    found = document.strings(document.object(config, "config"), "Labels")
    if not any(name.startswith("io.ebpf.") for name in found):
        found = dict(manifest.annotations)
    if PROGRAMS in found or MAPS in found:
        return Labels(programs=_names(found, PROGRAMS), maps=_names(found, MAPS), told=True)
    if OLD_FUNCTION in found or OLD_NAME in found:
        function = found.get(OLD_FUNCTION) or found.get(OLD_NAME, "")
        return Labels(programs={function: found.get(OLD_TYPE, "")}, filename=found.get(OLD_FILE, ""), told=True)
    return Labels()


def read_config(manifest: Manifest, data: bytes) -> dict[str, Any]:  # Any: JSON
    """The configuration of an image as JSON; an artifact's own kind of configuration need not be any."""
    if manifest.config.media_type in CONFIGS:
        return document.read(data, MOST_BYTES)
    try:
        return document.read(data, MOST_BYTES)
    except errors.BadObject:
        return {}


def layers(manifest: Manifest) -> tuple[Descriptor, ...]:
    """The layers in which the object may be: all of an image, and those of an artifact that look like bytecode.

    BadObject when there is none.
    """
    found = manifest.layers
    if len(found) > 1 and manifest.kind:
        found = tuple(each for each in found if _looks_like_bytecode(each))
    if not found:
        raise errors.BadObject(
            "the image has no bytecode",
            why="it has no layer that could hold an object",
            do="build it with one object file at the root of its one layer",
        )
    return found


def _looks_like_bytecode(layer: Descriptor) -> bool:
    subject = layer.media_type.lower()
    return (
        "bpf" in subject
        or "elf" in subject
        or ".tar" in subject
        or layer.annotations.get(_TITLE, "").endswith((".o", ".tar", ".tar.gz", ".tgz"))
    )


def _is_attestation(entry: Descriptor) -> bool:
    """BuildKit's attestations stand beside the images, for "unknown/unknown"."""
    return _ATTESTATION in entry.annotations or (
        entry.platform is not None and entry.platform.architecture == "unknown"
    )


def _names(found: Mapping[str, str], label: str) -> dict[str, str]:
    """A label's value: JSON in text, {"name": "type"}."""
    if label not in found:
        return {}
    names = document.read(found[label].encode("utf-8", "surrogatepass"), MOST_BYTES)
    if not all(isinstance(each, str) for each in names.values()):
        raise document.bad(f'the label {label} is not of the form {{"name": "type"}}')
    return names
