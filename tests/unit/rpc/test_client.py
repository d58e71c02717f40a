"""``Client`` says the same as ``Manager``: values and errors, through a real server."""

from __future__ import annotations

import threading
from typing import get_args

import grpc
import pytest

from skep import errors, model
from skep.pb import skep_pb2, skep_pb2_grpc
from skep.rpc import client, status, upload
from tests.unit.rpc.filled import filled
from tests.unit.rpc.scripted import DONE, PROGRAM, Scripted, serving

SECONDS = 20.0


@pytest.fixture
def scripted():
    return Scripted()


@pytest.fixture
def address(tmp_path, scripted):
    with serving(tmp_path / "run", scripted) as path:
        yield path


@pytest.fixture
def daemon(address):
    with client.Client(address, timeout=SECONDS) as connected:
        yield connected


PLACE = model.InterfaceRef(name="eth0", netns="/run/netns/blue")
LOOKS = {
    "program": ((model.ProgramId(7),), PROGRAM),
    "programs": ((filled(model.ProgramFilter),), (PROGRAM, model.ForeignProgram(kernel=filled(model.KernelProgram)))),
    "link": ((model.LinkId(7),), filled(model.Link)),
    "links": ((filled(model.LinkFilter),), (filled(model.Link),) * 2),
    "chains": ((), (filled(model.ChainStatus),)),
    "chain": (("xdp", PLACE), filled(model.ChainStatus)),
    "maps": ((), (filled(model.MapView),)),
    "map": ((model.MapId(7),), filled(model.MapView)),
    "doctor": ((), (filled(model.Finding),)),
    "features": ((), (filled(model.Feature),)),
}


@pytest.mark.parametrize("name", LOOKS)
def test_what_is_asked_arrives_and_what_is_answered_returns(scripted, daemon, name):
    arguments, answer = LOOKS[name]
    scripted.answers[name] = answer

    assert getattr(daemon, name)(*arguments) == answer
    assert scripted.heard == [(name, *arguments)]


