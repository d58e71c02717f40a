"""A new version that is refused, wherever that happens, leaves the old one running everywhere."""

from __future__ import annotations

import json
import struct
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import errors, model
from skep.hooks import xdp
from tests import bpf_build
from tests.kernel import manager_rig
from tests.kernel.manager_rig import ROOT

pytestmark = pytest.mark.native  # minutes of emulation for what is decided in Python


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[manager_rig.Rig]:
    with manager_rig.rig(tmp_path) as made:
        yield made


def load(rig: manager_rig.Rig, path: Path, program: str) -> model.Program:
    operation = model.Load(
        object=path.read_bytes(),
        source=model.FileSource(path=path.name),
        programs=(model.ProgramSpec(name=program),),
    )
    return rig.manager.run(ROOT, operation).programs[0]


def replace(rig: manager_rig.Rig, program: model.Program, path: Path, name: str) -> model.Program:
    operation = model.ReplaceProgram(
        program=program.record.id, object=path.read_bytes(), source=model.FileSource(path=path.name), name=name
    )
    return rig.manager.run(ROOT, operation).programs[0]


def runs(rig: manager_rig.Rig, link: model.LinkId) -> int:
    counts = rig.manager.link(link).status.counts
    assert counts is not None
    return counts.runs


def test_a_version_that_the_verifier_refuses(rig: manager_rig.Rig) -> None:
    old = load(rig, bpf_build.build("count"), "count")
    link = rig.attach(old, rig.attachment("on_xdp"))
    before = rig.state()
    with pytest.raises(errors.Rejected) as refused:
        replace(rig, old, bpf_build.build("refused"), "unchecked_packet")
    assert "invalid access to packet" in refused.value.log
    assert rig.state() == before
    rig.send(3)
    assert runs(rig, link) == 3


def test_a_version_that_does_not_go_with_the_rest_of_the_chain(rig: manager_rig.Rig) -> None:
    """By itself the verifier takes it; the chain's licence does not allow what it calls."""
    closed = load(rig, bpf_build.build("licences"), "licensed")
    old = load(rig, bpf_build.build("count"), "count")
    first = rig.attach(closed, rig.attachment("on_xdp", priority=1))
    link = rig.attach(old, rig.attachment("on_xdp", priority=2))
    before = rig.state()
    with pytest.raises(errors.Conflict, match="GPL"):
        replace(rig, old, bpf_build.build("licences", "GPL_HELPER"), "licensed")
    assert rig.state() == before
    rig.send(3)
    assert [runs(rig, one) for one in (first, link)] == [3, 3]


def test_a_version_that_one_of_two_hooks_refuses_leaves_both_as_they_were(rig: manager_rig.Rig) -> None:
    """A veth's XDP program must take the frames that its peer may send: here those of one end are jumbo."""
    old = load(rig, bpf_build.build("count"), "count_frags")
    far = model.InterfaceRef(name=rig.network.far, netns=rig.network.path)
    subprocess.run(["ip", "-n", rig.network.name, "link", "set", rig.network.near, "mtu", "9000"], check=True)
    near_link = rig.attach(old, rig.attachment("on_xdp", mode=model.XdpMode.DRV))
    on_far = xdp.XdpAttachment(interface=far, priority=50, mode=model.XdpMode.DRV)
    rig.attach(old, on_far)
    before, before_far = rig.state(), rig.kernel.xdp_on(far)
    with pytest.raises(errors.Rejected, match=r"MTU is too large.*count not built for SEC"):
        replace(rig, old, bpf_build.build("count"), "count")
    assert (rig.state(), rig.kernel.xdp_on(far)) == (before, before_far)
    rig.send(4)
    assert runs(rig, near_link) == 4
    assert rig.manager.doctor() == ()


MAP = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct {
	__uint(type, TYPE);
	__uint(max_entries, ENTRIES);
	__uint(map_flags, FLAGS);
	__type(key, KEY);
	__type(value, VALUE);
} packets SEC(".maps");
SEC("xdp") int count(struct xdp_md *ctx)
{
	KEY key = 0;
	VALUE *value = bpf_map_lookup_elem(&packets, &key);
	if (value)
		__sync_fetch_and_add(value, 1);
	return XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
"""
SAME = {"TYPE": "BPF_MAP_TYPE_HASH", "ENTRIES": "8", "FLAGS": "0", "KEY": "__u32", "VALUE": "__u64"}


def compiled(directory: Path, **changed: str) -> Path:
    made = directory / f"{'-'.join(f'{key}{value}' for key, value in changed.items()) or 'same'}.o"
    source = directory / "map.c"
    source.write_text(MAP)
    defines = [f"-D{name}={value}" for name, value in {**SAME, **changed}.items()]
    include = f"-I/usr/include/{sysconfig.get_config_var('MULTIARCH')}"
    words = ["clang", "-O2", "-g", "-target", "bpf", include, *defines, "-c", str(source), "-o", str(made)]
    subprocess.run(words, check=True)
    return made


@pytest.mark.parametrize(
    ("field", "value", "difference"),
    [
        ("TYPE", "BPF_MAP_TYPE_LRU_HASH", "type"),
        ("ENTRIES", "16", "16"),
        ("FLAGS", "BPF_F_NO_PREALLOC", "flags"),
        ("KEY", "__u64", "key"),
        ("VALUE", "__u32", "value"),
    ],
)
def test_a_map_that_differs_is_refused_with_the_difference(
    rig: manager_rig.Rig, tmp_path: Path, field: str, value: str, difference: str
) -> None:
    old = load(rig, compiled(tmp_path), "count")
    link = rig.attach(old, rig.attachment("on_xdp"))
    before = rig.state()
    with pytest.raises(errors.Conflict) as refused:
        replace(rig, old, compiled(tmp_path, **{field: value}), "count")
    assert "packets" in str(refused.value)
    assert difference in str(refused.value)
    assert rig.state() == before
    rig.send(2)
    assert runs(rig, link) == 2


def test_equal_maps_keep_contents_id_and_pin(rig: manager_rig.Rig) -> None:
    old = load(rig, bpf_build.build("count"), "count")
    link = rig.attach(old, rig.attachment("on_xdp"))
    rig.send(3)
    new = replace(rig, old, bpf_build.build("count"), "count_frags")
    kept = {one.pin for one in old.record.maps if one.name == "packets"}
    assert kept == {one.pin for one in new.record.maps if one.name == "packets"}
    rig.send(4)
    (pin,) = kept
    assert struct.unpack("=Q", looked_up(pin))[0] == 7
    assert runs(rig, link) == 7


def looked_up(pin: model.MapPin) -> bytes:
    words = ["bpftool", "-j", "map", "lookup", "pinned", pin, "key", "0", "0", "0", "0"]
    done = subprocess.run(words, capture_output=True, check=True).stdout
    return bytes(int(one, 16) for one in json.loads(done)["value"])
