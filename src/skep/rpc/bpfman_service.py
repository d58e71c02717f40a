"""``bpfman.v1.Bpfman``: bpfman's seven calls on skep's ``Manager``.

The semantics are those that bpfman's operator relies on; where bpfman's two implementations differ,
docs/compatibility.md says whom skep follows.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import grpc

from skep import errors, model
from skep.manager import Manager
from skep.pb import bpfman_pb2, bpfman_pb2_grpc
from skep.rpc import turn
from skep.rpc.convert import bpfman

log = logging.getLogger("skep.rpc.bpfman")


class BpfmanService(bpfman_pb2_grpc.BpfmanServicer):
    """The seven calls. Every method raises ``SkepError``; ``gate.Gate`` makes statuses of them."""

    def __init__(
        self, manager: Manager, turns: turn.Turns, caller: Callable[[grpc.ServicerContext], model.Caller]
    ) -> None:
        self._manager = manager
        self._turns = turns
        self._caller = caller

    def Load(self, request: bpfman_pb2.LoadRequest, context: grpc.ServicerContext) -> bpfman_pb2.LoadResponse:
        """All programs of the request or none, sharing one set of maps; a missing map owner is InvalidArgument."""
        specs = bpfman.load_specs(request)
        caller = self._caller(context)
        object, source = self._object(caller, bpfman.load_source(request.bytecode))
        operation = model.Load(
            object=object,
            source=source,
            programs=specs,
            metadata=dict(request.metadata),
            global_data=dict(request.global_data),
            map_owner=model.ProgramId(request.map_owner_id) if request.HasField("map_owner_id") else None,
        )
        with self._turns.taken(context) as wait:
            try:
                done = self._manager.run(caller, operation, wait=wait)
            except errors.NotFound as error:
                if operation.map_owner is not None and not self._manages(operation.map_owner):
                    raise _invalid(error) from error
                raise
        _warn(done)
        boot = _boot_time()
        made = {program.record.name: program for program in done.programs}
        return bpfman_pb2.LoadResponse(programs=[_loaded(made[spec.name], boot) for spec in specs])

    def Unload(self, request: bpfman_pb2.UnloadRequest, context: grpc.ServicerContext) -> bpfman_pb2.UnloadResponse:
        """Detach a program's links and remove it; NotFound for a foreign program too."""
        id = model.ProgramId(request.id)
        with self._turns.taken(context) as wait:
            try:
                self._manager.run(self._caller(context), model.Unload(program=id), wait=wait)
            except errors.Conflict:
                self._managed(id)
                raise
        return bpfman_pb2.UnloadResponse()

    def Attach(self, request: bpfman_pb2.AttachRequest, context: grpc.ServicerContext) -> bpfman_pb2.AttachResponse:
        """Attach a managed program; a missing interface is InvalidArgument, as in bpfman."""
        operation = bpfman.attach(request)
        with self._turns.taken(context) as wait:
            try:
                done = self._manager.run(self._caller(context), operation, wait=wait)
            except errors.Conflict:
                self._managed(operation.program)
                raise
            except errors.NotFound as error:
                if request.attach.WhichOneof("info") in ("xdp_attach_info", "tcx_attach_info"):
                    self._managed(operation.program)
                    raise _invalid(error) from error
                raise
        _warn(done)
        return bpfman_pb2.AttachResponse(link_id=done.links[0])

    def Detach(self, request: bpfman_pb2.DetachRequest, context: grpc.ServicerContext) -> bpfman_pb2.DetachResponse:
        """When it returns the program no longer runs there."""
        operation = model.Detach(link=model.LinkId(request.link_id))
        with self._turns.taken(context) as wait:
            self._manager.run(self._caller(context), operation, wait=wait)
        return bpfman_pb2.DetachResponse()

    def List(self, request: bpfman_pb2.ListRequest, context: grpc.ServicerContext) -> bpfman_pb2.ListResponse:
        """By ascending kernel id; managed programs that are gone from the kernel have no place here."""
        boot = _boot_time()
        results = []
        for program in self._manager.programs(bpfman.list_filter(request)):
            if isinstance(program, model.ForeignProgram):
                kernel = bpfman.kernel_info(program.kernel, boot)
                results.append(bpfman_pb2.ListResponse.ListResult(kernel_info=kernel))
            elif program.status.kernel is not None:
                kernel = bpfman.kernel_info(program.status.kernel, boot)
                info = bpfman.program_info(program)
                results.append(bpfman_pb2.ListResponse.ListResult(info=info, kernel_info=kernel))
        return bpfman_pb2.ListResponse(results=results)

    def PullBytecode(
        self, request: bpfman_pb2.PullBytecodeRequest, context: grpc.ServicerContext
    ) -> bpfman_pb2.PullBytecodeResponse:
        """Into the cache, without loading anything."""
        self._manager.images.ensure(self._caller(context), bpfman.image(request.image))
        return bpfman_pb2.PullBytecodeResponse()

    def Get(self, request: bpfman_pb2.GetRequest, context: grpc.ServicerContext) -> bpfman_pb2.GetResponse:
        """One program; for a foreign one ``kernel_info`` only."""
        program = self._manager.program(model.ProgramId(request.id))
        if isinstance(program, model.ForeignProgram):
            return bpfman_pb2.GetResponse(kernel_info=bpfman.kernel_info(program.kernel, _boot_time()))
        if program.status.kernel is None:
            raise errors.Broken(
                f"program {request.id} requires reconciliation",
                why="it is in the store and not in the kernel",
                do="see what `skep doctor` says",
            )
        return bpfman_pb2.GetResponse(
            info=bpfman.program_info(program), kernel_info=bpfman.kernel_info(program.status.kernel, _boot_time())
        )

    def _object(self, caller: model.Caller, wanted: str | model.ImageRequest) -> tuple[bytes, model.Source]:
        """A file's bytes; for an image none: it is pulled here, before anybody's turn, and read when it is loaded."""
        if isinstance(wanted, str):
            return self._manager.read_object(caller, wanted), model.FileSource(path=wanted)
        found = self._manager.images.ensure(caller, wanted)
        return b"", model.ImageSource(url=wanted.url, pull_policy=wanted.policy, digest=found.digest)

    def _manages(self, id: model.ProgramId) -> bool:
        try:
            self._managed(id)
        except errors.NotFound:
            return False
        return True

    def _managed(self, id: model.ProgramId) -> None:
        """NotFound unless skep manages the program."""
        if isinstance(self._manager.program(id), model.ForeignProgram):
            raise errors.NotFound(
                f"no managed program {id}",
                why="something else than skep loaded it",
                do="take it away with what loaded it",
            )


def _loaded(program: model.Program, boot: float) -> bpfman_pb2.LoadResponseInfo:
    kernel = program.status.kernel
    return bpfman_pb2.LoadResponseInfo(
        info=bpfman.program_info(program), kernel_info=None if kernel is None else bpfman.kernel_info(kernel, boot)
    )


def _invalid(error: errors.NotFound) -> errors.InvalidRequest:
    """The same failure, as the class that bpfman's clients expect for what a request refers to."""
    return errors.InvalidRequest(error.what, why=error.why, do=error.do, errno=error.errno)


def _warn(done: model.Done) -> None:
    """bpfman.v1 has no place for warnings."""
    for text in done.warnings:
        log.warning("%s", text, extra={"operation": done.operation})


def _boot_time() -> float:
    """When CLOCK_BOOTTIME was 0, in seconds since the epoch."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