@pytest.mark.parametrize("kind", get_args(model.Operation), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("verb", ["run", "preview"])
def test_operations_arrive_with_their_caller(scripted, daemon, kind, verb):
    import os

    operation = filled(kind)
    scripted.answers = {"run": DONE, "preview": filled(model.Preview)}

    assert getattr(daemon, verb)(operation) == scripted.answers[verb]

    ((name, caller, arrived),) = scripted.heard
    assert (name, arrived) == (verb, operation)
    assert (caller.uid, caller.gid, caller.pid, caller.origin) == (os.getuid(), os.getgid(), os.getpid(), "socket")


def load(size: int) -> model.Load:
    return model.Load(object=b"o" * size, source=model.FileSource(path="/o"), programs=(model.ProgramSpec(name="f"),))


def test_an_object_of_16_mib_arrives(scripted, daemon):
    scripted.answers["run"] = DONE

    daemon.run(load(model.MAX_OBJECT_BYTES))

    assert len(scripted.heard[0][2].object) == model.MAX_OBJECT_BYTES


def test_a_larger_one_is_refused_before_it_is_sent(scripted, daemon):
    with pytest.raises(errors.Exhausted, match="16 MiB"):
        daemon.run(load(model.MAX_OBJECT_BYTES + 1))

    assert scripted.heard == []


def test_an_answer_of_16_mib_arrives(scripted, daemon):
    scripted.answers["doctor"] = tuple(
        model.Finding(kind="k", subject="s" * 1024, explanation="e", remedy=str(number)) for number in range(16 * 1024)
    )

    assert daemon.doctor() == scripted.answers["doctor"]


def test_an_error_comes_back_whole_with_a_large_log(scripted, daemon):
    import random

    log = "\n".join(str(random.Random(7).random()) for _ in range(20_000))
    scripted.answers["run"] = errors.Rejected("f was refused", why="R1 is no pointer", do="check it", errno=13, log=log)

    with pytest.raises(errors.Rejected) as raised:
        daemon.run(model.Unload(program=model.ProgramId(1)))

    assert vars(raised.value) == vars(scripted.answers["run"])


def test_a_bug_is_told_without_its_text(scripted, daemon, caplog):
    scripted.answers["doctor"] = KeyError("secret")

    with pytest.raises(errors.Broken, match="report this as a bug") as raised:
        daemon.doctor()

    assert "secret" not in str(raised.value)
    assert "secret" in caplog.text


def test_numbers_that_fit_no_field_are_invalid(daemon):
    with pytest.raises(errors.InvalidRequest):
        daemon.program(model.ProgramId(2**32))
    with pytest.raises(errors.InvalidRequest):
        daemon.run(model.Detach(link=model.LinkId(-1)))


def test_nobody_answers(tmp_path):
    with client.Client(str(tmp_path / "nobody"), timeout=SECONDS) as alone, pytest.raises(errors.Unavailable):
        alone.version()


def test_the_version_names_the_instance(daemon, tmp_path):
    import os

    told = daemon.version()

    assert (told.pid, told.runtime_dir) == (os.getpid(), str(tmp_path / "run"))


def test_history_is_read_from_an_id_on(scripted, daemon):
    scripted.history = [event(number) for number in (1, 2, 3)]

    assert daemon.events() == tuple(scripted.history)
    assert daemon.events(1, 1) == (event(2),)


def test_waiting_for_events_ends_with_the_first(scripted, daemon):
    threading.Timer(0.05, scripted.happen, args=(event(5),)).start()

    assert daemon.wait_events(4, SECONDS) == (event(5),)


def test_waiting_for_events_ends_with_its_time(daemon):
    assert daemon.wait_events(0, 0.05) == ()


def test_what_maps_hold_is_asked_for_the_caller(scripted, daemon):
    asked = {
        "map_shape": (("counts",), filled(model.MapShape)),
        "map_lookup": (("counts", filled(model.Datum)), filled(model.MapEntry)),
        "map_write": ((filled(model.MapWrite),), filled(model.MapWritten)),
    }
    for name, (arguments, answer) in asked.items():
        scripted.answers[name] = answer
        assert getattr(daemon, name)(*arguments) == answer
        heard, caller, *arrived = scripted.heard.pop()
        assert (heard, caller.origin, tuple(arrived)) == (name, "socket", arguments)


def test_a_dump_comes_page_by_page(scripted, daemon):
    made = []

    def pages(caller, wanted):
        for number in range(200):
            made.append(number)
            yield model.MapPage(entries=(model.MapEntry(key=bytes(100_000), values=(bytes(100_000),)),), token=b"t")

    scripted.answers["map_pages"] = pages
    stream = daemon.map_pages(filled(model.MapDump))
    assert next(stream).token == b"t"
    assert len(made) < 150  # the rest waits for a reader: it is not in anybody's memory
    assert sum(1 for _ in stream) == 199
    assert scripted.heard[0][2] == filled(model.MapDump)


def test_a_run_is_asked_for_the_caller(scripted, daemon):
    scripted.answers["run_program"] = answer = filled(model.Ran)
    wanted = filled(model.Run)

    assert daemon.run_program(wanted) == answer

    ((name, caller, arrived),) = scripted.heard
    assert (name, arrived, caller.origin) == ("run_program", wanted, "socket")


def test_what_an_iterator_prints_comes_piece_by_piece(scripted, daemon):
    scripted.answers["read_iterator"] = iter((b"one", b"\xff\0", b"three"))
    wanted = model.ReadIterator(link=model.LinkId(7), limit=9)

    assert list(daemon.read_iterator(wanted)) == [b"one", b"\xff\0", b"three"]

    assert [(name, arrived) for name, _, arrived in scripted.heard] == [("read_iterator", wanted)]


def test_a_stream_that_is_closed_ends_at_the_daemon(scripted, daemon):
    ended = threading.Event()

    def events(caller, wanted, stop):
        try:
            while not stop():
                yield (filled(model.MapRecord),)
        finally:
            ended.set()

    scripted.answers["map_events"] = events
    stream = daemon.map_events(filled(model.MapFollow))
    assert next(stream) == (filled(model.MapRecord),)
    stream.close()
    assert ended.wait(SECONDS)
    scripted.answers["maps"] = ()
    assert daemon.maps() == ()  # on another connection


def test_an_error_ends_a_stream_after_what_came_before(scripted, daemon):
    def pages(caller, wanted):
        yield filled(model.MapPage)
        raise errors.Conflict("the map changed", why="it did")

    scripted.answers["map_pages"] = pages
    stream = daemon.map_pages(filled(model.MapDump))
    assert next(stream) == filled(model.MapPage)
    with pytest.raises(errors.Conflict, match="the map changed: it did"):
        next(stream)


def event(number: int) -> model.Event:
    import dataclasses

    made: model.Event = filled(model.Event)
    return dataclasses.replace(made, id=number)


# ------------------------------------------------------------ what Client would not send


@pytest.fixture
def stub(address):
    with grpc.insecure_channel(f"unix:{address}") as channel:
        yield skep_pb2_grpc.SkepStub(channel)


def header(size: int = 0) -> skep_pb2.LoadStreamRequest:
    source = skep_pb2.Source(file=skep_pb2.FileSource(path="/o"))
    return skep_pb2.LoadStreamRequest(header=skep_pb2.LoadHeader(source=source, object_bytes=size))


def chunk(size: int) -> skep_pb2.LoadStreamRequest:
    return skep_pb2.LoadStreamRequest(chunk=b"c" * size)


STREAMS = {
    "nothing": ([], "INVALID_ARGUMENT"),
    "no header": ([chunk(5)], "INVALID_ARGUMENT"),
    "an empty part": ([skep_pb2.LoadStreamRequest()], "INVALID_ARGUMENT"),
    "two headers": ([header(), chunk(5), header()], "INVALID_ARGUMENT"),
    "less than announced": ([header(10), chunk(5)], "INVALID_ARGUMENT"),
    "more than announced": ([header(10), chunk(15)], "INVALID_ARGUMENT"),
    "16 MiB and a byte, not announced": ([header(), *[chunk(1 << 20)] * 16, chunk(1)], "RESOURCE_EXHAUSTED"),
    "a chunk that is too large": ([header(), chunk(5 << 20)], "RESOURCE_EXHAUSTED"),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_of_this_is_refused(scripted, stub, name):
    parts, code = STREAMS[name]

    with pytest.raises(grpc.RpcError) as raised:
        stub.LoadStream(iter(parts), timeout=SECONDS)

    assert raised.value.code().name == code
    assert scripted.heard == []


def test_a_stalled_upload_is_ended(tmp_path):
    scripted = Scripted()
    never = threading.Event()

    def parts():
        yield header()
        never.wait(SECONDS)

    uploads = upload.Uploads(stall=0.05)
    with serving(tmp_path / "run", scripted, uploads=uploads) as path, grpc.insecure_channel(f"unix:{path}") as channel:
        with pytest.raises(grpc.RpcError) as raised:
            skep_pb2_grpc.SkepStub(channel).LoadStream(parts(), timeout=SECONDS)
        never.set()

    assert raised.value.code() is grpc.StatusCode.CANCELLED


def test_a_plan_of_a_chain_needs_a_change(scripted, stub):
    scripted.answers["preview"] = filled(model.Preview)

    answer = stub.PlanChain(skep_pb2.PlanChainRequest(detach=skep_pb2.DetachRequest(link_id=4)), timeout=SECONDS)

    assert tuple(answer.steps) == scripted.answers["preview"].steps
    with pytest.raises(grpc.RpcError) as raised:
        stub.PlanChain(skep_pb2.PlanChainRequest(), timeout=SECONDS)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_watcher_hears_history_then_news(scripted, stub):
    scripted.history = [event(1), event(2)]
    heard = stub.Watch(skep_pb2.WatchRequest(after=1), timeout=SECONDS)

    assert next(heard).id == 2
    scripted.happen(event(3))
    assert next(heard).id == 3
    heard.cancel()


def test_a_watcher_that_names_no_event_hears_only_news(scripted, stub):
    scripted.history = [event(1), event(2)]
    heard = stub.Watch(skep_pb2.WatchRequest(), timeout=SECONDS)
    # Headers come with the first event; an event after the call reached the server must be the first one heard.
    timer = threading.Timer(0.2, scripted.happen, args=(event(3),))
    timer.start()

    assert next(heard).id == 3
    heard.cancel()


# ------------------------------------------------------------ whose turn it is


class Held:
    """An operation that goes on until it is let go."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.let_go = threading.Event()

    def __call__(self, caller: model.Caller, operation: model.Operation) -> model.Done:
        self.began.set()
        assert self.let_go.wait(SECONDS)
        return DONE


@pytest.fixture
def held(scripted, address):
    """The daemon is busy with one operation during the test."""
    busy = scripted.answers["run"] = Held()
    with client.Client(address, timeout=SECONDS) as other:
        worker = threading.Thread(target=other.run, args=(model.Unload(program=model.ProgramId(1)),))
        worker.start()
        assert busy.began.wait(SECONDS)
        yield busy
        busy.let_go.set()
        worker.join()


def test_a_caller_waits_no_longer_than_it_wants_to(held, scripted, daemon):
    with pytest.raises(errors.Busy, match="did not end within"):
        daemon.run(model.Unload(program=model.ProgramId(2)), wait=0.05)

    assert len(scripted.heard) == 1


def test_a_deadline_bounds_the_wait(held, scripted, stub):
    with pytest.raises(grpc.RpcError) as raised:
        stub.Unload(skep_pb2.UnloadRequest(program_id=2), timeout=0.3)

    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert len(scripted.heard) == 1


def test_who_gave_up_waiting_never_writes(held, scripted, stub):
    waiting = stub.Unload.future(skep_pb2.UnloadRequest(program_id=2), metadata=((status.WAIT_KEY, "forever"),))
    # The call has reached the server once a later one on the same connection was answered.
    stub.Version(skep_pb2.VersionRequest(), timeout=SECONDS)
    waiting.cancel()
    stub.Version(skep_pb2.VersionRequest(), timeout=SECONDS)
    held.let_go.set()

    scripted.answers["run"] = DONE
    stub.Unload(skep_pb2.UnloadRequest(program_id=3), timeout=SECONDS)
    assert [operation.program for _, _, operation in scripted.heard] == [1, 3]


def test_looking_needs_no_turn(held, scripted, daemon):
    scripted.answers["doctor"] = ()

    assert daemon.doctor() == ()


# ------------------------------------------------------------ the private socket


def test_a_call_that_avoids_the_relay_is_refused(scripted, address, tmp_path):
    scripted.answers["doctor"] = ()
    private = f"unix:{tmp_path}/run/private/grpc.sock"
    with grpc.insecure_channel(private) as channel, pytest.raises(grpc.RpcError) as raised:
        skep_pb2_grpc.SkepStub(channel).Doctor(skep_pb2.DoctorRequest(), timeout=SECONDS)

    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert scripted.heard == []
    assert (tmp_path / "run/private").stat().st_mode & 0o777 == 0o700
