"""The daemon's client: ``Manager``'s methods over a socket, with the same values and the same errors.

Light on purpose: the messages are imported when the first call is made (``calls``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from skep import model
from skep.rpc import calls

if TYPE_CHECKING:
    from skep.pb import skep_pb2
    from skep.rpc import image_client
    from skep.rpc.convert import version


class Client:
    """A connection to the daemon behind ``socket_path``. A context manager; safe to use from several threads.

    ``timeout`` is a deadline for each call in seconds, None for none. Unavailable when nobody answers.
    """

    def __init__(self, socket_path: str, *, timeout: float | None = None) -> None:
        self._calls = calls.Calls(socket_path, timeout)
        self._call = self._calls.ask
        self._stream = self._calls.stream

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connections, and the streams that other threads read; the next call opens a new one."""
        self._calls.close()

    # ---------------------------------------------------------------- change

    def run(self, op: model.Operation, *, wait: float | None = None) -> model.Done:
        """Do ``op``; Busy when others write for longer than ``wait`` seconds (None: wait for ever)."""
        from skep.pb import skep_pb2
        from skep.rpc import status
        from skep.rpc.convert import operation

        patience = status.FOREVER if wait is None else str(int(max(wait, 0.0) * 1000))
        metadata = ((status.WAIT_KEY, patience),)
        done: skep_pb2.Done
        match op:
            case model.Load():
                load = skep_pb2.LoadStreamRequest
                done = self._call(
                    "LoadStream", lambda: load(header=operation.pack_load(op)), skep_pb2.Done, metadata,
                    (load(chunk=chunk) for chunk in operation.chunks(op.object)),
                )  # fmt: skip
            case model.ReplaceProgram():
                new = skep_pb2.ReplaceProgramRequest
                done = self._call(
                    "ReplaceProgram", lambda: new(header=operation.pack_replace(op)), skep_pb2.Done, metadata,
                    (new(chunk=chunk) for chunk in operation.chunks(op.object)),
                )  # fmt: skip
            case model.Unload():
                done = self._call("Unload", lambda: operation.pack_unload(op), skep_pb2.Done, metadata)
            case model.Attach():
                done = self._call("Attach", lambda: operation.pack_attach(op), skep_pb2.Done, metadata)
            case model.Detach():
                done = self._call("Detach", lambda: operation.pack_detach(op), skep_pb2.Done, metadata)
            case model.UpdateLink():
                done = self._call("UpdateLink", lambda: operation.pack_update(op), skep_pb2.Done, metadata)
            case model.Adopt():
                done = self._call("Adopt", lambda: operation.pack_adopt(op), skep_pb2.Done, metadata)
        return operation.unpack_done(done)

    def preview(self, op: model.Operation) -> model.Preview:
        """What ``op`` would do; changes nothing."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import operation

        request = skep_pb2.PreviewRequest
        object = op.object if isinstance(op, (model.Load, model.ReplaceProgram)) else b""
        answer = self._call(
            "Preview", lambda: request(operation=operation.pack(op)[0]), skep_pb2.PreviewResponse, (),
            (request(chunk=chunk) for chunk in operation.chunks(object)),
        )  # fmt: skip
        return operation.unpack_preview(answer)

    # ---------------------------------------------------------------- look

    def version(self) -> version.Version:
        """The daemon's release, process and directories."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import version

        return version.unpack(self._call("Version", skep_pb2.VersionRequest, skep_pb2.VersionResponse))

    def program(self, id: model.ProgramId) -> model.Program | model.ForeignProgram:
        """The program with a kernel id. NotFound."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import program

        answer = self._call("GetProgram", lambda: skep_pb2.GetProgramRequest(id=id), skep_pb2.GetProgramResponse)
        return program.unpack(answer.program)

    def programs(self, filter: model.ProgramFilter) -> tuple[model.Program | model.ForeignProgram, ...]:
        """Programs by ascending id; all in the kernel without a filter."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import program

        answer = self._call("ListPrograms", lambda: program.pack_filter(filter), skep_pb2.ListProgramsResponse)
        return tuple(program.unpack(one) for one in answer.programs)

    def link(self, id: model.LinkId) -> model.Link:
        """One link. NotFound."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import link

        answer = self._call("GetLink", lambda: skep_pb2.GetLinkRequest(id=id), skep_pb2.GetLinkResponse)
        return link.unpack(answer.link)

    def links(self, filter: model.LinkFilter) -> tuple[model.Link, ...]:
        """Links by ascending id."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import link

        answer = self._call("ListLinks", lambda: link.pack_filter(filter), skep_pb2.ListLinksResponse)
        return tuple(link.unpack(one) for one in answer.links)

    def chains(self) -> tuple[model.ChainStatus, ...]:
        """Every linked chain with its counts."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import link

        answer = self._call("ListChains", skep_pb2.ListChainsRequest, skep_pb2.ListChainsResponse)
        return tuple(link.unpack_chain(one) for one in answer.chains)

    def chain(self, type: str, interface: model.InterfaceRef) -> model.ChainStatus:
        """What runs on one hook of an interface. NotFound."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import link

        answer = self._call(
            "GetChain",
            lambda: skep_pb2.GetChainRequest(type=type, interface=interface.name, netns=interface.netns),
            skep_pb2.GetChainResponse,
        )
        return link.unpack_chain(answer.chain)

    def maps(self) -> tuple[model.MapView, ...]:
        """Maps by ascending id."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import observed

        answer = self._call("ListMaps", skep_pb2.ListMapsRequest, skep_pb2.ListMapsResponse)
        return tuple(observed.unpack_map(one) for one in answer.maps)

    def map(self, id: model.MapId) -> model.MapView:
        """One map. NotFound."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import observed

        answer = self._call("GetMap", lambda: skep_pb2.GetMapRequest(id=id), skep_pb2.GetMapResponse)
        return observed.unpack_map(answer.map)

    def events(self, after: int = 0, limit: int = 1000) -> tuple[model.Event, ...]:
        """History: events with an id above ``after``, oldest first."""
        return self._events(after, limit, 0.0)

    def wait_events(self, after: int, timeout: float) -> tuple[model.Event, ...]:
        """Like ``events``, but waits up to ``timeout`` seconds (at most 60) for the first one."""
        return self._events(after, 0, timeout)

    def inventory(self, unless: str = "") -> model.Inventory | None:
        """Everything in the kernel with its owners; None while its fingerprint is still ``unless``."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import inventory

        answer = self._call("Inventory", lambda: skep_pb2.InventoryRequest(unless=unless), skep_pb2.InventoryResponse)
        return inventory.unpack(answer)

    def doctor(self) -> tuple[model.Finding, ...]:
        """What differs between kernel, pins and store."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import observed

        answer = self._call("Doctor", skep_pb2.DoctorRequest, skep_pb2.DoctorResponse)
        return tuple(observed.unpack_finding(one) for one in answer.findings)

    def features(self) -> tuple[model.Feature, ...]:
        """What this kernel can."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import observed

        answer = self._call("Features", skep_pb2.FeaturesRequest, skep_pb2.FeaturesResponse)
        return tuple(observed.unpack_feature(one) for one in answer.features)

    # ---------------------------------------------------------------- the host

    def describe_host(self) -> model.HostSeen:
        """The daemon's network namespace and the named ones, with their interfaces."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import sight

        return sight.unpack_host(self._call("DescribeHost", skep_pb2.DescribeHostRequest, skep_pb2.HostSeen))

    def watch_host(self) -> Iterator[model.HostSeen]:
        """The same at once, and whole again whenever it has changed; closing the iterator ends it, and so does
        ``close`` out of another thread (``Unavailable``)."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import sight

        for seen in self._stream("WatchHost", skep_pb2.WatchHostRequest, skep_pb2.HostSeen):
            yield sight.unpack_host(seen)

    def find_pods(self, pods: Iterable[model.PodRef]) -> tuple[model.PodSeen, ...]:
        """Where the network namespaces and the processes of pods of the daemon's node are, in the same order."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import sight

        return sight.unpack_pods(self._call("FindPods", lambda: sight.pack_question(pods), skep_pb2.FindPodsResponse))

    # ---------------------------------------------------------------- what maps hold

    def map_shape(self, ref: str) -> model.MapShape:
        """A map by id, name or pin, with the types of its keys and values. NotFound."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import content

        return content.unpack_shape(
            self._call("DescribeMap", lambda: skep_pb2.DescribeMapRequest(map=ref), skep_pb2.MapShape)
        )

    def map_pages(self, wanted: model.MapDump) -> Iterator[model.MapPage]:
        """What a map holds, page by page as it comes."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import content

        for page in self._stream("DumpMap", lambda: content.pack_dump(wanted), skep_pb2.MapPage):
            yield content.unpack_page(page)

    def map_lookup(self, ref: str, key: model.Datum | None) -> model.MapEntry:
        """One element. NotFound."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import content

        request = skep_pb2.LookupMapRequest
        return content.unpack_entry(
            self._call("LookupMap", lambda: request(map=ref, key=content.pack_datum(key)), skep_pb2.MapEntry)
        )

    def map_write(self, wanted: model.MapWrite) -> model.MapWritten:
        """Write or remove one element."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import content

        return content.unpack_written(self._call("WriteMap", lambda: content.pack_write(wanted), skep_pb2.MapWritten))

    def map_fill(self, wanted: model.MapFill) -> Iterator[int]:
        """Write many elements; how many are written, also before it raises."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import content

        for told in self._stream("FillMap", lambda: content.pack_fill(wanted), skep_pb2.MapFilled):
            yield told.written

    def map_events(self, wanted: model.MapFollow) -> Iterator[tuple[model.MapRecord, ...]]:
        """Take events out of a ring buffer or perf buffer; closing the iterator ends it."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import content

        for records in self._stream("MapEvents", lambda: content.pack_follow(wanted), skep_pb2.MapRecords):
            yield content.unpack_records(records)

    # ---------------------------------------------------------------- run

    def run_program(self, wanted: model.Run) -> model.Ran:
        """Run a program on request."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import run

        return run.unpack_ran(self._call("RunProgram", lambda: run.pack_run(wanted), skep_pb2.RunProgramResponse))

    def read_iterator(self, wanted: model.ReadIterator) -> Iterator[bytes]:
        """What an iterator prints, as it comes."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import run

        for piece in self._stream("ReadIterator", lambda: run.pack_read(wanted), skep_pb2.IteratorText):
            yield piece.text

    @property
    def images(self) -> image_client.Images:
        """What concerns images."""
        from skep.rpc import image_client

        return image_client.Images(self._call, self._stream)

    # ---------------------------------------------------------------- inside

    def _events(self, after: int, limit: int, wait: float) -> tuple[model.Event, ...]:
        from skep.pb import skep_pb2
        from skep.rpc.convert import observed

        answer = self._call(
            "ListEvents",
            lambda: skep_pb2.ListEventsRequest(after=after, limit=limit, wait=wait),
            skep_pb2.ListEventsResponse,
        )
        return tuple(observed.unpack_event(one) for one in answer.events)
