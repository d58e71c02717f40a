"""The domain's values: ids, what is asked, stored and observed, and what can be done. Pure; imports only ``errors``."""

from __future__ import annotations

from skep.model.ids import (
    Digest,
    HookName,
    IfIndex,
    KernelLinkId,
    LinkId,
    LinkPin,
    MapId,
    MapPin,
    NetnsInode,
    OperationId,
    Pin,
    PinDir,
    ProgramId,
    ProgramKey,
    ProgramPin,
    SetKey,
)
from skep.model.link import (
    ChainKey,
    ChainMember,
    ChainRecord,
    ChainStatus,
    Counts,
    InterfaceRef,
    Link,
    LinkFilter,
    LinkRecord,
    LinkState,
    LinkStatus,
    MemberForm,
)
from skep.model.observed import (
    Boot,
    Feature,
    HookEntry,
    Interface,
    KernelLink,
    KernelMap,
    KernelProgram,
    MapView,
    XdpMode,
)
from skep.model.operation import (
    Adopt,
    Attach,
    Detach,
    Done,
    Event,
    Finding,
    Load,
    Operation,
    Preview,
    ReplaceProgram,
    Unload,
    UpdateLink,
)
from skep.model.program import (
    Caller,
    FileSource,
    ForeignProgram,
    ImageSource,
    MapRef,
    Program,
    ProgramFilter,
    ProgramRecord,
    ProgramSpec,
    ProgramStatus,
    Source,
)

MAX_OBJECT_BYTES = 16 * 1024 * 1024
"""The largest object file that is looked at; anything larger is refused before any parser sees it."""

__all__ = [
    "MAX_OBJECT_BYTES", "Adopt", "Attach", "Boot", "Caller", "ChainKey", "ChainMember", "ChainRecord", "ChainStatus",
    "Counts", "Detach", "Digest", "Done", "Event", "Feature", "FileSource", "Finding", "ForeignProgram", "HookEntry", "HookName",
    "IfIndex", "ImageSource", "Interface", "InterfaceRef", "KernelLink", "KernelLinkId", "KernelMap", "KernelProgram",
    "Link", "LinkFilter", "LinkId", "LinkPin", "LinkRecord", "LinkState", "LinkStatus", "Load", "MapId", "MapPin",
    "MapRef", "MapView", "MemberForm", "NetnsInode", "Operation", "OperationId", "Pin", "PinDir", "Preview", "Program",
    "ProgramFilter", "ProgramId", "ProgramKey", "ProgramPin", "ProgramRecord", "ProgramSpec", "ProgramStatus",
    "ReplaceProgram", "SetKey", "Source", "Unload", "UpdateLink", "XdpMode",
]
