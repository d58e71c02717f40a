"""What kubelet asks for, read once into values that are right by construction. Pure.

Everything in a request is taken for hostile: volume ids and map names become parts of paths, targets are mounted over.
Sources: the CSI specification 1.x, "NodePublishVolume" and "Size Limits"; kubelet's information on pods
(csi.storage.k8s.io).
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from skep import errors
from skep.kube import naming
from skep.pb import csi_pb2

PROGRAM: Final = f"{naming.DRIVER}/program"
"""volumeAttributes: the application whose maps are wanted."""
MAPS: Final = f"{naming.DRIVER}/maps"
"""volumeAttributes: their names, with commas between them."""
POD, POD_NAMESPACE = "csi.storage.k8s.io/pod.name", "csi.storage.k8s.io/pod.namespace"
"""What kubelet adds where the CSIDriver object says ``podInfoOnMount: true``."""

LONGEST_ID: Final = 128
"""Bytes of a volume's id: the specification's limit on strings. Kubelet's have 68."""
LONGEST_NAME: Final = 255
"""Bytes of one element of a path: NAME_MAX."""
LONGEST_PATH: Final = 4095
MOST_MAPS: Final = 256
_MODES: Final = (csi_pb2.VolumeCapability.AccessMode.SINGLE_NODE_WRITER,
                 csi_pb2.VolumeCapability.AccessMode.SINGLE_NODE_SINGLE_WRITER)  # fmt: skip
_LARGEST_GROUP: Final = 2**32 - 2
"""The number after it means "leave it as it is" to chown(2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume by its id, and the directory where a pod finds it."""

    id: str
    target: str
    """Absolute, normal, and below the directory that kubelet may be served in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """A volume that shall be there."""

    volume: Volume
    program: str
    maps: tuple[str, ...]
    """In the order they are asked for, none twice, at least one."""
    read_only: bool
    group: int
    """The pod's fsGroup; 0, which is root's, where it has none."""
    namespace: str | None
    """The pod's; None where kubelet does not say."""
    pod: str

    @property
    def label(self) -> str:
        """What the volume's file system is called: it tells whose it is and whether the same was asked for."""
        asked = "\n".join(
            (self.program, ",".join(sorted(self.maps)), str(self.read_only), str(self.group), self.namespace or "")
        )
        return label(self.volume.id) + hashlib.sha256(asked.encode()).hexdigest()[:16]


def label(id: str) -> str:
    """The beginning of the names of a volume's file system; no other volume's begins so."""
    return f"{naming.DRIVER}/{id}/"


def publish(asked: csi_pb2.NodePublishVolumeRequest, kubelet: str) -> Publish:
    """A request to publish below the directory ``kubelet``. InvalidRequest."""
    volume = _volume(asked.volume_id, asked.target_path, kubelet)
    group = _capability(asked.volume_capability if asked.HasField("volume_capability") else None)
    program = _attribute(asked.volume_context, PROGRAM, "the name of the application whose maps the pod wants")
    if not _printable(program):
        raise _wrong(f"the volume's attribute {PROGRAM}", program, "it has characters that no name has")
    return Publish(
        volume=volume,
        program=program,
        maps=_maps(_attribute(asked.volume_context, MAPS, "the maps' names, with commas between them")),
        read_only=asked.readonly,
        group=group,
        namespace=asked.volume_context.get(POD_NAMESPACE) or None,
        pod=asked.volume_context.get(POD, ""),
    )


def unpublish(asked: csi_pb2.NodeUnpublishVolumeRequest, kubelet: str) -> Volume:
    """A request to unpublish. InvalidRequest."""
    return _volume(asked.volume_id, asked.target_path, kubelet)


def _volume(id: str, target: str, kubelet: str) -> Volume:
    if not id:
        raise errors.InvalidRequest("volume_id is missing", do="name the volume")
    if not _element(id, LONGEST_ID):
        raise _wrong("volume_id", id, f"it is one element of a path of at most {LONGEST_ID} bytes")
    if not target:
        raise errors.InvalidRequest("target_path is missing", do="name the directory to mount over")
    if not target.startswith("/") or target == "/" or len(target.encode()) > LONGEST_PATH or not _printable(target):
        raise _wrong("target_path", target, "it is an absolute path, and not /")
    # Kubelet's are normal, and two spellings of one directory would be two of the locks that keep calls apart.
    if posixpath.normpath(target) != target.rstrip("/"):
        raise _wrong("target_path", target, "it has '.', '..' or empty elements")
    target = target.rstrip("/")
    if not target.startswith(kubelet.rstrip("/") + "/"):
        raise _wrong("target_path", target, f"it is not below {kubelet}, which is all that this driver mounts in")
    return Volume(id=id, target=target)


def _capability(asked: csi_pb2.VolumeCapability | None) -> int:
    """The group that a volume is for; InvalidRequest for what pins cannot be."""
    if asked is None:
        raise errors.InvalidRequest("volume_capability is missing", do="say how the volume is used")
    if asked.WhichOneof("access_type") != "mount":
        raise _wrong("volume_capability", asked.WhichOneof("access_type") or "", "maps are mounted, not a block device")
    if asked.mount.fs_type:
        raise _wrong("fsType", asked.mount.fs_type, "the file system is always bpf: leave it out")
    if asked.mount.mount_flags:
        raise _wrong("mount_flags", " ".join(asked.mount.mount_flags), "none are taken: leave them out")
    if asked.access_mode.mode not in _MODES:
        mode = csi_pb2.VolumeCapability.AccessMode.Mode
        known = asked.access_mode.mode in mode.values()
        name = mode.Name(asked.access_mode.mode) if known else str(asked.access_mode.mode)
        raise _wrong("access_mode", name, "it is SINGLE_NODE_WRITER or SINGLE_NODE_SINGLE_WRITER")
    return _group(asked.mount.volume_mount_group)


def _group(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > _LARGEST_GROUP:
        raise _wrong("volume_mount_group", text, "it is a group's number (the pod's fsGroup)")
    return int(text)


def _attribute(context: Mapping[str, str], key: str, meaning: str) -> str:
    value = context.get(key, "").strip()
    if not value:
        near = errors.near_misses(key, [name for name in context if name not in (PROGRAM, MAPS)])
        found = f" (there is {near[0]})" if near else ""
        raise errors.InvalidRequest(f"the volume has no attribute {key}{found}", do=f"add {meaning}")
    return value


def _maps(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if len(names) > MOST_MAPS:
        raise errors.InvalidRequest(
            f"the volume's attribute {MAPS} names {len(names)} maps", why=f"{MOST_MAPS} are the most", do="name fewer"
        )
    for name in names:
        if not _element(name, LONGEST_NAME):
            raise _wrong(f"a map in the volume's attribute {MAPS}", name, "it is a map's name: one element of a path")
        if "." in name:
            raise _wrong(f"a map in the volume's attribute {MAPS}", name, "a BPF file system allows no dot in a name")
    return names


def _element(text: str, longest: int) -> bool:
    """Whether a text can be one element of a path, and nothing else."""
    return (
        text not in ("", ".", "..") and "/" not in text and len(text.encode(errors="replace")) <= longest
        and _printable(text)
    )  # fmt: skip


def _printable(text: str) -> bool:
    return all(character.isprintable() for character in text)


def _wrong(what: str, value: str, why: str) -> errors.InvalidRequest:
    shown = value if len(value) <= 80 else value[:80] + "…"
    return errors.InvalidRequest(f"{what} {shown!r} cannot be used", why=why, do="correct it in the pod's volume")
