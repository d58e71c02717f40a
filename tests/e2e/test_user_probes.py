"""Probes in user space, as users of the command line and of the daemon's API have them."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator

import pytest

from skep import errors, model
from skep.hooks import usdt
from skep.rpc.client import Client
from tests import instance
from tests.kernel import bpf_raw, types_rig, usdt_rig

SECONDS = 30.0


@pytest.fixture
def skep() -> Iterator[instance.Instance]:
    with instance.instance("skep-usdt") as running:
        yield running


def load(skep: instance.Instance) -> tuple[model.ProgramId, str]:
    """A USDT program, and the pin of the map that it writes to."""
    with Client(skep.layout.socket, timeout=SECONDS) as daemon:
        wanted = model.Load(
            object=usdt_rig.bpf_object().read_bytes(),
            source=model.FileSource(path="usdt.bpf.o"),
            programs=(model.ProgramSpec(name="on_usdt"),),
        )
        (program,) = daemon.run(wanted).programs
    return program.record.id, next(one.pin for one in program.record.maps if one.name == "seen")


def runs(pin: str) -> int:
    fd = types_rig.pinned(pin)
    try:
        return int(struct.unpack_from("=Q", bpf_raw.map_lookup(fd, struct.pack("=I", 0), 168))[0])
    finally:
        os.close(fd)


def test_a_killed_daemon_leaves_the_probe_at_work(skep: instance.Instance) -> None:
    """The kernel holds link, arguments and semaphore; whoever comes next can detach."""
    program, seen = load(skep)
    words = ("link", "attach", "usdt", str(program), str(usdt_rig.program()), "demo:guarded", "--cookie", "7")
    told = json.loads(skep.cli(*words, "-o", "json").stdout)
    assert told["record"]["details"]["cookie"] == 7
    skep.process.kill()
    skep.process.wait()
    with usdt_rig.process() as probed:
        assert probed.turn(4) == 1
        assert runs(seen) == 4
        skep.cli("--direct", "link", "detach", str(told["record"]["id"]))
        assert probed.turn() == 0
        assert runs(seen) == 4


def test_the_api_attaches_and_tells(skep: instance.Instance) -> None:
    program, seen = load(skep)
    wanted = usdt.UsdtAttachment(target=str(usdt_rig.program()), probe="demo:sites", cookie=2**64 - 1)
    with Client(skep.layout.socket, timeout=SECONDS) as daemon:
        (link,) = daemon.run(model.Attach(program=program, attachment=wanted)).links
        assert daemon.link(link).record.attachment == wanted
        with usdt_rig.process() as probed:
            probed.turn()
        assert runs(seen) == 3
        with pytest.raises(errors.NotFound) as refused:
            daemon.run(
                model.Attach(program=program, attachment=usdt.UsdtAttachment(target=wanted.target, probe="demo:site"))
            )
        assert refused.value.near == ("demo:sites",)
        daemon.run(model.Detach(link=link))


def test_a_contradiction_is_told(skep: instance.Instance) -> None:
    program, _ = load(skep)
    done = skep.cli("link", "attach", "usdt", str(program), "/usr/bin/true", check=False)
    assert done.returncode == 10
    assert "write them as TARGET PROVIDER:NAME" in done.stderr
