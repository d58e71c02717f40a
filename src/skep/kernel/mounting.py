"""BPF file systems of one's own: filled while nobody sees them, then shown at a directory, whole, in one step.

Sources: fsopen(2), fsconfig(2), fsmount(2), move_mount(2) (Linux 5.2); openat2(2) (5.6); umount(2). Whoever is killed
in between leaves nothing: a file system that is mounted nowhere goes with its last descriptor, and its pins with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from skep import errors
from skep.kernel import abi, mountinfo, refused, sys

_int, _uint, _text = ctypes.c_int, ctypes.c_uint, ctypes.c_char_p
_fsopen = sys.syscall("fsopen", _text, _uint)
_fsconfig = sys.syscall("fsconfig", _int, _uint, _text, _text, _int)
_fsmount = sys.syscall("fsmount", _int, _uint, _uint)
_move_mount = sys.syscall("move_mount", _int, _text, _int, _text, _uint)
_umount2 = sys.syscall("umount2", _text, _int)

_ATTRIBUTES: Final = abi.MOUNT_ATTR_NOSUID | abi.MOUNT_ATTR_NODEV | abi.MOUNT_ATTR_NOEXEC
_ITERATORS: Final = frozenset({"maps.debug", "progs.debug"})
"""What every BPF file system has from its start where the kernel brings them (kernel/bpf/preload; 5.10): lists of
the kernel's maps and programs, for root's eyes only. It lets nobody remove them."""


@dataclass(slots=True)
class Fresh:
    """A BPF file system that nobody else sees yet. ``root`` is its directory, open."""

    _context: int
    _mount: int
    root: int

    def own(self, gid: int, mode: int) -> None:
        """Give its directory to a group, with permission bits."""
        os.fchown(self.root, -1, gid)
        os.fchmod(self.root, mode)

    def pin(self, name: str, fd: int, *, gid: int, mode: int) -> None:
        """Pin an object under a name, for a group, with permission bits."""
        # By way of /proc, because OBJ_PIN takes paths only (a directory's descriptor since 6.5), and this one has none.
        sys.obj_pin(f"/proc/self/fd/{self.root}/{name}", fd)
        os.chown(name, -1, gid, dir_fd=self.root, follow_symlinks=False)
        os.chmod(name, mode, dir_fd=self.root)

    def seal(self) -> None:
        """Make it read-only: the file system and not the mount, since bpf(2) looks at that one only."""
        _fsconfig(self._context, abi.FSCONFIG_SET_FLAG, b"ro", None, 0)
        _fsconfig(self._context, abi.FSCONFIG_CMD_RECONFIGURE, None, None, 0)

    def show(self, place: Place) -> None:
        """Mount it over a directory that is there. From now on it outlives us."""
        with sys.held(place.open()) as over:
            flags = abi.MOVE_MOUNT_F_EMPTY_PATH | abi.MOVE_MOUNT_T_EMPTY_PATH
            _move_mount(self._mount, b"", over, b"", flags)


@contextlib.contextmanager
def fresh(source: str) -> Iterator[Fresh]:
    """A new BPF file system, called ``source`` (at most 255 bytes) in mountinfo; gone after the block unless shown."""
    with contextlib.ExitStack() as stack:
        try:
            context = stack.enter_context(sys.held(_fsopen(b"bpf", abi.FSOPEN_CLOEXEC)))
        except OSError as refusal:
            raise refused.general(
                "no BPF file system can be made", refusal, feature="fsopen", first="5.2",
                do="this needs Linux 5.2 with CONFIG_BPF_SYSCALL, and CAP_SYS_ADMIN",
            ) from refusal  # fmt: skip
        _fsconfig(context, abi.FSCONFIG_SET_STRING, b"source", os.fsencode(source), 0)
        _fsconfig(context, abi.FSCONFIG_CMD_CREATE, None, None, 0)
        mount = stack.enter_context(sys.held(_fsmount(context, abi.FSMOUNT_CLOEXEC, _ATTRIBUTES)))
        root = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mount)
        stack.enter_context(sys.held(root))
        yield Fresh(context, mount, root)


@dataclass(frozen=True, slots=True)
class Place:
    """A directory in a directory that is held open, so that neither a rename nor a link elsewhere leads astray."""

    parent: int
    name: str

    def open(self) -> int:
        """The directory, or what is mounted over it. FileNotFoundError; InvalidRequest when it is something else."""
        flags = os.O_PATH | os.O_DIRECTORY
        try:
            return sys.open_below(self.parent, self.name, flags, abi.RESOLVE_BENEATH | abi.RESOLVE_NO_SYMLINKS)
        except OSError as refusal:
            if refusal.errno in (errno.ENOTDIR, errno.ELOOP):
                raise errors.InvalidRequest(
                    f"{self.name} is no directory", why=refused.explain(refusal.errno), do="take away what is there"
                ) from refusal
            raise

    def make(self) -> bool:
        """mkdir(2) with mode 0755; False when it is there already."""
        try:
            os.mkdir(self.name, 0o755, dir_fd=self.parent)
        except FileExistsError:
            return False
        with sys.held(self.open()) as made:  # the umask must not decide
            os.chmod(f"/proc/self/fd/{made}", 0o755)
        return True

    def remove(self) -> None:
        """rmdir(2); fine when it is gone."""
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(self.name, dir_fd=self.parent)

    def mounted(self) -> mountinfo.Mount | None:
        """What is mounted over it, the topmost; None when nothing is, or it is not there."""
        try:
            here = self.open()
        except FileNotFoundError:
            return None
        with sys.held(here):
            if mountinfo.id_of(here) == mountinfo.id_of(self.parent):
                return None
            return mountinfo.of(here)

    def names(self) -> frozenset[str]:
        """What is in it."""
        with sys.held(self.open()) as here:
            listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)
            with sys.held(listed):
                return frozenset(os.listdir(listed)) - _ITERATORS

    def unmount(self) -> None:
        """Take the topmost file system away; who still has it open keeps it until then."""
        path = os.fsencode(f"/proc/self/fd/{self.parent}/{self.name}")
        try:
            _umount2(path, abi.UMOUNT_NOFOLLOW)
        except OSError as refusal:
            if refusal.errno != errno.EBUSY:
                raise
            _umount2(path, abi.UMOUNT_NOFOLLOW | abi.MNT_DETACH)


@contextlib.contextmanager
def place(root: str, path: str) -> Iterator[Place]:
    """The directory ``path`` below the directory ``root``, reached without any symbolic link below it.

    FileNotFoundError when what is above it is not there; InvalidRequest for a link or a file in the way.
    """
    above, name = os.path.split(os.path.relpath(path, root))
    with sys.held(os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as top:
        try:
            parent = sys.open_below(
                top, above or ".", os.O_PATH | os.O_DIRECTORY, abi.RESOLVE_BENEATH | abi.RESOLVE_NO_SYMLINKS
            )
        except OSError as refusal:
            if refusal.errno in (errno.ENOTDIR, errno.ELOOP, errno.EXDEV):
                raise errors.InvalidRequest(
                    f"{path} is not reached by directories alone",
                    why=refused.explain(refusal.errno),
                    do="name it without symbolic links",
                ) from refusal
            raise
        with sys.held(parent):
            yield Place(parent, name)
