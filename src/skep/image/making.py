"""Make a bytecode image of object files: layers, configurations and manifests as bytes. Pure.

The same input gives the same digest, on every machine and with every release of zlib: entries have no owner
and no time but the one that is given, and the layers are gzip files of stored blocks (RFC 1951, section 3.2.4). Objects
are small, and registries and nodes keep them once.

The format is bpfman's: one layer with the object at its root, labels for programs and maps. What an object can do is a
label of ours; whoever loads it works that out anew from the code.
"""

from __future__ import annotations

import datetime
import struct
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from skep import errors, hooks
from skep.bytecode import elf, maps, programs
from skep.bytecode.elf import ByteOrder
from skep.capability import manifest as capabilities
from skep.image import document, manifest, platforms
from skep.image.bytecode import MAPS, PROGRAMS
from skep.image.manifest import Descriptor, Index, Manifest, Platform
from skep.image.reference import digest_of

CAPABILITIES: Final = "io.skep.capabilities"
"""Label: {"program": ["capability", ...]}, as JSON."""

MAP_TYPES: Final = (
    "unspec", "hash", "array", "prog_array", "perf_event_array", "per_cpu_hash", "per_cpu_array", "stack_trace",
    "cgroup_array", "lru_hash", "lru_per_cpu_hash", "lpm_trie", "array_of_maps", "hash_of_maps", "devmap", "sockmap",
    "cpumap", "xskmap", "sockhash", "cgroup_storage", "reuseport_sockarray", "per_cpu_cgroup_storage", "queue",
    "stack", "sk_storage", "devmap_hash", "struct_ops", "ringbuf", "inode_storage", "task_storage", "bloom_filter",
    "user_ringbuf", "cgrp_storage", "arena",
)  # fmt: skip
"""``enum bpf_map_type`` in the words of the label ``io.ebpf.maps``."""

_STORED: Final = 65535  # bytes of one stored block
_BLOCK: Final = 512  # bytes, of a tar archive
_MODE: Final = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One object file for one platform. ``name``: the file's name in the image."""

    platform: Platform
    order: ByteOrder
    name: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An image's bytes. ``blobs`` come first when it is pushed, then ``manifests``; the last of them is the image."""

    blobs: tuple[tuple[Descriptor, bytes], ...]
    manifests: tuple[tuple[Descriptor, bytes], ...]

    @property
    def top(self) -> Descriptor:
        """What the image's tag points at."""
        return self.manifests[-1][0]


def build(parts: Sequence[Part], *, seconds: int | None = None, annotations: Mapping[str, str] | None = None) -> Built:
    """The image of these objects: a manifest for a single one, an index for several.

    ``seconds``: time since 1970 to be told as the time of creation (SOURCE_DATE_EPOCH), None for none. ``annotations``
    go to the top. BadObject: not a BPF object, or of another byte order than its platform. InvalidRequest.
    """
    if not parts:
        raise errors.InvalidRequest("nothing to build", why="no object file was given", do="name one")
    platforms.one_each((one.platform, one.name) for one in parts)
    ordered = sorted(parts, key=lambda one: str(one.platform))
    single = len(ordered) == 1
    blobs: list[tuple[Descriptor, bytes]] = []
    manifests: list[tuple[Descriptor, bytes]] = []
    for one in ordered:
        layer, config, whole = _image(one, seconds, annotations if single else None)
        blobs += [layer, config]
        manifests.append(whole)
    if not single:
        index = Index(
            media_type=manifest.OCI_INDEX,
            manifests=tuple(
                Descriptor(media_type=entry.media_type, digest=entry.digest, size=entry.size, platform=one.platform)
                for one, (entry, _) in zip(ordered, manifests, strict=True)
            ),
            annotations=annotations or {},
        )
        manifests.append(_described(manifest.OCI_INDEX, manifest.pack(index)))
    # Two platforms of one byte order may share an object.
    return Built(blobs=tuple({one[0].digest: one for one in blobs}.values()), manifests=tuple(manifests))


