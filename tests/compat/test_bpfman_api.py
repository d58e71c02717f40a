"""bpfman's Rust users keep working: our bpfman.v1 is the one in their crate, and a client built on that crate runs.

The crate is fetched by its name with cargo and never copied into this repository. What cargo downloads and builds
stays in its own cache and in the user's cache directory, so only the first run takes its minutes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from skep.pb import bpfman_pb2
from tests import instance
from tests.compat import prost, schema

CLIENT = Path(__file__).parent / "rust-client"
PACKAGE = "bpfman.v1"
COLD_BUILD_SECONDS = 3600
RUST_AT_LEAST = (1, 85)  # rust-version of bpfman-api 0.6.0

# The crate is older than bpfman's LSM support; everything that LSM added is named here, and nothing else may differ.
LSM_ATTACH = schema.Field(name="lsm_attach_info", number=9, type="bpfman.v1.LsmAttachInfo", oneof="info")
LSM_LOAD = schema.Field(name="lsm_load_info", number=3, type="bpfman.v1.LsmLoadInfo", oneof="info")
LSM = (
    f"+ bpfman.v1.AttachInfo: {LSM_ATTACH}",
    f"+ bpfman.v1.ProgSpecificInfo: {LSM_LOAD}",
    "+ message bpfman.v1.LsmAttachInfo",
    "+ message bpfman.v1.LsmLoadInfo",
    "+ bpfman.v1.BpfmanProgramType: ('LSM', 8)",
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(COLD_BUILD_SECONDS)]


def _cargo(*words: str) -> subprocess.CompletedProcess[str]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skep/rust-client"
    environment = {
        **os.environ,
        "CARGO_TARGET_DIR": str(cache),
        "CARGO_BUILD_JOBS": "2",
        # A build script of the crate's dependencies compiles BPF, and clang for BPF does not look here by itself.
        "C_INCLUDE_PATH": f"/usr/include/{sysconfig.get_config_var('MULTIARCH')}",
    }
    command = ["cargo", *words, "--locked", "--manifest-path", str(CLIENT / "Cargo.toml")]
    return subprocess.run(command, env=environment, cwd=CLIENT, capture_output=True, text=True, check=False)


def _words(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@pytest.fixture(scope="module")
def crate() -> Path:
    """The source of bpfman-api 0.6.0 in cargo's cache. Skips only where cargo is missing, too old or has no network."""
    if shutil.which("cargo") is None:
        pytest.skip("cargo is not on the PATH")
    version = _words("cargo", "--version")
    found = re.match(r"cargo (\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < RUST_AT_LEAST:
        pytest.skip(f"the crate needs Rust {RUST_AT_LEAST[0]}.{RUST_AT_LEAST[1]}; here is {version.strip() or 'none'}")
    host = re.search(r"^host: (\S+)", _words("rustc", "-vV"), re.MULTILINE)
    assert host is not None, "cargo without rustc"
    done = _cargo("metadata", "--format-version", "1", "--filter-platform", host[1])
    if done.returncode and re.search(r"failed to (download|get|fetch)|spurious network|Could not resolve", done.stderr):
        pytest.skip(f"cargo cannot fetch the crate: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    packages = json.loads(done.stdout)["packages"]
    (manifest,) = [package["manifest_path"] for package in packages if package["name"] == "bpfman-api"]
    return Path(manifest).parent


def test_every_field_of_the_crate_is_ours_with_the_same_number_and_type(crate):
    source = (crate / "src/bpfman.v1.rs").read_text()
    ours = prost.spelled(schema.from_descriptor(bpfman_pb2.DESCRIPTOR))
    assert sorted(schema.differences(ours, prost.parse(source, PACKAGE))) == sorted(LSM)


def test_no_field_of_the_crate_was_overlooked(crate):
    source = (crate / "src/bpfman.v1.rs").read_text()
    fields = [field for fields in prost.parse(source, PACKAGE).messages.values() for field in fields]
    assert len(fields) == len(re.findall(r'\btag = "\d+"', source)) > 90
    assert sum(map(len, prost.parse(source, PACKAGE).services.values())) == 7


@pytest.fixture(scope="module")
def client(crate) -> Path:
    """The Rust client, built against the crate."""
    done = _cargo("build", "--message-format", "json-render-diagnostics")
    assert done.returncode == 0, done.stderr[-4000:]
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    (program,) = [message["executable"] for message in messages if message.get("executable")]
    return Path(program)


@pytest.mark.e2e
@pytest.mark.parametrize(("program", "hook", "kernel_type"), [("xdp_count", "xdp", 6), ("tp_getppid", "tracepoint", 5)])
def test_a_client_on_the_crate_loads_gets_attaches_lists_detaches_and_unloads(client, program, hook, kernel_type):
    source = instance.EXAMPLES / f"{program}.bpf.o"
    with instance.network("skep-rust") as network, instance.instance("skep-rust") as daemon:
        place = [network.near, network.path] if hook == "xdp" else ["syscalls/sys_enter_getppid"]
        before = daemon.pins()
        done = subprocess.run(
            [client, daemon.layout.socket, source, program, hook, *place], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        lines = [line.partition(" ") for line in done.stdout.splitlines()]
        calls = {call: dict(re.findall(r"(\w+)=(.*?)(?= \w+=|$)", values)) for call, _, values in lines}
        assert list(calls) == ["load", "get", "attach", "list", "detach", "unload"]
        assert calls["load"]["type"] == str(kernel_type)
        assert calls["list"] == {"programs": "1", "links": f"[{calls['attach']['link']}]"}
        assert calls["unload"]["then"] == "NotFound"
        assert daemon.pins() == before
