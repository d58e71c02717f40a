"""Reading counter maps: per-CPU arrays of u64, summed over CPUs."""

from __future__ import annotations

import ctypes
import errno
import struct

from skep import errors, model
from skep.kernel import abi, bpffs, cpus, observe, refused, sys


def read(pins: bpffs.Bpffs, counts: model.MapPin) -> tuple[int, ...]:
    """One sum per slot. ``NotFound``: the pin is gone; ``Broken``: it is another kind of map."""
    with sys.held(pins.need(counts)) as fd:
        try:
            seen = observe.Maps().read(fd)
            if seen.type != abi.MAP_TYPE_PERCPU_ARRAY or seen.value_size != 8:
                raise OSError(errno.EINVAL, "")
            values = ctypes.create_string_buffer(8 * cpus.possible())
            layout = struct.Struct(f"={len(values) // 8}Q")
            sums: list[int] = []
            for slot in range(seen.max_entries):
                sys.map_lookup(fd, struct.pack("=I", slot), values)
                sums.append(sum(layout.unpack(values)))
            return tuple(sums)
        except OSError as refusal:
            raise errors.Broken(
                f"{counts} cannot be read as counters",
                why=refused.explain(refusal.errno or 0),
                do="see `skep doctor`",
                errno=refusal.errno or 0,
            ) from refusal


def create(pins: bpffs.Bpffs, counts: model.MapPin, slots: int) -> None:
    """Make a counter map and pin it."""
    try:
        fd = sys.map_create(abi.MAP_TYPE_PERCPU_ARRAY, 4, 8, slots, name="skep_counts")
    except OSError as refusal:
        raise refused.general(f"cannot make a counter map of {slots} slots", refusal) from refusal
    with sys.held(fd):
        pins.pin(fd, counts)
