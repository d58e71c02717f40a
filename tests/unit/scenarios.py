"""One situation and operation for every kind of plan, for the tests that break each of them at every point."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from skep import model
from skep.hooks import struct_ops, tcx
from tests.unit import host
from tests.unit.host import Host, on_tc, on_tcx, on_xdp

DROP = 1
SHOT = 2


def load(one: Host) -> model.Operation:
    return host.load("first", "packet", limit=b"\x03\0\0\0")


def load_named(one: Host) -> model.Operation:
    return host.load("first", object=host.kinds("NAMED"))


def load_named_again(one: Host) -> model.Operation:
    one.load("first", object=host.kinds("NAMED"))
    return host.load("first", object=host.kinds("NAMED"))


def load_borrowing(one: Host) -> model.Operation:
    (owner,) = one.load("first")
    return host.load("packet", object=host.kinds("EXTRA"), owner=owner)


def attach_first(one: Host) -> model.Operation:
    (program,) = one.load("first")
    return model.Attach(program=program, attachment=on_xdp(50), metadata={"who": "me"})


def attach_first_generic(one: Host) -> model.Operation:
    one.kernel.native = False
    return attach_first(one)


def attach_third(one: Host) -> model.Operation:
    chain_of(one, "first", "second")
    (program,) = one.load("third")
    return model.Attach(program=program, attachment=on_xdp(15, proceed_on=(DROP,)))


def attach_tc_first(one: Host) -> model.Operation:
    (program,) = one.load("packet")
    return model.Attach(program=program, attachment=on_tc(50))


def attach_tc_beside_others(one: Host) -> model.Operation:
    one.kernel.foreign_qdisc("eth0", "clsact")
    one.kernel.foreign_filter("eth0", "ingress", 50)
    return attach_tc_first(one)


def attach_tc_third(one: Host) -> model.Operation:
    tc_chain(one, 2)
    one.kernel.packets("eth0", 3, member=1, code=SHOT, direction="ingress")
    (program,) = one.load("packet")
    return model.Attach(program=program, attachment=on_tc(15, proceed_on=(-1, SHOT)))


def attach_tc_other_way(one: Host) -> model.Operation:
    tc_chain(one, 1)
    (program,) = one.load("packet")
    return model.Attach(program=program, attachment=on_tc(15, direction=tcx.Direction.EGRESS))


def attach_tcx(one: Host) -> model.Operation:
    (program,) = one.load("packet")
    one.attach(program, on_tcx(50))
    (program,) = one.load("packet")
    return model.Attach(program=program, attachment=on_tcx(10))


def attach_tracepoint(one: Host) -> model.Operation:
    (program,) = one.load("point")
    return model.Attach(program=program, attachment=host.POINT)


def attach_uprobe(one: Host) -> model.Operation:
    (program,) = one.load("entered")
    return model.Attach(program=program, attachment=host.PROBE)


def on_every_cpu(one: Host) -> tuple[model.ProgramId, model.LinkId]:
    (program,) = one.load("on_perf_event", object=host.types())
    return program, one.attach(program, host.EVERYWHERE)


def attach_several(one: Host) -> model.Operation:
    (program,) = one.load("on_perf_event", object=host.types())
    return model.Attach(program=program, attachment=host.EVERYWHERE)


def detach_several(one: Host) -> model.Operation:
    return model.Detach(link=on_every_cpu(one)[1])


def unload_several(one: Host) -> model.Operation:
    return model.Unload(program=on_every_cpu(one)[0])


def replace_several(one: Host) -> model.Operation:
    return replace(on_every_cpu(one)[0], host.types())


def replace_more(one: Host) -> model.Operation:
    program, _ = on_every_cpu(one)
    one.kernel.cpus = (0, 1, 2, 4)
    return replace(program, host.types())


def replace_fewer(one: Host) -> model.Operation:
    program, _ = on_every_cpu(one)
    one.kernel.cpus = (3,)
    return replace(program, host.types())


def attach_pattern(one: Host) -> model.Operation:
    """Joins the chain of one interface and begins that of another."""
    chain_of(one, "first", "second")
    (program,) = one.load("third")
    return model.Attach(program=program, attachment=on_xdp(15, interface=model.InterfaceRef(name="eth*")))


def attach_pattern_on_tcx(one: Host) -> model.Operation:
    (program,) = one.load("packet")
    wanted = dataclasses.replace(on_tcx(7), interface=model.InterfaceRef(name="eth[01]"))
    return model.Attach(program=program, attachment=wanted)


def attach_socket(one: Host) -> model.Operation:
    (program,) = one.load("kept", object=host.kinds("SOCKETS"))
    return model.Attach(program=program, attachment=host.on_socket(one))


def detach_last(one: Host) -> model.Operation:
    (link,) = chain_of(one, "first")
    one.kernel.packets("eth0", 3, member=0, code=DROP)
    return model.Detach(link=link)


def detach_middle(one: Host) -> model.Operation:
    links = chain_of(one, "first", "second", "third")
    one.kernel.packets("eth0", 3, member=2, code=DROP)
    return model.Detach(link=links[1])


def detach_dead(one: Host) -> model.Operation:
    links = chain_of(one, "first", "second")
    one.kernel.delete_interface("eth0")
    return model.Detach(link=links[0])


def detach_tc_last(one: Host) -> model.Operation:
    (link,) = tc_chain(one, 1)
    one.kernel.packets("eth0", 3, member=0, code=SHOT, direction="ingress")
    return model.Detach(link=link)


def detach_tc_middle(one: Host) -> model.Operation:
    links = tc_chain(one, 3)
    one.kernel.packets("eth0", 3, member=2, code=SHOT, direction="ingress")
    return model.Detach(link=links[1])


def detach_tc_dead(one: Host) -> model.Operation:
    links = tc_chain(one, 2)
    one.kernel.remove_filter("eth0", "ingress", 50)
    return model.Detach(link=links[0])


def detach_tcx(one: Host) -> model.Operation:
    (program,) = one.load("packet")
    return model.Detach(link=one.attach(program, on_tcx(50)))


def detach_tracepoint(one: Host) -> model.Operation:
    (program,) = one.load("point")
    return model.Detach(link=one.attach(program, host.POINT))


def detach_socket(one: Host) -> model.Operation:
    (program,) = one.load("kept", object=host.kinds("SOCKETS"))
    return model.Detach(link=one.attach(program, host.on_socket(one)))


def unload_from_socket(one: Host) -> model.Operation:
    (program,) = one.load("kept", object=host.kinds("SOCKETS"))
    one.attach(program, host.on_socket(one))
    return model.Unload(program=program)


def unload_bare(one: Host) -> model.Operation:
    one.load("second")
    (program,) = one.load("first", object=host.kinds("NAMED"))
    return model.Unload(program=program)


def unload_attached(one: Host) -> model.Operation:
    first, second, third = one.load("first", "second", "third")
    one.attach(first, on_xdp(10))
    one.attach(second, on_xdp(20))
    one.attach(third, on_xdp(30))
    one.attach(second, on_xdp(5, interface=host.ETH1))
    one.kernel.packets("eth0", 7, member=1, code=DROP)
    return model.Unload(program=second)


def unload_owner(one: Host) -> model.Operation:
    (owner,) = one.load("first")
    one.load("packet", owner=owner)
    return model.Unload(program=owner)


def update_chain(one: Host) -> model.Operation:
    links = chain_of(one, "first", "second", "third")
    one.kernel.packets("eth0", 3, member=2, code=DROP)
    return model.UpdateLink(link=links[0], priority=99, proceed_on=(DROP, 2))


def update_tc(one: Host) -> model.Operation:
    links = tc_chain(one, 3)
    one.kernel.packets("eth0", 3, member=2, code=SHOT, direction="ingress")
    return model.UpdateLink(link=links[0], priority=99, proceed_on=(SHOT, -1))


def update_chain_record(one: Host) -> model.Operation:
    links = chain_of(one, "first", "second")
    return model.UpdateLink(link=links[0], priority=11)


def update_tcx(one: Host) -> model.Operation:
    links = []
    for priority in (10, 20, 30):
        (program,) = one.load("packet")
        links.append(one.attach(program, on_tcx(priority)))
    return model.UpdateLink(link=links[0], priority=25)


def update_tcx_record(one: Host) -> model.Operation:
    (program,) = one.load("packet")
    return model.UpdateLink(link=one.attach(program, on_tcx(10)), priority=25)


TABLE = ("begin", "threshold", "undo", "avoid")


def register(one: Host) -> model.Operation:
    program, *_ = one.load(*TABLE, object=host.table())
    return model.Attach(program=program, attachment=struct_ops.StructOpsAttachment())


def move_table(one: Host) -> model.Operation:
    old, *_ = one.load(*TABLE, object=host.table())
    link = one.attach(old, struct_ops.StructOpsAttachment())
    new, *_ = one.load(*TABLE, object=host.table("WINDOW=7"))
    return model.UpdateLink(link=link, program=new)


def replace_chain(one: Host) -> model.Operation:
    first, second = one.load("first", "second")
    one.attach(first, on_xdp(10))
    one.attach(second, on_xdp(20))
    one.attach(first, on_xdp(10, interface=host.ETH1))
    one.kernel.packets("eth0", 3, member=1, code=DROP)
    return replace(first, host.kinds("RETURN=XDP_DROP"))


def replace_tc(one: Host) -> model.Operation:
    (program,) = one.load("packet")
    one.attach(program, on_tc(10))
    one.attach(program, on_tc(10, direction=tcx.Direction.EGRESS))
    one.kernel.packets("eth0", 3, member=0, code=SHOT, direction="egress")
    return replace(program, host.kinds("EXTRA"))


def replace_tcx(one: Host) -> model.Operation:
    (program,) = one.load("packet")
    one.attach(program, on_tcx(50))
    return replace(program, host.kinds("EXTRA"))


def replace_tracepoint(one: Host) -> model.Operation:
    (program,) = one.load("point", object=host.kinds("EXTRA"))
    one.attach(program, host.POINT)
    return replace(program, host.kinds())


def replace_on_socket(one: Host) -> model.Operation:
    (program,) = one.load("kept", object=host.kinds("SOCKETS", "EXTRA"))
    one.attach(program, host.on_socket(one))
    return replace(program, host.kinds("SOCKETS"))


def replace_owner(one: Host) -> model.Operation:
    (owner,) = one.load("first", object=host.kinds("NAMED"))
    one.load("packet", owner=owner)
    return replace(owner, host.kinds("EXTRA"))


ALL: tuple[Callable[[Host], model.Operation], ...] = (
    load, load_named, load_named_again, load_borrowing,
    attach_first, attach_first_generic, attach_third, attach_tcx, attach_tracepoint, attach_uprobe,
    attach_several, detach_several, unload_several, replace_several, replace_more, replace_fewer,
    attach_pattern, attach_pattern_on_tcx, attach_socket,
    attach_tc_first, attach_tc_beside_others, attach_tc_third, attach_tc_other_way,
    detach_last, detach_middle, detach_dead, detach_tcx, detach_tracepoint, detach_socket,
    detach_tc_last, detach_tc_middle, detach_tc_dead, update_tc, replace_tc,
    unload_bare, unload_from_socket, unload_attached, unload_owner,
    update_chain, update_chain_record, update_tcx, update_tcx_record, register, move_table,
    replace_chain, replace_tcx, replace_tracepoint, replace_on_socket, replace_owner,
)  # fmt: skip


def chain_of(one: Host, *names: str) -> list[model.LinkId]:
    """A chain on eth0 with these members at priorities 10, 20, …"""
    programs = one.load(*names)
    return [one.attach(program, on_xdp(10 * number)) for number, program in enumerate(programs, 1)]


def tc_chain(one: Host, length: int) -> list[model.LinkId]:
    """A chain on eth0's ingress with members at priorities 10, 20, …"""
    links = []
    for number in range(1, length + 1):
        (program,) = one.load("packet")
        links.append(one.attach(program, on_tc(10 * number)))
    return links


def replace(program: model.ProgramId, object: bytes) -> model.ReplaceProgram:
    return model.ReplaceProgram(program=program, object=object, source=model.FileSource(path="new.bpf.o"))
