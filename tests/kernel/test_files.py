"""Files are read with the caller's rights, and nothing but regular files is ever opened for reading."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import pytest

from skep import errors, model
from skep.kernel import files
from tests.kernel import kernel_rig

pytestmark = pytest.mark.native  # what it is about is the same in the guest, and slow there

USER, GROUP, OTHER = 61_001, 61_002, 61_003
LIMIT = 1000


def caller(uid: int, gid: int = OTHER, groups: tuple[int, ...] = ()) -> model.Caller:
    return model.Caller(uid=uid, gid=gid, pid=1, groups=groups)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory that everybody may enter."""
    for one in (tmp_path, *tmp_path.parents[:2]):
        one.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("who", "mode", "allowed"),
    [
        (caller(0), 0o000, True),
        (caller(USER), 0o400, True),
        (caller(USER), 0o040, False),
        (caller(OTHER), 0o404, True),
        (caller(OTHER), 0o440, False),
        (caller(OTHER, GROUP), 0o040, True),
        (caller(OTHER, OTHER, (GROUP,)), 0o040, True),
        (caller(OTHER, OTHER, (OTHER,)), 0o040, False),
    ],
    ids=["root", "owner", "owner shut out", "others", "not others", "group", "supplementary group", "other group"],
)
def test_the_callers_rights_decide(place: Path, who: model.Caller, mode: int, allowed: bool) -> None:
    file = place / "object.o"
    file.write_bytes(b"bytes")
    os.chown(file, USER, GROUP)
    file.chmod(mode)
    if allowed:
        assert files.read_as(str(file), who, LIMIT) == b"bytes"
    else:
        with pytest.raises(errors.Denied, match=f"uid={who.uid}"):
            files.read_as(str(file), who, LIMIT)


def test_a_caller_who_is_this_process_has_its_rights(place: Path) -> None:
    file = place / "object.o"
    file.write_bytes(b"bytes")
    file.chmod(0o600)
    own = model.Caller(uid=USER, gid=USER, pid=1, origin="direct")
    assert files.read_as(str(file), own, LIMIT) == b"bytes"


def test_a_directory_in_between_that_is_closed(place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    (closed / "object.o").write_bytes(b"bytes")
    (place / "link.o").symlink_to(closed / "object.o")
    for path in (closed / "object.o", place / "link.o", closed / "never.o"):
        with pytest.raises(errors.Denied):
            files.read_as(str(path), caller(USER), LIMIT)


def test_links_are_followed_as_the_caller_could(place: Path) -> None:
    (place / "object.o").write_bytes(b"bytes")
    (place / "link.o").symlink_to("object.o")
    (place / "loop.o").symlink_to("loop.o")
    assert files.read_as(str(place / "link.o"), caller(USER), LIMIT) == b"bytes"
    with pytest.raises(errors.InvalidRequest, match="loop"):
        files.read_as(str(place / "loop.o"), caller(USER), LIMIT)


def test_the_daemons_own_rights_are_untouched(place: Path) -> None:
    secret = place / "secret.o"
    secret.write_bytes(b"bytes")
    secret.chmod(0o600)
    with pytest.raises(errors.Denied):
        files.read_as(str(secret), caller(USER), LIMIT)
    assert secret.read_bytes() == b"bytes"
    assert files.read_as(str(secret), caller(0), LIMIT) == b"bytes"


def test_what_is_not_a_regular_file_is_refused_at_once(place: Path) -> None:
    os.mkfifo(place / "fifo", 0o666)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "socket"))
        for path in (place / "fifo", place / "socket", place, "/dev/zero", "/dev/null"):
            began = time.monotonic()
            with pytest.raises(errors.InvalidRequest, match="not a regular file"):
                files.read_as(str(path), caller(0), LIMIT)
            assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    "path",
    ["/proc/self/environ", "/proc/self/maps", "/proc/self/exe", "/proc/self/fd/0", "/proc/self/cwd/x", "/dev/fd/0"],
)
def test_the_daemons_own_process_cannot_be_read(path: str) -> None:
    with pytest.raises((errors.InvalidRequest, errors.Denied)):
        files.read_as(path, caller(USER), 1 << 20)
    with pytest.raises(errors.InvalidRequest):
        files.read_as(path, caller(0), 1 << 20)


@pytest.mark.parametrize("path", ["object.o", "", "./object.o", "/etc/pass\0wd"])
def test_a_path_must_be_absolute(path: str) -> None:
    with pytest.raises(errors.InvalidRequest, match="absolute"):
        files.read_as(path, caller(0), LIMIT)


def test_a_missing_file(place: Path) -> None:
    with pytest.raises(errors.NotFound, match="ENOENT"):
        files.read_as(str(place / "never.o"), caller(USER), LIMIT)


@pytest.mark.parametrize("size", [0, LIMIT, LIMIT + 1, 50 * LIMIT])
def test_the_limit_is_checked_before_reading(place: Path, size: int) -> None:
    file = place / "object.o"
    file.write_bytes(b"x" * size)
    if size <= LIMIT:
        assert len(files.read_as(str(file), caller(USER), LIMIT)) == size
    else:
        with pytest.raises(errors.Exhausted, match="1000 bytes"):
            files.read_as(str(file), caller(USER), LIMIT)


def test_many_callers_at_once_keep_their_own_rights(place: Path) -> None:
    for uid in (USER, OTHER):
        file = place / f"{uid}.o"
        file.write_bytes(str(uid).encode())
        os.chown(file, uid, 0)
        file.chmod(0o400)
    before = kernel_rig.descriptors()
    wrong: list[str] = []

    def run(uid: int, other: int) -> None:
        for _ in range(50):
            if files.read_as(str(place / f"{uid}.o"), caller(uid), LIMIT) != str(uid).encode():
                wrong.append(f"{uid} read something else")
            try:
                files.read_as(str(place / f"{other}.o"), caller(uid), LIMIT)
                wrong.append(f"{uid} read {other}")
            except errors.Denied:
                continue

    threads = [threading.Thread(target=run, args=pair) for pair in ((USER, OTHER), (OTHER, USER)) * 4]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert wrong == []
    assert kernel_rig.descriptors() == before
