"""Nothing is lost between domain values and messages."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest

from skep import errors, hooks, model
from skep.hooks import iter, socket, tcx, tracepoint, uprobe, xdp
from skep.pb import skep_pb2
from skep.rpc.convert import attachment, content, image, link, observed, operation, program, run
from tests.unit.rpc.filled import filled

FOREIGN = model.ForeignProgram(kernel=filled(model.KernelProgram))
BARE = model.Program(
    record=dataclasses.replace(
        filled(model.ProgramRecord),
        owner=None,
        owner_id=None,
        attach_func=None,
        updated_at=None,
        maps=(),
        source=model.ImageSource(url="registry/image:1", pull_policy="Never", digest="sha256:12"),
    ),
    status=model.ProgramStatus(kernel=None, pin_present=False, stale="reboot"),
)
BARE_LINK = model.Link(
    record=dataclasses.replace(
        filled(model.LinkRecord),
        chain=None,
        priority=None,
        mode=None,
        attachment=tracepoint.TracepointAttachment(group="sched", name="sched_switch"),
    ),
    status=model.LinkStatus(state=model.LinkState.DEFUNCT),
    program_id=model.ProgramId(4),
    program_name="p",
)
BARE_CHAIN = dataclasses.replace(
    filled(model.ChainStatus), record=dataclasses.replace(filled(model.ChainRecord), netns_path=None, mode=None)
)

ROUND_TRIPS: dict[str, tuple[Any, Any, Any]] = {  # Any: each row has types of its own
    "program": (program.pack, program.unpack, filled(model.Program)),
    "program with nothing optional": (program.pack, program.unpack, BARE),
    "foreign program": (program.pack, program.unpack, FOREIGN),
    "program filter": (program.pack_filter, program.unpack_filter, filled(model.ProgramFilter)),
    "empty program filter": (program.pack_filter, program.unpack_filter, model.ProgramFilter()),
    "link": (link.pack, link.unpack, filled(model.Link)),
    "link with nothing optional": (link.pack, link.unpack, BARE_LINK),
    "link filter": (link.pack_filter, link.unpack_filter, filled(model.LinkFilter)),
    "empty link filter": (link.pack_filter, link.unpack_filter, model.LinkFilter()),
    "chain": (link.pack_chain, link.unpack_chain, filled(model.ChainStatus)),
    "chain with nothing optional": (link.pack_chain, link.unpack_chain, BARE_CHAIN),
    "image": (image.pack, image.unpack, filled(model.Image)),
    "image to pull": (
        image.pack_request,
        image.unpack_request,
        dataclasses.replace(filled(model.ImageRequest), login=filled(model.Login)),
    ),
    "image to pull as nobody": (image.pack_request, image.unpack_request, model.ImageRequest(url="a")),
    "progress of a pull": (image.pack_told, image.unpack_told, filled(model.PullProgress)),
    "end of a pull": (image.pack_told, image.unpack_told, filled(model.Image)),
    "pruned images": (image.pack_pruned, image.unpack_pruned, filled(model.Pruned)),
    "map": (observed.pack_map, observed.unpack_map, filled(model.MapView)),
    "event": (observed.pack_event, observed.unpack_event, filled(model.Event)),
    "finding": (observed.pack_finding, observed.unpack_finding, filled(model.Finding)),
    "feature": (observed.pack_feature, observed.unpack_feature, filled(model.Feature)),
    "done": (operation.pack_done, operation.unpack_done, filled(model.Done)),
    "map shape": (content.pack_shape, content.unpack_shape, filled(model.MapShape)),
    "map without types": (content.pack_shape, content.unpack_shape, model.MapShape(view=filled(model.MapView))),
    "map dump": (content.pack_dump, content.unpack_dump, filled(model.MapDump)),
    "map page": (content.pack_page, content.unpack_page, filled(model.MapPage)),
    "map entry": (content.pack_entry, content.unpack_entry, filled(model.MapEntry)),
    "map entry of bytes": (content.pack_entry, content.unpack_entry, model.MapEntry(key=b"", values=(b"",))),
    "map write": (content.pack_write, content.unpack_write, filled(model.MapWrite)),
    "map pop": (content.pack_write, content.unpack_write, model.MapWrite(map="q", verb=model.MapVerb.DELETE)),
    "map write of nothing": (
        content.pack_write,
        content.unpack_write,
        model.MapWrite(map="q", verb=model.MapVerb.UPDATE, value=model.Datum(raw=b""), cpu=0),
    ),
    "map written": (content.pack_written, content.unpack_written, filled(model.MapWritten)),
    "map deleted": (
        content.pack_written,
        content.unpack_written,
        model.MapWritten(operation=model.OperationId(1), map=model.MapId(2)),
    ),
    "map follow": (content.pack_follow, content.unpack_follow, filled(model.MapFollow)),
    "map records": (content.pack_records, content.unpack_records, (filled(model.MapRecord), model.MapRecord(lost=7))),
    "run": (run.pack_run, run.unpack_run, filled(model.Run)),
    "ran": (run.pack_ran, run.unpack_ran, filled(model.Ran)),
    "ran, not measured": (
        run.pack_ran,
        run.unpack_ran,
        dataclasses.replace(filled(model.Ran), duration_ns=None, answer=-7, verdict=""),
    ),
    "reading of a link": (run.pack_read, run.unpack_read, model.ReadIterator(link=model.LinkId(7), limit=9)),
    "reading of a program": (run.pack_read, run.unpack_read, model.ReadIterator(program=model.ProgramId(7))),
    "reading through a process": (
        run.pack_read,
        run.unpack_read,
        model.ReadIterator(program=model.ProgramId(7), attachment=iter.IteratorAttachment(pid=1)),
    ),
    "preview": (operation.pack_preview, operation.unpack_preview, filled(model.Preview)),
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_a_value_comes_back_as_it_went(name):
    pack, unpack, value = ROUND_TRIPS[name]

    assert unpack(type(pack(value)).FromString(pack(value).SerializeToString())) == value


OPERATIONS = {
    **{kind.__name__: filled(kind) for kind in get_args(model.Operation)},
    "bare load": model.Load(object=b"elf", source=model.FileSource(path="/a.o"), programs=()),
    "update that changes nothing": model.UpdateLink(link=model.LinkId(1)),
    "update to another program": model.UpdateLink(link=model.LinkId(1), program=model.ProgramId(7)),
    "update to no verdict": model.UpdateLink(link=model.LinkId(1), priority=0, proceed_on=()),
    "replace that keeps the data": model.ReplaceProgram(
        program=model.ProgramId(1), object=b"elf", source=model.FileSource(path="/a.o")
    ),
    "replace that drops the data": model.ReplaceProgram(
        program=model.ProgramId(1), object=b"elf", source=model.FileSource(path="/a.o"), global_data={}
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_comes_back_as_it_went(name):
    wanted = OPERATIONS[name]

    message, object = operation.pack(wanted)

    assert operation.unpack(skep_pb2.Operation.FromString(message.SerializeToString()), object) == wanted


def test_an_object_goes_in_pieces_of_one_mebibyte():
    object = bytes(range(256)) * 10240  # 2.5 MiB

    pieces = list(operation.chunks(object))

    assert [len(piece) for piece in pieces] == [1 << 20, 1 << 20, 1 << 19]
    assert b"".join(pieces) == object


ATTACHMENTS = {
    "xdp": xdp.XdpAttachment(interface=model.InterfaceRef(name="eth0"), priority=0),
    "xdp, all fields": filled(object),
    "tcx": tcx.TcxAttachment(
        interface=model.InterfaceRef(name="eth0", netns="/run/netns/x"), direction=tcx.Direction.EGRESS, priority=9
    ),
    "tracepoint": tracepoint.TracepointAttachment(group="sched", name="sched_switch"),
    "uprobe": uprobe.UprobeAttachment(target="libc", fn_name="malloc", offset=4, pid=12, container_pid=13),
    "uprobe by offset": uprobe.UprobeAttachment(target="/bin/true", offset=2**63),
    **{
        f"{hook.name} with all options": hook.build(
            {row.field: row.parse(row.example) for row in hook.options if row.example}
        )
        for hook in hooks.HOOKS
        if not hook.unattached
    },
    "iterator, all fields": iter.IteratorAttachment(target="x", map="/p", cgroup="/c", order="self", tid=4),
    "socket that was found": socket.SocketAttachment(
        socket="udp:[::1]:53", netns="/n", pid=1, fd=2, inode=3, cookie=2**63
    ),
}


@pytest.mark.parametrize("name", ATTACHMENTS)
def test_an_attachment_comes_back_as_it_went(name):
    assert attachment.unpack(attachment.pack(ATTACHMENTS[name])) == ATTACHMENTS[name]


MISSING = {
    "attachment": lambda: attachment.unpack(skep_pb2.Attachment()),
    "source": lambda: program.unpack_source(skep_pb2.Source()),
    "operation": lambda: operation.unpack(skep_pb2.Operation(), b""),
    "operation that takes the object": lambda: operation.unpack(
        skep_pb2.Operation(detach=skep_pb2.DetachRequest(link_id=1)), b"elf"
    ),
    "known mode": lambda: attachment.unpack(
        skep_pb2.Attachment(xdp=skep_pb2.XdpAttachment(interface="eth0", mode="turbo"))
    ),
    "interface": lambda: attachment.unpack(skep_pb2.Attachment(xdp=skep_pb2.XdpAttachment(priority=1))),
    "priority from 0 on": lambda: attachment.unpack(
        skep_pb2.Attachment(xdp=skep_pb2.XdpAttachment(interface="eth0", priority=-1))
    ),
    "known direction": lambda: attachment.unpack(
        skep_pb2.Attachment(tcx=skep_pb2.TcxAttachment(interface="eth0", direction="up"))
    ),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_request_without_is_invalid(name):
    with pytest.raises(errors.InvalidRequest):
        MISSING[name]()
