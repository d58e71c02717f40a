"""The store: what skep remembers, in one SQLite file. It never decides; ``plan/`` does.

One connection writes, behind a lock; readers borrow connections of their own and, thanks to the write-ahead log, never
wait for it. A write is one transaction: done whole or not at all.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from skep import errors, model, steps
from skep.bytecode import relocated
from skep.policy.images import Remembered
from skep.store import change, database, rows
from skep.store.change import Snapshot

KEPT_EVENTS: Final = 10_000
"""Events older than the last so many are dropped."""
KEPT_IMAGES: Final = 10_000
"""Images whose accepted signature is remembered."""
_IDLE_READERS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Ids:
    """Ids given out together; each tuple as long as was asked for."""

    programs: tuple[model.ProgramKey, ...]
    links: tuple[model.LinkId, ...]
    sets: tuple[model.SetKey, ...]
    operation: model.OperationId


class Store:
    """One store. Raises Exhausted (disk full; nothing is changed), Busy, Broken, Denied, Conflict (a newer store)."""

    def __init__(self, path: str | Path, *, kept_events: int = KEPT_EVENTS) -> None:
        self._kept_events = kept_events
        self.path = Path(path)
        self.moved_aside = database.prepare(self.path)
        """Where a corrupt file was moved to at this start, None when there was none."""
        self._lock = threading.Lock()
        self._readers: list[sqlite3.Connection] = []
        self._readers_lock = threading.Lock()
        self._closed = False
        self._snapshot: Snapshot | None = None
        with database.translated(self.path):
            self._writer = database.connect(self.path, cache_kib=1024)
            self._begun = {model.OperationId(row[0]) for row in self._writer.execute("SELECT operation FROM pending")}

    def close(self) -> None:
        """Close every connection; the store is not used afterwards."""
        with self._lock, self._readers_lock:
            self._closed = True
            for reader in self._readers:
                reader.close()
            self._readers.clear()
            self._writer.close()

    def set_aside(self) -> tuple[str, ...]:
        """Corrupt files that were moved out of the way at this start or earlier, oldest first."""
        return tuple(str(one) for one in database.set_aside(self.path))

    # ---------------------------------------------------------------- ids

    def take_ids(self, *, programs: int = 0, links: int = 0, sets: int = 0) -> Ids:
        """Fresh ids and an operation id. They are never given out again, used or not."""
        with self._write() as transaction:
            return _ids(transaction, programs, links, sets, take=True)

    def next_ids(self, *, programs: int = 0, links: int = 0, sets: int = 0) -> Ids:
        """What ``take_ids`` would give now, for a preview; nothing is taken."""
        with self._read() as transaction:
            return _ids(transaction, programs, links, sets, take=False)

    def skip_ids(self, *, program: int = 0, link: int = 0, map_set: int = 0) -> None:
        """Never give out these ids or smaller ones: pins of a lost store carry them."""
        with self._write() as transaction:
            for name, used in (("next_program", program), ("next_link", link), ("next_map_set", map_set)):
                transaction.execute("UPDATE meta SET value = max(value, ? + 1) WHERE name = ?", (used, name))

    # ---------------------------------------------------------------- plans

    def begin(self, operation: model.OperationId, verb: str, undo: tuple[steps.Finish, ...]) -> None:
        """Write that a plan is under way and what undoes it, before its first step."""
        with self._write() as transaction:
            transaction.execute(
                "INSERT INTO pending (operation, verb, undo) VALUES (?, ?, ?)",
                (operation, verb, rows.finish_json(undo)),
            )
        self._begun.add(operation)

    def commit(
        self, operation: model.OperationId, records: steps.StoreChange, finish: tuple[steps.Finish, ...] = ()
    ) -> None:
        """The point of no return: write all of ``records``, and what is left to do, in one transaction."""
        with self._write() as transaction:
            totals = change.write(transaction, records)
            revision = change.bump(transaction)
            transaction.execute(
                "UPDATE pending SET finish = ? WHERE operation = ?", (rows.finish_json(finish), operation)
            )
        known = self._snapshot
        if known is not None and known.revision == revision - 1:
            self._snapshot = change.patched(known, revision, records, totals)

    def absorb(
        self, operation: model.OperationId, counts: model.MapPin, add: Mapping[model.LinkId, model.Counts]
    ) -> bool:
        """Add what an aborted revision counted to the links' totals, once however often it is called.

        False when that was done before, or when the operation is not pending.
        """
        with self._write() as transaction:
            row = transaction.execute("SELECT absorbed FROM pending WHERE operation = ?", (operation,)).fetchone()
            if row is None or counts in (absorbed := json.loads(row[0])):
                return False
            change.bump(transaction)
            change.add_counts(transaction, add)
            transaction.execute(
                "UPDATE pending SET absorbed = ? WHERE operation = ?", (json.dumps([*absorbed, counts]), operation)
            )
            return True

    def done(self, operation: model.OperationId) -> None:
        """The plan is finished or undone: nothing is left to do."""
        with self._write() as transaction:
            transaction.execute("DELETE FROM pending WHERE operation = ?", (operation,))
        self._begun.discard(operation)

    @property
    def unfinished(self) -> bool:
        """Whether a plan is pending, as far as this process knows; costs nothing."""
        return bool(self._begun)

    def pending(self) -> tuple[steps.Pending, ...]:
        """Plans that were begun and not done, newest first: the order to undo them in."""
        with self._read() as transaction:
            found = transaction.execute("SELECT operation, verb, undo, finish FROM pending ORDER BY operation DESC")
            return tuple(
                steps.Pending(
                    operation=operation,
                    verb=verb,
                    undo=rows.finish(undo),
                    finish=None if finish is None else rows.finish(finish),
                )
                for operation, verb, undo, finish in found
            )

    # ---------------------------------------------------------------- records

    def snapshot(self) -> Snapshot:
        """All programs, links, chains and totals, of one moment. Reads nothing when nothing has changed."""
        with self._read() as transaction:
            found = change.read(transaction, self._snapshot)
        self._snapshot = found
        return found

    def member(self, key: model.ProgramKey) -> relocated.Member | None:
        """The kept instructions of a program, None for an adopted one."""
        with self._read() as transaction:
            row = transaction.execute("SELECT header, insns, btf FROM members WHERE program = ?", (key,)).fetchone()
            return None if row is None else rows.member(row)

    def object(self, digest: model.Digest) -> bytes | None:
        """The bytes of an object file."""
        with self._read() as transaction:
            row = transaction.execute("SELECT bytes FROM objects WHERE digest = ?", (digest,)).fetchone()
            return None if row is None else bytes(row[0])

    # ---------------------------------------------------------------- images

    def verified_image(self, digest: str, rule: str) -> Remembered | None:
        """Who signed an image that a rule, by its fingerprint, accepted earlier."""
        with self._read() as transaction:
            row = transaction.execute(
                "SELECT signer, at FROM verified_images WHERE digest = ? AND rule = ?", (digest, rule)
            ).fetchone()
            return None if row is None else Remembered(signer=row[0], at=datetime.fromtimestamp(row[1], UTC))

    def remember_image(self, digest: str, rule: str, image: str, one: Remembered) -> None:
        """Keep that a rule accepted an image. Of more than ``KEPT_IMAGES`` the oldest are forgotten."""
        with self._write() as transaction:
            transaction.execute(
                "INSERT OR REPLACE INTO verified_images (digest, rule, image, signer, at) VALUES (?, ?, ?, ?, ?)",
                (digest, rule, image, one.signer, one.at.timestamp()),
            )
            transaction.execute(
                "DELETE FROM verified_images WHERE at < "
                "(SELECT at FROM verified_images ORDER BY at DESC LIMIT 1 OFFSET ?)",
                (KEPT_IMAGES - 1,),
            )

    # ---------------------------------------------------------------- history

    def add_event(self, event: model.Event) -> model.Event:
        """Append an event; its id is given here. Ids grow and are never reused."""
        with self._write() as transaction:
            values = rows.event_row(event)
            cursor = transaction.execute(
                f"INSERT INTO events ({rows.EVENT_COLUMNS.removeprefix('id, ')}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )
            id = int(cursor.lastrowid or 0)
            transaction.execute("DELETE FROM events WHERE id <= ?", (id - self._kept_events,))
            return rows.event((id, *values))

    def events(self, after: int = 0, limit: int = 1000) -> tuple[model.Event, ...]:
        """At most ``limit`` events with an id above ``after``, oldest first."""
        with self._read() as transaction:
            found = transaction.execute(
                f"SELECT {rows.EVENT_COLUMNS} FROM events WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
            )
            return tuple(rows.event(row) for row in found)

    # ---------------------------------------------------------------- transactions

    @contextlib.contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._lock, database.translated(self.path):
            if self._closed:
                raise _closed()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                # A full disk has rolled back already.
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with database.translated(self.path):
            reader = self._borrow()
            healthy = False
            try:
                reader.execute("BEGIN")
                try:
                    yield reader
                finally:
                    reader.execute("ROLLBACK")
                healthy = True
            finally:
                self._give_back(reader, healthy)

    def _borrow(self) -> sqlite3.Connection:
        with self._readers_lock:
            if self._closed:
                raise _closed()
            if self._readers:
                return self._readers.pop()
        return database.connect(self.path)

    def _give_back(self, reader: sqlite3.Connection, healthy: bool) -> None:
        with self._readers_lock:
            if healthy and not self._closed and len(self._readers) < _IDLE_READERS:
                self._readers.append(reader)
                return
        reader.close()


def _closed() -> errors.Unavailable:
    return errors.Unavailable("the store is closed", why="skep is stopping", do="try again when it runs")


def _ids(transaction: sqlite3.Connection, programs: int, links: int, sets: int, *, take: bool) -> Ids:
    first = dict(transaction.execute("SELECT name, value FROM meta"))
    if take:
        wanted = (("next_program", programs), ("next_link", links), ("next_map_set", sets), ("next_operation", 1))
        transaction.executemany(
            "UPDATE meta SET value = value + ? WHERE name = ?", [(number, name) for name, number in wanted if number]
        )

    def numbers(name: str, number: int) -> range:
        return range(first[name], first[name] + number)

    return Ids(
        programs=tuple(map(model.ProgramKey, numbers("next_program", programs))),
        links=tuple(map(model.LinkId, numbers("next_link", links))),
        sets=tuple(map(model.SetKey, numbers("next_map_set", sets))),
        operation=model.OperationId(first["next_operation"]),
    )
