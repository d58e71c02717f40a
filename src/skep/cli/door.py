"""What a command talks to: the daemon through ``rpc.client.Client``, or a Manager in this process through ``Direct``.

Both have the methods of ``Skep``; a command does not know which it holds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from skep import model

if TYPE_CHECKING:
    from skep.image import images
    from skep.manager import Manager  # imported by the daemon's composition only when there is no daemon
    from skep.policy.images import Asked, Decision
    from skep.trust.verdict import Verdict


class Images(Protocol):
    """The images' use cases without the caller; see ``image.images.Images``."""

    def pull(self, wanted: model.ImageRequest) -> Iterator[model.PullProgress | model.Image]:
        """Have an image in the cache; how far it is, and last the image."""

    def listed(self) -> tuple[model.Image, ...]:
        """The images in the cache, the newest first."""

    def one(self, ref: str) -> model.Image:
        """One image."""

    def check(self, ref: str, asked: Asked | None = None) -> tuple[Decision, Verdict]:
        """Who signed an image of the cache, and what the trust policy, or whom ``asked`` names, makes of it."""

    def prune(self, *, everything: bool, older_than: float, dry_run: bool) -> model.Pruned:
        """Remove images that no program came from."""


class Skep(Protocol):
    """The Manager's use cases without the caller; see ``manager.Manager`` for what they do and raise."""

    def run(self, op: model.Operation, *, wait: float | None = None) -> model.Done:
        """Do it; Busy when the lock is not free within ``wait`` seconds."""

    def preview(self, op: model.Operation) -> model.Preview:
        """What it would do."""

    def program(self, id: model.ProgramId) -> model.Program | model.ForeignProgram:
        """One program."""

    def programs(self, filter: model.ProgramFilter) -> tuple[model.Program | model.ForeignProgram, ...]:
        """Programs by ascending id."""

    def link(self, id: model.LinkId) -> model.Link:
        """One link."""

    def links(self, filter: model.LinkFilter) -> tuple[model.Link, ...]:
        """Links by ascending id."""

    def chains(self) -> tuple[model.ChainStatus, ...]:
        """Every linked chain."""

    def chain(self, type: str, interface: model.InterfaceRef) -> model.ChainStatus:
        """What runs on one hook of an interface."""

    def maps(self) -> tuple[model.MapView, ...]:
        """Maps by ascending id."""

    def map(self, id: model.MapId) -> model.MapView:
        """One map."""

    def map_shape(self, ref: str) -> model.MapShape:
        """A map with the types of its keys and values."""

    def map_pages(self, wanted: model.MapDump) -> Iterator[model.MapPage]:
        """What a map holds, page by page."""

    def map_lookup(self, ref: str, key: model.Datum | None) -> model.MapEntry:
        """One element."""

    def map_write(self, wanted: model.MapWrite) -> model.MapWritten:
        """Write or remove one element."""

    def map_fill(self, wanted: model.MapFill) -> Iterator[int]:
        """Write many elements; how many are written, also before it raises."""

    def map_events(self, wanted: model.MapFollow) -> Iterator[tuple[model.MapRecord, ...]]:
        """Take events out of a buffer, some at a time."""

    def run_program(self, wanted: model.Run) -> model.Ran:
        """Run a program on a packet or context, without attaching it."""

    def read_iterator(self, wanted: model.ReadIterator) -> Iterator[bytes]:
        """What an iterator prints, piece by piece."""

    def events(self, after: int = 0, limit: int = 1000) -> tuple[model.Event, ...]:
        """History after an event's id."""

    def wait_events(self, after: int, timeout: float) -> tuple[model.Event, ...]:
        """History, waiting up to ``timeout`` seconds for something to tell."""

    @property
    def images(self) -> Images:
        """What concerns images."""

    def inventory(self, unless: str = "") -> model.Inventory | None:
        """Everything in the kernel with its owners; None while its fingerprint is still ``unless``."""

    def describe_host(self) -> model.HostSeen:
        """Network namespaces and their interfaces."""

    def doctor(self) -> tuple[model.Finding, ...]:
        """What differs between kernel, pins and store."""

    def features(self) -> tuple[model.Feature, ...]:
        """What this kernel can."""


