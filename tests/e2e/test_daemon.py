"""The daemon as its clients know it: bpfman's seven calls on a real kernel, who is calling, its beginning and end."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from skep import errors, model, paths
from skep.hooks import tracepoint
from skep.pb import bpfman_pb2 as pb
from skep.pb import bpfman_pb2_grpc, csi_pb2, csi_pb2_grpc
from skep.rpc.client import Client
from tests import bpf_build, instance

SECONDS = 30.0
NOBODYS = "127.0.0.1:1"
"""A registry that does not answer: nobody listens on tcpmux any more."""
BPF_INODES = ("bpf", "btf", "perf_event")
NOBODY = 65534

PROGRAMS = {
    "on_xdp": (pb.XDP, 6),
    "on_tc": (pb.TC, 3),
    "on_tcx": (pb.TCX, 3),
    "on_tracepoint": (pb.TRACEPOINT, 5),
    "on_uprobe": (pb.UPROBE, 2),
    "on_uretprobe": (pb.UPROBE, 2),
}
"""Function -> what bpfman's clients declare, and the kernel's number of the type."""


@pytest.fixture(scope="module")
def network() -> Iterator[instance.Network]:
    with instance.network("rpcnet") as made:
        yield made


@pytest.fixture(scope="module")
def skep(network: instance.Network) -> Iterator[instance.Instance]:
    with instance.instance("skep-rpc") as running:
        yield running


@pytest.fixture
def stub(skep: instance.Instance) -> Iterator[bpfman_pb2_grpc.BpfmanStub]:
    with grpc.insecure_channel(f"unix:{skep.layout.socket}") as channel:
        yield bpfman_pb2_grpc.BpfmanStub(channel)


@pytest.fixture
def readable(tmp_path: Path) -> Path:
    """The object that has a program of every type."""
    return bpf_build.build("every_type")


def load(file: Path, *names: str, **more: object) -> pb.LoadRequest:
    return pb.LoadRequest(
        bytecode=pb.BytecodeLocation(file=str(file)),
        info=[pb.LoadInfo(name=name, program_type=PROGRAMS[name][0]) for name in names],
        **more,  # type: ignore[arg-type]  # the request's other fields
    )


def attach_info(name: str, network: instance.Network) -> pb.AttachInfo:
    kept = {"kept": name}
    match name:
        case "on_xdp":
            info = pb.XDPAttachInfo(iface=network.near, priority=50, netns=network.path, metadata=kept)
            return pb.AttachInfo(xdp_attach_info=info)
        case "on_tc":
            on_tc = pb.TCAttachInfo(
                iface=network.near, priority=50, direction="egress", netns=network.path, metadata=kept
            )
            return pb.AttachInfo(tc_attach_info=on_tc)
        case "on_tcx":
            on_tcx = pb.TCXAttachInfo(
                iface=network.near, priority=50, direction="ingress", netns=network.path, metadata=kept
            )
            return pb.AttachInfo(tcx_attach_info=on_tcx)
        case "on_tracepoint":
            on_tracepoint = pb.TracepointAttachInfo(tracepoint="syscalls/sys_enter_getppid", metadata=kept)
            return pb.AttachInfo(tracepoint_attach_info=on_tracepoint)
    probe = pb.UprobeAttachInfo(target="libc", fn_name="getppid", pid=os.getpid(), metadata=kept)
    return pb.AttachInfo(uprobe_attach_info=probe)


def refused(call: grpc.UnaryUnaryMultiCallable, request: object) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call(request, timeout=SECONDS)
    return raised.value.code().name, raised.value.details() or ""


def bpf_descriptors(pid: int) -> list[str]:
    """Open descriptors of programs, maps, links, their types and events: the daemon's and its loader's."""
    children = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    assert children, "the loader"
    links = []
    for process in (pid, *children):
        for entry in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                links.append(os.readlink(entry))
    return [link for link in links if link.startswith("anon_inode:") and any(word in link for word in BPF_INODES)]


# ------------------------------------------------------------ the seven calls


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_lives_its_life(skep, stub, network, readable, name):
    request = load(readable, name, metadata={"bpfman.io/uuid": name}, global_data={"verdict": b"\2\0\0\0"}, uuid="any")

    (loaded,) = stub.Load(request, timeout=SECONDS).programs
    id = loaded.kernel_info.id

    assert (loaded.info.name, loaded.kernel_info.program_type) == (name, PROGRAMS[name][1])
    assert loaded.info.bytecode.file == str(readable)
    assert list(loaded.info.map_used_by) == [str(id)]
    assert not loaded.info.HasField("map_owner_id")
    assert (Path(loaded.info.map_pin_path) / "runs").exists()
    assert dict(loaded.info.global_data) == {"verdict": b"\2\0\0\0"}
    for field in ("loaded_at", "tag", "gpl_compatible", "map_ids", "btf_id", "bytes_xlated", "jited", "bytes_jited",
                  "bytes_memlock", "verified_insns"):  # fmt: skip
        assert getattr(loaded.kernel_info, field), field
    got = stub.Get(pb.GetRequest(id=id), timeout=SECONDS)
    assert got.info == loaded.info
    assert got.kernel_info == loaded.kernel_info

    link = stub.Attach(pb.AttachRequest(id=id, attach=attach_info(name, network)), timeout=SECONDS).link_id
    assert link != 0
    assert list(stub.Get(pb.GetRequest(id=id), timeout=SECONDS).info.links) == [link]
    (listed,) = stub.List(pb.ListRequest(match_metadata={"bpfman.io/uuid": name}), timeout=SECONDS).results
    assert list(listed.info.links) == [link]
    assert bpf_descriptors(skep.pid) == []
    with Client(skep.layout.socket, timeout=SECONDS) as client:
        assert dict(client.link(model.LinkId(link)).record.metadata) == {"kept": name}

    stub.Detach(pb.DetachRequest(link_id=link), timeout=SECONDS)
    assert list(stub.Get(pb.GetRequest(id=id), timeout=SECONDS).info.links) == []
    assert refused(stub.Detach, pb.DetachRequest(link_id=link))[0] == "NOT_FOUND"
    again = stub.Attach(pb.AttachRequest(id=id, attach=attach_info(name, network)), timeout=SECONDS).link_id
    assert again != link

    stub.Unload(pb.UnloadRequest(id=id), timeout=SECONDS)
    assert refused(stub.Get, pb.GetRequest(id=id))[0] == "NOT_FOUND"
    assert refused(stub.Unload, pb.UnloadRequest(id=id))[0] == "NOT_FOUND"
    assert bpf_descriptors(skep.pid) == []


def test_programs_of_one_load_share_their_maps(skep, stub, readable):
    programs = stub.Load(load(readable, "on_xdp", "on_tracepoint"), timeout=SECONDS).programs
    ids = [program.kernel_info.id for program in programs]

    assert [program.info.name for program in programs] == ["on_xdp", "on_tracepoint"]
    assert len({os.path.realpath(program.info.map_pin_path) for program in programs}) == 1
    assert [sorted(program.info.map_used_by) for program in programs] == [sorted(map(str, ids))] * 2
    assert not any(program.info.HasField("map_owner_id") for program in programs)
    assert set(programs[0].kernel_info.map_ids) & set(programs[1].kernel_info.map_ids)
    for id in ids:
        stub.Unload(pb.UnloadRequest(id=id), timeout=SECONDS)
    assert not Path(programs[0].info.map_pin_path).exists()


def test_a_dependant_names_its_owner(skep, stub, readable):
    (owner,) = stub.Load(load(readable, "on_xdp"), timeout=SECONDS).programs
    (guest,) = stub.Load(load(readable, "on_tcx", map_owner_id=owner.kernel_info.id), timeout=SECONDS).programs

    assert guest.info.map_owner_id == owner.kernel_info.id
    assert guest.info.map_pin_path == owner.info.map_pin_path
    for program in (owner, guest):
        stub.Unload(pb.UnloadRequest(id=program.kernel_info.id), timeout=SECONDS)


def test_list_shows_foreign_programs_unless_told_otherwise(skep, stub, readable):
    """Another instance's programs are as foreign as anybody's."""
    with instance.instance("skep-rpc-other") as other, Client(other.layout.socket, timeout=SECONDS) as client:
        done = client.run(
            model.Load(
                object=readable.read_bytes(), source=model.FileSource(path=str(readable)),
                programs=(model.ProgramSpec(name="on_xdp"),),
            )
        )  # fmt: skip
        foreign = done.programs[0].record.id
        (ours,) = stub.Load(load(readable, "on_xdp", metadata={"a": "1", "b": "2"}), timeout=SECONDS).programs
        id = ours.kernel_info.id

        everything = stub.List(pb.ListRequest(), timeout=SECONDS).results
        by_id = {result.kernel_info.id: result for result in everything}
        assert [result.kernel_info.id for result in everything] == sorted(by_id)
        assert by_id[id].HasField("info")
        assert not by_id[foreign].HasField("info")
        assert ids(stub, bpfman_programs_only=True) == [id]
        assert id in ids(stub, program_type=6)
        assert foreign in ids(stub, program_type=6)
        assert id not in ids(stub, program_type=5)
        assert ids(stub, match_metadata={"a": "1", "b": "2"}) == [id]
        assert ids(stub, match_metadata={"a": "1", "b": "3"}) == []
        got = stub.Get(pb.GetRequest(id=foreign), timeout=SECONDS)
        assert (got.HasField("info"), got.kernel_info.id) == (False, foreign)
        assert refused(stub.Unload, pb.UnloadRequest(id=foreign))[0] == "NOT_FOUND"
        stub.Unload(pb.UnloadRequest(id=id), timeout=SECONDS)


def ids(stub: bpfman_pb2_grpc.BpfmanStub, **filter: object) -> list[int]:
    return [result.kernel_info.id for result in stub.List(pb.ListRequest(**filter), timeout=SECONDS).results]  # type: ignore[arg-type]  # table


def test_requests_that_cannot_succeed(skep, stub, network, readable, tmp_path):
    (tmp_path / "not-an-elf").write_text("hello")
    (program,) = stub.Load(load(readable, "on_xdp"), timeout=SECONDS).programs
    id = program.kernel_info.id
    before = skep.pins()
    near = pb.XDPAttachInfo(iface=network.near, netns=network.path)
    nowhere = pb.XDPAttachInfo(iface="nowhere", netns=network.path)
    wrong = pb.LoadInfo(name="on_xdp", program_type=pb.TRACEPOINT)
    image = pb.BytecodeLocation(image=pb.BytecodeImage(url=f"{NOBODYS}/image", username="u", password="hunter2"))
    cases = [
        (stub.Load, load(tmp_path / "missing", "on_xdp"), "NOT_FOUND", "missing"),
        (stub.Load, load(tmp_path / "not-an-elf", "on_xdp"), "INVALID_ARGUMENT", "ELF"),
        (stub.Load, load(readable, "on_xdp", global_data={"verdit": b"\0" * 4}), "INVALID_ARGUMENT", "verdict"),
        (stub.Load, load(readable, "on_xdp", global_data={"verdict": b"\0"}), "INVALID_ARGUMENT", "verdict"),
        (stub.Load, load(readable, "on_xdp", map_owner_id=2**31), "INVALID_ARGUMENT", "no map owner"),
        (stub.Load, pb.LoadRequest(bytecode=pb.BytecodeLocation(file=str(readable)), info=[wrong]),
         "FAILED_PRECONDITION", "on_xdp"),
        (stub.Load, pb.LoadRequest(bytecode=image, info=[wrong]), "UNAVAILABLE", NOBODYS),
        (stub.PullBytecode, pb.PullBytecodeRequest(image=image.image), "UNAVAILABLE", NOBODYS),
        (stub.Attach, pb.AttachRequest(id=id, attach=pb.AttachInfo(xdp_attach_info=nowhere)), "INVALID_ARGUMENT",
         "nowhere"),
        (stub.Attach, pb.AttachRequest(id=2**31, attach=pb.AttachInfo(xdp_attach_info=near)), "NOT_FOUND", ""),
        (stub.Attach, pb.AttachRequest(id=id, attach=attach_info("on_tracepoint", network)), "FAILED_PRECONDITION", ""),
        (stub.Attach, pb.AttachRequest(id=id), "INVALID_ARGUMENT", ""),
    ]  # fmt: skip
    for call, request, code, word in cases:
        seen, text = refused(call, request)
        assert seen == code, (request, text)
        assert word in text
        assert "hunter2" not in text
    assert skep.pins() == before
    stub.Unload(pb.UnloadRequest(id=id), timeout=SECONDS)


def test_health_and_reflection(skep):
    with grpc.insecure_channel(f"unix:{skep.layout.socket}") as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        (told,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(requests, timeout=SECONDS)

    assert health.status == health_pb2.HealthCheckResponse.SERVING
    assert {service.name for service in told.list_services_response.service} >= {"bpfman.v1.Bpfman", "skep.v1.Skep"}


def test_a_client_that_knows_nothing_but_reflection_can_call(skep):
    """As grpcurl does: fetch the schema from the daemon, build messages from it, call."""
    with grpc.insecure_channel(f"unix:{skep.layout.socket}") as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        pool = descriptor_pool.DescriptorPool()
        for service in ("bpfman.v1.Bpfman", "skep.v1.Skep"):
            asked = iter([reflection_pb2.ServerReflectionRequest(file_containing_symbol=service)])
            (told,) = stub.ServerReflectionInfo(asked, timeout=SECONDS)
            for raw in told.file_descriptor_response.file_descriptor_proto:
                pool.AddSerializedFile(raw)

        def call(service: str, method: str, **fields: object) -> Any:
            found = pool.FindServiceByName(service).FindMethodByName(method)
            ask, answer = (message_factory.GetMessageClass(kind) for kind in (found.input_type, found.output_type))
            made = channel.unary_unary(
                f"/{service}/{method}",
                request_serializer=ask.SerializeToString,
                response_deserializer=answer.FromString,
            )
            return made(ask(**fields), timeout=SECONDS)

        assert call("skep.v1.Skep", "Version").pid == skep.pid
        assert list(call("bpfman.v1.Bpfman", "List", bpfman_programs_only=True).results) == []
        names = {method.name for method in pool.FindServiceByName("bpfman.v1.Bpfman").methods}
        assert names == {"Load", "Unload", "Attach", "Detach", "List", "Get", "PullBytecode"}


# ------------------------------------------------------------ who is calling

AS_SOMEBODY = """
import os, sys, grpc
sys.path.insert(0, sys.argv[1])
address, file, uid = sys.argv[2], sys.argv[3], int(sys.argv[4])
from skep.pb import bpfman_pb2 as pb, bpfman_pb2_grpc
os.setgroups([uid, 4711]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
with grpc.insecure_channel(f"unix:{address}") as channel:
    stub = bpfman_pb2_grpc.BpfmanStub(channel)
    request = pb.LoadRequest(bytecode=pb.BytecodeLocation(file=file), info=[pb.LoadInfo(name="on_xdp", program_type=0)])
    try:
        print("OK", stub.Load(request, timeout=20).programs[0].kernel_info.id)
    except grpc.RpcError as error:
        print(error.code().name, error.details())
"""


def load_as(skep: instance.Instance, file: Path, uid: int) -> tuple[str, str, int]:
    """The status, the text and the process of a Load by another user."""
    source = str(instance.REPOSITORY / "src")
    process = subprocess.Popen(
        [sys.executable, "-c", AS_SOMEBODY, source, skep.layout.socket, str(file), str(uid)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    output, _ = process.communicate(timeout=60)
    status, _, text = output.strip().partition(" ")
    return status, text, process.pid


@pytest.fixture
def open_socket(skep: instance.Instance) -> Iterator[None]:
    """Anybody may connect, and reach the socket's directory."""
    home = Path(skep.layout.runtime).parent
    modes = [(place, place.stat().st_mode & 0o777) for place in (Path(skep.layout.socket), home)]
    os.chmod(skep.layout.socket, 0o666)
    os.chmod(home, 0o755)
    yield
    for place, mode in modes:
        os.chmod(place, mode)


def test_a_file_is_opened_with_the_callers_rights(skep, stub, open_socket, readable, tmp_path):
    shared = Path(skep.layout.runtime).parent / "shared.o"
    shared.write_bytes(readable.read_bytes())
    secret = Path(skep.layout.runtime).parent / "secret.o"
    secret.write_bytes(readable.read_bytes())
    shared.chmod(0o644)
    secret.chmod(0o600)

    status, text, pid = load_as(skep, shared, NOBODY)
    assert status == "OK", text
    stub.Unload(pb.UnloadRequest(id=int(text)), timeout=SECONDS)
    assert f"caller_uid={NOBODY} caller_gid={NOBODY} caller_pid={pid}" in skep.log.read_text()

    status, text, _ = load_as(skep, secret, NOBODY)
    assert status == "PERMISSION_DENIED", text
    assert "secret.o" in text

    secret.chmod(0o640)
    os.chown(secret, 0, 4711)  # a group of the caller's that is not its primary one
    status, text, _ = load_as(skep, secret, NOBODY)
    assert status == "OK", text
    stub.Unload(pb.UnloadRequest(id=int(text)), timeout=SECONDS)


def test_the_socket_is_for_owner_and_group_only(skep):
    assert Path(skep.layout.socket).stat().st_mode & 0o777 == 0o660
    assert Path(skep.layout.private).stat().st_mode & 0o777 == 0o700
    assert Path(skep.layout.state).stat().st_mode & 0o777 == 0o700


def test_who_called_is_kept_with_program_and_history(skep, stub, readable):
    (program,) = stub.Load(load(readable, "on_xdp"), timeout=SECONDS).programs
    id = model.ProgramId(program.kernel_info.id)

    with Client(skep.layout.socket, timeout=SECONDS) as client:
        managed = client.program(id)
        event = client.events()[-1]
    assert isinstance(managed, model.Program)
    assert (managed.record.loaded_by.uid, managed.record.loaded_by.pid) == (0, os.getpid())
    assert (event.verb, event.caller.pid, event.outcome) == ("load", os.getpid(), "ok")
    stub.Unload(pb.UnloadRequest(id=id), timeout=SECONDS)


def test_the_log_has_one_line_per_operation_and_no_secret(network, readable):
    """With the operation's id, who asked and how long it took; a password that came with a request is nowhere."""
    image = pb.BytecodeImage(url=f"{NOBODYS}/image", username="u", password="hunter2")
    with instance.instance("skep-log") as daemon, grpc.insecure_channel(f"unix:{daemon.layout.socket}") as channel:
        stub = bpfman_pb2_grpc.BpfmanStub(channel)
        id = stub.Load(load(readable, "on_xdp"), timeout=SECONDS).programs[0].kernel_info.id
        link = stub.Attach(pb.AttachRequest(id=id, attach=attach_info("on_xdp", network)), timeout=SECONDS).link_id
        refused(stub.Attach, pb.AttachRequest(id=id, attach=attach_info("on_tracepoint", network)))
        stub.Detach(pb.DetachRequest(link_id=link), timeout=SECONDS)
        stub.Unload(pb.UnloadRequest(id=id), timeout=SECONDS)
        refused(stub.PullBytecode, pb.PullBytecodeRequest(image=image))
        refused(stub.Load, pb.LoadRequest(bytecode=pb.BytecodeLocation(image=image), info=[pb.LoadInfo(name="x")]))
        log = daemon.log.read_text()

    operations = [fields(line) for line in log.splitlines() if " operation=" in line]
    assert [(one["verb"], one["outcome"]) for one in operations] == [
        ("load", "ok"), ("attach", "ok"), ("attach", "Conflict"), ("detach", "ok"), ("unload", "ok"),
        ("pull", "Unavailable"), ("pull", "Unavailable"),
    ]  # fmt: skip
    assert [int(one["operation"]) for one in operations] == [1, 2, 3, 4, 5, 6, 7]
    assert {(one["caller_uid"], one["caller_pid"]) for one in operations} == {("0", str(os.getpid()))}
    assert all(float(one["duration_ms"]) > 0 for one in operations)
    assert "hunter2" not in log
    assert "Traceback" not in log


def fields(line: str) -> dict[str, str]:
    """The key=value words of a log line."""
    return dict(word.split("=", 1) for word in shlex.split(line) if "=" in word)


# ------------------------------------------------------------ skep.v1 on the real thing


def test_an_object_is_streamed_previewed_and_loaded(skep, readable):
    operation = model.Load(
        object=readable.read_bytes(), source=model.FileSource(path="mine.o"),
        programs=(model.ProgramSpec(name="on_tracepoint"),),
    )  # fmt: skip
    with Client(skep.layout.socket, timeout=SECONDS) as client:
        before = skep.pins()
        assert client.preview(operation).steps
        assert skep.pins() == before

        (program,) = client.run(operation).programs
        place = tracepoint.TracepointAttachment(group="syscalls", name="sys_enter_getppid")
        (link,) = client.run(model.Attach(program=program.record.id, attachment=place)).links
        assert client.link(link).record.attachment == place
        assert [found.record.id for found in client.links(model.LinkFilter(program_id=program.record.id))] == [link]
        assert any(view.kernel.name == "runs" for view in client.maps())
        assert client.doctor() == ()
        assert client.run(model.Unload(program=program.record.id)).operation > 0
        assert client.links(model.LinkFilter()) == ()
        assert client.features()


REJECTED = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int bad(struct xdp_md *ctx) { return *(int *)(long)ctx->data; }
char LICENSE[] SEC("license") = "GPL";
"""


def test_the_verifiers_whole_log_reaches_the_client(skep, stub, tmp_path):
    (tmp_path / "bad.c").write_text(REJECTED)
    subprocess.run(
        ["clang", "-O2", "-g", "-target", "bpf", f"-I/usr/include/{os.uname().machine}-linux-gnu", "-c",
         str(tmp_path / "bad.c"), "-o", str(tmp_path / "bad.o")], check=True,
    )  # fmt: skip
    request = pb.LoadRequest(
        bytecode=pb.BytecodeLocation(file=str(tmp_path / "bad.o")), info=[pb.LoadInfo(name="bad", program_type=pb.XDP)]
    )

    code, text = refused(stub.Load, request)
    assert (code, "invalid access to packet" in text) == ("INVALID_ARGUMENT", True), text

    with Client(skep.layout.socket, timeout=SECONDS) as client, pytest.raises(errors.Rejected) as raised:
        client.run(
            model.Load(
                object=(tmp_path / "bad.o").read_bytes(), source=model.FileSource(path="bad.o"),
                programs=(model.ProgramSpec(name="bad"),),
            )
        )  # fmt: skip
    assert "processed" in raised.value.log
    assert "R1=ctx()" in raised.value.log.splitlines()[0]


# ------------------------------------------------------------ beginning and end


def test_a_second_daemon_is_refused_and_the_first_goes_on(skep, stub):
    for flags in (["--runtime-dir", skep.layout.runtime], ["--runtime-dir", skep.layout.runtime + "2", "--socket-path",
                                                           skep.layout.socket]):  # fmt: skip
        done = subprocess.run(
            [*instance.command(), "serve", *flags], env=instance.environment(), capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode != 0
        assert "daemon" in done.stderr

    stub.List(pb.ListRequest(bpfman_programs_only=True), timeout=SECONDS)
    assert Path(skep.layout.socket_file).read_text() == skep.layout.socket + "\n"
    instance.remove_pins(paths.layout(runtime=skep.layout.runtime + "2").pins)


def test_direct_work_is_refused_while_the_daemon_lives(skep):
    done = skep.cli("--direct", "program", "list", check=False)

    assert done.returncode != 0
    assert str(skep.pid) in done.stderr


def serve(layout: object, home: Path, log: Path, **environment: str) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [*instance.command(), "serve", "--runtime-dir", str(home / "run")], stdout=output, stderr=output,
            env={**instance.environment(), **environment},
        )  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    instance.remove_pins(paths.layout(runtime=str(tmp_path / "run")).pins)


@contextlib.contextmanager
def notified(home: Path) -> Iterator[socket.socket]:
    """What systemd would hear."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.settimeout(SECONDS)
        systemd.bind(str(home / "notify"))
        yield systemd


def test_a_killed_daemons_socket_and_lock_are_taken_over(home, readable):
    layout = paths.layout(runtime=str(home / "run"))
    with notified(home) as systemd:
        first = serve(layout, home, home / "log", NOTIFY_SOCKET=str(home / "notify"))
        assert b"READY=1" in systemd.recv(1000)
        with Client(layout.socket, timeout=SECONDS) as client:
            id = client.run(
                model.Load(
                    object=readable.read_bytes(), source=model.FileSource(path="x"),
                    programs=(model.ProgramSpec(name="on_xdp"),),
                )
            ).programs[0].record.id  # fmt: skip
        first.kill()
        first.wait()
        assert Path(layout.socket).exists()

        second = serve(layout, home, home / "log", NOTIFY_SOCKET=str(home / "notify"))
        assert b"READY=1" in systemd.recv(1000)
        with Client(layout.socket, timeout=SECONDS) as client:
            assert isinstance(client.program(id), model.Program)
            client.run(model.Unload(program=id))

        second.terminate()
        assert systemd.recv(1000) == b"STOPPING=1"
        assert second.wait(SECONDS) == 0
    assert not Path(layout.socket).exists()
    assert not Path(layout.socket_file).exists()
    assert os.readlink(layout.pins_link) == layout.pins


@pytest.mark.parametrize("when", ["before it waits", "while it waits", "to another thread"])
def test_a_signal_is_never_lost(when):
    """The daemon once went on for ever when SIGTERM came at the wrong moment, or to a thread of gRPC's."""
    code = f"""
import os, signal, threading, time
from skep.daemon import service
wait = service.on_signals()
def send(thread):
    time.sleep(0.3)
    signal.pthread_kill(thread.ident, signal.SIGTERM)
sleeper = threading.Thread(target=time.sleep, args=(60,), daemon=True)
sleeper.start()
match {when!r}:
    case "before it waits":
        os.kill(os.getpid(), signal.SIGTERM)
    case "while it waits":
        threading.Thread(target=send, args=(threading.main_thread(),), daemon=True).start()
    case "to another thread":
        threading.Thread(target=send, args=(sleeper,), daemon=True).start()
wait(lambda: None)
os.kill(os.getpid(), signal.SIGINT)
time.sleep(60)
"""
    done = subprocess.run([sys.executable, "-c", code], env=instance.environment(), timeout=20, check=False)
    assert done.returncode == 1


def test_hanging_up_is_no_end():
    code = """
import os, signal
from skep.daemon import service
wait = service.on_signals()
heard = []
def hung_up():
    heard.append(len(heard))
    os.kill(os.getpid(), signal.SIGHUP if len(heard) < 3 else signal.SIGTERM)
os.kill(os.getpid(), signal.SIGHUP)
wait(hung_up)
print(heard)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=instance.environment(),
        timeout=20,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "[0, 1, 2]\n"), done.stderr


def test_a_second_signal_ends_it_at_once(home):
    layout = paths.layout(runtime=str(home / "run"))
    with notified(home) as systemd:
        process = serve(layout, home, home / "log", NOTIFY_SOCKET=str(home / "notify"))
        assert b"READY=1" in systemd.recv(1000)
        with grpc.insecure_channel(f"unix:{layout.socket}") as channel:
            # A call that goes on keeps the daemon from ending: reflection's stream, here.
            wait = threading.Event()

            def requests() -> Iterator[reflection_pb2.ServerReflectionRequest]:
                yield reflection_pb2.ServerReflectionRequest(list_services="")
                wait.wait(SECONDS)

            answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(requests())
            next(answers)
            process.send_signal(signal.SIGINT)
            assert systemd.recv(1000) == b"STOPPING=1"
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 1
            wait.set()


def test_pins_outside_the_hosts_bpffs_are_refused(home):
    done = subprocess.run(
        [*instance.command(), "serve", "--runtime-dir", str(home / "run"), "--bpffs-dir", str(home / "pins")],
        env=instance.environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode != 0
    assert "mount -t bpf" in done.stderr
    assert not (home / "pins").exists()


def test_a_socket_from_systemd_is_served(home):
    layout = paths.layout(runtime=str(home / "run"))
    path = str(home / "activated.sock")
    script = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid());"
        "os.environ['LISTEN_FDS'] = '1'; os.execv(sys.argv[2], sys.argv[2:])"
    )
    with socket.socket(socket.AF_UNIX) as passed, (home / "log").open("wb") as log:
        passed.bind(path)
        passed.listen()
        command = [*instance.command(), "serve", "--runtime-dir", layout.runtime]
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(passed.fileno()), *command], pass_fds=(passed.fileno(), 3),
            env=instance.environment(), stdout=log, stderr=log,
        )  # fmt: skip
        with Client(path, timeout=SECONDS) as client:
            assert client.version().pid == process.pid
            assert Path(layout.socket_file).read_text() == path + "\n"
            assert not Path(layout.socket).exists()
        process.terminate()
        assert process.wait(SECONDS) == 0
    assert Path(path).exists()


def test_the_operators_only_argument_is_accepted(home):
    layout = paths.layout(runtime=str(home / "run"))
    with notified(home) as systemd, (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [*instance.command(), "--csi-support"], stdout=log, stderr=log,
            env={**instance.environment(), "SKEP_RUNTIME_DIR": layout.runtime, "NOTIFY_SOCKET": str(home / "notify"),
                 "RUST_LOG": "debug"},
        )  # fmt: skip
        assert b"READY=1" in systemd.recv(1000)
        with grpc.insecure_channel(f"unix:{layout.csi}") as channel:
            told = csi_pb2_grpc.IdentityStub(channel).GetPluginInfo(csi_pb2.GetPluginInfoRequest())
            assert told.name == "csi.bpfman.io"
        process.terminate()
        assert process.wait(SECONDS) == 0
    assert not Path(layout.csi).exists()


def test_a_deadline_ends_the_wait_for_another_writer(skep, readable, stub):
    """Many writers at once, one of which will not wait: it hears so in time, and the others all succeed."""
    object = readable.read_bytes()
    made: list[model.ProgramId] = []

    def churn() -> None:
        with Client(skep.layout.socket, timeout=SECONDS) as client:
            for _ in range(10):
                operation = model.Load(
                    object=object, source=model.FileSource(path="x"),
                    programs=tuple(model.ProgramSpec(name=name) for name in PROGRAMS),
                )  # fmt: skip
                made.extend(program.record.id for program in client.run(operation).programs)

    threads = [threading.Thread(target=churn) for _ in range(3)]
    for thread in threads:
        thread.start()
    with Client(skep.layout.socket, timeout=SECONDS) as hasty:
        busy = 0
        while any(thread.is_alive() for thread in threads):
            try:
                hasty.run(model.Unload(program=model.ProgramId(2**31)), wait=0.0)
            except errors.Busy:
                busy += 1
            except errors.NotFound:
                pass
    for thread in threads:
        thread.join()
    assert busy > 0
    assert len(set(made)) == 3 * 10 * len(PROGRAMS)
    assert ids(stub, bpfman_programs_only=True) == sorted(made)
    for id in made:
        stub.Unload(pb.UnloadRequest(id=id), timeout=SECONDS)
