"""Every path below the runtime directory and the pins, computed and never touched here.

Pins, all in the host's bpffs::

    <pins>/progs/<key>-<generation>        program (… _copy while a link of it is moved)
    <pins>/sets/<set>/<map>                maps of one load, under their ELF names
    <pins>/private/<set>/<n>_<name>        its data sections (bpffs refuses '.' in names)
    <pins>/shared/<map>                    LIBBPF_PIN_BY_NAME maps, one per host
    <pins>/links/<link id>[/<n>]           kernel links; a directory when the link owns several
    <pins>/links/<link id>_next[/<n>]      those that replace them, while the link is moved
    <pins>/chains/<type>-<netns>-<ifindex>/link
    <pins>/chains/tc-<direction>-<netns>-<ifindex>/filter   a symbolic link that says where the filter is
    <pins>/chains/<type>-<netns>-<ifindex>/<revision>/{prog,counts}
    <pins>/notes/{programs,links,chains}/…   symbolic links whose targets are records (plan/notes.py)
    <pins>/prog_<kernel id>                -> progs/…   symbolic links under bpfman's names, made last
    <pins>/maps/<kernel id>                -> sets/…
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from skep import model

DEFAULT_SOCKET = "/run/bpfman-sock/bpfman.sock"
DEFAULT_RUNTIME = "/run/skep"
DEFAULT_STATE = "/var/lib/skep"
DEFAULT_PINS = "/sys/fs/bpf/skep"
DEFAULT_IMAGES = "/var/cache/skep"
DEFAULT_APPLICATIONS = "/etc/skep/apps.d"
HOST_BPFFS = "/sys/fs/bpf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where one instance of skep keeps its things; absolute paths."""

    runtime: str
    state: str
    pins: str
    socket: str
    images: str
    applications: str

    @property
    def lock(self) -> str:
        """The file whose flock says who owns this instance."""
        return f"{self.runtime}/lock"

    @property
    def private(self) -> str:
        """The 0700 directory of gRPC's own socket and the worker's."""
        return f"{self.runtime}/private"

    @property
    def pins_link(self) -> str:
        """``<runtime>/fs``: the symbolic link to the pins that bpfman's users know."""
        return f"{self.runtime}/fs"

    @property
    def socket_file(self) -> str:
        """``<runtime>/socket``: one line, the path of the listening socket, so that the CLI finds it."""
        return f"{self.runtime}/socket"

    @property
    def csi(self) -> str:
        """The CSI driver's socket, where the daemon has the driver in it."""
        return f"{self.runtime}/csi/csi.sock"

    @property
    def database(self) -> str:
        """The SQLite store."""
        return f"{self.state}/skep.db"


def layout(
    *,
    runtime: str | None = None,
    state: str | None = None,
    pins: str | None = None,
    socket: str | None = None,
    images: str | None = None,
    applications: str | None = None,
) -> Layout:
    """The layout for the directories a user gave; the rest follows from ``runtime`` or from the defaults.

    Given only ``runtime``, state lies below it and pins in a directory of their own under the host's bpffs, named by
    the runtime path's hash so that two instances never share one.
    """
    if runtime is None or runtime == DEFAULT_RUNTIME:
        home = DEFAULT_RUNTIME
        return Layout(
            runtime=home,
            state=state or DEFAULT_STATE,
            pins=pins or DEFAULT_PINS,
            socket=socket or DEFAULT_SOCKET,
            images=images or DEFAULT_IMAGES,
            applications=applications or DEFAULT_APPLICATIONS,
        )
    import hashlib  # here, because most never need it and it takes its time

    home = posixpath.normpath(runtime)
    name = "skep-" + hashlib.sha256(home.encode()).hexdigest()[:12]
    return Layout(
        runtime=home,
        state=state or f"{home}/state",
        pins=pins or f"{HOST_BPFFS}/{name}",
        socket=socket or f"{home}/skep.sock",
        images=images or f"{home}/images",
        applications=applications or f"{home}/apps.d",
    )


TOP = (
    "progs", "sets", "private", "shared", "links", "chains", "maps", "notes/programs", "notes/links", "notes/chains",
)  # fmt: skip
"""The directories that are made once, when an instance starts; plans make what is below them."""
SOCKET = "_socket"
"""How a path ends where a socket is noted, in place of a pinned link."""
FILTER = "filter"
"""The last part of a path where a filter is noted. The kernel's own pins never end like this."""
CLOSED = "notes"
"""For the owner's eyes only: metadata and global data stand there in clear, and a symbolic link has no mode."""


