"""What was seen: kernel objects, maps, history, findings and features, between domain and ``skep.v1``."""

from __future__ import annotations

from skep import model
from skep.pb import skep_pb2


def pack_program(seen: model.KernelProgram) -> skep_pb2.KernelProgram:
    """``bpf_prog_info`` as a message."""
    return skep_pb2.KernelProgram(
        id=seen.id,
        type=seen.type,
        name=seen.name,
        tag=seen.tag,
        loaded_at_ns=seen.loaded_at_ns,
        uid=seen.uid,
        gpl_compatible=seen.gpl_compatible,
        map_ids=seen.map_ids,
        btf_id=seen.btf_id,
        xlated_bytes=seen.xlated_bytes,
        jited_bytes=seen.jited_bytes,
        memlock_bytes=seen.memlock_bytes,
        verified_insns=seen.verified_insns,
        run_count=seen.run_count,
        run_time_ns=seen.run_time_ns,
        recursion_misses=seen.recursion_misses,
    )


def unpack_program(message: skep_pb2.KernelProgram) -> model.KernelProgram:
    """A message as ``bpf_prog_info``."""
    return model.KernelProgram(
        id=model.ProgramId(message.id),
        type=message.type,
        name=message.name,
        tag=message.tag,
        loaded_at_ns=message.loaded_at_ns,
        uid=message.uid,
        gpl_compatible=message.gpl_compatible,
        map_ids=tuple(model.MapId(id) for id in message.map_ids),
        btf_id=message.btf_id,
        xlated_bytes=message.xlated_bytes,
        jited_bytes=message.jited_bytes,
        memlock_bytes=message.memlock_bytes,
        verified_insns=message.verified_insns,
        run_count=message.run_count,
        run_time_ns=message.run_time_ns,
        recursion_misses=message.recursion_misses,
    )


def pack_link(seen: model.KernelLink) -> skep_pb2.KernelLink:
    """``bpf_link_info`` as a message."""
    return skep_pb2.KernelLink(
        id=seen.id,
        type=seen.type,
        program_id=seen.program_id,
        attach_type=seen.attach_type,
        ifindex=seen.ifindex,
        detail=seen.detail,
        defunct=seen.defunct,
    )


def unpack_link(message: skep_pb2.KernelLink) -> model.KernelLink:
    """A message as ``bpf_link_info``."""
    return model.KernelLink(
        id=model.KernelLinkId(message.id),
        type=message.type,
        program_id=model.ProgramId(message.program_id),
        attach_type=message.attach_type,
        ifindex=model.IfIndex(message.ifindex),
        detail=message.detail,
        defunct=message.defunct,
    )


def pack_map(view: model.MapView) -> skep_pb2.Map:
    """A map with its pins and users as a message."""
    return skep_pb2.Map(kernel=pack_kernel_map(view.kernel), pins=view.pins, programs=view.programs)


def pack_kernel_map(seen: model.KernelMap) -> skep_pb2.KernelMap:
    """``bpf_map_info`` as a message."""
    return skep_pb2.KernelMap(
        id=seen.id,
        type=seen.type,
        name=seen.name,
        key_size=seen.key_size,
        value_size=seen.value_size,
        max_entries=seen.max_entries,
        flags=seen.flags,
        btf_id=seen.btf_id,
        map_extra=seen.map_extra,
        memlock_bytes=seen.memlock_bytes,
        frozen=seen.frozen,
        key_type_id=seen.key_type_id,
        value_type_id=seen.value_type_id,
        kernel_value_type_id=seen.kernel_value_type_id,
    )


def unpack_kernel_map(seen: skep_pb2.KernelMap) -> model.KernelMap:
    """A message as ``bpf_map_info``."""
    return model.KernelMap(
        id=model.MapId(seen.id),
        type=seen.type,
        name=seen.name,
        key_size=seen.key_size,
        value_size=seen.value_size,
        max_entries=seen.max_entries,
        flags=seen.flags,
        btf_id=seen.btf_id,
        map_extra=seen.map_extra,
        memlock_bytes=seen.memlock_bytes,
        frozen=seen.frozen,
        key_type_id=seen.key_type_id,
        value_type_id=seen.value_type_id,
        kernel_value_type_id=seen.kernel_value_type_id,
    )


def unpack_map(message: skep_pb2.Map) -> model.MapView:
    """A message as a map with its pins and users."""
    return model.MapView(
        kernel=unpack_kernel_map(message.kernel),
        pins=tuple(model.MapPin(pin) for pin in message.pins),
        programs=tuple(model.ProgramId(id) for id in message.programs),
    )


def pack_caller(caller: model.Caller) -> skep_pb2.Caller:
    """Who asked, as a message."""
    return skep_pb2.Caller(uid=caller.uid, gid=caller.gid, pid=caller.pid, groups=caller.groups, origin=caller.origin)


def unpack_caller(message: skep_pb2.Caller) -> model.Caller:
    """A message as who asked."""
    return model.Caller(
        uid=message.uid, gid=message.gid, pid=message.pid, groups=tuple(message.groups), origin=message.origin
    )


def pack_event(event: model.Event) -> skep_pb2.Event:
    """A line of history as a message."""
    return skep_pb2.Event(
        id=event.id,
        at=event.at,
        operation=event.operation,
        verb=event.verb,
        subject=event.subject,
        caller=pack_caller(event.caller),
        outcome=event.outcome,
        detail=event.detail,
        duration_ms=event.duration_ms,
    )


def unpack_event(message: skep_pb2.Event) -> model.Event:
    """A message as a line of history."""
    return model.Event(
        id=message.id,
        at=message.at,
        operation=model.OperationId(message.operation),
        verb=message.verb,
        subject=message.subject,
        caller=unpack_caller(message.caller),
        outcome=message.outcome,
        detail=message.detail,
        duration_ms=message.duration_ms,
    )


def pack_finding(finding: model.Finding) -> skep_pb2.Finding:
    """A doctor's finding as a message."""
    return skep_pb2.Finding(
        kind=finding.kind,
        subject=finding.subject,
        explanation=finding.explanation,
        remedy=finding.remedy,
        adoptable=finding.adoptable,
    )


def unpack_finding(message: skep_pb2.Finding) -> model.Finding:
    """A message as a doctor's finding."""
    return model.Finding(
        kind=message.kind,
        subject=message.subject,
        explanation=message.explanation,
        remedy=message.remedy,
        adoptable=message.adoptable,
    )


def pack_feature(feature: model.Feature) -> skep_pb2.Feature:
    """A probed feature as a message."""
    return skep_pb2.Feature(
        name=feature.name,
        available=feature.available,
        errno=feature.errno,
        first=feature.first,
        note=feature.note,
        group=feature.group,
        config=feature.config,
        needs=feature.needs,
        lasting=feature.lasting,
    )


def unpack_feature(message: skep_pb2.Feature) -> model.Feature:
    """A message as a probed feature."""
    return model.Feature(
        name=message.name,
        available=message.available,
        errno=message.errno,
        first=message.first,
        note=message.note,
        group=message.group,
        config=tuple(message.config),
        needs=message.needs,
        lasting=message.lasting,
    )
