"""What the words with which a caller names a place mean here and now.

Only whole places come out: interfaces by their own names, namespaces and cgroups as they are stored. A pattern stands
for several interfaces, each of which gets a link.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from skep import errors, model
from skep.hooks import cgroup, iter, netfilter, netns, socket
from skep.kernel import door


def operations(kernel: door.Kernel, op: model.Operation) -> tuple[model.Operation, ...]:
    """One operation for each place that ``op`` names. NotFound, InvalidRequest, Conflict."""
    if not isinstance(op, model.Attach) or op.literal:
        return (op,)
    return tuple(dataclasses.replace(op, attachment=one) for one in _attachments(kernel, op.attachment))


def interface(kernel: door.Kernel, ref: model.InterfaceRef) -> model.InterfaceRef:
    """The one interface that is meant. NotFound; InvalidRequest when there are several."""
    found = kernel.interfaces_of(ref)
    if len(found) > 1:
        raise errors.InvalidRequest(
            f"{ref.name!r} means {len(found)} interfaces",
            why="they are " + ", ".join(one.name for one in found[:8]) + (", …" if len(found) > 8 else ""),
            do="name one of them",
        )
    return found[0]


def namespace_of(attachment: object) -> str | None:
    """The network namespace of a stored attachment, None for skep's own and for types without one."""
    where = getattr(attachment, "interface", attachment)
    found = getattr(where, "netns", None)
    return found if isinstance(found, str) else None


def _attachments(kernel: door.Kernel, attachment: Any) -> tuple[object, ...]:  # Any: a dataclass of hooks/
    match attachment:
        case netns.NetnsAttachment(netns=str(words)) | netfilter.NetfilterAttachment(netns=str(words)):
            return (dataclasses.replace(attachment, netns=kernel.namespace_of(words)),)
        case socket.SocketAttachment(netns=str(words)):
            return (dataclasses.replace(attachment, netns=kernel.namespace_of(words)),)
        case iter.IteratorAttachment(cgroup=str(words)):
            return (dataclasses.replace(attachment, cgroup=kernel.cgroup_of(words)),)
        case cgroup.CgroupAttachment():
            return (dataclasses.replace(attachment, path=kernel.cgroup_of(attachment.path)),)
    ref = getattr(attachment, "interface", None)
    if isinstance(ref, model.InterfaceRef):
        return tuple(dataclasses.replace(attachment, interface=one) for one in kernel.interfaces_of(ref))
    return (attachment,)
