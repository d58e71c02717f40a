"""What skep remembers, in one SQLite file: records, object files, counters, pending plans and history."""

from __future__ import annotations

from skep.store.change import Snapshot
from skep.store.sqlite import Ids, Store

__all__ = ["Ids", "Snapshot", "Store"]
