"""The walk over descriptors, on a /proc of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from skep import model
from skep.kernel import holders
from skep.model import ObjectKind


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    for pid in (1, 20, 300):
        (tmp_path / str(pid) / "fd").mkdir(parents=True)
        (tmp_path / str(pid) / "fdinfo").mkdir()
    (tmp_path / "self").mkdir()
    (tmp_path / "77").mkdir()  # a process that has just ended has no descriptors
    return tmp_path


def hold(proc: Path, pid: int, number: int, inode: str, fdinfo: str = "") -> None:
    (proc / str(pid) / "fd" / str(number)).symlink_to(inode)
    (proc / str(pid) / "fdinfo" / str(number)).write_text(f"pos:\t0\nflags:\t02000002\n{fdinfo}")


def test_each_kind_of_object_is_found_with_all_its_holders(proc: Path) -> None:
    hold(proc, 1, 3, "anon_inode:bpf-prog", "prog_type:\t6\nprog_id:\t12\nmemlock:\t4096\n")
    hold(proc, 20, 3, "anon_inode:bpf-prog", "prog_id:\t12\n")
    hold(proc, 20, 4, "anon_inode:bpf-map", "map_type:\t2\nmap_id:\t7\n")
    hold(proc, 20, 5, "anon_inode:bpf_link", "link_type:\txdp\nlink_id:\t5\nprog_id:\t12\n")
    hold(proc, 300, 9, "anon_inode:bpf-link", "link_id:\t6\n")
    hold(proc, 300, 10, "socket:[1]")
    hold(proc, 300, 11, "/dev/null", "prog_id:\t99\n")
    found = holders.walk(str(proc))
    assert dict(found.held) == {
        (ObjectKind.PROGRAM, 12): {1, 20},
        (ObjectKind.MAP, 7): {20},
        (ObjectKind.LINK, 5): {20},
        (ObjectKind.LINK, 6): {300},
    }
    assert (found.unread, found.cut, found.unlinked) == (0, False, [])


def test_our_own_processes_are_left_out(proc: Path) -> None:
    hold(proc, 1, 3, "anon_inode:bpf-prog", "prog_id:\t12\n")
    hold(proc, 20, 3, "anon_inode:bpf-prog", "prog_id:\t12\n")
    assert holders.walk(str(proc), without={20}).held == {(ObjectKind.PROGRAM, 12): {1}}


def test_a_descriptor_that_is_closed_meanwhile_is_none(proc: Path) -> None:
    hold(proc, 1, 3, "anon_inode:bpf-prog")
    (proc / "1" / "fdinfo" / "3").unlink()
    assert holders.walk(str(proc)).held == {}


def test_too_many_descriptors_are_not_looked_at_and_that_is_told(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders, "MOST_DESCRIPTORS", 2)
    for number in range(3):
        hold(proc, 1, number, "anon_inode:bpf-map", f"map_id:\t{number + 1}\n")
    hold(proc, 20, 3, "anon_inode:bpf-prog", "prog_id:\t12\n")
    hold(proc, 300, 3, "anon_inode:bpf-prog", "prog_id:\t12\n")
    found = holders.walk(str(proc))
    assert found.cut
    assert len({pid for who in found.held.values() for pid in who}) < 3


def test_names_are_those_of_the_model() -> None:
    assert {kind for kind, _ in holders._KINDS.values()} == set(model.ObjectKind)
