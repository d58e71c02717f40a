"""Names for the numbers and paths that cross module boundaries; a bare ``int`` or ``str`` never does."""

from __future__ import annotations

from typing import NewType

ProgramKey = NewType("ProgramKey", int)
"""Ours, from the store, never reused: names a program's pins. 1 and up."""
ProgramId = NewType("ProgramId", int)
"""The kernel's ``bpf_prog_info.id``; what users type. Changes at reboot and at ``program replace``; 0 never."""
MapId = NewType("MapId", int)
"""The kernel's ``bpf_map_info.id``."""
KernelLinkId = NewType("KernelLinkId", int)
"""The kernel's ``bpf_link_info.id``."""
LinkId = NewType("LinkId", int)
"""Ours, from the store, never reused; what users type. 1 to 2**32 - 1."""
SetKey = NewType("SetKey", int)
"""Ours: one set of maps made by one load and shared by its programs and by dependants."""
OperationId = NewType("OperationId", int)
"""Ours: one per mutating operation; in logs, events and pending plans."""
IfIndex = NewType("IfIndex", int)
"""Interface index inside its network namespace."""
NetnsInode = NewType("NetnsInode", int)
"""Inode number of a network namespace (bpfman's *nsid*)."""
HookName = NewType("HookName", str)
"""A program type as skep names it ("xdp", "tcx", "tracepoint", "uretprobe"): the key of the table in ``hooks``."""
Digest = NewType("Digest", str)
"""Lower-case hexadecimal SHA-256 of an object file's bytes, 64 characters."""

ProgramPin = NewType("ProgramPin", str)
"""Absolute path of a pinned program."""
MapPin = NewType("MapPin", str)
"""Absolute path of a pinned map."""
LinkPin = NewType("LinkPin", str)
"""Absolute path of a pinned link."""
PinDir = NewType("PinDir", str)
"""Absolute path of a directory below the pins' root."""
Pin = ProgramPin | MapPin | LinkPin
