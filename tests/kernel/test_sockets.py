"""Programs on sockets of processes: their effect, their end, and every socket that is not what it was said to be."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket as sockets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skep import errors, model
from skep.hooks import socket
from skep.kernel import linux
from tests.kernel import socket_group, types_rig
from tests.kernel.types_rig import ROOT, Rig

pytestmark = pytest.mark.native  # what it is about is the same in the guest, and slow there

CHILD = """
import socket, sys
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
one.bind(("127.0.0.1", 0))
print(one.fileno(), one.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with types_rig.rig(tmp_path) as made:
        yield made


@contextlib.contextmanager
def child(uid: int = 0) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A process with a UDP socket: the process, its socket by number and by address."""
    # The system's Python: a virtual environment need not be open to everybody.
    python = sys.executable if uid == 0 else "/usr/bin/python3"
    made = subprocess.Popen([python, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, user=uid)
    try:
        assert made.stdout is not None
        fd, port = made.stdout.readline().split()
        yield made, f"{made.pid}:{fd}", f"udp:127.0.0.1:{port}"
    finally:
        made.communicate(input="", timeout=10)


def on(name: str, netns: str | None = None) -> socket.SocketAttachment:
    return socket.SocketAttachment(socket=name, netns=netns)


def state(rig: Rig, link: model.LinkId) -> tuple[str, str]:
    status = rig.manager.link(link).status
    return status.state, status.reason


# ---------------------------------------------------------------- effect and end


def test_a_filter_keeps_part_of_each_packet_until_it_is_taken_away(rig: Rig) -> None:
    with socket_group.group(shares=False) as group:
        program = rig.load("on_socket_filter")
        whole = (socket_group.SENDERS, len(socket_group.TEXT))
        assert group.heard() == whole
        link = rig.attach(program, on(group.named(0)))
        assert group.heard() == (socket_group.SENDERS, 12)  # 20 bytes less the UDP header's 8
        assert rig.hits() == socket_group.SENDERS
        assert state(rig, link) == ("attached", "")
        rig.detach(link)
        assert group.heard() == whole
        assert rig.hits() == socket_group.SENDERS


def test_a_filter_drops_packets(rig: Rig) -> None:
    with socket_group.group(shares=False) as group:
        rig.attach(rig.load("on_socket_filter", refuse=1), on(group.address()))
        assert group.heard() == (0, 0)


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_a_group_s_program_chooses_the_second_socket(rig: Rig, protocol: str) -> None:
    with socket_group.group(protocol) as group:
        program = rig.load("on_sk_reuseport")
        group.put(rig.pin("group"))
        assert all(group.heard()[:2])
        link = rig.attach(program, on(group.address()))
        assert group.heard()[:2] == (0, socket_group.SENDERS)
        assert rig.hits() == socket_group.SENDERS
        rig.detach(link)
        assert all(group.heard()[:2])
        assert rig.hits() == socket_group.SENDERS


@pytest.mark.parametrize("name", ["on_socket_filter", "on_sk_reuseport"])
def test_another_program_takes_its_place_at_once(rig: Rig, name: str) -> None:
    with socket_group.group() as group:
        program = rig.load(name)
        link = rig.attach(program, on(group.named(0)))
        rig.replace(program, name, slot=1)
        assert rig.program is not None
        assert rig.program.record.id != program.record.id
        group.put(rig.pin("group"))
        group.heard()
        assert rig.hits(1) > 0
        assert rig.hits(0) == 0
        assert state(rig, link) == ("attached", "")
        rig.detach(link)
        before = rig.hits(1)
        group.heard()
        assert rig.hits(1) == before


def test_an_unloaded_program_leaves_its_socket(rig: Rig) -> None:
    with socket_group.group(shares=False) as group:
        program = rig.load("on_socket_filter", refuse=1)
        rig.attach(program, on(group.named(0)))
        rig.manager.run(ROOT, model.Unload(program=program.record.id))
        assert group.heard() == (socket_group.SENDERS, len(socket_group.TEXT))
        types_rig.until(lambda: rig.kernel.program_by_id(program.record.id) is None)
        assert rig.links() == ()


# ---------------------------------------------------------------- found again


def test_a_restarted_daemon_finds_the_socket_again(rig: Rig) -> None:
    with socket_group.group(shares=False) as group:
        link = rig.attach(rig.load("on_socket_filter", refuse=1), on(group.named(0)))
        rig.kernel.close()
        rig.restart(linux.Linux(rig.pins.root))
        assert state(rig, link) == ("attached", "")
        assert rig.manager.doctor() == ()
        rig.detach(link)
        assert group.heard()[0] == socket_group.SENDERS


def test_a_socket_is_found_under_another_number(rig: Rig) -> None:
    """Its process may have duplicated it and closed the first, or handed it to another."""
    with socket_group.group(shares=False) as group:
        first = group.members[0]
        spare = os.dup(first.fileno())
        other = os.open("/", os.O_RDONLY)
        try:
            link = rig.attach(rig.load("on_socket_filter", refuse=1), on(group.named(0)))
            os.dup2(other, first.fileno())
            assert state(rig, link) == ("attached", "")
            rig.detach(link)
            os.dup2(spare, first.fileno())
            assert group.heard()[0] == socket_group.SENDERS
        finally:
            os.close(spare)
            os.close(other)


@pytest.mark.parametrize("name", ["on_socket_filter", "on_sk_reuseport"])
def test_a_process_that_ends_leaves_a_defunct_link(rig: Rig, name: str) -> None:
    with child() as (process, by_number, _):
        link = rig.attach(rig.load(name), on(by_number))
        assert state(rig, link) == ("attached", "")
        process.communicate(input="", timeout=10)
    shown, reason = state(rig, link)
    assert shown == "defunct"
    assert "its socket is closed" in reason
    assert {one.kind for one in rig.manager.doctor()} == {"defunct link"}
    rig.detach(link)
    assert rig.links() == ()
    with pytest.raises(errors.NotFound):
        rig.detach(link)
    assert rig.manager.doctor() == ()


def test_a_filter_that_its_process_takes_away_is_told(rig: Rig) -> None:
    with socket_group.group(shares=False) as group:
        link = rig.attach(rig.load("on_socket_filter"), on(group.named(0)))
        group.members[0].setsockopt(sockets.SOL_SOCKET, 27, 0)
        shown, reason = state(rig, link)
        assert shown == "defunct"
        assert "taken away" in reason
        rig.detach(link)


# ---------------------------------------------------------------- addresses


def test_an_address_in_another_namespace(rig: Rig) -> None:
    network = rig.network()
    made = subprocess.Popen(
        [*network.enter, sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert made.stdout is not None
        _, port = made.stdout.readline().split()
        program = rig.load("on_socket_filter")
        with pytest.raises(errors.NotFound):
            rig.attach(program, on(f"udp:127.0.0.1:{port}"))
        link = rig.attach(program, on(f"udp:127.0.0.1:{port}", netns=network.path))
        attachment = rig.manager.link(link).record.attachment
        assert isinstance(attachment, socket.SocketAttachment)
        assert attachment.inode and attachment.cookie
        rig.detach(link)
    finally:
        made.communicate(input="", timeout=10)


def test_an_ipv6_address(rig: Rig) -> None:
    with sockets.socket(sockets.AF_INET6, sockets.SOCK_DGRAM) as one:
        one.bind(("::1", 0))
        link = rig.attach(rig.load("on_socket_filter"), on(f"udp:[::1]:{one.getsockname()[1]}"))
        rig.detach(link)


def test_several_sockets_of_an_address_must_be_told_apart(rig: Rig) -> None:
    with socket_group.group() as group:
        program = rig.load("on_socket_filter")
        with pytest.raises(errors.InvalidRequest, match="2 sockets") as told:
            rig.attach(program, on(group.address()))
        assert group.named(1) in told.value.why
        rig.attach(program, on(group.named(1)))


def test_a_near_address_is_told(rig: Rig) -> None:
    with socket_group.group(shares=False) as group, pytest.raises(errors.NotFound) as told:
        rig.attach(rig.load("on_socket_filter"), on(f"udp:127.0.0.2:{group.port}"))
    assert told.value.near == (group.address(),)


# ---------------------------------------------------------------- what does not fit

NOBODY = 2**22 - 1

WRONG: dict[str, tuple[Callable[[socket_group.Group], str], type[errors.SkepError], str]] = {
    "no process": (lambda group: f"{NOBODY}:3", errors.NotFound, "no process"),
    "no descriptor": (lambda group: f"{os.getpid()}:1048575", errors.NotFound, "no descriptor"),
    "no socket": (lambda group: f"{os.getpid()}:{os.open('/', os.O_RDONLY)}", errors.InvalidRequest, "something else"),
    "no address": (lambda group: "tcp:127.0.0.1:1", errors.NotFound, "no socket is bound"),
    "no number": (lambda group: "udp:localhost:53", errors.InvalidRequest, "not an IP address"),
}


@pytest.mark.parametrize("name", ["on_socket_filter", "on_sk_reuseport"])
@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_socket_is_told(rig: Rig, name: str, what: str) -> None:
    make, kind, words = WRONG[what]
    program = rig.load(name)
    before = left(rig)
    with socket_group.group() as group, pytest.raises(kind, match=words):
        rig.attach(program, on(make(group)))
    assert left(rig) == before


@pytest.mark.parametrize("name", ["on_socket_filter", "on_sk_reuseport"])
def test_a_second_program_on_a_socket_is_refused(rig: Rig, name: str) -> None:
    with socket_group.group() as group:
        first, second = rig.load(name), rig.load(name)
        link = rig.attach(first, on(group.named(0)))
        with pytest.raises(errors.AlreadyExists, match=f"link {link} has this program"):
            rig.attach(first, on(group.named(0)))
        with pytest.raises(errors.Conflict, match=f"link {link} has another program"):
            rig.attach(second, on(group.named(0)))
        assert len(rig.links()) == 1


def test_somebody_else_s_filter_is_left_alone(rig: Rig) -> None:
    program = rig.load("on_socket_filter")
    with socket_group.group(shares=False) as group:
        fd = types_rig.pinned(rig.program_pin())
        group.members[0].setsockopt(sockets.SOL_SOCKET, 50, fd)
        os.close(fd)
        before = left(rig)
        with pytest.raises(errors.Conflict, match="did not attach"):
            rig.attach(program, on(group.named(0)))
        assert left(rig) == before
        hits = rig.hits()
        group.heard()
        assert rig.hits() > hits


def test_a_locked_socket_is_refused_and_nothing_is_left(rig: Rig) -> None:
    program = rig.load("on_socket_filter")
    with socket_group.group(shares=False) as group:
        group.members[0].setsockopt(sockets.SOL_SOCKET, 44, 1)  # SO_LOCK_FILTER
        before = left(rig)
        with pytest.raises(errors.Denied, match="SO_LOCK_FILTER"):
            rig.attach(program, on(group.named(0)))
        assert left(rig) == before


def test_only_sockets_that_share_are_in_a_group(rig: Rig) -> None:
    program = rig.load("on_sk_reuseport")
    with socket_group.group(shares=False) as group, pytest.raises(errors.InvalidRequest, match="SO_REUSEPORT"):
        rig.attach(program, on(group.named(0)))
    one, other = sockets.socketpair()
    with one, other, pytest.raises(errors.InvalidRequest, match="neither TCP nor UDP"):
        rig.attach(program, on(f"{os.getpid()}:{one.fileno()}"))
    assert rig.links() == ()


def test_another_user_s_socket_is_not_for_everybody(rig: Rig) -> None:
    """Whoever may use skep may change what his own processes hear; root, what any does."""
    program = rig.load("on_socket_filter")
    with child(uid=65534) as (_, by_number, _by_address):
        wanted = model.Attach(program=program.record.id, attachment=on(by_number))
        with pytest.raises(errors.Denied, match="uid 1000"):
            rig.manager.run(dataclasses.replace(ROOT, uid=1000, gid=1000), wanted)
        (link,) = rig.manager.run(dataclasses.replace(ROOT, uid=65534, gid=65534), wanted).links
        rig.detach(link)
    mine = model.Attach(program=program.record.id, attachment=on(f"{os.getpid()}:0"))
    with pytest.raises((errors.Denied, errors.InvalidRequest)):
        rig.manager.run(dataclasses.replace(ROOT, uid=65534, gid=65534), mine)
    assert rig.links() == ()


@pytest.mark.parametrize("point", ["begun", "step 0 CreateLink"])
def test_a_daemon_that_is_killed_while_it_attaches_leaves_nothing(rig: Rig, point: str) -> None:
    class Killed(BaseException):
        pass

    def fault(seen: str) -> None:
        if seen == point:
            raise Killed

    with socket_group.group(shares=False) as group:
        program = rig.load("on_socket_filter", refuse=1)
        before = left(rig)
        rig.restart(fault=fault)
        with pytest.raises(Killed):
            rig.attach(program, on(group.named(0)))
        rig.restart()
        assert left(rig) == before
        assert group.heard()[0] == socket_group.SENDERS
        assert rig.manager.doctor() == ()


def left(rig: Rig) -> object:
    """Pins and links."""
    return rig.kernel.pins(model.PinDir(rig.pins.root)), rig.links(), rig.store.pending()
