"""``skep.v1.Skep`` on skep's ``Manager``: unpack, call, pack."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator

import grpc

import skep
from skep import errors, model, paths
from skep.manager import Manager
from skep.pb import skep_pb2, skep_pb2_grpc
from skep.rpc import turn, upload
from skep.rpc.convert import content, image, inventory, link, observed, operation, program, run, sight, trust

WATCHERS = 24
"""Calls that wait for events, or read a map or its events, at once; each holds a thread."""
MAX_WAIT = 60.0
_SLICE = 0.5
"""Seconds after which a watcher looks whether its client is still there."""
_EVENTS = 1000

Context = grpc.ServicerContext


class SkepService(skep_pb2_grpc.SkepServicer):
    """Every method raises ``SkepError``; ``gate.Gate`` makes statuses of them."""

    def __init__(
        self,
        manager: Manager,
        turns: turn.Turns,
        caller: Callable[[grpc.ServicerContext], model.Caller],
        layout: paths.Layout,
        uploads: upload.Uploads,
    ) -> None:
        self._manager = manager
        self._turns = turns
        self._caller = caller
        self._layout = layout
        self._uploads = uploads
        self._watchers = threading.BoundedSemaphore(WATCHERS)
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._enders: set[Callable[[], None]] = set()

    def end_watches(self) -> None:
        """Let every waiting call return, so that the daemon can end."""
        with self._lock:
            self._ending.set()
            waiting = tuple(self._enders)
        for end in waiting:
            end()

    # ---------------------------------------------------------------- change

    def Version(self, request: skep_pb2.VersionRequest, context: Context) -> skep_pb2.VersionResponse:
        """What answers here."""
        return skep_pb2.VersionResponse(
            version=skep.__version__,
            pid=os.getpid(),
            kernel=os.uname().release,
            runtime_dir=self._layout.runtime,
            state_dir=self._layout.state,
            pins_dir=self._layout.pins,
        )

    def LoadStream(self, request_iterator: Iterator[skep_pb2.LoadStreamRequest], context: Context) -> skep_pb2.Done:
        """Header, then chunks."""
        with self._uploads.received(request_iterator, context, lambda part: part.header.object_bytes) as (part, object):
            return self._run(operation.unpack_load(part.header, object), context)

    def Unload(self, request: skep_pb2.UnloadRequest, context: Context) -> skep_pb2.Done:
        """Detach and remove."""
        return self._run(operation.unpack_unload(request), context)

    def Attach(self, request: skep_pb2.AttachRequest, context: Context) -> skep_pb2.Done:
        """One link."""
        return self._run(operation.unpack_attach(request), context)

    def Detach(self, request: skep_pb2.DetachRequest, context: Context) -> skep_pb2.Done:
        """Synchronous."""
        return self._run(operation.unpack_detach(request), context)

    def UpdateLink(self, request: skep_pb2.UpdateLinkRequest, context: Context) -> skep_pb2.Done:
        """One atomic swap."""
        return self._run(operation.unpack_update(request), context)

    def ReplaceProgram(
        self, request_iterator: Iterator[skep_pb2.ReplaceProgramRequest], context: Context
    ) -> skep_pb2.Done:
        """Header, then chunks."""
        with self._uploads.received(request_iterator, context, lambda part: part.header.object_bytes) as (part, object):
            return self._run(operation.unpack_replace(part.header, object), context)

    def Adopt(self, request: skep_pb2.AdoptRequest, context: Context) -> skep_pb2.Done:
        """A pin that the store does not know."""
        return self._run(operation.unpack_adopt(request), context)

    def Preview(
        self, request_iterator: Iterator[skep_pb2.PreviewRequest], context: Context
    ) -> skep_pb2.PreviewResponse:
        """Header, then chunks when the operation has an object."""
        with self._uploads.received(request_iterator, context, _announced) as (part, object):
            return self._preview(operation.unpack(part.operation, object), context)

    def PlanChain(self, request: skep_pb2.PlanChainRequest, context: Context) -> skep_pb2.PreviewResponse:
        """A preview of what changes a chain."""
        match request.WhichOneof("change"):
            case "attach":
                return self._preview(operation.unpack_attach(request.attach), context)
            case "detach":
                return self._preview(operation.unpack_detach(request.detach), context)
            case "update_link":
                return self._preview(operation.unpack_update(request.update_link), context)
        raise errors.InvalidRequest("the request names no change", do="fill in attach, detach or update_link")

    # ---------------------------------------------------------------- look

    def ListPrograms(self, request: skep_pb2.ListProgramsRequest, context: Context) -> skep_pb2.ListProgramsResponse:
        """Managed and foreign."""
        found = self._manager.programs(program.unpack_filter(request))
        return skep_pb2.ListProgramsResponse(programs=[program.pack(one) for one in found])

    def GetProgram(self, request: skep_pb2.GetProgramRequest, context: Context) -> skep_pb2.GetProgramResponse:
        """By kernel id."""
        found = self._manager.program(model.ProgramId(request.id))
        return skep_pb2.GetProgramResponse(program=program.pack(found))

    def ListLinks(self, request: skep_pb2.ListLinksRequest, context: Context) -> skep_pb2.ListLinksResponse:
        """By ascending id."""
        found = self._manager.links(link.unpack_filter(request))
        return skep_pb2.ListLinksResponse(links=[link.pack(one) for one in found])

    def GetLink(self, request: skep_pb2.GetLinkRequest, context: Context) -> skep_pb2.GetLinkResponse:
        """By skep's id."""
        return skep_pb2.GetLinkResponse(link=link.pack(self._manager.link(model.LinkId(request.id))))

    def ListChains(self, request: skep_pb2.ListChainsRequest, context: Context) -> skep_pb2.ListChainsResponse:
        """Linked chains."""
        return skep_pb2.ListChainsResponse(chains=[link.pack_chain(one) for one in self._manager.chains()])

    def GetChain(self, request: skep_pb2.GetChainRequest, context: Context) -> skep_pb2.GetChainResponse:
        """By hook and interface."""
        place = model.InterfaceRef(name=request.interface, netns=request.netns or None)
        return skep_pb2.GetChainResponse(chain=link.pack_chain(self._manager.chain(request.type, place)))

    def ListMaps(self, request: skep_pb2.ListMapsRequest, context: Context) -> skep_pb2.ListMapsResponse:
        """By ascending id."""
        return skep_pb2.ListMapsResponse(maps=[observed.pack_map(one) for one in self._manager.maps()])

    def GetMap(self, request: skep_pb2.GetMapRequest, context: Context) -> skep_pb2.GetMapResponse:
        """By kernel id."""
        return skep_pb2.GetMapResponse(map=observed.pack_map(self._manager.map(model.MapId(request.id))))

    def ListEvents(self, request: skep_pb2.ListEventsRequest, context: Context) -> skep_pb2.ListEventsResponse:
        """History, waiting for its first line when asked to."""
        limit = min(request.limit or _EVENTS, _EVENTS)
        found = self._manager.events(request.after, limit)
        if not found and request.wait > 0:
            with self._watching():
                left = min(request.wait, MAX_WAIT)
                while not found and left > 0 and context.is_active() and not self._ending.is_set():
                    found = self._manager.wait_events(request.after, min(left, _SLICE))[:limit]
                    left -= _SLICE
        return skep_pb2.ListEventsResponse(events=[observed.pack_event(event) for event in found])

    def Watch(self, request: skep_pb2.WatchRequest, context: Context) -> Iterator[skep_pb2.Event]:
        """History from an id on, then every event as it happens."""
        after = request.after if request.HasField("after") else self._newest()
        with self._watching():
            while context.is_active() and not self._ending.is_set():
                for event in self._manager.wait_events(after, _SLICE):
                    yield observed.pack_event(event)
                    after = event.id

    def Inventory(self, request: skep_pb2.InventoryRequest, context: Context) -> skep_pb2.InventoryResponse:
        """All that is in the kernel, by owner."""
        return inventory.pack(self._manager.inventory(request.unless), request.unless)

    def Doctor(self, request: skep_pb2.DoctorRequest, context: Context) -> skep_pb2.DoctorResponse:
        """What differs."""
        return skep_pb2.DoctorResponse(findings=[observed.pack_finding(one) for one in self._manager.doctor()])

    def Features(self, request: skep_pb2.FeaturesRequest, context: Context) -> skep_pb2.FeaturesResponse:
        """What this kernel can."""
        return skep_pb2.FeaturesResponse(features=[observed.pack_feature(one) for one in self._manager.features()])

    # ---------------------------------------------------------------- the host

    def DescribeHost(self, request: skep_pb2.DescribeHostRequest, context: Context) -> skep_pb2.HostSeen:
        """Network namespaces with their interfaces."""
        return sight.pack_host(self._manager.sight.describe_host())

    def WatchHost(self, request: skep_pb2.WatchHostRequest, context: Context) -> Iterator[skep_pb2.HostSeen]:
        """Until the client, or the daemon, ends it; nobody looks whether it has, they say so."""
        with self._watching(), self._manager.sight.watch_host() as watch, self._told(watch.end):
            if context.add_callback(watch.end):
                for seen in watch.seen():
                    yield sight.pack_host(seen)

    def FindPods(self, request: skep_pb2.FindPodsRequest, context: Context) -> skep_pb2.FindPodsResponse:
        """Network namespaces and processes of pods."""
        return sight.pack_pods(self._manager.sight.find_pods(sight.unpack_question(request)))

    # ---------------------------------------------------------------- what maps hold

    def DescribeMap(self, request: skep_pb2.DescribeMapRequest, context: Context) -> skep_pb2.MapShape:
        """Types of keys and values."""
        return content.pack_shape(self._manager.map_shape(self._caller(context), request.map))

    def DumpMap(self, request: skep_pb2.DumpMapRequest, context: Context) -> Iterator[skep_pb2.MapPage]:
        """Page by page, as fast as the client takes them."""
        with self._watching():
            for page in self._manager.map_pages(self._caller(context), content.unpack_dump(request)):
                yield content.pack_page(page)
                if not context.is_active() or self._ending.is_set():
                    return

    def LookupMap(self, request: skep_pb2.LookupMapRequest, context: Context) -> skep_pb2.MapEntry:
        """One element."""
        key = content.unpack_datum(request.key) if request.HasField("key") else None
        found = content.pack_entry(self._manager.map_lookup(self._caller(context), request.map, key))
        assert found is not None
        return found

    def WriteMap(self, request: skep_pb2.WriteMapRequest, context: Context) -> skep_pb2.MapWritten:
        """One element; the kernel does it at once, so that nobody's turn is waited for."""
        return content.pack_written(self._manager.map_write(self._caller(context), content.unpack_write(request)))

    def FillMap(self, request: skep_pb2.FillMapRequest, context: Context) -> Iterator[skep_pb2.MapFilled]:
        """Many elements; a client has the number of those that are written before it has the error."""
        for written in self._manager.map_fill(self._caller(context), content.unpack_fill(request)):
            yield skep_pb2.MapFilled(written=written)

    def MapEvents(self, request: skep_pb2.MapEventsRequest, context: Context) -> Iterator[skep_pb2.MapRecords]:
        """Until the client ends it."""

        with self._watching():
            wanted = content.unpack_follow(request)
            for records in self._manager.map_events(self._caller(context), wanted, self._over(context)):
                yield content.pack_records(records)

    # ---------------------------------------------------------------- run

    def RunProgram(self, request: skep_pb2.RunProgramRequest, context: Context) -> skep_pb2.RunProgramResponse:
        """On a packet or context; nobody's turn is waited for."""
        with self._watching():
            wanted = run.unpack_run(request)
            return run.pack_ran(self._manager.runs.program(self._caller(context), wanted, self._over(context)))

    def ReadIterator(self, request: skep_pb2.ReadIteratorRequest, context: Context) -> Iterator[skep_pb2.IteratorText]:
        """To its end, as fast as the client takes it."""
        with self._watching():
            wanted = run.unpack_read(request)
            for text in self._manager.runs.iterator(self._caller(context), wanted, self._over(context)):
                yield skep_pb2.IteratorText(text=text)

    # ---------------------------------------------------------------- images

    def PullImage(self, request: skep_pb2.PullImageRequest, context: Context) -> Iterator[skep_pb2.PullImageResponse]:
        """Progress, then the image. A client that goes away ends the pull."""
        with self._watching():
            pull = self._manager.images.pull(self._caller(context), image.unpack_request(request))
            with contextlib.closing(pull):
                for told in pull:
                    yield image.pack_told(told)
                    if not context.is_active() or self._ending.is_set():
                        return

    def ListImages(self, request: skep_pb2.ListImagesRequest, context: Context) -> skep_pb2.ListImagesResponse:
        """What the cache has."""
        return skep_pb2.ListImagesResponse(images=[image.pack(one) for one in self._manager.images.listed()])

    def GetImage(self, request: skep_pb2.GetImageRequest, context: Context) -> skep_pb2.GetImageResponse:
        """By reference or digest."""
        return skep_pb2.GetImageResponse(image=image.pack(self._manager.images.one(request.image)))

    def CheckImage(self, request: skep_pb2.CheckImageRequest, context: Context) -> skep_pb2.CheckImageResponse:
        """By the trust policy, or by the signers of the request."""
        return trust.pack_answer(*self._manager.images.check(request.image, trust.unpack_question(request)))

    def PruneImages(self, request: skep_pb2.PruneImagesRequest, context: Context) -> skep_pb2.PruneImagesResponse:
        """What no program came from."""
        pruned = self._manager.images.prune(
            self._caller(context),
            everything=request.everything,
            older_than=request.older_than,
            dry_run=request.dry_run,
        )
        return image.pack_pruned(pruned)

    # ---------------------------------------------------------------- inside

    def _over(self, context: Context) -> Callable[[], bool]:
        """Whether the client, or the daemon, has had enough."""
        return lambda: not context.is_active() or self._ending.is_set()

    def _resolved(self, wanted: model.Operation, context: Context) -> model.Operation:
        """With the digest of the image that it names: nobody's turn has to wait for a registry."""
        if isinstance(wanted, (model.Load, model.ReplaceProgram)) and isinstance(wanted.source, model.ImageSource):
            return self._manager.images.resolved(self._caller(context), wanted)
        return wanted

    def _run(self, wanted: model.Operation, context: Context) -> skep_pb2.Done:
        wanted = self._resolved(wanted, context)
        with self._turns.taken(context) as wait:
            done = self._manager.run(self._caller(context), wanted, wait=wait)
        return operation.pack_done(done)

    def _preview(self, wanted: model.Operation, context: Context) -> skep_pb2.PreviewResponse:
        wanted = self._resolved(wanted, context)
        with self._turns.taken(context):
            return operation.pack_preview(self._manager.preview(self._caller(context), wanted))

    def _newest(self) -> int:
        """The id of the last event, 0 when there is none."""
        after = 0
        while events := self._manager.events(after, _EVENTS):
            after = events[-1].id
        return after

    @contextlib.contextmanager
    def _told(self, end: Callable[[], None]) -> Iterator[None]:
        """Have ``end`` called when the daemon ends, and at once when it does already."""
        with self._lock:
            self._enders.add(end)
            over = self._ending.is_set()
        if over:
            end()
        try:
            yield
        finally:
            with self._lock:
                self._enders.discard(end)

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        if not self._watchers.acquire(blocking=False):
            raise errors.Exhausted(f"{WATCHERS} clients watch or read streams already", do="try again later")
        try:
            yield
        finally:
            self._watchers.release()


def _announced(part: skep_pb2.PreviewRequest) -> int:
    """The size of the object that an operation's header announces."""
    wanted = part.operation
    return wanted.load.object_bytes or wanted.replace_program.object_bytes
