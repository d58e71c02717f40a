"""The inventory and its owners, between domain and ``skep.v1``."""

from __future__ import annotations

from typing import Final, assert_never

from skep import model
from skep.pb import skep_pb2
from skep.rpc.convert import observed

_KINDS: Final = frozenset(each.value for each in model.AlertKind)


def pack(found: model.Inventory | None, unless: str) -> skep_pb2.InventoryResponse:
    """The inventory as a message; None: its fingerprint is still ``unless``."""
    if found is None:
        return skep_pb2.InventoryResponse(fingerprint=unless, unchanged=True)
    return skep_pb2.InventoryResponse(
        fingerprint=found.fingerprint,
        release=found.release,
        programs=[
            skep_pb2.OwnedProgram(
                kernel=observed.pack_program(one.kernel),
                name=one.name,
                places=one.places,
                since=one.since,
                owner=_pack_owner(one.owner),
                unsanctioned=not one.sanctioned,
            )
            for one in found.programs
        ],
        links=[
            skep_pb2.OwnedLink(kernel=observed.pack_link(one.kernel), place=one.place, owner=_pack_owner(one.owner))
            for one in found.links
        ],
        maps=[
            skep_pb2.OwnedMap(
                kernel=observed.pack_kernel_map(one.kernel), programs=one.programs, owner=_pack_owner(one.owner)
            )
            for one in found.maps
        ],
        processes=[_pack_process(one) for one in found.processes],
        unread=found.unread,
        cut=found.cut,
        alerts=[_pack_alert(one) for one in found.alerts],
    )


def unpack(message: skep_pb2.InventoryResponse) -> model.Inventory | None:
    """A message as the inventory; None when nothing changed."""
    if message.unchanged:
        return None
    return model.Inventory(
        fingerprint=message.fingerprint,
        release=message.release,
        programs=tuple(
            model.OwnedProgram(
                kernel=observed.unpack_program(one.kernel),
                name=one.name,
                places=tuple(one.places),
                since=one.since,
                owner=_unpack_owner(one.owner),
                sanctioned=not one.unsanctioned,
            )
            for one in message.programs
        ),
        links=tuple(
            model.OwnedLink(kernel=observed.unpack_link(one.kernel), place=one.place, owner=_unpack_owner(one.owner))
            for one in message.links
        ),
        maps=tuple(
            model.OwnedMap(
                kernel=observed.unpack_kernel_map(one.kernel),
                programs=tuple(map(model.ProgramId, one.programs)),
                owner=_unpack_owner(one.owner),
            )
            for one in message.maps
        ),
        processes=tuple(_unpack_process(one) for one in message.processes),
        unread=message.unread,
        cut=tuple(message.cut),
        # A daemon that is newer may know more kinds.
        alerts=tuple(_unpack_alert(one) for one in message.alerts if one.kind in _KINDS),
    )


def _pack_alert(one: model.Alert) -> skep_pb2.Alert:
    return skep_pb2.Alert(
        kind=one.kind,
        hook=one.hook,
        place=one.place,
        program=one.program,
        name=one.name,
        applications=one.applications,
        message=one.message,
        remedy=one.remedy,
    )


def _unpack_alert(message: skep_pb2.Alert) -> model.Alert:
    return model.Alert(
        kind=model.AlertKind(message.kind),
        hook=message.hook,
        place=message.place,
        program=model.ProgramId(message.program),
        name=message.name,
        applications=tuple(message.applications),
        message=message.message,
        remedy=message.remedy,
    )


def _pack_owner(owner: model.Owner) -> skep_pb2.Owner:
    match owner:
        case model.Managed():
            return skep_pb2.Owner(
                managed=skep_pb2.ManagedOwner(application=owner.application, key=owner.key, part=owner.part)
            )
        case model.Foreign():
            groups = [_pack_group(one) for one in owner.groups]
            return skep_pb2.Owner(
                foreign=skep_pb2.ForeignOwner(pids=owner.pids, pins=owner.pins, groups=groups, through=owner.through)
            )
        case _:
            assert_never(owner)


def _unpack_owner(message: skep_pb2.Owner) -> model.Owner:
    if message.WhichOneof("owner") == "managed":
        ours = message.managed
        return model.Managed(application=ours.application, key=ours.key, part=ours.part)
    theirs = message.foreign
    return model.Foreign(
        pids=tuple(theirs.pids),
        pins=tuple(theirs.pins),
        groups=tuple(_unpack_group(one) for one in theirs.groups),
        through=theirs.through,
    )


def _pack_process(one: model.Process) -> skep_pb2.HoldingProcess:
    return skep_pb2.HoldingProcess(pid=one.pid, comm=one.comm, exe=one.exe, uid=one.uid, group=_pack_group(one.group))


def _unpack_process(message: skep_pb2.HoldingProcess) -> model.Process:
    return model.Process(
        pid=message.pid, comm=message.comm, exe=message.exe, uid=message.uid, group=_unpack_group(message.group)
    )


def _pack_group(one: model.Group) -> skep_pb2.ControlGroup:
    return skep_pb2.ControlGroup(path=one.path, unit=one.unit, pod=one.pod, container=one.container)


def _unpack_group(message: skep_pb2.ControlGroup) -> model.Group:
    return model.Group(path=message.path, unit=message.unit, pod=message.pod, container=message.container)
