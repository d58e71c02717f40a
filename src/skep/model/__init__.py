"""The domain's values: ids, what is asked, stored and observed, and what can be done. Pure; imports only ``errors``.

Making forty frozen dataclasses takes a third of the time in which a command such as ``skep program list`` starts, so a
module of this package is imported when one of its names is first used (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from skep.model.content import (
        Datum,
        MapDump,
        MapElement,
        MapEntry,
        MapField,
        MapFill,
        MapFollow,
        MapMode,
        MapPage,
        MapRecord,
        MapShape,
        MapType,
        MapVerb,
        MapWrite,
        MapWritten,
    )
    from skep.model.image import Image, ImageRequest, Login, Pruned, PullPolicy, PullProgress
    from skep.model.inventory import (
        Foreign,
        Group,
        Inventory,
        Managed,
        ObjectKind,
        ObjectRef,
        OwnedLink,
        OwnedMap,
        OwnedProgram,
        Owner,
        Process,
        Survey,
        Unlinked,
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
        Loss,
        MemberForm,
    )
    from skep.model.observed import (
        Boot,
        Descriptor,
        Feature,
        FeatureGroup,
        Filter,
        HookEntry,
        Interface,
        KernelLink,
        KernelMap,
        KernelProgram,
        LocalAddress,
        MapView,
        Registration,
        Socket,
        SocketRef,
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
    from skep.model.run import (
        Ran,
        ReadIterator,
        Run,
    )

MAX_OBJECT_BYTES = 16 * 1024 * 1024
"""The largest object file that is looked at; anything larger is refused before any parser sees it."""

__all__ = [
    "MAX_OBJECT_BYTES",
    "Adopt",
    "Attach",
    "Boot",
    "Caller",
    "ChainKey",
    "ChainMember",
    "ChainRecord",
    "ChainStatus",
    "Counts",
    "Datum",
    "Descriptor",
    "Detach",
    "Digest",
    "Done",
    "Event",
    "Feature",
    "FeatureGroup",
    "FileSource",
    "Filter",
    "Finding",
    "Foreign",
    "ForeignProgram",
    "Group",
    "HookEntry",
    "HookName",
    "IfIndex",
    "Image",
    "ImageRequest",
    "ImageSource",
    "Interface",
    "InterfaceRef",
    "Inventory",
    "KernelLink",
    "KernelLinkId",
    "KernelMap",
    "KernelProgram",
    "Link",
    "LinkFilter",
    "LinkId",
    "LinkPin",
    "LinkRecord",
    "LinkState",
    "LinkStatus",
    "Load",
    "LocalAddress",
    "Login",
    "Loss",
    "Managed",
    "MapDump",
    "MapElement",
    "MapEntry",
    "MapField",
    "MapFill",
    "MapFollow",
    "MapId",
    "MapMode",
    "MapPage",
    "MapPin",
    "MapRecord",
    "MapRef",
    "MapShape",
    "MapType",
    "MapVerb",
    "MapView",
    "MapWrite",
    "MapWritten",
    "MemberForm",
    "NetnsInode",
    "ObjectKind",
    "ObjectRef",
    "Operation",
    "OperationId",
    "OwnedLink",
    "OwnedMap",
    "OwnedProgram",
    "Owner",
    "Pin",
    "PinDir",
    "Preview",
    "Process",
    "Program",
    "ProgramFilter",
    "ProgramId",
    "ProgramKey",
    "ProgramPin",
    "ProgramRecord",
    "ProgramSpec",
    "ProgramStatus",
    "Pruned",
    "PullPolicy",
    "PullProgress",
    "Ran",
    "ReadIterator",
    "Registration",
    "ReplaceProgram",
    "Run",
    "SetKey",
    "Socket",
    "SocketRef",
    "Source",
    "Survey",
    "Unlinked",
    "Unload",
    "UpdateLink",
    "XdpMode",
]

_HOMES = ("observed", "program", "link", "operation", "content", "run", "image", "inventory")
"""Where the names are, those that others build on first."""

if not TYPE_CHECKING:  # a type checker reads the imports above, and tells a name that does not exist

    def __getattr__(name: str) -> object:
        """A name out of one of the modules; from then on it is found at once."""
        if name in __all__:
            for home in _HOMES:
                module = importlib.import_module(f"{__name__}.{home}")
                if hasattr(module, name):
                    globals()[name] = getattr(module, name)
                    return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
