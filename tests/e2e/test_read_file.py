"""Objects that are not sent: the daemon reads the file, with the rights of who asks and only when asked to."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skep import errors, model
from skep.rpc import client
from tests import bpf_build, instance

NOBODY = 65534
LOAD = """
import json, os, sys
from skep import errors, model
from skep.rpc import client
def load(path):
    source, programs = model.FileSource(path=path), (model.ProgramSpec(name="count"),)
    op = model.Load(object=b"", source=source, programs=programs, read_file=True)
    with client.Client(sys.argv[2]) as skep:
        try:
            (program,) = skep.run(op).programs
            return ["loaded", program.record.loaded_by.uid]
        except errors.SkepError as error:
            return [type(error).__name__, error.why]
assert load("/nonexistent")[0] == "NotFound"  # now all is imported, also what this user may not read
os.setgroups([]); os.setresgid(*[int(sys.argv[1])] * 3); os.setresuid(*[int(sys.argv[1])] * 3)
print(json.dumps(load(sys.argv[3])))
"""


@pytest.fixture(scope="module")
def daemon() -> Iterator[instance.Instance]:
    with instance.instance("readfile") as running:
        yield running


@pytest.fixture
def skep(daemon: instance.Instance) -> Iterator[client.Client]:
    with client.Client(daemon.layout.socket) as connected:
        yield connected
        for program in connected.programs(model.ProgramFilter(managed_only=True)):
            assert isinstance(program, model.Program)
            connected.run(model.Unload(program=program.record.id))


def load(path: Path, **more: Any) -> model.Load:
    source = model.FileSource(path=str(path))
    return dataclasses.replace(
        model.Load(object=b"", source=source, programs=(model.ProgramSpec(name="count"),), read_file=True), **more
    )


def test_the_daemon_reads_the_file(skep: client.Client) -> None:
    path = bpf_build.build("count")
    assert skep.preview(load(path)).steps
    (program,) = skep.run(load(path)).programs
    assert (program.record.name, program.record.source) == ("count", model.FileSource(path=str(path)))
    replaced = skep.run(
        model.ReplaceProgram(program=program.record.id, object=b"", source=program.record.source, read_file=True)
    )
    assert replaced.programs[0].record.key == program.record.key


def test_an_object_that_was_lost_is_never_taken_for_the_wish(skep: client.Client) -> None:
    with pytest.raises(errors.BadObject):
        skep.run(load(bpf_build.build("count"), read_file=False))


def test_both_at_once_are_refused(skep: client.Client) -> None:
    path = bpf_build.build("count")
    with pytest.raises(errors.InvalidRequest, match="given otherwise"):
        skep.run(load(path, object=path.read_bytes()))


def test_the_file_is_read_with_the_callers_rights(daemon: instance.Instance, tmp_path: Path) -> None:
    """A user who may use the socket and not read the file does not get at it through the daemon."""
    for place in (tmp_path, *tmp_path.parents[:2]):
        os.chmod(place, 0o755)
    path = tmp_path / "count.o"
    path.write_bytes(bpf_build.build("count").read_bytes())
    os.chmod(daemon.layout.socket, 0o666)
    os.chmod(Path(daemon.layout.runtime).parent, 0o755)

    def asked() -> list[object]:
        done = subprocess.run(
            [sys.executable, "-c", LOAD, str(NOBODY), daemon.layout.socket, str(path)],
            capture_output=True, text=True, check=True, env=instance.environment(),
        )  # fmt: skip
        answer: list[object] = json.loads(done.stdout)
        return answer

    path.chmod(0o600)
    refused = asked()
    assert refused[0] == "Denied"
    assert f"uid={NOBODY}" in str(refused[1])
    path.chmod(0o644)
    assert asked() == ["loaded", NOBODY]
