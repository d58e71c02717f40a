"""What skep remembers, in one SQLite file: records, object files, counters, pending plans and history."""

from __future__ import annotations

from skep.store.sqlite import Ids, Snapshot, Store

__all__ = ["Ids", "Snapshot", "Store"]
