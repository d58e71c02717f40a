"""``bpfman.v1`` on a scripted manager: what is asked of it, and what clients get to see."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from skep import errors, model
from skep.pb import bpfman_pb2 as pb
from skep.pb import bpfman_pb2_grpc
from tests.unit.rpc.filled import filled
from tests.unit.rpc.scripted import DONE, PROGRAM, Scripted, serving

SECONDS = 20.0
FOREIGN = model.ForeignProgram(kernel=filled(model.KernelProgram))
GONE = dataclasses.replace(PROGRAM, status=model.ProgramStatus(kernel=None, pin_present=True, stale="reboot"))


@pytest.fixture
def scripted():
    return Scripted()


@pytest.fixture
def channel(tmp_path, scripted):
    with serving(tmp_path / "run", scripted) as path, grpc.insecure_channel(f"unix:{path}") as opened:
        yield opened


@pytest.fixture
def stub(channel):
    return bpfman_pb2_grpc.BpfmanStub(channel)


def refused(call, request) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as raised:
        call(request, timeout=SECONDS)
    return raised.value.code()


def test_load_reads_the_file_as_the_caller_and_answers_in_the_order_of_the_request(scripted, stub):
    names = ("second", "first")
    made = tuple(
        dataclasses.replace(PROGRAM, record=dataclasses.replace(PROGRAM.record, name=name)) for name in sorted(names)
    )
    scripted.answers = {"read_object": b"elf", "run": dataclasses.replace(DONE, programs=made)}

    answer = stub.Load(
        pb.LoadRequest(
            bytecode=pb.BytecodeLocation(file="/tmp/x.o"),
            info=[pb.LoadInfo(name=name, program_type=pb.XDP) for name in names],
            metadata={"m": "d"}, global_data={"g": b"\1"}, uuid="accepted", map_owner_id=9,
        ),
        timeout=SECONDS,
    )  # fmt: skip

    assert [one.info.name for one in answer.programs] == list(names)
    assert PROGRAM.status.kernel is not None
    assert answer.programs[0].kernel_info.id == PROGRAM.status.kernel.id
    (_, reader, path), (_, caller, operation) = scripted.heard
    assert (reader, path) == (caller, "/tmp/x.o")
    assert operation == model.Load(
        object=b"elf", source=model.FileSource(path="/tmp/x.o"),
        programs=tuple(model.ProgramSpec(name=name, hook=model.HookName("xdp")) for name in names),
        metadata={"m": "d"}, global_data={"g": b"\1"}, map_owner=model.ProgramId(9),
    )  # fmt: skip


def test_a_bad_request_reads_no_file(scripted, stub):
    request = pb.LoadRequest(bytecode=pb.BytecodeLocation(file="/tmp/x.o"))

    assert refused(stub.Load, request) is grpc.StatusCode.INVALID_ARGUMENT
    assert scripted.heard == []


IMAGE = pb.BytecodeImage(url="registry/image", username="u", password="hunter2")


def test_an_image_is_pulled_before_it_is_loaded_and_its_object_is_nobodys_to_send(scripted, stub):
    found = SimpleNamespace(digest="sha256:12")
    made = dataclasses.replace(DONE, programs=(PROGRAM,))
    scripted.answers = {"ensure_image": found, "run": made}
    name = PROGRAM.record.name

    location = pb.BytecodeLocation(image=IMAGE)
    stub.Load(pb.LoadRequest(bytecode=location, info=[pb.LoadInfo(name=name, program_type=pb.XDP)]), timeout=SECONDS)

    (pull, _, wanted), (run, _, operation) = scripted.heard
    assert (pull, run) == ("ensure_image", "run")
    assert wanted.login == model.Login(username="u", password="hunter2")
    assert operation.object == b""
    assert operation.source == model.ImageSource(url="registry/image", pull_policy="Always", digest="sha256:12")


def test_the_password_of_an_image_is_not_repeated(scripted, stub):
    scripted.answers = {"ensure_image": errors.Denied("registry refuses the login", why="401", do="log in")}
    load = pb.LoadRequest(bytecode=pb.BytecodeLocation(image=IMAGE), info=[pb.LoadInfo(name="f", program_type=pb.XDP)])
    for call, request in ((stub.Load, load), (stub.PullBytecode, pb.PullBytecodeRequest(image=IMAGE))):
        with pytest.raises(grpc.RpcError) as raised:
            call(request, timeout=SECONDS)

        assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert "hunter2" not in str(raised.value)


def test_pulling_nothing_is_invalid(stub):
    assert refused(stub.PullBytecode, pb.PullBytecodeRequest()) is grpc.StatusCode.INVALID_ARGUMENT


ON_XDP = pb.AttachRequest(id=7, attach=pb.AttachInfo(xdp_attach_info=pb.XDPAttachInfo(iface="eth0", priority=1)))
ON_TRACEPOINT = pb.AttachRequest(
    id=7, attach=pb.AttachInfo(tracepoint_attach_info=pb.TracepointAttachInfo(tracepoint="a/b"))
)
MISSING = errors.NotFound("it is not there")


def test_attach_answers_with_the_link(scripted, stub):
    scripted.answers["run"] = DONE

    assert stub.Attach(ON_XDP, timeout=SECONDS).link_id == DONE.links[0]


STATUSES = {
    "attach: the interface is missing": (ON_XDP, MISSING, PROGRAM, "INVALID_ARGUMENT"),
    "attach: the program is missing": (ON_XDP, MISSING, MISSING, "NOT_FOUND"),
    "attach: the program is foreign": (ON_XDP, errors.Conflict("not ours"), FOREIGN, "NOT_FOUND"),
    "attach: the tracepoint is missing": (ON_TRACEPOINT, MISSING, PROGRAM, "NOT_FOUND"),
    "attach: another type": (ON_TRACEPOINT, errors.Conflict("an xdp one"), PROGRAM, "FAILED_PRECONDITION"),
    "unload: unknown": (pb.UnloadRequest(id=7), MISSING, MISSING, "NOT_FOUND"),
    "unload: foreign": (pb.UnloadRequest(id=7), errors.Conflict("not ours"), FOREIGN, "NOT_FOUND"),
    "unload: in use": (pb.UnloadRequest(id=7), errors.Conflict("in use"), PROGRAM, "FAILED_PRECONDITION"),
    "detach: unknown": (pb.DetachRequest(link_id=7), MISSING, MISSING, "NOT_FOUND"),
}


@pytest.mark.parametrize("name", STATUSES)
def test_statuses(scripted, stub, name):
    request, raised, program, code = STATUSES[name]
    scripted.answers = {"run": raised, "program": program}
    call = {pb.AttachRequest: stub.Attach, pb.UnloadRequest: stub.Unload, pb.DetachRequest: stub.Detach}[type(request)]

    assert refused(call, request).name == code


def test_unload_and_detach_answer_with_nothing(scripted, stub):
    scripted.answers["run"] = DONE

    assert stub.Unload(pb.UnloadRequest(id=7), timeout=SECONDS) == pb.UnloadResponse()
    assert stub.Detach(pb.DetachRequest(link_id=8), timeout=SECONDS) == pb.DetachResponse()
    assert [operation for _, _, operation in scripted.heard] == [
        model.Unload(program=model.ProgramId(7)), model.Detach(link=model.LinkId(8))
    ]  # fmt: skip


def test_list_shows_foreign_programs_without_info_and_drops_those_that_are_gone(scripted, stub):
    scripted.answers["programs"] = (PROGRAM, FOREIGN, GONE)

    results = stub.List(pb.ListRequest(), timeout=SECONDS).results

    assert [result.HasField("info") for result in results] == [True, False]
    assert results[1].kernel_info.id == FOREIGN.kernel.id
    assert list(results[0].info.links) == list(PROGRAM.links)
    assert scripted.heard == [("programs", model.ProgramFilter())]


def test_get(scripted, stub):
    scripted.answers["program"] = PROGRAM
    assert stub.Get(pb.GetRequest(id=7), timeout=SECONDS).info.name == PROGRAM.record.name

    scripted.answers["program"] = FOREIGN
    answer = stub.Get(pb.GetRequest(id=7), timeout=SECONDS)
    assert not answer.HasField("info")
    assert answer.kernel_info.id == FOREIGN.kernel.id


def test_get_of_one_that_is_gone_asks_for_reconciliation(scripted, stub):
    scripted.answers["program"] = GONE

    with pytest.raises(grpc.RpcError, match="requires reconciliation") as raised:
        stub.Get(pb.GetRequest(id=7), timeout=SECONDS)

    assert raised.value.code() is grpc.StatusCode.INTERNAL


def test_health(channel):
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "bpfman.v1.Bpfman", "skep.v1.Skep"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=SECONDS)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING

    watched = health.Watch(health_pb2.HealthCheckRequest(service=""), timeout=SECONDS)
    assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
    watched.cancel()


def test_reflection_lists_all_services(channel):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])

    (answer,) = stub.ServerReflectionInfo(requests, timeout=SECONDS)

    assert {service.name for service in answer.list_services_response.service} == {
        "bpfman.v1.Bpfman", "skep.v1.Skep", "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"
    }  # fmt: skip
