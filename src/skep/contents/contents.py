"""The use cases of a map's contents. Reading is for everybody who may look; writing and taking events is a change."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from skep import errors, model, policy
from skep.contents import elements, find
from skep.inventory import seen as looking
from skep.kernel import door
from skep.values import declared, kinds

PAGE: Final = 1024
"""Elements asked of the kernel at a time."""
BATCH: Final = 256
"""Events handed on at a time."""
EVENTS: Final = "map events"
_SLICE: Final = 0.25  # seconds after which a follower looks whether it is still wanted


class Record(Protocol):
    """Writes a line of log and history; see ``Manager``."""

    def __call__(
        self,
        caller: model.Caller,
        verb: str,
        operation: model.OperationId,
        subject: str,
        began: float,
        failed: errors.SkepError | None,
    ) -> None: ...


class Contents:
    """``look``: the present programs and records. ``begin``: a new operation's id. ``record``: tells of its end."""

    def __init__(
        self,
        kernel: door.Kernel,
        access: policy.Access,
        look: Callable[[], looking.Seen],
        begin: Callable[[], model.OperationId],
        record: Record,
    ) -> None:
        self._kernel = kernel
        self._access = access
        self._look = look
        self._begin = begin
        self._record = record
        self._lock = threading.Lock()

    # ---------------------------------------------------------------- look

    def shape(self, caller: model.Caller, ref: str) -> model.MapShape:
        """A map and the types of what it holds. NotFound."""
        seen = self._look()
        one = find.view(self._kernel, seen, caller, ref)
        types = find.types(self._kernel, seen, one)
        per_cpu = _kind(one).shape is kinds.Shape.PER_CPU
        return model.MapShape(
            view=one,
            key=find.described(types.btf, types.key),
            value=find.described(types.btf, types.value),
            origin=types.origin,
            cpus=self._kernel.possible_cpus() if per_cpu else 0,
        )

    def pages(self, caller: model.Caller, wanted: model.MapDump) -> Iterator[model.MapPage]:
        """Every element, page by page: never more than one page is in memory. InvalidRequest for what has no list."""
        one, types = self._open(caller, wanted.map)
        find.check_readable(one)
        kind = _kind(one)
        if kind.shape in (kinds.Shape.KEYLESS, kinds.Shape.BLOOM):
            raise errors.InvalidRequest(
                f"{find.named(one)} cannot be listed",
                why=f"a {kind.name} shows "
                + (
                    "its next element only" if kind.shape is kinds.Shape.KEYLESS else "only whether it may hold a value"
                ),
                do="look with 'skep map lookup'",
            )
        token, left = wanted.after, wanted.limit
        while True:
            found, token = self._kernel.elements(one.kernel.id, token, min(left or PAGE, PAGE))
            entries = tuple(elements.entry(types, kind, key, raw) for key, raw in found)
            if left:
                # A hash gives whole buckets: more than was asked for cannot be left for the next page.
                left = max(left - len(entries), 0)
                yield model.MapPage(entries=entries, token=token)
                if not left or not token:
                    return
                continue
            yield model.MapPage(entries=entries, token=token)
            if not token:
                return

    def lookup(self, caller: model.Caller, ref: str, key: model.Datum | None) -> model.MapEntry:
        """One element; of a queue or stack, without a key, the next one; of a bloom filter ``key`` is the value to
        test for. NotFound."""
        one, types = self._open(caller, ref)
        find.check_readable(one)
        kind, seen = _kind(one), one.kernel
        at = value = b""
        if kind.shape is kinds.Shape.BLOOM:
            value = elements.data(key, types.btf, types.value, seen.value_size, "value")
        elif kind.shape is kinds.Shape.KEYLESS:
            _no_key(one, kind, key)
        else:
            at = self._key(one, types, key)
        raw = self._kernel.element(seen.id, at, value)
        if raw is None:
            raise errors.NotFound(
                f"{find.named(one)} is empty"
                if kind.shape is kinds.Shape.KEYLESS
                else f"no such key in {find.named(one)}",
                do=f"see what is there with 'skep map dump {one.kernel.id}'",
            )
        return elements.entry(types, kind, at, raw)

    # ---------------------------------------------------------------- change

    def write(self, caller: model.Caller, wanted: model.MapWrite) -> model.MapWritten:
        """Write or remove one element. Denied (policy, somebody else's map), Conflict (frozen, read-only)."""
        began, subject = time.monotonic(), f"map {wanted.map}"
        operation = model.OperationId(0)
        try:
            self._access.check(caller, wanted.verb)
            seen = self._look()
            one = find.view(self._kernel, seen, caller, wanted.map)
            subject = f"map {one.kernel.id}"
            operation = self._begin()
            find.check_managed(self._kernel, seen, one, unsafe=wanted.unsafe_foreign)
            find.check_writable(one)
            types = find.types(self._kernel, seen, one)
            with self._lock:  # reading and writing back is one thing among ourselves
                entry, warnings = (
                    self._update(one, types, wanted)
                    if wanted.verb is model.MapVerb.UPDATE
                    else (self._delete(one, types, wanted), ())
                )
        except errors.SkepError as failed:
            self._record(caller, wanted.verb, operation, subject, began, failed)
            raise
        self._record(caller, wanted.verb, operation, subject, began, None)
        return model.MapWritten(operation=operation, map=one.kernel.id, entry=entry, warnings=warnings)

    def follow(
        self, caller: model.Caller, wanted: model.MapFollow, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[tuple[model.MapRecord, ...]]:
        """Events as they come, some at a time, until ``stop``, the limit, or a silence of the given length.

        Taking them is a change: every other reader of the buffer misses them.
        """
        began, subject = time.monotonic(), f"map {wanted.map}"
        operation = model.OperationId(0)
        try:
            self._access.check(caller, EVENTS)
            seen = self._look()
            one = find.view(self._kernel, seen, caller, wanted.map)
            subject = f"map {one.kernel.id}"
            operation = self._begin()
            find.check_managed(self._kernel, seen, one, unsafe=wanted.unsafe_foreign)
            types, type_id = find.event_type(self._kernel, seen, one, wanted.type)
            opened = self._kernel.records(one.kernel.id)
            reader = opened.__enter__()
        except errors.SkepError as failed:
            self._record(caller, EVENTS, operation, subject, began, failed)
            raise
        try:
            self._record(caller, EVENTS, operation, subject, began, None)
            told, heard = 0, time.monotonic()
            while not stop() and not (wanted.limit and told >= wanted.limit):
                raw = reader.read(_SLICE, min(BATCH, wanted.limit - told) if wanted.limit else BATCH)
                if raw:
                    told += len(raw)
                    yield tuple(
                        model.MapRecord(
                            data=each.data,
                            json=elements.text(types, type_id, each.data),
                            size=each.size,
                            cpu=each.cpu,
                            lost=each.lost,
                        )
                        for each in raw
                    )
                    heard = time.monotonic()
                elif wanted.seconds and time.monotonic() - heard >= wanted.seconds:
                    return
        finally:
            opened.__exit__(None, None, None)

    # ---------------------------------------------------------------- inside

    def _open(self, caller: model.Caller, ref: str) -> tuple[model.MapView, declared.Types]:
        seen = self._look()
        one = find.view(self._kernel, seen, caller, ref)
        return one, find.types(self._kernel, seen, one)

    def _key(self, one: model.MapView, types: declared.Types, key: model.Datum | None) -> bytes:
        kind = _kind(one)
        raw = elements.data(key, types.btf, types.key, one.kernel.key_size, "key", number=kind.indexed)
        if kind.indexed and int.from_bytes(raw, sys.byteorder) >= one.kernel.max_entries:
            raise errors.InvalidRequest(
                f"{find.named(one)} has no index {int.from_bytes(raw, sys.byteorder)}",
                why=f"its keys are 0 to {one.kernel.max_entries - 1}",
                do="give one of those",
            )
        return raw

    def _update(
        self, one: model.MapView, types: declared.Types, wanted: model.MapWrite
    ) -> tuple[model.MapEntry | None, tuple[str, ...]]:
        kind, seen = _kind(one), one.kernel
        if not kind.updatable:
            raise errors.InvalidRequest(
                f"{find.named(one)} cannot be written",
                why=f"it is a {kind.name}",
                do="change what it refers to instead",
            )
        if wanted.cpu is not None and kind.shape is not kinds.Shape.PER_CPU:
            raise errors.InvalidRequest(
                f"{find.named(one)} has no values per CPU", why=f"it is a {kind.name}", do="leave the CPU out"
            )
        keyless = kind.shape in (kinds.Shape.KEYLESS, kinds.Shape.BLOOM)
        if keyless:
            _no_key(one, kind, wanted.key)
        key = b"" if keyless else self._key(one, types, wanted.key)
        present = (
            self._kernel.element(seen.id, key) if not keyless and (wanted.merge or wanted.cpu is not None) else None
        )
        if wanted.merge and present is None:
            raise errors.NotFound(
                f"no such key in {find.named(one)}", why="there is nothing to merge with", do="give the whole value"
            )
        refers = kind.refers is not kinds.Refers.NOTHING
        size = 4 if refers else seen.value_size

        def value(base: bytes | None) -> bytes:
            return elements.data(wanted.value, types.btf, types.value, size, "value", number=refers, base=base)

        warnings: tuple[str, ...] = ()
        if kind.shape is kinds.Shape.PER_CPU:
            count = self._kernel.possible_cpus()
            now = present or (bytes(size),) * count
            if wanted.cpu is not None and not 0 <= wanted.cpu < count:
                raise errors.InvalidRequest(
                    f"there is no CPU {wanted.cpu}", why=f"CPUs are 0 to {count - 1}", do="name one of those"
                )
            raw = tuple(
                each if wanted.cpu not in (None, cpu) else value(each if wanted.merge else None)
                for cpu, each in enumerate(now)
            )
            if wanted.cpu is not None and count > 1:
                warnings = ("the other CPUs' values were written back as read; what changed in between is lost",)
        else:
            raw = (value(present[0] if wanted.merge and present else None),)
        self._kernel.update_element(seen.id, key, raw, wanted.mode)
        after = None if keyless else self._kernel.element(seen.id, key)
        return None if after is None else elements.entry(types, kind, key, after), warnings

    def _delete(self, one: model.MapView, types: declared.Types, wanted: model.MapWrite) -> model.MapEntry | None:
        kind = _kind(one)
        if not kind.deletable:
            raise errors.InvalidRequest(
                f"nothing can be deleted from {find.named(one)}",
                why=f"elements of type {kind.name} are always there",
                do="write zeroes with 'skep map update'",
            )
        if kind.shape is kinds.Shape.KEYLESS:
            _no_key(one, kind, wanted.key)
            popped = self._kernel.delete_element(one.kernel.id, b"")
            return None if popped is None else elements.entry(types, kind, b"", (popped,))
        self._kernel.delete_element(one.kernel.id, self._key(one, types, wanted.key))
        return None


def _kind(one: model.MapView) -> kinds.Kind:
    return kinds.kind(one.kernel.type)


def _no_key(one: model.MapView, kind: kinds.Kind, key: model.Datum | None) -> None:
    if key is not None:
        raise errors.InvalidRequest(
            f"{find.named(one)} has no keys", why=f"it is a {kind.name}", do="leave the key out"
        )
