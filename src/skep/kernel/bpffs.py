"""Pins: paths below one root in the host's bpffs, through which kernel objects outlive us.

Every path that comes in must lie below the root. bpffs refuses names with a dot.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import Final

from skep import errors
from skep.kernel import abi, refused, sys

_MOUNT: Final = "mount -t bpf bpf /sys/fs/bpf"


class Bpffs:
    """The pins below ``root``."""

    def __init__(self, root: str) -> None:
        self.root = root

    # ---- the root itself

    def check_root(self) -> None:
        """Refuse a root whose pins would not be seen by the host or would die with a private mount namespace.

        ``Unsupported`` when it is not in a bpffs, or in a bpffs that process 1 has not mounted, compared by
        superblock. Inside a container whose process 1 is the container's, the mount that was handed in is believed.
        """
        place = self.root
        while not os.path.lexists(place) and place != "/":
            place = os.path.dirname(place)
        try:
            with sys.held(os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as fd:
                kind, device = sys.filesystem_type(fd), os.fstat(fd).st_dev
        except OSError as refusal:
            raise refused.general(f"the pins' directory {place} cannot be opened", refusal) from refusal
        if kind != abi.BPF_FS_MAGIC:
            raise errors.Unsupported(
                f"pins cannot be kept at {self.root}",
                feature="bpffs",
                first="4.4",
                why=f"{place} is not in a BPF file system",
                do=f"on the host run `{_MOUNT}`; for a container mount the host's /sys/fs/bpf into it",
            )
        host = _host_devices()
        if host is not None and device not in host:
            raise errors.Unsupported(
                f"pins cannot be kept at {self.root}",
                feature="the host's bpffs",
                why="this BPF file system was mounted in a private mount namespace and its pins would die with it",
                do=f"on the host run `{_MOUNT}` and mount the host's /sys/fs/bpf into the container",
            )

    # ---- pins

    def pin(self, fd: int, path: str) -> None:
        """Pin an object. ``AlreadyExists``, ``Exhausted``."""
        self._check(path)
        try:
            sys.obj_pin(path, fd)
        except OSError as refusal:
            raise refused.general(f"cannot pin at {path}", refusal) from refusal

    def get(self, path: str, kind: str = "") -> int | None:
        """A descriptor of what is pinned, None when nothing is, or (given a ``kind``) something else.

        ``kind`` is the kernel's name of the anonymous inode: "bpf-prog", "bpf-map", "bpf-link" (or "bpf_link").
        """
        self._check(path)
        try:
            fd = sys.obj_get(path)
            if kind and os.readlink(f"/proc/self/fd/{fd}").rpartition(":")[2].replace("_", "-") != kind:
                os.close(fd)
                return None
            return fd
        except OSError as refusal:
            if refusal.errno in (errno.ENOENT, errno.ENOTDIR):
                return None
            if refusal.errno == errno.EACCES and not _is_pin(path):
                return None  # a directory where a pin was looked for
            raise refused.general(f"cannot open the pin {path}", refusal) from refusal

    def need(self, path: str) -> int:
        """A descriptor of what is pinned. ``NotFound``: the pin is gone."""
        fd = self.get(path)
        if fd is None:
            raise errors.NotFound(
                f"the pin {path} is gone", why="somebody removed it", do="see `skep doctor`", errno=errno.ENOENT
            )
        return fd

    def release(self, path: str) -> None:
        """Unlink a pin, then close the last descriptor: the object is gone on return. Fine when the pin is missing.

        Without the descriptor the kernel would drop the object later, from a work queue.
        """
        fd = self.get(path)
        if fd is None:
            return
        with sys.held(fd):
            _unlink(path)

    def unlink(self, path: str) -> None:
        """Unlink a pin whose object the caller holds; fine when it is missing."""
        self._check(path)
        _unlink(path)

    def rename(self, old: str, new: str) -> None:
        """Rename over ``new``, atomically; fine when only ``new`` is there. What ``new`` held is released."""
        self._check(old)
        self._check(new)
        replaced = self.get(new)
        try:
            os.rename(old, new)
        except FileNotFoundError as missing:
            if replaced is None:
                raise errors.NotFound(
                    f"the pin {old} is gone", why=f"and there is no {new}", errno=errno.ENOENT, do="see 'skep doctor'"
                ) from (missing)
        except OSError as refusal:
            raise refused.general(f"cannot rename the pin {old}", refusal) from refusal
        finally:
            if replaced is not None:
                os.close(replaced)

    # ---- symbolic links and directories

    def alias(self, path: str, target: str) -> None:
        """Make the symbolic link ``path``, replacing an older one without a moment in which there is none."""
        self._check(path)
        fresh = f"{path}_new"
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            _unlink(fresh)
            os.symlink(target, fresh)
            os.rename(fresh, path)
        except OSError as refusal:
            raise refused.general(f"cannot make the alias {path}", refusal) from refusal

    def read_alias(self, path: str) -> str | None:
        """The target of the symbolic link ``path``, None when there is none."""
        self._check(path)
        try:
            return os.readlink(path)
        except OSError as refusal:
            if refusal.errno in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL):
                return None
            raise refused.general(f"cannot read the alias {path}", refusal) from refusal

    def remove_alias(self, path: str) -> None:
        """Remove a symbolic link; a missing one is fine. ``Broken`` when something else is there."""
        self._check(path)
        try:
            if not stat.S_ISLNK(os.lstat(path).st_mode):
                raise errors.Broken(f"{path} is not an alias", do="see `skep doctor`")
        except (FileNotFoundError, NotADirectoryError):
            return
        _unlink(path)

    def make_directory(self, path: str, mode: int) -> None:
        """mkdir -p; the last one has exactly ``mode``, also when it was there; those made above it 0755. Repeatable."""
        if path != self.root:
            self._check(path)
        try:
            missing = []
            above = os.path.dirname(path)
            while not os.path.isdir(above):
                missing.append(above)
                above = os.path.dirname(above)
            for place in (*reversed(missing), path):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(place)
                # Neither the umask (a service's is 0077) nor an older skep's choice must decide.
                os.chmod(place, mode if place == path else 0o755)
        except OSError as refusal:
            raise refused.general(f"cannot make the directory {path}", refusal) from refusal

    def remove_directory(self, path: str) -> None:
        """Remove a directory and the pins in it; a missing one is fine."""
        if path != self.root:
            self._check(path)
        try:
            entries = list(os.scandir(path))
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            if entry.is_symlink():
                _unlink(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                self.remove_directory(entry.path)
            else:
                self.release(entry.path)
        try:
            os.rmdir(path)
        except FileNotFoundError:
            return
        except OSError as refusal:
            raise refused.general(f"cannot remove the directory {path}", refusal) from refusal

    def walk(self, directory: str) -> tuple[str, ...]:
        """Every pin and symbolic link below ``directory``, sorted; () when it is missing."""
        return tuple(sorted(entry.path for entry in self._entries(directory)))

    def aliases(self, directory: str) -> dict[str, str]:
        """Every symbolic link below ``directory`` and its target, sorted; {} when it is missing."""
        found: dict[str, str] = {}
        for path in sorted(entry.path for entry in self._entries(directory) if entry.is_symlink()):
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                found[path] = os.readlink(path)
        return found

    def _entries(self, directory: str) -> Iterator[os.DirEntry[str]]:
        if directory != self.root:
            self._check(directory)
        pending = [directory]
        while pending:
            try:
                entries = list(os.scandir(pending.pop()))
            except (FileNotFoundError, NotADirectoryError):
                continue
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    yield entry

    def _check(self, path: str) -> None:
        if not path.startswith(f"{self.root}/") or "/../" in f"{path}/":
            raise errors.Broken(f"{path} is not below the pins at {self.root}", why="skep computed a wrong path")
        if "." in path[len(self.root) :]:
            raise errors.InvalidRequest(
                f"cannot pin at {path}",
                why="bpffs allows no dot in a name",
                errno=errno.EPERM,
                do="choose another name",
            )


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as refusal:
        raise refused.general(f"cannot remove {path}", refusal) from refusal


def _is_pin(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def _host_devices() -> set[int] | None:
    """Superblocks of the BPF file systems that process 1 has mounted, None when it cannot be looked at.

    By mountinfo and not by /proc/1/root: that needs the right to trace process 1.
    """
    try:
        with open("/proc/1/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            mounts = [line.split() for line in file]
    except OSError:
        return None
    found = set()
    for fields in mounts:  # proc_pid_mountinfo(5): the device is field 3, the type follows the lone hyphen
        if fields[fields.index("-") + 1] == "bpf":
            major, minor = fields[2].split(":")
            found.add(os.makedev(int(major), int(minor)))
    return found
