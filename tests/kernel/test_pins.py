"""Pins: below one root, in the host's bpffs, and acted on again without harm."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from skep import errors, model
from skep.kernel.linux import Linux
from tests import instance
from tests.kernel import kernel_rig
from tests.kernel.kernel_rig import Rig

SOURCE = str(Path(__file__).parents[2] / "src")


def test_directories_are_made_and_removed_again_and_again(rig: Rig) -> None:
    path = model.PinDir(f"{rig.root}/a/b/c")
    for _ in range(2):
        rig.kernel.make_directory(path)
    assert oct(os.stat(path).st_mode & 0o7777) == "0o755"
    for _ in range(2):
        rig.kernel.remove_directory(model.PinDir(f"{rig.root}/a"))
    assert not os.path.lexists(f"{rig.root}/a")
    assert rig.kernel.pins(path) == ()


def test_removing_a_directory_releases_what_is_pinned_in_it(rig: Rig, network: instance.Network) -> None:
    (program,) = rig.load("hooks", "on_xdp")
    rig.kernel.make_directory(model.PinDir(f"{rig.root}/links/7"))
    rig.kernel.attach(program, kernel_rig.xdp(network), rig.link_pin("7/0"))
    rig.kernel.alias(f"{rig.root}/links/7/alias", "elsewhere")
    rig.kernel.remove_directory(model.PinDir(f"{rig.root}/links/7"))
    assert rig.kernel.xdp_on(kernel_rig.near(network)) == ()


def test_pins_and_aliases_are_listed_sorted(rig: Rig) -> None:
    (program,) = rig.load("hooks", "on_xdp")
    rig.kernel.alias(f"{rig.root}/prog_1", "progs/1_on_xdp")
    maps = tuple(sorted(rig.map_pin(f"1_{name}") for name in ("hits", "rodata", "bss")))
    assert rig.kernel.aliases(model.PinDir(rig.root)) == {f"{rig.root}/prog_1": "progs/1_on_xdp"}
    assert rig.kernel.aliases(model.PinDir(f"{rig.root}/none")) == {}
    assert rig.kernel.pins(model.PinDir(rig.root)) == (*maps, f"{rig.root}/prog_1", program)


def test_an_alias_is_replaced_and_leads_to_the_pin(rig: Rig) -> None:
    (program,) = rig.load("hooks", "on_xdp")
    alias = f"{rig.root}/prog_1"
    for target in ("elsewhere", "progs/1_on_xdp"):
        rig.kernel.alias(alias, target)
        assert os.readlink(alias) == target
    assert rig.kernel.program(model.ProgramPin(alias)) == rig.kernel.program(program)
    for _ in range(2):
        rig.kernel.remove_alias(alias)
    assert not os.path.lexists(alias)
    with pytest.raises(errors.Broken, match="not an alias"):
        rig.kernel.remove_alias(program)


def test_rename_replaces_and_can_be_repeated(rig: Rig) -> None:
    old, new = rig.load("hooks", "on_xdp") + rig.load("hooks", "on_tcx")
    moved = rig.kernel.program(old)
    for _ in range(2):
        rig.kernel.rename(old, new)
    assert rig.kernel.program(old) is None
    assert rig.kernel.program(new) == moved
    with pytest.raises(errors.NotFound):
        rig.kernel.rename(old, f"{rig.root}/progs/other")


def test_renaming_over_a_link_detaches_it(rig: Rig, network: instance.Network) -> None:
    (program,) = rig.load("hooks", "on_xdp")
    (other,) = rig.load("hooks", "on_tcx")
    rig.kernel.attach(program, kernel_rig.xdp(network), rig.link_pin("1"))
    kept = rig.kernel.attach(other, kernel_rig.tcx(network), rig.link_pin("1_next"))
    rig.kernel.rename(rig.link_pin("1_next"), rig.link_pin("1"))
    assert rig.kernel.xdp_on(kernel_rig.near(network)) == ()
    assert rig.kernel.link(rig.link_pin("1")) == kept.kernel


ESCAPES: dict[str, Callable[[Linux, str], object]] = {
    "make": lambda kernel, path: kernel.make_directory(model.PinDir(path)),
    "remove": lambda kernel, path: kernel.remove_directory(model.PinDir(path)),
    "unpin": lambda kernel, path: kernel.unpin(model.ProgramPin(path)),
    "detach": lambda kernel, path: kernel.detach(model.LinkPin(path)),
    "list": lambda kernel, path: kernel.pins(model.PinDir(path)),
    "alias": lambda kernel, path: kernel.alias(path, "x"),
    "rename": lambda kernel, path: kernel.rename(path, path),
}


@pytest.mark.parametrize("action", ESCAPES)
@pytest.mark.parametrize("path", ["/sys/fs/bpf/other", "/etc/passwd", "{root}/../other", "{root}-more/x"])
def test_no_path_outside_the_root_is_touched(rig: Rig, action: str, path: str) -> None:
    with pytest.raises(errors.Broken, match="not below the pins"):
        ESCAPES[action](rig.kernel, path.format(root=rig.root))


def test_a_dot_in_a_name_is_refused_in_words(rig: Rig) -> None:
    wanted = rig.request("hooks", "on_xdp")
    with pytest.raises(errors.InvalidRequest, match="no dot"):
        rig.kernel.make_directory(model.PinDir(f"{rig.root}/maps.d"))
    assert rig.kernel.pins(model.PinDir(rig.root)) == ()
    assert wanted.programs


def test_the_hosts_bpffs_is_accepted(rig: Rig) -> None:
    rig.kernel.check_pins()


@pytest.mark.parametrize(
    ("root", "mount", "why"),
    [
        ("/mnt/bpf/pins", "mkdir /mnt/bpf && mount -t bpf private /mnt/bpf", "private mount namespace"),
        ("/mnt/pins", "true", "not in a BPF file system"),
        ("/sys/fs/bpf/pins", "mount -t bpf private /sys/fs/bpf", "private mount namespace"),
    ],
    ids=["own bpffs elsewhere", "no bpffs", "own bpffs over the host's"],
)
def test_pins_that_would_die_with_us_are_refused(root: str, mount: str, why: str) -> None:
    script = "import sys; sys.path.insert(0, sys.argv[1]); from skep.kernel import bpffs"
    script += "; bpffs.Bpffs(sys.argv[2]).check_root()"
    shell = f'mount -t tmpfs t /mnt && {mount} && exec "$0" -c "$1" "$2" "$3"'
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", shell, sys.executable, script, SOURCE, root],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "skep.errors.Unsupported" in done.stderr
    assert why in done.stderr
    assert "mount -t bpf bpf /sys/fs/bpf" in done.stderr
