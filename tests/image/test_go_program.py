"""A probe in a real Go program: crane, which ``scripts/parts`` builds; by symbol, and by offset once it is stripped.

It stands here because this is where such a program is.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import bpf_build
from tests.e2e import installed
from tests.image import rig

MAIN = "main.main"


@pytest.fixture(scope="module")
def daemon() -> Iterator[installed.Daemon]:
    with installed.daemon() as running:
        yield running


def entered(daemon: installed.Daemon, program: int) -> int:
    """How often the function was entered since the program was loaded."""
    (maps,) = (one for one in daemon.skep("map", "list", "--program-id", str(program))["maps"] if one["name"] == "hits")
    (first, *_) = daemon.skep("map", "dump", str(maps["id"]))["entries"]
    return int(first["value"])


def offset_of(program: Path, symbol: str) -> int:
    """Where a function begins in its file, in bytes, by what readelf says of symbols and segments."""
    symbols = subprocess.run(["readelf", "-sW", program], capture_output=True, text=True, check=True).stdout
    address = next(int(line.split()[1], 16) for line in symbols.splitlines() if line.endswith(f" {symbol}"))
    segments = subprocess.run(["readelf", "-lW", program], capture_output=True, text=True, check=True).stdout
    for line in segments.splitlines():
        words = line.split()
        if words[:1] == ["LOAD"]:
            offset, virtual, size = int(words[1], 16), int(words[2], 16), int(words[4], 16)
            if virtual <= address < virtual + size:
                return address - virtual + offset
    raise AssertionError(f"{symbol} lies in no segment")


@pytest.mark.parametrize("stripped", [False, True], ids=["by-symbol", "stripped-by-offset"])
def test_a_go_program_is_probed(daemon: installed.Daemon, stripped: bool, tmp_path: Path) -> None:
    crane = Path(rig.part("crane"))
    target, place = crane, ["-f", MAIN]
    if stripped:
        target, place = tmp_path / "crane", ["--offset", hex(offset_of(crane, MAIN))]
        subprocess.run(["llvm-strip", "--strip-all", crane, "-o", target], check=True)
    (made,) = daemon.skep("program", "load", "file", str(bpf_build.build("types")), "--programs", "uprobe:on_uprobe")[
        "programs"
    ]
    program = made["record"]["program_id"]
    if stripped:
        told = daemon.run("link", "attach", "uprobe", str(program), str(target), "-f", MAIN).stderr
        assert "a stripped file needs an offset" in told
    link = daemon.skep("link", "attach", "uprobe", str(program), str(target), *place)["record"]["id"]

    for _ in range(3):
        subprocess.run([target, "version"], capture_output=True, check=True, timeout=60)

    assert entered(daemon, program) == 3
    daemon.run("link", "detach", str(link))
    subprocess.run([target, "version"], capture_output=True, check=True, timeout=60)
    assert entered(daemon, program) == 3
    daemon.run("program", "unload", str(program))
