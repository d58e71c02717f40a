"""The notes by which a program or library tells its USDT probes: where each is, its semaphore and its arguments.

Layout: ELF notes of type 3 and owner "stapsdt", as <sys/sdt.h> writes them (sourceware.org/systemtap,
UserSpaceProbeImplementation): three addresses (the probe, the base, the semaphore), then three texts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from skep import errors

OWNER: Final = b"stapsdt\0"
KIND: Final = 3
_HEADER: Final = "III"  # bytes of the owner, bytes of the description, type
_LONGEST_TEXT: Final = 4_096  # bytes of a name or of the arguments
_MOST: Final = 1 << 20  # notes in one file, as many as one uprobe.multi link takes places


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One site of a probe. Addresses as the linker gave them; ``semaphore`` 0: the probe has none.

    ``base``: where ``.stapsdt.base`` was when the note was written; when it is elsewhere now (prelink moves whole
    libraries, and no notes), all addresses are as far off.
    """

    provider: str
    name: str
    address: int
    base: int
    semaphore: int
    arguments: str

    def moved(self, base: int | None) -> Note:
        """With the addresses of today, ``.stapsdt.base`` being at ``base``; None: the file has none."""
        if not base or not self.base or base == self.base:
            return self
        shift = base - self.base
        return Note(
            provider=self.provider,
            name=self.name,
            address=(self.address + shift) % (1 << 64),
            base=base,
            semaphore=(self.semaphore + shift) % (1 << 64) if self.semaphore else 0,
            arguments=self.arguments,
        )


def parse(data: bytes, *, wide: bool = True, order: str = "<") -> Iterator[Note]:
    """The probes in a section of notes; other owners' notes are passed over.

    ``wide``: 64-bit addresses; ``order``: "<" or ">". ``BadObject`` for a note that is cut or damaged.
    """
    header = struct.Struct(order + _HEADER)
    addresses = struct.Struct(order + ("QQQ" if wide else "III"))
    at = found = 0
    while at + header.size <= len(data):
        owner_size, size, kind = header.unpack_from(data, at)
        owner_at = at + header.size
        start = owner_at + _padded(owner_size)
        end = start + size
        if end > len(data):
            raise _damaged("a note reaches beyond its section")
        if kind == KIND and data[owner_at : owner_at + owner_size] == OWNER:
            found += 1
            if found > _MOST:
                raise _damaged(f"it has more than {_MOST} notes")
            if size < addresses.size:
                raise _damaged("a note is too short for its addresses")
            address, base, semaphore = addresses.unpack_from(data, start)
            provider, name, arguments = _texts(data[start + addresses.size : end])
            yield Note(
                provider=provider, name=name, address=address, base=base, semaphore=semaphore, arguments=arguments
            )
        at = start + _padded(size)


def _texts(data: bytes) -> tuple[str, str, str]:
    parts = data.split(b"\0", 3)
    if len(parts) < 4:
        raise _damaged("a note lacks a name")
    provider, name, arguments = parts[:3]
    if not provider or not name or max(map(len, parts[:3])) > _LONGEST_TEXT:
        raise _damaged("a note has an empty or endless name")
    return (
        provider.decode(errors="replace"),
        name.decode(errors="replace"),
        arguments.decode(errors="replace"),
    )


def _padded(size: int) -> int:
    return (size + 3) // 4 * 4


def _damaged(why: str) -> errors.BadObject:
    return errors.BadObject(
        "the file's USDT probes cannot be read", why=why, do="copy the file again, or probe a function or an offset"
    )
