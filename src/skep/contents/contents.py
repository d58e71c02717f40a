"""The use cases of a map's contents. Reading is for everybody who may look; writing and taking events is a change."""

from __future__ import annotations

import contextlib
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
        with self._change(caller, wanted.verb, wanted.map, unsafe=wanted.unsafe_foreign) as (operation, one, types):
            if wanted.verb is model.MapVerb.UPDATE:
                key, warnings = self._update(one, types, wanted)
                after = self._kernel.element(one.kernel.id, key) if key else None
                entry = None if after is None else elements.entry(types, _kind(one), key, after)
            else:
                entry, warnings = self._delete(one, types, wanted), ()
        return model.MapWritten(operation=operation, map=one.kernel.id, entry=entry, warnings=warnings)

    def fill(self, caller: model.Caller, wanted: model.MapFill) -> Iterator[int]:
        """Write many elements in their order; in the end how many are written, also where the next is refused: what
        ``write`` raises comes after the number of those before. No number: the map as a whole is refused."""
        written: int | None = None
        verb = model.MapVerb.UPDATE
        try:
            with self._change(caller, verb, wanted.map, unsafe=wanted.unsafe_foreign) as (_, one, types):
                written = 0
                for each in wanted.elements:
                    element = model.MapWrite(
                        map=wanted.map,
                        verb=verb,
                        key=each.key,
                        value=each.value,
                        values=each.values,
                        mode=wanted.mode,
                        merge=wanted.merge,
                    )
                    self._update(one, types, element)
                    written += 1
        except errors.SkepError as refused:
            if written is not None:
                yield written
            raise refused
        yield written

    @contextlib.contextmanager
    def _change(
        self, caller: model.Caller, verb: str, ref: str, *, unsafe: bool
    ) -> Iterator[tuple[model.OperationId, model.MapView, declared.Types]]:
        """A change of a map that may be written, alone among ours, and its line of history."""
        began, subject = time.monotonic(), f"map {ref}"
        operation = model.OperationId(0)
        try:
            self._access.check(caller, verb)
            seen = self._look()
            one = find.view(self._kernel, seen, caller, ref)
            subject = f"map {one.kernel.id}"
            operation = self._begin()
            find.check_managed(self._kernel, seen, one, unsafe=unsafe)
            find.check_writable(one)
            with self._lock:  # reading and writing back is one thing among ourselves
                yield operation, one, find.types(self._kernel, seen, one)
        except errors.SkepError as failed:
            self._record(caller, verb, operation, subject, began, failed)
            raise
        self._record(caller, verb, operation, subject, began, None)

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
    ) -> tuple[bytes, tuple[str, ...]]:
        """Write one element; its key, b"" for none, and warnings."""
        kind, seen = _kind(one), one.kernel
        if not kind.updatable:
            raise errors.InvalidRequest(
                f"{find.named(one)} cannot be written",
                why=f"it is a {kind.name}",
                do="change what it refers to instead",
            )
        if (wanted.cpu is not None or wanted.values) and kind.shape is not kinds.Shape.PER_CPU:
            raise errors.InvalidRequest(
                f"{find.named(one)} has no values per CPU", why=f"it is a {kind.name}", do="give one value"
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

        def value(base: bytes | None, given: model.Datum | None = wanted.value) -> bytes:
            return elements.data(given, types.btf, types.value, size, "value", number=refers, base=base)

        warnings: tuple[str, ...] = ()
        if kind.shape is kinds.Shape.PER_CPU:
            count = self._kernel.possible_cpus()
            now = present or (bytes(size),) * count
            if wanted.cpu is not None and not 0 <= wanted.cpu < count:
                raise errors.InvalidRequest(
                    f"there is no CPU {wanted.cpu}", why=f"CPUs are 0 to {count - 1}", do="name one of those"
                )
            given = wanted.values or (wanted.value,) * count
            if len(given) != count or (wanted.values and (wanted.cpu is not None or wanted.value is not None)):
                raise errors.InvalidRequest(
                    f"{len(wanted.values)} values are given for {count} CPUs"
                    if len(given) != count
                    else "a value for each CPU is given, and another",
                    why=f"{find.named(one)} has one value for each of CPUs 0 to {count - 1}",
                    do="give one for each, or one for all",
                )
            raw = tuple(
                each if wanted.cpu not in (None, cpu) else value(each if wanted.merge else None, given[cpu])
                for cpu, each in enumerate(now)
            )
            if wanted.cpu is not None and count > 1:
                warnings = ("the other CPUs' values were written back as read; what changed in between is lost",)
        else:
            raw = (value(present[0] if wanted.merge and present else None),)
        self._kernel.update_element(seen.id, key, raw, wanted.mode)
        return key, warnings

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