@dataclass(frozen=True, slots=True)
class Pins:
    """The pins below one root directory."""

    root: str

    def directories(self) -> tuple[model.PinDir, ...]:
        """All of the fixed top directories."""
        return tuple(self.directory(name) for name in TOP)

    def closed(self) -> model.PinDir:
        """The one that only root may look into."""
        return self.directory(CLOSED)

    def directory(self, name: str) -> model.PinDir:
        """One of the fixed top directories: progs, sets, private, shared, links, chains, maps."""
        return model.PinDir(f"{self.root}/{name}")

    def program(self, key: model.ProgramKey, generation: int) -> model.ProgramPin:
        """The program ``key`` in its ``generation``."""
        return model.ProgramPin(f"{self.root}/progs/{key}-{generation}")

    def program_copy(self, key: model.ProgramKey, generation: int) -> model.ProgramPin:
        """A copy that stands in for a program while one of its links is moved."""
        return model.ProgramPin(f"{self.program(key, generation)}_copy")

    def set(self, key: model.SetKey) -> model.PinDir:
        """The directory of a map set."""
        return model.PinDir(f"{self.root}/sets/{key}")

    def private(self, key: model.SetKey) -> model.PinDir:
        """The directory of a map set's data sections."""
        return model.PinDir(f"{self.root}/private/{key}")

    def map(self, key: model.SetKey, name: str) -> model.MapPin:
        """A map of a set under its ELF name (which has no dot)."""
        return model.MapPin(f"{self.set(key)}/{name}")

    def internal(self, key: model.SetKey, index: int, name: str) -> model.MapPin:
        """The data section number ``index`` of a set; dots become underscores, the index keeps names apart."""
        return model.MapPin(f"{self.private(key)}/{index}_{name.strip('.').replace('.', '_')}")

    def shared(self, name: str) -> model.MapPin:
        """A LIBBPF_PIN_BY_NAME map."""
        return model.MapPin(f"{self.root}/shared/{name}")

    def link(self, link: model.LinkId, index: int | None = None) -> model.LinkPin:
        """A link's only kernel link, or number ``index`` of several."""
        base = f"{self.root}/links/{link}"
        return model.LinkPin(base if index is None else f"{base}/{index}")

    def link_directory(self, link: model.LinkId) -> model.PinDir:
        """The directory of a link of several kernel links."""
        return model.PinDir(self.link(link))

    def link_copy(self, link: model.LinkId, index: int | None = None) -> model.LinkPin:
        """Where a link's next kernel link (number ``index`` of several) waits until it is renamed over the old one."""
        base = f"{self.root}/links/{link}_next"
        return model.LinkPin(base if index is None else f"{base}/{index}")

    def link_copy_directory(self, link: model.LinkId) -> model.PinDir:
        """The directory in which the next of several kernel links wait."""
        return model.PinDir(self.link_copy(link))

    def socket(self, link: model.LinkId) -> model.LinkPin:
        """The note that stands for a link to a socket: a symbolic link that says which one it is."""
        return model.LinkPin(f"{self.link(link)}{SOCKET}")

    def chain(self, key: model.ChainKey) -> model.PinDir:
        """The directory of a chain."""
        return model.PinDir(f"{self.root}/chains/{key}")

    def chain_link(self, key: model.ChainKey) -> model.LinkPin:
        """The one kernel link of a chain, the same over all revisions; for tc the note that stands for its filter."""
        return model.LinkPin(f"{self.chain(key)}/{FILTER if key.type.startswith('tc-') else 'link'}")

    def revision(self, key: model.ChainKey, revision: int) -> model.PinDir:
        """The directory of one revision of a chain."""
        return model.PinDir(f"{self.chain(key)}/{revision}")

    def revision_program(self, key: model.ChainKey, revision: int) -> model.ProgramPin:
        """The linked program of one revision."""
        return model.ProgramPin(f"{self.revision(key, revision)}/prog")

    def revision_counts(self, key: model.ChainKey, revision: int) -> model.MapPin:
        """The per-CPU counter map of one revision."""
        return model.MapPin(f"{self.revision(key, revision)}/counts")

    def note(self, kind: str, key: object) -> str:
        """Where a record is noted; ``kind`` is "programs", "links" or "chains"."""
        return f"{self.root}/notes/{kind}/{key}"

    def alias_program(self, program: model.ProgramId) -> str:
        """bpfman's name for a program's pin."""
        return f"{self.root}/prog_{program}"

    def alias_maps(self, program: model.ProgramId) -> str:
        """bpfman's name for the directory of a program's maps."""
        return f"{self.root}/maps/{program}"
