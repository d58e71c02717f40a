"""Attaching to sockets, through the Manager on a fake kernel: whose they are, and what is told of them."""

from __future__ import annotations

import dataclasses

import pytest

from skep import errors, model
from skep.hooks import socket
from tests.unit import host

SOMEBODY = model.Caller(uid=1000, gid=1000, pid=7)


@pytest.fixture
def one(tmp_path):
    made = host.Host(tmp_path / "skep.db")
    yield made
    made.store.close()


def program(one: host.Host) -> model.ProgramId:
    (loaded,) = one.load("kept", object=host.kinds("SOCKETS"))
    return loaded


def test_where_a_socket_was_found_is_kept(one):
    link = one.attach(program(one), host.on_socket(one))
    record = one.manager.link(link).record
    assert record.attachment == socket.SocketAttachment(socket="11:5", pid=11, fd=5, inode=700, cookie=800)
    assert record.pins == (host.PINS.socket(link),)
    assert record.kernel_ids == ()
    assert one.manager.link(link).status.state is model.LinkState.ATTACHED


def test_what_a_caller_says_of_the_place_is_not_believed(one):
    wanted = dataclasses.replace(host.on_socket(one), pid=1, fd=1, inode=1, cookie=1)
    link = one.attach(program(one), wanted)
    assert one.manager.link(link).record.attachment.cookie == 800


@pytest.mark.parametrize(("owner", "allowed"), [(1000, True), (0, False), (1001, False), (None, False)])
def test_a_user_s_own_processes_only(one, owner, allowed):
    loaded, wanted = program(one), host.on_socket(one)
    key, there = next(iter(one.kernel.sockets.items()))
    one.kernel.sockets[key] = dataclasses.replace(there, owner=owner)
    attach = model.Attach(program=loaded, attachment=wanted)
    if allowed:
        assert one.manager.run(SOMEBODY, attach).links
    else:
        with pytest.raises(errors.Denied):
            one.manager.run(SOMEBODY, attach)
        with pytest.raises(errors.Denied):
            one.manager.preview(SOMEBODY, attach)
        assert one.run(attach).links  # root may


def test_a_socket_with_a_filter_is_left_alone(one):
    loaded, wanted = program(one), host.on_socket(one)
    key, there = next(iter(one.kernel.sockets.items()))
    one.kernel.sockets[key] = dataclasses.replace(there, filtered=True)
    before = one.state()
    with pytest.raises(errors.Conflict, match="did not attach"):
        one.attach(loaded, wanted)
    assert one.state() == before


def test_a_closed_socket_leaves_a_defunct_link(one):
    link = one.attach(program(one), host.on_socket(one))
    one.kernel.sockets.clear()
    status = one.manager.link(link).status
    assert (status.state, status.reason) == (model.LinkState.DEFUNCT, "its socket is closed")
    assert [finding.kind for finding in one.manager.doctor()] == ["defunct link"]
    one.detach(link)
    assert one.manager.doctor() == ()


def test_the_preview_names_the_socket(one):
    preview = one.manager.preview(host.CALLER, model.Attach(program=program(one), attachment=host.on_socket(one)))
    assert "to socket 11:5" in preview.steps[0]


def test_a_lost_note_is_told(one):
    link = one.attach(program(one), host.on_socket(one))
    one.kernel.detach(host.PINS.socket(link))
    status = one.manager.link(link).status
    assert (status.state, status.pin_present) == (model.LinkState.DEFUNCT, False)
    assert "until the socket is closed" in status.reason


def test_a_lost_store_is_adopted_with_its_sockets(one):
    link = one.attach(program(one), host.on_socket(one))
    one.store.close()
    one.path.unlink()
    one.restart()
    one.run(model.Adopt(pin=host.PINS.root))
    assert one.manager.link(link).status.state is model.LinkState.ATTACHED


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("1:0", model.Descriptor(pid=1, fd=0)),
        ("tcp:127.0.0.1:8080", model.LocalAddress(protocol="tcp", address="127.0.0.1", port=8080)),
        ("udp:[::1]:53", model.LocalAddress(protocol="udp", address="::1", port=53)),
    ],
)
def test_a_socket_is_named(text, named):
    assert socket.parse(text) == named


@pytest.mark.parametrize(
    "text", ["", "1", "0:1", "1:", "1:-1", "a:b", "tcp:1", "tcp::80", "tcp:127.0.0.1:0", "tcp:::1:80", "sctp:1.1.1.1:1",
             "tcp:1.1.1.1:65536", "99999999999:1", "²:1"],
)  # fmt: skip
def test_what_names_no_socket_is_told(text):
    with pytest.raises(errors.InvalidRequest, match="PID:FD"):
        socket.SocketAttachment(socket=text)


def test_a_process_has_no_namespace_to_be_named():
    with pytest.raises(errors.InvalidRequest, match="namespace"):
        socket.SocketAttachment(socket="1:2", netns="/run/netns/x")