def labels(data: bytes, order: ByteOrder) -> dict[str, str]:
    """The labels of one object, from its ELF alone. BadObject, Exhausted."""
    whole = elf.parse(data, order)
    if not programs.programs(whole):
        raise errors.BadObject(
            "the object has no programs", why="no function lies in a section that loads", do='give each one a SEC("…")'
        )
    shown = capabilities.read(data, order=order)
    found: dict[str, dict[str, Any]] = {  # Any: JSON
        PROGRAMS: {one.name: _type(one.section) for one in programs.programs(whole)},
        MAPS: {one.name: _map_type(one.type) for one in maps.maps(whole)},
        CAPABILITIES: {one.program: [kind.value for kind in one.because] for one in shown},
    }
    return {name: document.write(value).decode() for name, value in found.items()}


def arguments(parts: Sequence[tuple[Part, bool]]) -> dict[str, str]:
    """bpfman's build arguments for its Containerfiles: a file for each platform, and the first one's labels.

    The flag says whether the platform was told; a single file whose platform nobody told is ``BYTECODE_FILE``.
    """
    first = labels(parts[0][0].data, parts[0][0].order)
    found: dict[str, str] = {}
    for one, told in parts:
        known = [each.argument for each in platforms.MACHINES if each.platform == one.platform]
        if told and not known:
            raise errors.InvalidRequest(
                f"{one.name} is for {one.platform}",
                why="the Containerfiles name architectures, not byte orders",
                do="say which: linux/amd64=FILE; or build without a Containerfile: skep image build",
            )
        found[known[0] if told else "BYTECODE_FILE"] = one.name
    return found | {"PROGRAMS": first[PROGRAMS], "MAPS": first[MAPS]}


def _image(
    one: Part, seconds: int | None, annotations: Mapping[str, str] | None
) -> tuple[tuple[Descriptor, bytes], tuple[Descriptor, bytes], tuple[Descriptor, bytes]]:
    """Layer, configuration and manifest of one platform."""
    archive = _tar(one.name, one.data, seconds or 0)
    layer = _described(manifest.OCI_LAYER_GZIP, _gzip(archive))
    fields: dict[str, Any] = {"architecture": one.platform.architecture, "os": one.platform.os}
    if one.platform.variant:
        fields["variant"] = one.platform.variant
    if seconds is not None:
        fields["created"] = datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    fields["config"] = {"Labels": labels(one.data, one.order)}
    fields["rootfs"] = {"type": "layers", "diff_ids": [digest_of(archive)]}
    config = _described(manifest.OCI_CONFIG, document.write(fields))
    whole = Manifest(
        media_type=manifest.OCI_MANIFEST, config=config[0], layers=(layer[0],), annotations=annotations or {}
    )
    return layer, config, _described(manifest.OCI_MANIFEST, manifest.pack(whole))


def _described(media_type: str, data: bytes) -> tuple[Descriptor, bytes]:
    return Descriptor(media_type=media_type, digest=digest_of(data), size=len(data)), data


def _tar(name: str, data: bytes, seconds: int) -> bytes:
    """An archive with one file (POSIX ustar)."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(data), _MODE, seconds
    try:
        head = entry.tobuf(tarfile.USTAR_FORMAT, "utf-8")
    except ValueError as error:
        raise errors.InvalidRequest(
            f"{name!r} does not fit into an image", why=str(error), do="give the file a shorter name"
        ) from error
    return head + data + bytes(-len(data) % _BLOCK) + bytes(2 * _BLOCK)


def _gzip(data: bytes) -> bytes:
    """A gzip file (RFC 1952) that stores."""
    blocks = [data[start : start + _STORED] for start in range(0, len(data), _STORED)] or [b""]
    body = b"".join(
        struct.pack("<BHH", at == len(blocks) - 1, len(block), len(block) ^ 0xFFFF) + block
        for at, block in enumerate(blocks)
    )
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + body + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def _type(section: str) -> str:
    """A program's type in the label's words; "unspec" where only whoever loads it will say."""
    if section.removeprefix("?").split("/")[0] in ("tc", "classifier", "action"):
        return "tc"
    hook = hooks.from_section(section)
    return "unspec" if hook is None else hook.name


def _map_type(number: int) -> str:
    return MAP_TYPES[number] if 0 <= number < len(MAP_TYPES) else f"unknown_{number}"
