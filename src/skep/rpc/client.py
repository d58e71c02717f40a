"""The daemon's client: ``Manager``'s methods over a socket, with the same values and the same errors.

gRPC is imported when the first call is made: that takes 60 ms, and a command line that only prints help needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from skep import errors, model

if TYPE_CHECKING:
    import grpc

    from skep.pb import skep_pb2, skep_pb2_grpc

MAX_ANSWER_BYTES = 256 * 1024 * 1024
_METADATA_BYTES = 4 * 1024 * 1024
"""Room for a verifier's log in trailing metadata."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What answers at the other end."""

    version: str
    pid: int
    kernel: str
    runtime_dir: str
    state_dir: str
    pins_dir: str


class Client:
    """A connection to the daemon behind ``socket_path``. A context manager; safe to use from several threads.

    ``timeout`` is a deadline for each call in seconds, None for none. Unavailable when nobody answers.
    """

    def __init__(self, socket_path: str, *, timeout: float | None = None) -> None:
        self._path = socket_path
        self._timeout = timeout
        self._channel: grpc.Channel | None = None
        self._stub_made: skep_pb2_grpc.SkepStub | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; the next call opens a new one."""
        channel, self._channel, self._stub_made = self._channel, None, None
        if channel is not None:
            channel.close()

    # ---------------------------------------------------------------- change

    def run(self, op: model.Operation, *, wait: float | None = None) -> model.Done:
        """Do ``op``; Busy when others write for longer than ``wait`` seconds (None: wait for ever)."""
        from skep.pb import skep_pb2
        from skep.rpc import status
        from skep.rpc.convert import operation

        stub = self._stub()
        patience = status.FOREVER if wait is None else str(int(max(wait, 0.0) * 1000))
        metadata = ((status.WAIT_KEY, patience),)
        done: skep_pb2.Done
        match op:
            case model.Load():
                load = skep_pb2.LoadStreamRequest
                done = self._call(
                    stub.LoadStream,
                    lambda: _stream(load(header=operation.pack_load(op)), op.object, lambda chunk: load(chunk=chunk)),
                    metadata,
                )
            case model.ReplaceProgram():
                new = skep_pb2.ReplaceProgramRequest
                done = self._call(
                    stub.ReplaceProgram,
                    lambda: _stream(new(header=operation.pack_replace(op)), op.object, lambda chunk: new(chunk=chunk)),
                    metadata,
                )
            case model.Unload():
                done = self._call(stub.Unload, lambda: operation.pack_unload(op), metadata)
            case model.Attach():
                done = self._call(stub.Attach, lambda: operation.pack_attach(op), metadata)
            case model.Detach():
                done = self._call(stub.Detach, lambda: operation.pack_detach(op), metadata)
            case model.UpdateLink():
                done = self._call(stub.UpdateLink, lambda: operation.pack_update(op), metadata)
            case model.Adopt():
                done = self._call(stub.Adopt, lambda: operation.pack_adopt(op), metadata)
        return operation.unpack_done(done)

    def preview(self, op: model.Operation) -> model.Preview:
        """What ``op`` would do; changes nothing."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import operation

        request = skep_pb2.PreviewRequest

        def parts() -> Iterator[skep_pb2.PreviewRequest]:
            message, object = operation.pack(op)
            return _stream(request(operation=message), object, lambda chunk: request(chunk=chunk))

        return operation.unpack_preview(self._call(self._stub().Preview, parts))

    # ---------------------------------------------------------------- look

    def version(self) -> Version:
        """The daemon's release, process and directories."""
        from skep.pb import skep_pb2

        answer = self._call(self._stub().Version, skep_pb2.VersionRequest)
        return Version(
            version=answer.version,
            pid=answer.pid,
            kernel=answer.kernel,
            runtime_dir=answer.runtime_dir,
            state_dir=answer.state_dir,
            pins_dir=answer.pins_dir,
        )

    def program(self, id: model.ProgramId) -> model.Program | model.ForeignProgram:
        """The program with a kernel id. NotFound."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import program

        return program.unpack(self._call(self._stub().GetProgram, lambda: skep_pb2.GetProgramRequest(id=id)).program)

    def programs(self, filter: model.ProgramFilter) -> tuple[model.Program | model.ForeignProgram, ...]:
        """Programs by ascending id; all in the kernel without a filter."""
        from skep.rpc.convert import program

        answer = self._call(self._stub().ListPrograms, lambda: program.pack_filter(filter))
        return tuple(program.unpack(one) for one in answer.programs)

    def link(self, id: model.LinkId) -> model.Link:
        """One link. NotFound."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import link

        return link.unpack(self._call(self._stub().GetLink, lambda: skep_pb2.GetLinkRequest(id=id)).link)

    def links(self, filter: model.LinkFilter) -> tuple[model.Link, ...]:
        """Links by ascending id."""
        from skep.rpc.convert import link

        answer = self._call(self._stub().ListLinks, lambda: link.pack_filter(filter))
        return tuple(link.unpack(one) for one in answer.links)

    def chains(self) -> tuple[model.ChainStatus, ...]:
        """Every linked chain with its counts."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import link

        answer = self._call(self._stub().ListChains, skep_pb2.ListChainsRequest)
        return tuple(link.unpack_chain(one) for one in answer.chains)

    def chain(self, type: str, interface: model.InterfaceRef) -> model.ChainStatus:
        """What runs on one hook of an interface. NotFound."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import link

        answer = self._call(
            self._stub().GetChain,
            lambda: skep_pb2.GetChainRequest(type=type, interface=interface.name, netns=interface.netns),
        )
        return link.unpack_chain(answer.chain)

    def maps(self) -> tuple[model.MapView, ...]:
        """Maps by ascending id."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import observed

        answer = self._call(self._stub().ListMaps, skep_pb2.ListMapsRequest)
        return tuple(observed.unpack_map(one) for one in answer.maps)

    def map(self, id: model.MapId) -> model.MapView:
        """One map. NotFound."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import observed

        return observed.unpack_map(self._call(self._stub().GetMap, lambda: skep_pb2.GetMapRequest(id=id)).map)

    def events(self, after: int = 0, limit: int = 1000) -> tuple[model.Event, ...]:
        """History: events with an id above ``after``, oldest first."""
        return self._events(after, limit, 0.0)

    def wait_events(self, after: int, timeout: float) -> tuple[model.Event, ...]:
        """Like ``events``, but waits up to ``timeout`` seconds (at most 60) for the first one."""
        return self._events(after, 0, timeout)

    def doctor(self) -> tuple[model.Finding, ...]:
        """What differs between kernel, pins and store."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import observed

        answer = self._call(self._stub().Doctor, skep_pb2.DoctorRequest)
        return tuple(observed.unpack_finding(one) for one in answer.findings)

    def features(self) -> tuple[model.Feature, ...]:
        """What this kernel can."""
        from skep.pb import skep_pb2
        from skep.rpc.convert import observed

        answer = self._call(self._stub().Features, skep_pb2.FeaturesRequest)
        return tuple(observed.unpack_feature(one) for one in answer.features)

    # ---------------------------------------------------------------- inside

    def _events(self, after: int, limit: int, wait: float) -> tuple[model.Event, ...]:
        from skep.pb import skep_pb2
        from skep.rpc.convert import observed

        answer = self._call(
            self._stub().ListEvents, lambda: skep_pb2.ListEventsRequest(after=after, limit=limit, wait=wait)
        )
        return tuple(observed.unpack_event(one) for one in answer.events)

    def _stub(self) -> skep_pb2_grpc.SkepStub:
        if self._stub_made is None:
            import os

            # gRPC's own messages do not belong on a command's stderr.
            os.environ.setdefault("GRPC_VERBOSITY", "NONE")
            import grpc

            from skep.pb import skep_pb2_grpc

            self._channel = grpc.insecure_channel(
                f"unix:{self._path}",
                options=(
                    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
                    ("grpc.max_metadata_size", _METADATA_BYTES),
                    ("grpc.absolute_max_metadata_size", _METADATA_BYTES),
                    # A socket's path is no host name, and a proxy has no business here.
                    ("grpc.default_authority", "localhost"),
                    ("grpc.enable_http_proxy", 0),
                ),
            )
            self._stub_made = skep_pb2_grpc.SkepStub(self._channel)
        return self._stub_made

    def _call(
        self, method: Callable[..., T], make: Callable[[], object], metadata: tuple[tuple[str, str], ...] = ()
    ) -> T:
        """One call with the request that ``make`` makes; what fails comes back as the exception that the daemon
        raised."""
        import grpc

        from skep.rpc import status

        try:
            request = make()
        except (ValueError, TypeError) as error:  # a number that does not fit its field
            raise errors.InvalidRequest("the request cannot be sent", why=str(error)) from error
        try:
            return method(
                request, timeout=self._timeout, metadata=((status.LOG_KEY, str(status.LOG_BYTES)), *metadata)
            )
        except grpc.RpcError as error:
            raise status.restore(error) from error


def _stream(header: T, object: bytes, wrap: Callable[[bytes], T]) -> Iterator[T]:
    """The header, then the object in chunks."""
    from skep.rpc.convert import operation

    yield header
    for chunk in operation.chunks(object):
        yield wrap(chunk)
