"""Bad input, one table, by both doors: the command line and bpfman's gRPC API.

Each case gives the error that says what, why and what to do, the documented exit code and status, and leaves kernel,
pins and store exactly as they were.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from skep import errors, model, paths
from skep.pb import bpfman_pb2 as pb
from skep.pb import bpfman_pb2_grpc, skep_pb2, skep_pb2_grpc
from skep.rpc import status
from tests import bpf_build, instance
from tests.e2e import evidence

SECONDS = 30.0
NEVER = 4_000_000_000
"""An id that no program, map or link has: the kernel and skep give them out from 1 upwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A daemon that already manages something: an XDP program in a chain, and a tracepoint program."""

    daemon: instance.Instance
    network: instance.Network
    stub: Any  # bpfman_pb2_grpc.BpfmanStub: generated, and without types for its attributes
    names: dict[str, str]

    def path(self, name: str) -> str:
        return self.names[name]

    def id(self, name: str) -> int:
        return int(self.names[name])

    def load(self, file: str, name: str = "on_xdp", kind: int = pb.XDP, **more: Any) -> Callable[[], object]:
        request = pb.LoadRequest(
            bytecode=pb.BytecodeLocation(file=self.names[file]),
            info=[pb.LoadInfo(name=name, program_type=kind)],  # type: ignore[arg-type]  # wrong numbers are the point
            **more,
        )
        return lambda: self.stub.Load(request, timeout=SECONDS)

    def attach(self, program: str | int, **info: Any) -> Callable[[], object]:
        id = program if isinstance(program, int) else self.id(program)
        request = pb.AttachRequest(id=id, attach=pb.AttachInfo(**info))
        return lambda: self.stub.Attach(request, timeout=SECONDS)

    def xdp(self, program: str | int = "spare", **more: Any) -> Callable[[], object]:
        place = {"iface": self.network.near, "netns": self.network.path, "priority": 5, **more}
        return self.attach(program, xdp_attach_info=pb.XDPAttachInfo(**place))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory = tmp_path_factory.mktemp("objects")
    names = objects(directory)
    with instance.network("bad") as network, instance.instance("skep-bad") as daemon:
        names |= {"near": network.near, "netns": network.path, "never": str(NEVER)}
        with grpc.insecure_channel(f"unix:{daemon.layout.socket}") as channel:
            made = Bench(daemon=daemon, network=network, stub=bpfman_pb2_grpc.BpfmanStub(channel), names=names)
            for label, name, kind in (
                ("xdp", "on_xdp", pb.XDP),
                ("spare", "on_xdp", pb.XDP),
                ("tracepoint", "on_tracepoint", pb.TRACEPOINT),
                ("uprobe", "on_uprobe", pb.UPROBE),
            ):
                names[label] = str(made.load("good", name, kind)().programs[0].kernel_info.id)  # type: ignore[attr-defined]  # LoadResponse
            names["link"] = str(made.xdp("xdp")().link_id)  # type: ignore[attr-defined]  # AttachResponse
            yield made


def objects(directory: Path) -> dict[str, str]:
    """A good object and the ways to spoil one, by name."""
    good = bpf_build.build("every_type")
    data = good.read_bytes()
    spoilt = {
        "not_elf": b"#!/bin/sh\n" * 100,
        "empty": b"",
        "cut_header": data[:40],
        "cut_middle": data[: len(data) // 2],
        "cut_end": data[:-64],
        # Whoever parsed it would find a good object.
        "large": data + bytes(model.MAX_OBJECT_BYTES + 1 - len(data)),
    }
    found = {}
    for name, content in spoilt.items():
        file = directory / f"{name}.o"
        file.write_bytes(content)
        found[name] = str(file)
    (directory / "plain").touch()
    machine = shutil.which("true")
    assert machine is not None
    big_endian = directory / "big_endian.o"
    source = bpf_build.SOURCES / "every_type.bpf.c"
    include = Path("/usr/include") / subprocess.check_output(["gcc", "-print-multiarch"], text=True).strip()
    subprocess.run(
        ["clang", "-O2", "-g", "-target", "bpfeb", f"-I{include}", "-c", source, "-o", big_endian], check=True
    )
    return found | {
        "good": str(good),
        "rejected": str(bpf_build.build("refused")),
        "wrong_machine": machine,
        "big_endian": str(big_endian),
        "missing": str(directory / "never.o"),
        "directory": str(directory),
        "plain": str(directory / "plain"),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One piece of bad input. ``words``: the command, with names of the bench in braces; ``request``: the same over
    bpfman.v1, None where that cannot say it. ``says`` stands in both messages."""

    name: str
    words: str
    exit: int
    request: Callable[[Bench], Callable[[], object]] | None
    status: str = ""
    says: str


