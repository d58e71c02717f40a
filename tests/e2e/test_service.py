"""The daemon under exactly what its systemd unit leaves it: capabilities, no new privileges, no executable memory."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import images
from tests.e2e import installed
from tests.kernel import types_rig, usdt_rig
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
OBJECT = str(installed.EXAMPLES / "xdp_count.bpf.o")
LOAD_BY_PATH = """
import sys, grpc
from skep.pb import bpfman_pb2 as pb, bpfman_pb2_grpc
stub = bpfman_pb2_grpc.BpfmanStub(grpc.insecure_channel(f"unix:{sys.argv[1]}"))
request = pb.LoadRequest(
    bytecode=pb.BytecodeLocation(file=sys.argv[2]), info=[pb.LoadInfo(name="xdp_count", program_type=pb.XDP)]
)
try:
    print("id", stub.Load(request).programs[0].kernel_info.id)
except grpc.RpcError as error:
    print(error.code().name, error.details())
"""


def confined(capabilities: tuple[str, ...]) -> tuple[str, ...]:
    """What goes before the daemon's command to leave it these capabilities.

    And a network namespace of its own, whose loopback is an interface that nobody else uses; no mount namespace.
    """
    kept = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in capabilities)
    confine = ("unshare", "--net", "setpriv", "--no-new-privs", f"--bounding-set=-all,{kept}")
    return (*confine, sys.executable, "-c", REFUSE_EXECUTABLE_MEMORY)


@pytest.fixture(scope="module")
def skep() -> Iterator[installed.Daemon]:
    """A daemon that may do what the unit says, and no more."""
    with installed.daemon(prefix=confined(unit_file.capabilities())) as running:
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
        ("tc_drop_port.bpf.o", "tc:tc_drop_port", ("tc", "{id}", "lo", "ingress", "-p", "50")),
        ("tcx_count.bpf.o", "tcx:tcx_count", ("tcx", "{id}", "lo", "ingress", "-p", "50")),
        ("tp_getppid.bpf.o", "tracepoint:tp_getppid", ("tracepoint", "{id}", "syscalls/sys_enter_getppid")),
        ("uprobe_count.bpf.o", "uprobe:uprobe_enter", ("uprobe", "{id}", "libc.so.6", "-f", "getppid")),
        ("uprobe_count.bpf.o", "uretprobe:uprobe_return", ("uprobe", "{id}", "libc.so.6", "-f", "getppid")),
        ("usdt_count.bpf.o", "usdt:usdt_count", ("usdt", "{id}", "{probed}", "demo:plain")),
    ],
    ids=["xdp", "tc", "tcx", "tracepoint", "uprobe", "uretprobe", "usdt"],
)
def test_every_type_lives_its_life(skep: installed.Daemon, file: str, program: str, attach: tuple[str, ...]) -> None:
    """Load, attach, list, detach and unload need no capability that the unit does not give."""
    loaded = skep.skep("program", "load", "file", str(installed.EXAMPLES / file), "--programs", program)
    program_id = str(loaded["programs"][0]["record"]["program_id"])
    link = skep.skep("link", "attach", *(word.format(id=program_id, probed=usdt_rig.program()) for word in attach))
    link_id = str(link["record"]["id"])
    assert [row for row in skep.skep("program", "list")["programs"] if str(row["program_id"]) == program_id]
    assert skep.run("link", "detach", link_id).returncode == 0
    assert skep.run("program", "unload", program_id).returncode == 0
    assert skep.run("program", "get", program_id).returncode != 0


def test_a_library_is_found_as_anybodys_process_sees_it(skep: installed.Daemon) -> None:
    """Containers' processes are rarely root's, and their files are found below their root: CAP_SYS_PTRACE."""
    loaded = skep.skep(
        "program", "load", "file", str(installed.EXAMPLES / "uprobe_count.bpf.o"), "--programs", "uprobe:uprobe_enter"
    )
    program_id = str(loaded["programs"][0]["record"]["program_id"])
    with subprocess.Popen([*AS_NOBODY, "sleep", "60"]) as other:
        types_rig.until(lambda: Path(f"/proc/{other.pid}/comm").read_text() == "sleep\n")
        try:
            words = ("uprobe", program_id, "libc", "-f", "getppid", "--container-pid", str(other.pid))
            link = skep.skep("link", "attach", *words)
        finally:
            other.kill()
    assert skep.run("link", "detach", str(link["record"]["id"])).returncode == 0
    assert skep.run("program", "unload", program_id).returncode == 0


def test_a_file_is_opened_with_the_callers_rights(skep: installed.Daemon, reachable: Path) -> None:
    """What a client names over bpfman.v1 is read as that client: nobody's own file is, root's private one is not."""
    let_everybody_in(skep)
    mine, roots = (load_by_path(skep, private_copy(reachable, owner), prefix=AS_NOBODY) for owner in (NOBODY, 0))
    assert mine.startswith("id "), mine
    assert roots.startswith("PERMISSION_DENIED "), roots
    assert skep.run("program", "unload", mine.split()[1]).returncode == 0


def test_root_may_name_anybodys_file(skep: installed.Daemon, reachable: Path) -> None:
    """Root can read it, so the daemon reads it for root: CAP_DAC_READ_SEARCH."""
    answer = load_by_path(skep, private_copy(reachable, NOBODY))
    assert answer.startswith("id "), answer
    assert skep.run("program", "unload", answer.split()[1]).returncode == 0


def test_a_namespace_may_belong_to_anybodys_process(skep: installed.Daemon) -> None:
    """Containers' namespaces are named by a process of theirs, which is rarely root's: CAP_SYS_PTRACE."""
    loaded = skep.skep("program", "load", "file", OBJECT, "--programs", "xdp:xdp_count")
    program_id = str(loaded["programs"][0]["record"]["program_id"])
    with container() as netns:
        link = skep.skep("link", "attach", "xdp", program_id, "lo", "-p", "50", "-n", netns)
        assert link["record"]["details"]["nsid"] == os.stat(netns).st_ino
    assert skep.run("program", "unload", program_id).returncode == 0


def test_programs_run_and_iterators_are_read(skep: installed.Daemon) -> None:
    """Both are calls of bpf(2) alone."""
    loaded = skep.skep("program", "load", "file", OBJECT, "--programs", "xdp:xdp_count")
    program_id = str(loaded["programs"][0]["record"]["program_id"])
    assert skep.skep("program", "run", program_id, "--data", "udp4")["verdict"] == "XDP_PASS"
    assert skep.run("program", "unload", program_id).returncode == 0
    tasks = str(installed.EXAMPLES / "iter_tasks.bpf.o")
    loaded = skep.skep("program", "load", "file", tasks, "--programs", "iter_tasks")
    program_id = str(loaded["programs"][0]["record"]["program_id"])
    read = skep.run("program", "run", program_id, "--pid", str(os.getpid()))
    assert read.returncode == 0, read.stderr
    assert {int(line.split()[0]) for line in read.stdout.splitlines()} == {os.getpid()}
    link = skep.skep("link", "attach", "iter", program_id)
    assert skep.run("link", "read", str(link["record"]["id"]), "--limit", "8").stdout
    assert skep.run("program", "unload", program_id).returncode == 0


def test_a_socket_may_belong_to_anybody_s_process(skep: installed.Daemon) -> None:
    """It is taken out of that process (pidfd_getfd): CAP_SYS_PTRACE; found by its address: CAP_DAC_READ_SEARCH too."""
    source = str(installed.EXAMPLES / "socket_keep.bpf.o")
    loaded = skep.skep("program", "load", "file", source, "--programs", "socket_keep")
    program_id = str(loaded["programs"][0]["record"]["program_id"])
    with listener() as (process, named, address, netns):
        link = skep.skep("link", "attach", "socket_filter", program_id, named)
        assert link["status"]["state"] == "attached"
        assert skep.run("link", "detach", str(link["record"]["id"])).returncode == 0
        link = skep.skep("link", "attach", "socket_filter", program_id, address, "-n", netns)
        assert link["record"]["details"]["pid"] == process
    shown = skep.skep("link", "get", str(link["record"]["id"]))
    gone = f"its socket is closed; process {process}, by which its network namespace was named, is gone"
    assert (shown["status"]["state"], shown["status"]["reason"]) == ("defunct", gone)
    assert skep.run("program", "unload", program_id).returncode == 0


def what_works(skep: installed.Daemon, directory: Path) -> dict[str, bool]:
    """A few things that users may ask for, each needing other capabilities, and whether the daemon can do them."""
    let_everybody_in(skep)
    answers = {"load": skep.run("program", "load", "file", OBJECT, "--programs", "xdp:xdp_count").returncode == 0}
    nobodys = private_copy(directory, NOBODY)
    answers["nobody's own file"] = load_by_path(skep, nobodys, prefix=AS_NOBODY).startswith("id ")
    answers["nobody's file for root"] = load_by_path(skep, nobodys).startswith("id ")
    answers["image"] = skep.run("image", "pull", f"oci:{image_layout(directory)}").returncode == 0
    listed = skep.run("program", "list", "-q")
    ids = listed.stdout.split()
    with container() as netns:
        attach = ("link", "attach", "xdp", *ids[:1], "lo", "-p", "50", "-n", netns)
        answers["container's namespace"] = skep.run(*attach).returncode == 0
    tc = skep.run("program", "load", "file", str(installed.EXAMPLES / "tcx_count.bpf.o"), "--programs", "tc:tcx_count")
    if tc.returncode == 0:
        (id,) = set(skep.run("program", "list", "-q").stdout.split()) - set(ids)
        ids.append(id)
        answers["traffic control"] = skep.run("link", "attach", "tc", id, "lo", "ingress", "-p", "50").returncode == 0
    for id in ids:
        skep.run("program", "unload", id)
    return answers


def image_layout(directory: Path) -> Path:
    """An image in files."""
    store = images.Store()
    store.image(tag="v1")
    for name, data in store.files().items():
        path = directory / "layout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return directory / "layout"


@pytest.mark.slow
def test_with_all_its_capabilities_everything_works(skep: installed.Daemon, reachable: Path) -> None:
    """What the next test takes away must be there first."""
    assert set(what_works(skep, reachable).values()) == {True}


@pytest.mark.slow
@pytest.mark.parametrize("spare", unit_file.capabilities())
def test_no_capability_is_spare(spare: str, reachable: Path) -> None:
    """Without any one of them, something that a user may ask for is refused; else the unit gives too much."""
    left = tuple(name for name in unit_file.capabilities() if name != spare)
    with installed.daemon(prefix=confined(left)) as skep:
        assert False in what_works(skep, reachable).values(), f"{spare} is not needed"


@contextlib.contextmanager
def container() -> Iterator[str]:
    """A process of nobody's in a network namespace of its own, as that namespace's path."""
    command = ["unshare", "--net", *AS_NOBODY, "sh", "-c", "echo ready; exec sleep 300"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield f"/proc/{process.pid}/ns/net"
        finally:
            process.kill()


@contextlib.contextmanager
def listener() -> Iterator[tuple[int, str, str, str]]:
    """A process of nobody's with a UDP socket: its pid, the socket by number and by address, and its namespace."""
    source = (
        "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 0));"
        "print(s.fileno(), s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    command = [*AS_NOBODY, "/usr/bin/python3", "-c", source]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            fd, port = process.stdout.readline().split()
            yield process.pid, f"{process.pid}:{fd}", f"udp:127.0.0.1:{port}", f"/proc/{process.pid}/ns/net"
        finally:
            process.kill()


def let_everybody_in(skep: installed.Daemon) -> None:
    """Open the daemon's socket to all users, which an administrator would do for a group."""
    os.chmod(Path(skep.layout.runtime).parent, 0o755)
    os.chmod(skep.socket, 0o666)


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that everybody can look into; pytest's own are root's alone."""
    with tempfile.TemporaryDirectory(prefix="skep-e2e-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def private_copy(directory: Path, owner: int) -> Path:
    """An object that only its owner, by uid, may read."""
    path = directory / f"{owner}.o"
    path.write_bytes(Path(OBJECT).read_bytes())
    path.chmod(0o600)
    os.chown(path, owner, owner)
    return path


def load_by_path(skep: installed.Daemon, path: Path, *, prefix: tuple[str, ...] = ()) -> str:
    """ "id N", or status and message, of Load over bpfman.v1 in a process of its own."""
    done = subprocess.run(
        [*prefix, sys.executable, "-c", LOAD_BY_PATH, skep.socket, str(path)],
        env=installed.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def number(capability: str) -> int:
    """A capability's bit, as the kernel's header defines it."""
    header = Path("/usr/include/linux/capability.h").read_text()
    found = re.search(rf"^#define {capability}\s+(\d+)$", header, re.M)
    assert found is not None, capability
    return int(found[1])
