"""One look at store, kernel and pins, from which every list is made; and how a record is recognised in the kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skep import model, paths, store
from skep.kernel import door


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Records, programs in the kernel and the pins of our programs, of (nearly) one moment."""

    records: store.Snapshot
    boot: model.Boot
    pins: paths.Pins
    kernel: Mapping[model.ProgramId, model.KernelProgram]
    pinned: frozenset[str]

    def status(self, record: model.ProgramRecord) -> model.ProgramStatus:
        """What has become of a record."""
        return status(record, self.kernel.get(record.id), self.boot, pinned=record.pin in self.pinned)


def look(kernel: door.Kernel, remembered: store.Store, pins: paths.Pins) -> Seen:
    """Look at everything once: one enumeration of programs and one directory listing, however many programs."""
    # The store first: what is committed later cannot be missing in the kernel then; at worst it looks foreign.
    records = remembered.snapshot()
    return Seen(
        records=records,
        boot=kernel.boot(),
        pins=pins,
        kernel={one.id: one for one in kernel.programs()},
        pinned=frozenset(kernel.pins(pins.directory("progs"))),
    )


def status(
    record: model.ProgramRecord, found: model.KernelProgram | None, boot: model.Boot, *, pinned: bool
) -> model.ProgramStatus:
    """Whether the program with the record's id is the recorded one: an id alone proves nothing, since ids start anew
    at every boot. Identity is boot, tag and load time."""
    if record.boot_id != boot.boot_id:
        return model.ProgramStatus(kernel=None, pin_present=pinned, stale="loaded before the last reboot")
    if found is None:
        return model.ProgramStatus(kernel=None, pin_present=pinned, stale="not in the kernel any more")
    if (found.tag, found.loaded_at_ns) != (record.tag, record.loaded_at_ns):
        return model.ProgramStatus(kernel=None, pin_present=pinned, stale="its id belongs to another program now")
    return model.ProgramStatus(kernel=found, pin_present=pinned)
