"""The records as one value, and one ``StoreChange`` written over them inside the caller's transaction."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from skep import model, steps
from skep.store import rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that lists need, of one moment; each in ascending order of its key. Not to be changed."""

    revision: int
    """Grows with every change of what is here."""
    programs: Mapping[model.ProgramKey, model.ProgramRecord]
    links: Mapping[model.LinkId, model.LinkRecord]
    chains: Mapping[model.ChainKey, model.ChainRecord]
    counts: Mapping[model.LinkId, model.Counts]
    """Totals of retired revisions, by link."""


def read(transaction: sqlite3.Connection, known: Snapshot | None) -> Snapshot:
    """All records; ``known`` when nothing has changed since."""
    (revision,) = transaction.execute("SELECT value FROM meta WHERE name = 'records'").fetchone()
    if known is not None and known.revision == revision:
        return known
    return Snapshot(
        revision=revision,
        programs={one.key: one for one in _programs(transaction)},
        links={one.id: one for one in _links(transaction)},
        chains={one.key: one for one in _chains(transaction)},
        counts=_counts(transaction),
    )


def bump(transaction: sqlite3.Connection) -> int:
    """Say that records change; the new revision."""
    (revision,) = transaction.execute(
        "UPDATE meta SET value = value + 1 WHERE name = 'records' RETURNING value"
    ).fetchone()
    return int(revision)


def patched(
    known: Snapshot, revision: int, change: steps.StoreChange, totals: Mapping[model.LinkId, model.Counts]
) -> Snapshot:
    """The snapshot after a change, without reading hundreds of rows anew. New keys are larger than old ones."""
    programs = {**known.programs, **{one.key: one for one in change.programs}}
    links = {**known.links, **{one.id: one for one in change.links}}
    chains = {**known.chains, **{one.key: one for one in change.chains}}
    counts = {**known.counts, **totals}
    for key in change.drop_programs:
        programs.pop(key, None)
    for link in change.drop_links:
        links.pop(link, None)
        counts.pop(link, None)
    for chain in change.drop_chains:
        chains.pop(chain, None)
    return Snapshot(
        revision=revision, programs=programs, links=links, chains=dict(sorted(chains.items())), counts=counts
    )


def write(transaction: sqlite3.Connection, change: steps.StoreChange) -> Mapping[model.LinkId, model.Counts]:
    """Write everything; the new totals of the links in ``add_counts``."""
    # Referred-to rows first on the way in, last on the way out; an upsert keeps what refers to the row.
    transaction.executemany("INSERT OR IGNORE INTO objects (digest, bytes) VALUES (?, ?)", change.objects.items())
    _upsert(transaction, "programs", "key", rows.PROGRAM_COLUMNS, map(rows.program_row, change.programs))
    transaction.executemany(
        "INSERT OR REPLACE INTO members (program, header, insns, btf) VALUES (?, ?, ?, ?)",
        [rows.member_row(key, one) for key, one in change.members.items()],
    )
    _upsert(transaction, "links", "id", rows.LINK_COLUMNS, map(rows.link_row, change.links))
    _upsert(transaction, "chains", "type, netns, ifindex", rows.CHAIN_COLUMNS, map(rows.chain_row, change.chains))
    totals = add_counts(transaction, change.add_counts)
    transaction.executemany(
        "DELETE FROM chains WHERE type = ? AND netns = ? AND ifindex = ?",
        [(key.type, key.netns, key.ifindex) for key in change.drop_chains],
    )
    transaction.executemany("DELETE FROM links WHERE id = ?", [(id,) for id in change.drop_links])
    transaction.executemany("DELETE FROM programs WHERE key = ?", [(key,) for key in change.drop_programs])
    if change.programs or change.drop_programs or change.objects:
        transaction.execute(
            "DELETE FROM objects WHERE NOT EXISTS (SELECT 1 FROM programs WHERE programs.object = objects.digest)"
        )
    return totals


def _upsert(transaction: sqlite3.Connection, table: str, key: str, columns: str, values: Iterator[rows.Row]) -> None:
    transaction.executemany(_upsert_text(table, key, columns), values)


@functools.cache
def _upsert_text(table: str, key: str, columns: str) -> str:
    names = columns.split(", ")
    keys = key.split(", ")
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys)
    return (
        f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(names))}) "
        f"ON CONFLICT ({key}) DO UPDATE SET {changes}"
    )


def add_counts(
    transaction: sqlite3.Connection, add: Mapping[model.LinkId, model.Counts]
) -> Mapping[model.LinkId, model.Counts]:
    """Add to the totals of links that are there; the new totals."""
    totals: dict[model.LinkId, model.Counts] = {}
    for link, more in add.items():
        known = transaction.execute(
            "SELECT runs, proceeded, stopped FROM links LEFT JOIN counts ON counts.link = links.id WHERE links.id = ?",
            (link,),
        ).fetchone()
        if known is None:
            continue  # a link that is gone, or never came to be, has no totals
        total = more if known[0] is None else rows.counts(known) + more
        transaction.execute(
            "INSERT OR REPLACE INTO counts (link, runs, proceeded, stopped) VALUES (?, ?, ?, ?)",
            rows.counts_row(link, total),
        )
        totals[link] = total
    return totals


def _programs(transaction: sqlite3.Connection) -> Iterator[model.ProgramRecord]:
    return map(rows.program_record, transaction.execute(f"SELECT {rows.PROGRAM_COLUMNS} FROM programs ORDER BY key"))


def _links(transaction: sqlite3.Connection) -> Iterator[model.LinkRecord]:
    return map(rows.link_record, transaction.execute(f"SELECT {rows.LINK_COLUMNS} FROM links ORDER BY id"))


def _chains(transaction: sqlite3.Connection) -> Iterator[model.ChainRecord]:
    found = transaction.execute(f"SELECT {rows.CHAIN_COLUMNS} FROM chains ORDER BY type, netns, ifindex")
    return map(rows.chain_record, found)


def _counts(transaction: sqlite3.Connection) -> dict[model.LinkId, model.Counts]:
    found = transaction.execute("SELECT link, runs, proceeded, stopped FROM counts")
    return {link: rows.counts(row) for link, *row in found}