class Direct:
    """A Manager in this process, called as the user who runs the command line."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._caller = model.Caller(
            uid=os.getuid(), gid=os.getgid(), pid=os.getpid(), groups=tuple(os.getgroups()), origin="direct"
        )

    def run(self, op: model.Operation, *, wait: float | None = None) -> model.Done:
        """See ``Skep``."""
        return self._manager.run(self._caller, op, wait=wait)

    def preview(self, op: model.Operation) -> model.Preview:
        """See ``Skep``."""
        return self._manager.preview(self._caller, op)

    def program(self, id: model.ProgramId) -> model.Program | model.ForeignProgram:
        """See ``Skep``."""
        return self._manager.program(id)

    def programs(self, filter: model.ProgramFilter) -> tuple[model.Program | model.ForeignProgram, ...]:
        """See ``Skep``."""
        return self._manager.programs(filter)

    def link(self, id: model.LinkId) -> model.Link:
        """See ``Skep``."""
        return self._manager.link(id)

    def links(self, filter: model.LinkFilter) -> tuple[model.Link, ...]:
        """See ``Skep``."""
        return self._manager.links(filter)

    def chains(self) -> tuple[model.ChainStatus, ...]:
        """See ``Skep``."""
        return self._manager.chains()

    def chain(self, type: str, interface: model.InterfaceRef) -> model.ChainStatus:
        """See ``Skep``."""
        return self._manager.chain(type, interface)

    def maps(self) -> tuple[model.MapView, ...]:
        """See ``Skep``."""
        return self._manager.maps()

    def map(self, id: model.MapId) -> model.MapView:
        """See ``Skep``."""
        return self._manager.map(id)

    def map_shape(self, ref: str) -> model.MapShape:
        """See ``Skep``."""
        return self._manager.map_shape(self._caller, ref)

    def map_pages(self, wanted: model.MapDump) -> Iterator[model.MapPage]:
        """See ``Skep``."""
        return self._manager.map_pages(self._caller, wanted)

    def map_lookup(self, ref: str, key: model.Datum | None) -> model.MapEntry:
        """See ``Skep``."""
        return self._manager.map_lookup(self._caller, ref, key)

    def map_write(self, wanted: model.MapWrite) -> model.MapWritten:
        """See ``Skep``."""
        return self._manager.map_write(self._caller, wanted)

    def map_fill(self, wanted: model.MapFill) -> Iterator[int]:
        """See ``Skep``."""
        return self._manager.map_fill(self._caller, wanted)

    def map_events(self, wanted: model.MapFollow) -> Iterator[tuple[model.MapRecord, ...]]:
        """See ``Skep``."""
        return self._manager.map_events(self._caller, wanted)

    def run_program(self, wanted: model.Run) -> model.Ran:
        """See ``Skep``."""
        return self._manager.runs.program(self._caller, wanted)

    def read_iterator(self, wanted: model.ReadIterator) -> Iterator[bytes]:
        """See ``Skep``."""
        return self._manager.runs.iterator(self._caller, wanted)

    def events(self, after: int = 0, limit: int = 1000) -> tuple[model.Event, ...]:
        """See ``Skep``."""
        return self._manager.events(after, limit)

    def wait_events(self, after: int, timeout: float) -> tuple[model.Event, ...]:
        """See ``Skep``."""
        return self._manager.wait_events(after, timeout)

    @property
    def images(self) -> Images:
        """See ``Skep``."""
        return DirectImages(self._manager.images, self._caller)

    def inventory(self, unless: str = "") -> model.Inventory | None:
        """See ``Skep``."""
        return self._manager.inventory(unless)

    def describe_host(self) -> model.HostSeen:
        """See ``Skep``."""
        return self._manager.sight.describe_host()

    def doctor(self) -> tuple[model.Finding, ...]:
        """See ``Skep``."""
        return self._manager.doctor()

    def features(self) -> tuple[model.Feature, ...]:
        """See ``Skep``."""
        return self._manager.features()


class DirectImages:
    """The images of a Manager in this process."""

    def __init__(self, images: images.Images, caller: model.Caller) -> None:
        self._images = images
        self._caller = caller

    def pull(self, wanted: model.ImageRequest) -> Iterator[model.PullProgress | model.Image]:
        """See ``Images``."""
        return self._images.pull(self._caller, wanted)

    def listed(self) -> tuple[model.Image, ...]:
        """See ``Images``."""
        return self._images.listed()

    def one(self, ref: str) -> model.Image:
        """See ``Images``."""
        return self._images.one(ref)

    def check(self, ref: str, asked: Asked | None = None) -> tuple[Decision, Verdict]:
        """See ``Images``."""
        return self._images.check(ref, asked)

    def prune(self, *, everything: bool, older_than: float, dry_run: bool) -> model.Pruned:
        """See ``Images``."""
        return self._images.prune(self._caller, everything=everything, older_than=older_than, dry_run=dry_run)


@contextmanager
def opened(skep: Skep) -> Iterator[Skep]:
    """A door that needs no closing, as a context manager."""
    yield skep
