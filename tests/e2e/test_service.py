"""The daemon under exactly what its systemd unit leaves it: capabilities, no new privileges, no executable memory."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from skep.pb import bpfman_pb2, bpfman_pb2_grpc
from tests.e2e import installed
from tests.unit.house import unit_file

NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
# PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN (linux/prctl.h; Linux 6.3): what MemoryDenyWriteExecute=yes means.
REFUSE_EXECUTABLE_MEMORY = """
import ctypes, os, sys
if ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0):
    sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
os.execvp(sys.argv[1], sys.argv[1:])
"""
# A network namespace of its own: its loopback is an interface that nobody else uses. No mount namespace.
CONFINED = (
    "unshare",
    "--net",
    "setpriv",
    "--no-new-privs",
    "--bounding-set=-all," + ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in unit_file.capabilities()),
    sys.executable,
    "-c",
    REFUSE_EXECUTABLE_MEMORY,
)


@pytest.fixture(scope="module")
def skep() -> Iterator[installed.Daemon]:
    """A daemon that may do what the unit says, and no more."""
    with installed.daemon(prefix=CONFINED) as running:
        yield running


def test_the_daemon_has_exactly_the_units_capabilities(skep: installed.Daemon) -> None:
    """If the daemon ran with more, the tests below would show nothing."""
    status = Path(f"/proc/{skep.process.pid}/status").read_text()
    wanted = sum(1 << number(name) for name in unit_file.capabilities())
    sets = {name: int(value, 16) for name, value in re.findall(r"^(Cap(?:Prm|Eff|Bnd)):\s(\w+)$", status, re.M)}
    assert sets == {"CapPrm": wanted, "CapEff": wanted, "CapBnd": wanted}
    assert re.search(r"^NoNewPrivs:\s1$", status, re.M)


@pytest.mark.parametrize(
    ("file", "program", "attach"),
    [
        ("xdp_count.bpf.o", "xdp:xdp_count", ("xdp", "{id}", "lo", "-p", "50")),
        ("tcx_count.bpf.o", "tcx:tcx_count", ("tcx", "{id}", "lo", "ingress", "-p", "50")),
        ("tp_getppid.bpf.o", "tracepoint:tp_getppid", ("tracepoint", "{id}", "syscalls/sys_enter_getppid")),
        ("uprobe_count.bpf.o", "uprobe:uprobe_enter", ("uprobe", "{id}", sys.executable, "-f", "Py_Main")),
        ("uprobe_count.bpf.o", "uretprobe:uprobe_return", ("uprobe", "{id}", sys.executable, "-f", "Py_Main")),
    ],
    ids=["xdp", "tcx", "tracepoint", "uprobe", "uretprobe"],
)
def test_every_type_lives_its_life(skep: installed.Daemon, file: str, program: str, attach: tuple[str, ...]) -> None:
    """Load, attach, list, detach and unload need no capability that the unit does not give."""
    loaded = skep.skep("program", "load", "file", str(installed.EXAMPLES / file), "--programs", program)
    program_id = str(loaded["programs"][0]["record"]["program_id"])
    link = skep.skep("link", "attach", *(word.format(id=program_id) for word in attach))
    link_id = str(link["record"]["id"])
    assert [row for row in skep.skep("program", "list")["programs"] if str(row["program_id"]) == program_id]
    assert skep.run("link", "detach", link_id).returncode == 0
    assert skep.run("program", "unload", program_id).returncode == 0
    assert skep.run("program", "get", program_id).returncode != 0


def test_a_file_is_opened_with_the_callers_rights(skep: installed.Daemon, tmp_path: Path) -> None:
    """What a client names over bpfman.v1 is read as that client: nobody's own file is, root's private one is not."""
    os.chmod(tmp_path, 0o755)
    for parent in tmp_path.parents:
        if stat.S_IMODE(parent.stat().st_mode) == 0o700:
            parent.chmod(0o755)
    mine, roots = tmp_path / "mine.o", tmp_path / "roots.o"
    for path, owner in ((mine, NOBODY), (roots, 0)):
        path.write_bytes((installed.EXAMPLES / "xdp_count.bpf.o").read_bytes())
        path.chmod(0o600)
        os.chown(path, owner, owner)
    os.chmod(Path(skep.layout.runtime).parent, 0o755)
    os.chmod(skep.socket, 0o666)
    script = (
        "import sys, grpc\n"
        "from skep.pb import bpfman_pb2 as pb, bpfman_pb2_grpc\n"
        "stub = bpfman_pb2_grpc.BpfmanStub(grpc.insecure_channel(f'unix:{sys.argv[1]}'))\n"
        "request = pb.LoadRequest(bytecode=pb.BytecodeLocation(file=sys.argv[2]),\n"
        "                         info=[pb.LoadInfo(name='xdp_count', program_type=pb.XDP)])\n"
        "try:\n"
        "    print('id', stub.Load(request).programs[0].kernel_info.id)\n"
        "except grpc.RpcError as error:\n"
        "    print(error.code().name, error.details())\n"
    )
    answers = [
        subprocess.run(
            [*AS_NOBODY, sys.executable, "-c", script, skep.socket, str(path)],
            env=installed.environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for path in (mine, roots)
    ]
    assert answers[0].startswith("id "), answers[0]
    assert answers[1].startswith("PERMISSION_DENIED "), answers[1]
    with grpc.insecure_channel(f"unix:{skep.socket}") as channel:
        bpfman_pb2_grpc.BpfmanStub(channel).Unload(bpfman_pb2.UnloadRequest(id=int(answers[0].split()[1])))


def number(capability: str) -> int:
    """A capability's bit, as the kernel's header defines it."""
    header = Path("/usr/include/linux/capability.h").read_text()
    found = re.search(rf"^#define {capability}\s+(\d+)$", header, re.M)
    assert found is not None, capability
    return int(found[1])
