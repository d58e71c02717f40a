"""One volume on this node: mounting and unmounting it. No state is kept but the mount itself.

A volume is a BPF file system of its own, made and filled where nobody sees it and then mounted over the pod's
directory: killed at any point, a publish has either happened or left at most an empty directory. The file system's
source says whose it is (``request.Publish.label``), so that a driver that starts anew, or after another, knows.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from typing import Final

from skep import errors, model
from skep.kernel import mounting, refused, sys
from skep.kube import naming
from skep.kube.csi import request

_TYPE: Final = "bpf"
_STACKED: Final = 16
"""Mounts over one directory that are taken away; more are nobody's but a loop's."""


def publish(wanted: request.Publish, kubelet: str, pins: Callable[[], Mapping[str, model.MapPin]]) -> bool:
    """Make the volume be there; False when it is already. ``pins`` is asked only when it is not.

    AlreadyExists: another volume, or the same one asked for differently, is there. Conflict: something else is.
    """
    try:
        with mounting.place(kubelet, wanted.volume.target) as place:
            if _there(place, wanted):
                return False
            _fill(place, wanted, pins())
            return True
    except OSError as refusal:
        raise _told(f"cannot publish volume {wanted.volume.id} at {wanted.volume.target}", refusal) from refusal


def unpublish(volume: request.Volume, kubelet: str) -> bool:
    """Take the volume away, with its directory; False when there was nothing to do. Conflict: another's is there."""
    try:
        with mounting.place(kubelet, volume.target) as place:
            did = False
            for _ in range(_STACKED):
                seen = place.mounted()
                if seen is None:
                    break
                if seen.type != _TYPE:
                    raise _other_file_system(volume, seen.type)
                if _ours(seen.source) and not seen.source.startswith(request.label(volume.id)):
                    raise errors.Conflict(
                        f"volume {volume.id} is not at {volume.target}",
                        why=f"the volume there is {seen.source.split('/')[1]}",
                        do="unpublish that one",
                    )
                place.unmount()
                did = True
            return _remove(place) or did
    except FileNotFoundError:
        return False
    except OSError as refusal:
        raise _told(f"cannot unpublish volume {volume.id} at {volume.target}", refusal) from refusal


def _there(place: mounting.Place, wanted: request.Publish) -> bool:
    """Whether the very volume is mounted."""
    seen = place.mounted()
    if seen is None:
        return False
    if seen.type != _TYPE:
        raise _other_file_system(wanted.volume, seen.type)
    if _ours(seen.source):
        same = seen.source == wanted.label
    else:  # bpfman's, which was here before us, are compared by what can be seen
        same = place.names() == frozenset(wanted.maps) and seen.read_only == wanted.read_only
    if not same:
        raise errors.AlreadyExists(
            f"another volume is at {wanted.volume.target}",
            why=f"it was published with other attributes, or is another volume: {seen.source}",
            do="unpublish it first",
        )
    return True


def _fill(place: mounting.Place, wanted: request.Publish, pins: Mapping[str, model.MapPin]) -> None:
    with mounting.fresh(wanted.label) as made:
        made.own(wanted.group, 0o750)
        for name, pin in pins.items():
            with sys.held(_map(name, pin)) as fd:
                made.pin(name, fd, gid=wanted.group, mode=0o440 if wanted.read_only else 0o660)
        if wanted.read_only:
            made.seal()
        ours = place.make()
        try:
            made.show(place)
        except OSError:
            if ours:
                place.remove()
            raise


def _map(name: str, pin: model.MapPin) -> int:
    try:
        fd = sys.obj_get(pin)
    except FileNotFoundError as missing:
        raise errors.NotFound(
            f"the pin of map {name} is not there",
            why=f"nothing is at {pin}, as this container sees the host's BPF file system",
            do="mount the host's /sys/fs/bpf into the driver's container; or the program went meanwhile",
            errno=errno.ENOENT,
        ) from missing
    if os.readlink(f"/proc/self/fd/{fd}") != "anon_inode:bpf-map":
        os.close(fd)
        raise errors.Broken(f"the pin of map {name} is no map", why=f"see {pin}", do="see 'skep doctor'")
    return fd


def _remove(place: mounting.Place) -> bool:
    try:
        with sys.held(place.open()):
            pass
        place.remove()
    except FileNotFoundError:
        return False
    return True


def _ours(source: str) -> bool:
    return source.startswith(f"{naming.DRIVER}/")


def _other_file_system(volume: request.Volume, kind: str) -> errors.Conflict:
    return errors.Conflict(
        f"a file system that is no volume of this driver is mounted over {volume.target}",
        why=f"its type is {kind}",
        do="unmount it",
    )


def _told(what: str, refusal: OSError) -> errors.SkepError:
    match refusal.errno:
        case errno.ENOENT:
            return errors.Conflict(
                what, why="the directory that it is to be in is not there", do="make it first, as kubelet does",
                errno=errno.ENOENT,
            )  # fmt: skip
        case errno.ENOTEMPTY:
            return errors.Conflict(what, why="something is in the directory", do="see what", errno=errno.ENOTEMPTY)
    told = refused.general(what, refusal)
    if isinstance(told, errors.Rejected):  # nothing that the request says: it is right by construction
        return errors.Broken(what, why=told.why, do=told.do, errno=told.errno)
    return told
