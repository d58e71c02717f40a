"""Types with an order, and links whose program changes: cgroups, network namespaces, maps of sockets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import errors, model
from skep.hooks import cgroup, netns, sockmap
from skep.kernel import abi, sys
from tests.kernel import bpf_raw, members, types_rig
from tests.kernel.type_cases import CASES, Case
from tests.kernel.types_rig import Rig

EGRESS = 1  # BPF_CGROUP_INET_EGRESS


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with types_rig.rig(tmp_path) as made:
        yield made


def running(rig: Rig) -> list[int]:
    """Programs on the rig's cgroup in their order."""
    fd = os.open(rig.cgroup(), os.O_RDONLY)
    try:
        return sys.prog_query(fd, EGRESS)[0]
    finally:
        os.close(fd)


def has_order(rig: Rig) -> bool:
    """Whether this kernel keeps cgroup programs in an order: it then numbers the list's revisions."""
    fd = os.open(rig.cgroup(), os.O_RDONLY)
    attr = bytearray(abi.ATTR_PROG_QUERY.pack(fd, EGRESS, 0, 0, 0, 0, 0, 0, 0, 0))
    try:
        bpf_raw.bpf(abi.PROG_QUERY, attr)
    finally:
        os.close(fd)
    return bool(abi.ATTR_PROG_QUERY.unpack(attr)[-1])


def test_cgroup_programs_have_the_order_that_is_asked_for(rig: Rig) -> None:
    programs = [rig.load("on_egress") for _ in range(4)]
    ids = [one.record.id for one in programs]
    first = rig.attach(programs[0], cgroup.CgroupAttachment(path=rig.cgroup()))
    if not has_order(rig):
        with pytest.raises(errors.Unsupported, match="EINVAL") as told:
            rig.attach(programs[1], cgroup.CgroupAttachment(path=rig.cgroup(), order="first"))
        assert told.value.first == "6.16"
        assert running(rig) == [ids[0]]
        return
    rig.attach(programs[1], cgroup.CgroupAttachment(path=rig.cgroup(), order="first"))
    rig.attach(programs[2], cgroup.CgroupAttachment(path=rig.cgroup(), order=f"before:{first}"))
    rig.attach(programs[3], cgroup.CgroupAttachment(path=rig.cgroup(), order="last"))
    assert running(rig) == [ids[1], ids[2], ids[0], ids[3]]
    later = rig.load("on_egress")
    rig.attach(later, cgroup.CgroupAttachment(path=rig.cgroup(), order=f"after:{first}"))
    assert running(rig) == [ids[1], ids[2], ids[0], later.record.id, ids[3]]
    with pytest.raises(errors.NotFound, match="no link 999"):
        rig.attach(rig.load("on_egress"), cgroup.CgroupAttachment(path=rig.cgroup(), order="before:999"))


def test_one_program_joins_two_cgroups(rig: Rig) -> None:
    program = rig.load("on_bind4", refuse=1)
    one, other = rig.cgroup(), rig.make_cgroup()
    link = rig.attach(program, cgroup.CgroupAttachment(path=one))
    rig.attach(program, cgroup.CgroupAttachment(path=other))
    rig.detach(link)
    assert [members.inside(path, "bind4") for path in (one, other)] == ["ok", "EPERM"]


SWAPPED = ["cgroup_sock_addr-bind4", "sk_lookup", "sk_msg"]


@pytest.mark.parametrize("name", SWAPPED)
def test_a_replaced_program_keeps_its_link(rig: Rig, name: str) -> None:
    case: Case = CASES[name]
    program = rig.load(case.program, case.target, source=case.source, **case.values)
    link = rig.attach(program, case.attachment(rig))
    refused = case.effect(rig)
    (before,) = rig.links()
    rig.replace(program, refuse=0)
    (after,) = rig.links()
    assert (after.record.id, after.status.state) == (link, model.LinkState.ATTACHED)
    assert after.status.kernel[0].program_id != before.status.kernel[0].program_id
    assert case.effect(rig) == ("ok", True) != refused


def test_a_program_for_another_place_is_no_replacement(rig: Rig) -> None:
    program = rig.load("on_bind4")
    with pytest.raises(errors.Conflict, match="cgroup/connect4"):
        rig.replace(program, name="on_connect4")


def test_a_stream_is_parsed_while_the_parser_is_attached(rig: Rig) -> None:
    verdict = rig.load("on_stream_verdict")
    pin = rig.pin("sockets")
    parser = rig.load("on_stream_parser")
    rig.attach(verdict, sockmap.SockmapAttachment(map=pin))
    link = rig.attach(parser, sockmap.SockmapAttachment(map=pin))
    assert members.through_map(pin, sender=False) == "ok"
    parsed = rig.hits(program=parser)
    assert parsed > 0
    rig.detach(link)
    assert members.through_map(pin, sender=False) == "ok"
    assert rig.hits(program=parser) == parsed


def test_two_programs_look_up_sockets_of_one_namespace(rig: Rig) -> None:
    both = [rig.load("on_sk_lookup") for _ in range(2)]
    for one in both:
        rig.attach(one, netns.NetnsAttachment(netns=rig.network().path))
    assert members.inside_netns(rig.network().path, "connect4") == "ok"
    assert [rig.hits(program=one) > 0 for one in both] == [True, True]
