"""The object in an image's layers: gzip and tar of strangers, read with limits. Nothing here touches a file.

A layer is a tar archive, gzipped or not, with one object file at its root; or, in artifacts, the object itself, gzipped
or not. What does not look like that is refused, never repaired.
"""

from __future__ import annotations

import io
import struct
import sys
import tarfile
import zlib
from collections.abc import Iterator
from typing import Final

from skep import errors

MOST_UNPACKED: Final = 64 << 20
"""Bytes of one layer once it is decompressed."""
MOST_OBJECT: Final = 16 << 20
"""Bytes of an object, as for one that is loaded from a file."""
MOST_MEMBERS: Final = 1024
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_ELF: Final = b"\x7fELF"
_HEAD: Final = struct.Struct("=4sBB10xHH")
_CLASS_64, _REL, _BPF = 2, 1, 247
"""ELFCLASS64, ET_REL, EM_BPF (elf.h)."""
_PIECE: Final = 1 << 20


def object_of(layers: list[bytes], filename: str = "") -> bytes:
    """The one object in the layers. ``filename``: which one the image's older label names. BadObject, Exhausted."""
    found = [each for layer in layers for each in candidates(layer)]
    if filename and len(found) > 1:
        found = [each for each in found if each[0] == filename.rpartition("/")[2]] or found
    if not found:
        raise _bad("there is no object file at the root of its layer", "build it with one .o file in /")
    if len(found) > 1:
        names = ", ".join(sorted(name for name, _ in found)[:10])
        raise _bad(f"it holds {len(found)} object files: {names}", "build one image for each, or link them into one")
    name, data = found[0]
    _check_elf(name, data)
    return data


def candidates(layer: bytes) -> list[tuple[str, bytes]]:
    """Name and bytes of everything in a layer that could be the object; the name is "" for a bare one."""
    if layer.startswith(_ZSTD):
        raise errors.BadObject(
            "the image's layer is compressed with zstd",
            why="skep reads gzip and plain tar",
            do="build it with compression=gzip",
        )
    data = _gunzip(layer) if layer.startswith(_GZIP) else layer
    if data.startswith(_ELF):
        _check_size("the object", len(data))
        return [("", data)]
    regular = list(_files(data))
    named = [each for each in regular if each[0].endswith(".o")]
    return named or [each for each in regular if each[1].startswith(_ELF)]


def _gunzip(layer: bytes) -> bytes:
    """All members of a gzip file (RFC 1952), and nothing after them."""
    out, rest = bytearray(), layer
    while rest:
        inflate = zlib.decompressobj(wbits=31)
        try:
            while not inflate.eof:
                piece = inflate.decompress(rest, _PIECE)
                out += piece
                if len(out) > MOST_UNPACKED:
                    raise _too_large("the layer", MOST_UNPACKED)
                rest = inflate.unconsumed_tail
                if not piece and not rest and not inflate.eof:
                    raise _bad("its layer ends in the middle", "push it again")
        except zlib.error as error:
            raise _bad(f"its layer is not gzip: {error}", "push it again") from None
        rest = inflate.unused_data.lstrip(b"\0")
    return bytes(out)


def _files(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Regular files at the root of a tar archive. Refuses an archive with anything that no bytecode image needs."""
    if len(data) < tarfile.BLOCKSIZE:
        raise _bad("its layer is neither tar nor an object", "build it with one .o file in /")
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:", errorlevel=2) as archive:
            for number, member in enumerate(archive):
                if number >= MOST_MEMBERS:
                    raise _bad(f"its layer has more than {MOST_MEMBERS} files", "build it with one .o file in /")
                name = _checked(member)
                if not name or "/" in name:
                    continue
                if name.endswith(".o"):
                    _check_size(name, member.size)
                if member.size > MOST_OBJECT:
                    continue
                file = archive.extractfile(member)
                content = b"" if file is None else file.read(MOST_OBJECT + 1)
                if len(content) != member.size:
                    raise _bad(f"{name} ends in the middle", "push it again")
                yield name, content
    except (tarfile.TarError, ValueError, OverflowError, EOFError, OSError, IndexError, RecursionError) as error:
        raise _bad(f"its layer is not a sound tar archive: {str(error)[:120]}", "build and push it again") from None


def _checked(member: tarfile.TarInfo) -> str:
    """The path of a regular file without "./"; "" for a directory."""
    shown = "".join(each if each.isprintable() else "?" for each in member.name[:100])
    parts = member.name.split("/")
    if member.name.startswith("/") or ".." in parts:
        raise _bad(f"the path {shown!r} leads out of its layer", "build it again without such a path")
    if member.isdir():
        return ""
    if member.issparse() or member.type == tarfile.GNUTYPE_SPARSE:
        raise _bad(f"{shown!r} is a sparse file of {member.size} bytes", "build it again from a plain file")
    if not member.isreg():
        kind = "link" if member.issym() or member.islnk() else "device, FIFO or something unknown"
        raise _bad(f"{shown!r} is a {kind}", "build it with regular files only")
    if member.size < 0:
        raise _bad(f"{shown!r} has a size below nothing", "build and push it again")
    return "/".join(part for part in parts if part not in ("", "."))


def _check_elf(name: str, data: bytes) -> None:
    """What the loader would refuse later, in words about the image."""
    shown = name or "its layer"
    if len(data) < _HEAD.size or not data.startswith(_ELF):
        raise _bad(f"{shown} is not an ELF file", "build it with what clang -target bpf makes")
    _, elf_class, order, kind, machine = _HEAD.unpack_from(data)
    ours = 1 if sys.byteorder == "little" else 2
    if order in (1, 2) and order != ours:
        other = "big" if ours == 1 else "little"
        raise _bad(
            f"{shown} is for {other}-endian machines",
            f"compile it with -target {'bpfel' if ours == 1 else 'bpfeb'}, or build an image for several platforms",
        )
    if elf_class != _CLASS_64 or kind != _REL or machine != _BPF:
        raise _bad(f"{shown} is not BPF (machine {machine}, type {kind})", "build it with what clang -target bpf makes")


def _check_size(name: str, size: int) -> None:
    if size > MOST_OBJECT:
        raise _too_large(name, MOST_OBJECT)


def _too_large(what: str, most: int) -> errors.Exhausted:
    return errors.Exhausted(
        f"{what} of the image is too large",
        why=f"{most} bytes are allowed",
        do="strip the object before the image is built: llvm-strip -g FILE",
    )


def _bad(why: str, do: str) -> errors.BadObject:
    return errors.BadObject("the image cannot be used", why=why, do=do)
