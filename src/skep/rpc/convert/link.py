"""Links and chains between domain and ``skep.v1``."""

from __future__ import annotations

from skep import errors, model
from skep.pb import skep_pb2
from skep.rpc.convert import attachment, observed

STATES = {
    model.LinkState.ATTACHED: skep_pb2.LINK_STATE_ATTACHED,
    model.LinkState.PARTIAL: skep_pb2.LINK_STATE_PARTIAL,
    model.LinkState.DEFUNCT: skep_pb2.LINK_STATE_DEFUNCT,
}
_STATES_BACK = {int(number): state for state, number in STATES.items()}


def pack(link: model.Link) -> skep_pb2.Link:
    """A link as a message."""
    status = link.status
    return skep_pb2.Link(
        record=_pack_record(link.record),
        status=skep_pb2.LinkStatus(
            state=STATES[status.state],
            kernel=[observed.pack_link(seen) for seen in status.kernel],
            position=status.position,
            counts=None if status.counts is None else _pack_counts(status.counts),
            pin_present=status.pin_present,
            reason=status.reason,
            missing=status.missing,
        ),
        program_id=link.program_id,
        program_name=link.program_name,
    )


def unpack(message: skep_pb2.Link) -> model.Link:
    """A message as a link."""
    status = message.status
    return model.Link(
        record=_unpack_record(message.record),
        status=model.LinkStatus(
            state=_unpack_state(status.state),
            kernel=tuple(observed.unpack_link(seen) for seen in status.kernel),
            position=status.position if status.HasField("position") else None,
            counts=_unpack_counts(status.counts) if status.HasField("counts") else None,
            pin_present=status.pin_present,
            reason=status.reason,
            missing=tuple(status.missing),
        ),
        program_id=model.ProgramId(message.program_id),
        program_name=message.program_name,
    )


def pack_filter(wanted: model.LinkFilter) -> skep_pb2.ListLinksRequest:
    """Which links to list, as a request."""
    return skep_pb2.ListLinksRequest(program_id=wanted.program_id, hooks=wanted.hooks, metadata=wanted.metadata)


def unpack_filter(message: skep_pb2.ListLinksRequest) -> model.LinkFilter:
    """A request as which links to list."""
    return model.LinkFilter(
        program_id=model.ProgramId(message.program_id) if message.HasField("program_id") else None,
        hooks=tuple(model.HookName(name) for name in message.hooks),
        metadata=dict(message.metadata),
    )


def pack_chain(chain: model.ChainStatus) -> skep_pb2.Chain:
    """A chain as a message."""
    record = chain.record
    return skep_pb2.Chain(
        record=skep_pb2.ChainRecord(
            key=_pack_key(record.key),
            revision=record.revision,
            interface=record.interface,
            netns_path=record.netns_path,
            members=[_pack_member(member) for member in record.members],
            link_pin=record.link_pin,
            program_pin=record.program_pin,
            counts_pin=record.counts_pin,
            program_id=record.program_id,
            link_id=record.link_id,
            mode=record.mode,
            boot_id=record.boot_id,
            filter_priority=record.filter_priority,
            filter_handle=record.filter_handle,
        ),
        counts=[_pack_counts(counts) for counts in chain.counts],
        packets=chain.packets,
        state=STATES[chain.state],
        warnings=chain.warnings,
    )


def unpack_chain(message: skep_pb2.Chain) -> model.ChainStatus:
    """A message as a chain."""
    record = message.record
    return model.ChainStatus(
        record=model.ChainRecord(
            key=_unpack_key(record.key),
            revision=record.revision,
            interface=record.interface,
            netns_path=record.netns_path if record.HasField("netns_path") else None,
            members=tuple(_unpack_member(member) for member in record.members),
            link_pin=model.LinkPin(record.link_pin),
            program_pin=model.ProgramPin(record.program_pin),
            counts_pin=model.MapPin(record.counts_pin),
            program_id=model.ProgramId(record.program_id),
            link_id=model.KernelLinkId(record.link_id),
            mode=model.XdpMode(record.mode) if record.HasField("mode") else None,
            boot_id=record.boot_id,
            filter_priority=record.filter_priority,
            filter_handle=record.filter_handle,
        ),
        counts=tuple(_unpack_counts(counts) for counts in message.counts),
        packets=message.packets,
        state=_unpack_state(message.state),
        warnings=tuple(message.warnings),
    )


def _pack_record(record: model.LinkRecord) -> skep_pb2.LinkRecord:
    return skep_pb2.LinkRecord(
        id=record.id,
        program=record.program,
        hook=record.hook,
        attachment=attachment.pack(record.attachment),
        pins=record.pins,
        kernel_ids=record.kernel_ids,
        places=record.places,
        netns=record.netns,
        ifindex=record.ifindex,
        chain=None if record.chain is None else _pack_key(record.chain),
        priority=record.priority,
        mode=record.mode,
        fallback=record.fallback,
        metadata=record.metadata,
        boot_id=record.boot_id,
        created_at=record.created_at,
        process_start=record.process_start,
    )


def _unpack_record(message: skep_pb2.LinkRecord) -> model.LinkRecord:
    return model.LinkRecord(
        id=model.LinkId(message.id),
        program=model.ProgramKey(message.program),
        hook=model.HookName(message.hook),
        attachment=attachment.unpack(message.attachment),
        pins=tuple(model.LinkPin(pin) for pin in message.pins),
        kernel_ids=tuple(model.KernelLinkId(id) for id in message.kernel_ids),
        places=tuple(message.places),
        netns=model.NetnsInode(message.netns),
        ifindex=model.IfIndex(message.ifindex),
        chain=_unpack_key(message.chain) if message.HasField("chain") else None,
        priority=message.priority if message.HasField("priority") else None,
        mode=model.XdpMode(message.mode) if message.HasField("mode") else None,
        fallback=message.fallback,
        metadata=dict(message.metadata),
        boot_id=message.boot_id,
        process_start=message.process_start,
        created_at=message.created_at,
    )


def _pack_member(member: model.ChainMember) -> skep_pb2.ChainMember:
    return skep_pb2.ChainMember(
        link=member.link,
        program=member.program,
        name=member.name,
        priority=member.priority,
        proceed_on=member.proceed_on,
        form=member.form,
    )


def _unpack_member(message: skep_pb2.ChainMember) -> model.ChainMember:
    return model.ChainMember(
        link=model.LinkId(message.link),
        program=model.ProgramKey(message.program),
        name=message.name,
        priority=message.priority,
        proceed_on=message.proceed_on,
        form=model.MemberForm(message.form),
    )


def _pack_key(key: model.ChainKey) -> skep_pb2.ChainKey:
    return skep_pb2.ChainKey(type=key.type, netns=key.netns, ifindex=key.ifindex)


def _unpack_key(message: skep_pb2.ChainKey) -> model.ChainKey:
    return model.ChainKey(
        type=message.type, netns=model.NetnsInode(message.netns), ifindex=model.IfIndex(message.ifindex)
    )


def _pack_counts(counts: model.Counts) -> skep_pb2.Counts:
    return skep_pb2.Counts(runs=counts.runs, proceeded=counts.proceeded, stopped=counts.stopped)


def _unpack_counts(message: skep_pb2.Counts) -> model.Counts:
    return model.Counts(runs=message.runs, proceeded=message.proceeded, stopped=dict(message.stopped))


def _unpack_state(number: int) -> model.LinkState:
    state = _STATES_BACK.get(number)
    if state is None:
        raise errors.Unavailable(
            f"the daemon tells a link state that this client does not know ({number})",
            why="it is newer",
            do="use the client of the same release",
        )
    return state
