"""The object files that an image is made of: which file is for which platform."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from skep import errors
from skep.cli import objectfile

BY_PLATFORM = (
    "--bc-386-el", "--bc-amd64-el", "--bc-arm-el", "--bc-arm64-el", "--bc-loong64-el", "--bc-mips-eb",
    "--bc-mipsle-el", "--bc-mips64-eb", "--bc-mips64le-el", "--bc-ppc64-eb", "--bc-ppc64le-el", "--bc-riscv64-el",
    "--bc-s390x-eb",
)  # fmt: skip
"""bpfman 0.5's options of ``image build``, each for a file of one platform."""

if TYPE_CHECKING:
    from skep.bytecode.elf import ByteOrder
    from skep.image import making
    from skep.image.manifest import Platform


def parts(words: Sequence[str], directory: str | None) -> tuple[tuple[making.Part, bool], ...]:
    """Each object with its platform, and whether that was told.

    ``words``: "FILE" or "linux/arm64=FILE"; ``directory``: one with what cilium's bpf2go wrote. A single file of which
    nobody says what it is for is for every machine of its byte order. InvalidRequest, and what ``objectfile.read``
    raises.
    """
    found = [_told(word) for word in words] + [_named(path) for path in _written_by_bpf2go(directory)]
    if not found:
        raise errors.InvalidRequest(
            "nothing to build", why="no object file was given", do="name one: skep image build IMAGE FILE"
        )
    silent = [part.name for part, told in found if not told]
    if silent and len(found) > 1:
        raise errors.InvalidRequest(
            f"no platform for {silent[0]}",
            why="several files make an image for several platforms, and BPF bytecode does not tell its own",
            do=f"say it: linux/amd64={silent[0]}",
        )
    return tuple(found)


def in_bpfmans_words(
    image: str | None, files: tuple[str, ...], older: Mapping[str, str | None]
) -> tuple[str, tuple[str, ...]]:
    """Image and files, said as they are now or with bpfman 0.5's options. InvalidRequest when no image is named."""
    if older["tag"] is not None:
        files = (*((image,) if image is not None else ()), *files)
        image = older["tag"]
    if image is None:
        raise errors.InvalidRequest(
            "the image has no name", why="nothing says where it goes", do="name it: skep image build IMAGE FILE"
        )
    named = [(option, older[option[2:].replace("-", "_")]) for option in BY_PLATFORM]
    given = [f"{option.split('-')[3]}={path}" for option, path in named if path is not None]
    single = older["bytecode_file"]
    return image, (*files, *((single,) if single is not None else ()), *given)


def _told(word: str) -> tuple[making.Part, bool]:
    """One argument."""
    from skep.image import platforms

    architecture, equals, path = word.partition("=")
    if equals and not os.path.exists(word):
        platform, order = platforms.by_architecture(architecture)
        return _part(path, platform, order), True
    return _named(word)


def _named(path: str) -> tuple[making.Part, bool]:
    """A file whose name may tell what it is for."""
    from skep.image import platforms
    from skep.image.manifest import Platform

    found = platforms.by_file_name(os.path.basename(path))
    if found is not None:
        return _part(path, *found), True
    data = objectfile.read(path)
    generic = "bpfeb" if data[5:6] == b"\x02" else "bpfel"  # EI_DATA
    return _part(path, Platform(os="linux", architecture=generic), platforms.GENERIC[generic]), False


def _part(path: str, platform: Platform, order: ByteOrder) -> making.Part:
    from skep.image import making

    return making.Part(platform=platform, order=order, name=os.path.basename(path), data=objectfile.read(path))


def _written_by_bpf2go(directory: str | None) -> list[str]:
    """The objects below a directory whose names tell a byte order. NotFound when there is none."""
    if directory is None:
        return []
    from skep.image import platforms

    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        raise errors.NotFound(
            f"cannot read {directory}", why=error.strerror or "", do="check the path", errno=error.errno or 0
        ) from error
    found = [name for name in names if name.endswith(".o") and platforms.by_file_name(name) is not None]
    if not found:
        raise errors.NotFound(
            f"{directory} has no object that bpf2go wrote",
            why="their names end like count_x86_bpfel.o",
            do="name the files themselves: linux/amd64=FILE",
        )
    return [os.path.join(directory, name) for name in found]