LOAD = "program load file {{{0}}} --programs xdp:on_xdp"
XDP = "link attach xdp {spare} {near} -n {netns} -p 5"
CASES = (
    Case(name="missing file", words=LOAD.format("missing"), exit=3,
         request=lambda b: b.load("missing"), status="NOT_FOUND", says="never.o"),
    Case(name="a directory", words=LOAD.format("directory"), exit=10,
         request=lambda b: b.load("directory"), status="INVALID_ARGUMENT", says="cannot read"),
    Case(name="an empty file", words=LOAD.format("empty"), exit=10,
         request=lambda b: b.load("empty"), status="INVALID_ARGUMENT", says="empty"),
    Case(name="not an ELF", words=LOAD.format("not_elf"), exit=10,
         request=lambda b: b.load("not_elf"), status="INVALID_ARGUMENT", says="does not start like an ELF file"),
    Case(name="wrong machine", words=LOAD.format("wrong_machine"), exit=10,
         request=lambda b: b.load("wrong_machine"), status="INVALID_ARGUMENT", says="ELF file for"),
    Case(name="wrong endianness", words=LOAD.format("big_endian"), exit=10,
         request=lambda b: b.load("big_endian"), status="INVALID_ARGUMENT", says="big-endian"),
    Case(name="truncated in its header", words=LOAD.format("cut_header"), exit=10,
         request=lambda b: b.load("cut_header"), status="INVALID_ARGUMENT", says="damaged"),
    Case(name="truncated in the middle", words=LOAD.format("cut_middle"), exit=10,
         request=lambda b: b.load("cut_middle"), status="INVALID_ARGUMENT", says="damaged"),
    Case(name="truncated at its end", words=LOAD.format("cut_end"), exit=10,
         request=lambda b: b.load("cut_end"), status="INVALID_ARGUMENT", says="damaged"),
    Case(name="over 16 MiB", words=LOAD.format("large"), exit=9,
         request=lambda b: b.load("large"), status="RESOURCE_EXHAUSTED", says="too large"),
    Case(name="no such program", words="program load file {good} --programs xdp:on_xpd", exit=3,
         request=lambda b: b.load("good", "on_xpd"), status="NOT_FOUND", says="did you mean on_xdp"),
    Case(name="wrong section type", words="program load file {good} --programs tracepoint:on_xdp", exit=11,
         request=lambda b: b.load("good", kind=pb.TRACEPOINT), status="FAILED_PRECONDITION", says="type mismatch"),
    Case(name="unknown type", words="program load file {good} --programs xpd:on_xdp", exit=10,
         request=lambda b: b.load("good", kind=99), status="INVALID_ARGUMENT", says="type"),
    Case(name="wrong kind of target", words="program load file {good} --programs fentry:on_xdp:vfs_read", exit=11,
         request=lambda b: b.load("good", kind=pb.FENTRY), status="FAILED_PRECONDITION", says="type mismatch"),
    Case(name="one good, one bad", words="program load file {good} --programs xdp:on_xdp,xdp:never", exit=3,
         request=lambda b: lambda: b.stub.Load(pb.LoadRequest(
             bytecode=pb.BytecodeLocation(file=b.path("good")),
             info=[pb.LoadInfo(name="on_xdp", program_type=pb.XDP), pb.LoadInfo(name="never", program_type=pb.XDP)],
         ), timeout=SECONDS), status="NOT_FOUND", says="never"),
    Case(name="unknown global", words=LOAD.format("good") + " -g verdcit=02000000", exit=10,
         request=lambda b: b.load("good", global_data={"verdcit": bytes(4)}), status="INVALID_ARGUMENT",
         says="did you mean verdict"),
    Case(name="wrong size", words=LOAD.format("good") + " -g verdict=02", exit=10,
         request=lambda b: b.load("good", global_data={"verdict": b"2"}), status="INVALID_ARGUMENT", says="4 bytes"),
    Case(name="unknown map owner", words=LOAD.format("good") + " --map-owner-id {never}", exit=3,
         request=lambda b: b.load("good", map_owner_id=NEVER), status="INVALID_ARGUMENT", says="map owner"),
    Case(name="verifier rejection", words="program load file {rejected} --programs xdp:unchecked_packet", exit=6,
         request=lambda b: b.load("rejected", "unchecked_packet"), status="INVALID_ARGUMENT",
         says="invalid access to packet"),
    Case(name="one accepted, one rejected", words="program load file {rejected} --programs fine,unchecked_packet",
         exit=6, request=lambda b: lambda: b.stub.Load(pb.LoadRequest(
             bytecode=pb.BytecodeLocation(file=b.path("rejected")),
             info=[pb.LoadInfo(name="fine", program_type=pb.XDP),
                   pb.LoadInfo(name="unchecked_packet", program_type=pb.XDP)],
         ), timeout=SECONDS), status="INVALID_ARGUMENT", says="invalid access to packet"),
    Case(name="no such interface", words="link attach xdp {spare} never0 -n {netns} -p 5", exit=3,
         request=lambda b: b.xdp(iface="never0"), status="INVALID_ARGUMENT", says="never0"),
    Case(name="no such namespace", words="link attach xdp {spare} {near} -n /run/netns/never -p 5", exit=3,
         request=lambda b: b.xdp(netns="/run/netns/never"), status="INVALID_ARGUMENT", says="/run/netns/never"),
    Case(name="a file that is no namespace", words="link attach xdp {spare} {near} -n {plain} -p 5", exit=3,
         request=lambda b: b.xdp(netns=b.path("plain")), status="INVALID_ARGUMENT", says="not a network namespace"),
    Case(name="priority below", words="link attach xdp {spare} {near} -n {netns} -p -1", exit=10,
         request=lambda b: b.xdp(priority=-1), status="INVALID_ARGUMENT", says="out of range"),
    Case(name="priority above", words="link attach xdp {spare} {near} -n {netns} -p 2147483648", exit=10,
         request=None, says="out of range"),
    Case(name="priority above, update", words="link update {link} --priority 2147483648", exit=10,
         request=None, says="out of range"),
    Case(name="unknown verdict", words=XDP + " --proceed-on 77", exit=10,
         request=lambda b: b.xdp(proceed_on=[77]), status="INVALID_ARGUMENT", says="77 is not an XDP verdict"),
    Case(name="wrong direction", words="link attach tcx {spare} {near} inwards -n {netns} -p 5", exit=10,
         request=lambda b: b.attach("spare", tcx_attach_info=pb.TCXAttachInfo(
             iface=b.network.near, netns=b.network.path, priority=5, direction="inwards",
         )), status="INVALID_ARGUMENT", says="inwards"),
    Case(name="attached as another type", words="link attach tracepoint {spare} syscalls/sys_enter_getppid", exit=11,
         request=lambda b: b.attach("spare", tracepoint_attach_info=pb.TracepointAttachInfo(
             tracepoint="syscalls/sys_enter_getppid",
         )), status="FAILED_PRECONDITION", says="it is a xdp program"),
    Case(name="attached twice", words="link attach xdp {xdp} {near} -n {netns} -p 7", exit=11,
         request=lambda b: b.xdp("xdp"), status="ALREADY_EXISTS", says="already"),
    Case(name="no such tracepoint", words="link attach tracepoint {tracepoint} syscalls/sys_enter_never", exit=3,
         request=lambda b: b.attach("tracepoint", tracepoint_attach_info=pb.TracepointAttachInfo(
             tracepoint="syscalls/sys_enter_never",
         )), status="NOT_FOUND", says="sys_enter_never"),
    Case(name="no such function", words="link attach uprobe {uprobe} libc --fn-name getppidd", exit=3,
         request=lambda b: b.attach("uprobe", uprobe_attach_info=pb.UprobeAttachInfo(
             target="libc", fn_name="getppidd",
         )), status="NOT_FOUND", says="getppid"),
    Case(name="no such target", words="link attach uprobe {uprobe} {missing} --fn-name f", exit=3,
         request=lambda b: b.attach("uprobe", uprobe_attach_info=pb.UprobeAttachInfo(
             target=b.path("missing"), fn_name="f",
         )), status="NOT_FOUND", says="never.o"),
    Case(name="get an unknown program", words="program get {never}", exit=3,
         request=lambda b: lambda: b.stub.Get(pb.GetRequest(id=NEVER), timeout=SECONDS), status="NOT_FOUND",
         says=str(NEVER)),
    Case(name="unload an unknown program", words="program unload {never}", exit=3,
         request=lambda b: lambda: b.stub.Unload(pb.UnloadRequest(id=NEVER), timeout=SECONDS), status="NOT_FOUND",
         says=str(NEVER)),
    Case(name="attach an unknown program", words="link attach xdp {never} {near} -n {netns} -p 5", exit=3,
         request=lambda b: b.xdp(NEVER), status="NOT_FOUND", says=str(NEVER)),
    Case(name="detach an unknown link", words="link detach {never}", exit=3,
         request=lambda b: lambda: b.stub.Detach(pb.DetachRequest(link_id=NEVER), timeout=SECONDS),
         status="NOT_FOUND", says=str(NEVER)),
    Case(name="get an unknown link", words="link get {never}", exit=3, request=None, says=str(NEVER)),
    Case(name="update an unknown link", words="link update {never} --priority 1", exit=3, request=None,
         says=str(NEVER)),
    Case(name="get an unknown map", words="map get {never}", exit=3, request=None, says=str(NEVER)),
    Case(name="a chain that is not there", words="chain get lo -n {netns}", exit=3, request=None, says="no XDP chain"),
    Case(name="replace by a damaged object", words="program replace {xdp} {cut_middle}", exit=10, request=None,
         says="damaged"),
    Case(name="replace by a rejected one", words="program replace {xdp} {rejected} --name unchecked_packet",
         exit=6, request=None, says="invalid access to packet"),
    Case(name="replace by another type", words="program replace {xdp} {good} --name on_tracepoint", exit=11,
         request=None, says="tracepoint"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_refused_and_changes_nothing(bench: Bench, case: Case) -> None:
    before = evidence.taken(bench.daemon, bench.network)

    done = bench.daemon.cli(*(word.format(**bench.names) for word in case.words.split()), check=False)
    first, *rest = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (case.exit, ""), done.stderr
    assert first.startswith("skep: error: "), done.stderr
    assert case.says in done.stderr
    assert rest, "what to do stands on a line of its own"
    assert rest[-1].startswith("  ")
    assert "Traceback" not in done.stderr

    if case.request is not None:
        with pytest.raises(grpc.RpcError) as raised:
            case.request(bench)()
        error = told(raised.value)
        assert raised.value.code().name == case.status, error
        assert case.says in (raised.value.details() or "")
        assert error.what
        assert error.do, "what to do is a part of every refusal"

    assert evidence.taken(bench.daemon, bench.network) == before


def told(answer: grpc.RpcError) -> errors.SkepError:
    """The error behind a failed call, as its details tell it."""
    metadata = [(one.key, one.value) for one in answer.trailing_metadata() or ()]
    return status.restore(answer.code().name, answer.details() or "", metadata)


def test_the_table_would_notice_a_change(bench: Bench) -> None:
    """If one successful load and one attach left no trace in the evidence, the table above would show nothing."""
    before = evidence.taken(bench.daemon, bench.network)
    link = bench.xdp("spare")().link_id  # type: ignore[attr-defined]  # AttachResponse
    attached = evidence.taken(bench.daemon, bench.network)
    bench.stub.Detach(pb.DetachRequest(link_id=link), timeout=SECONDS)
    id = bench.load("good")().programs[0].kernel_info.id  # type: ignore[attr-defined]  # LoadResponse
    loaded = evidence.taken(bench.daemon, bench.network)
    bench.stub.Unload(pb.UnloadRequest(id=id), timeout=SECONDS)

    assert attached.pins != before.pins
    assert attached.store != before.store
    assert attached.hooks != before.hooks
    assert loaded.pins != before.pins
    assert loaded.store != before.store


def test_the_whole_verifier_log_is_there_on_request(bench: Bench) -> None:
    words = ("program", "load", "file", bench.path("rejected"), "--programs", "xdp:too_long", "--verifier-log")
    whole = bench.daemon.cli(*words, check=False).stderr.splitlines()
    short = bench.daemon.cli(*words[:-1], check=False).stderr.splitlines()
    assert len(short) < 20 < len(whole)
    assert any("--verifier-log shows all" in line for line in short)
    assert any("processed 1000001 insns" in line for line in whole)


def test_a_large_object_is_refused_before_it_is_sent(bench: Bench) -> None:
    """skep.v1 streams objects: the announced size is enough to be refused, not one byte of it has to come."""
    header = skep_pb2.LoadHeader(object_bytes=model.MAX_OBJECT_BYTES + 1)
    before = evidence.taken(bench.daemon, bench.network)
    with grpc.insecure_channel(f"unix:{bench.daemon.layout.socket}") as channel, pytest.raises(grpc.RpcError) as raised:
        stub = skep_pb2_grpc.SkepStub(channel)
        stub.LoadStream(iter([skep_pb2.LoadStreamRequest(header=header)]), timeout=SECONDS)
    assert raised.value.code().name == "RESOURCE_EXHAUSTED"
    assert evidence.taken(bench.daemon, bench.network) == before


def test_two_loads_at_once_both_succeed(bench: Bench) -> None:
    """One through each door, each with maps and an id of its own; afterwards everything is as it was."""
    before = evidence.taken(bench.daemon, bench.network)
    ids: list[str] = []

    def by_hand() -> None:
        words = ("program", "load", "file", bench.path("good"), "--programs", "xdp:on_xdp", "-o", "name")
        ids.append(bench.daemon.cli(*words).stdout.strip().removeprefix("program/"))

    threads = [threading.Thread(target=by_hand) for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        ids.append(str(bench.load("good")().programs[0].kernel_info.id))  # type: ignore[attr-defined]  # LoadResponse
    for thread in threads:
        thread.join()

    assert len(set(ids)) == len(ids) > 2
    assert len(set(evidence.pins(bench.daemon).values()) - set(before.pins.values())) >= 2 * len(ids)  # program and map
    bench.daemon.cli("program", "unload", *ids)
    assert evidence.taken(bench.daemon, bench.network) == before


# ------------------------------------------------------------ the daemon's own bad input


def refused_start(runtime: Path, *flags: str) -> str:
    """What ``skep serve`` says when it does not start; it must end by itself, without a traceback."""
    try:
        done = subprocess.run(
            [*instance.command(), "serve", "--runtime-dir", str(runtime), *flags], env=instance.environment(),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        instance.remove_pins(paths.layout(runtime=str(runtime)).pins)  # the empty directories that a start makes
    assert done.returncode == 11, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_socket_in_use_is_left_to_its_owner(bench: Bench, tmp_path: Path) -> None:
    before = evidence.taken(bench.daemon, bench.network)
    said = refused_start(tmp_path / "run", "--socket-path", bench.daemon.layout.socket)
    assert bench.daemon.layout.socket in said
    assert evidence.taken(bench.daemon, bench.network) == before
    bench.stub.List(pb.ListRequest(bpfman_programs_only=True), timeout=SECONDS)


def test_a_store_of_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    with instance.instance("skep-newer", options=("--state-dir", str(tmp_path / "state"))):
        pass
    database = tmp_path / "state" / "skep.db"
    with sqlite3.connect(database) as opened:
        opened.execute("PRAGMA user_version = 9999")
    opened.close()
    before = {file.name: file.read_bytes() for file in database.parent.iterdir()}

    said = refused_start(tmp_path / "run", "--state-dir", str(tmp_path / "state"))

    assert "newer" in said
    assert "9999" in said
    assert {file.name: file.read_bytes() for file in database.parent.iterdir()} == before


def test_a_full_disk_is_told_and_changes_nothing(tmp_path: Path) -> None:
    state = tmp_path / "small"
    state.mkdir()
    good = bpf_build.build("every_type")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "skep-test", str(state)], check=True)
    try:
        with (
            instance.network("full") as network,
            instance.instance("skep-full", options=("--state-dir", str(state))) as daemon,
            grpc.insecure_channel(f"unix:{daemon.layout.socket}") as channel,
        ):
            stub = bpfman_pb2_grpc.BpfmanStub(channel)
            bench = Bench(daemon=daemon, network=network, stub=stub, names={"good": str(good)})
            bench.load("good")()
            daemon.cli("program", "list")
            with (state / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
                while True:
                    filler.write(bytes(4096))
            before = evidence.pins(daemon), evidence.hooks(network), evidence.descriptors(daemon)

            words = ("program", "load", "file", str(good), "--programs", "on_tcx")
            done = daemon.cli(*words, check=False)
            assert done.returncode == 9, done.stderr
            assert "full" in done.stderr
            with pytest.raises(grpc.RpcError) as raised:
                bench.load("good", "on_tcx", pb.TCX)()
            assert raised.value.code().name == "RESOURCE_EXHAUSTED"
            assert isinstance(told(raised.value), errors.Exhausted)
            assert (evidence.pins(daemon), evidence.hooks(network), evidence.descriptors(daemon)) == before

            (state / "filler").unlink()
            daemon.cli(*words)
            assert daemon.cli("doctor").returncode == 0
    finally:
        subprocess.run(["umount", "--lazy", str(state)], check=True)
