"""The daemon of a played node, as its agent sees it: it keeps what it is told to load and attach, and runs nothing.

The agent before it is skep's own, whole: what it decides, and what it writes of that, is what it would on a real node.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping

from skep import errors, model
from skep.kube import act, reconcile

HOST = model.HostSeen(
    namespaces=(
        model.NamespaceSeen(
            path=None,
            inode=model.NetnsInode(4026531840),
            interfaces=tuple(
                model.InterfaceSeen(name=name, ifindex=model.IfIndex(number), up=True)
                for number, name in enumerate(("lo", "near"), 1)
            ),
            primary=("near",),
        ),
    )
)
"""What every played node looks like."""
_CALLER = model.Caller(uid=0, gid=0, pid=1)
_ids = itertools.count(1)


class Daemon:
    """One node's. ``refused``: applications whose programs its verifier does not take, by name."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self._programs: dict[model.ProgramId, model.Program] = {}
        self._links: dict[model.LinkId, model.Link] = {}

    @property
    def images(self) -> act.Images:
        """Every image is there."""
        return _Images()

    def find_pods(self, pods: Iterable[model.PodRef]) -> tuple[model.PodSeen, ...]:
        """No pod runs here."""
        return tuple(model.PodSeen(uid=each.uid, missing="nothing runs here") for each in pods)

    def programs(self, filter: model.ProgramFilter) -> tuple[model.Program | model.ForeignProgram, ...]:
        """Those with this metadata."""
        return tuple(each for each in self._programs.values() if _has(each.record.metadata, filter.metadata))

    def links(self, filter: model.LinkFilter) -> tuple[model.Link, ...]:
        """Those of programs with this metadata, which links inherit."""
        of = {each.record.key for each in self._programs.values() if _has(each.record.metadata, filter.metadata)}
        return tuple(each for each in self._links.values() if each.record.program in of)

    def run(self, op: model.Operation, *, wait: float | None = None) -> model.Done:
        """Do it in memory; Rejected for what is refused."""
        match op:
            case model.Load():
                made = tuple(self._load(op, spec) for spec in op.programs)
                return _done(*made)
            case model.ReplaceProgram():
                old = self._programs[op.program]
                self._judge(old.record.metadata)
                record = dataclasses.replace(old.record, source=op.source, object=_digest(op.source))
                self._programs[op.program] = dataclasses.replace(old, record=record)
                return _done(self._programs[op.program])
            case model.Attach():
                return model.Done(operation=model.OperationId(next(_ids)), links=(self._attach(op),))
            case model.Detach():
                self._links.pop(op.link, None)
            case model.Unload():
                key = self._programs.pop(op.program).record.key
                self._links = {id: each for id, each in self._links.items() if each.record.program != key}
            case _:
                raise NotImplementedError(op)
        return _done()

    def _load(self, op: model.Load, spec: model.ProgramSpec) -> model.Program:
        self._judge(op.metadata)
        number = next(_ids)
        record = model.ProgramRecord(
            key=model.ProgramKey(number), generation=1, id=model.ProgramId(number), tag="", loaded_at_ns=0, boot_id="",
            name=spec.name, hook=spec.hook or model.HookName("xdp"), section="xdp", prog_type=6,
            object=_digest(op.source), source=op.source, pin=model.ProgramPin(""), set=model.SetKey(number), maps=(),
            metadata=op.metadata, loaded_by=_CALLER, created_at=0,
        )  # fmt: skip
        kernel = model.KernelProgram(id=record.id, type=6, name=spec.name, tag="", loaded_at_ns=0)
        self._programs[record.id] = model.Program(
            record=record, status=model.ProgramStatus(kernel=kernel, pin_present=True)
        )
        return self._programs[record.id]

    def _attach(self, op: model.Attach) -> model.LinkId:
        program = self._programs[op.program]
        id = model.LinkId(next(_ids))
        self._links[id] = model.Link(
            record=model.LinkRecord(
                id=id, program=program.record.key, hook=program.record.hook, attachment=op.attachment,
                metadata=op.metadata, boot_id="", created_at=0,
            ),
            status=model.LinkStatus(state=model.LinkState.ATTACHED),
            program_id=program.record.id,
            program_name=program.record.name,
        )  # fmt: skip
        return id

    def _judge(self, metadata: Mapping[str, str]) -> None:
        name = metadata[reconcile.OWNER].partition("@")[0].rpartition("/")[2]
        if name in self.refused:
            raise errors.Rejected(
                f"the kernel refused the program of {name}", why="R1 is not what it was", do="see the verifier's log"
            )


class _Images:
    def pull(self, wanted: model.ImageRequest) -> Iterator[model.PullProgress | model.Image]:
        """At once."""
        digest = hashlib.sha256(wanted.url.encode()).hexdigest()
        yield model.Image(
            digest=digest, manifest=digest, names=(wanted.url,), platform="", size=0, pulled_at=0, used_at=0
        )


def _digest(source: model.Source) -> model.Digest:
    return model.Digest(source.digest if isinstance(source, model.ImageSource) else source.path)


def _has(metadata: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return wanted.items() <= metadata.items()


def _done(*programs: model.Program) -> model.Done:
    return model.Done(operation=model.OperationId(next(_ids)), programs=programs)
