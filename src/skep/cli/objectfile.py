"""Read an object file with the rights of the user who runs the command line; the daemon never opens it."""

from __future__ import annotations

import os

from skep import errors, model


def read(path: str) -> bytes:
    """The file's bytes.

    Raises ``NotFound`` (with names in the same directory that look like it), ``Denied``, ``BadObject`` for a directory
    or an empty file, ``Exhausted`` for one over 16 MiB, of which no more than that is read.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(model.MAX_OBJECT_BYTES + 1)
    except FileNotFoundError as error:
        raise errors.NotFound(
            f"no file {path}",
            why="it cannot be opened",
            do="" if (near := _near(path)) else "check the path; it is looked up from the working directory",
            errno=error.errno or 0,
            near=near,
        ) from error
    except PermissionError as error:
        raise errors.Denied(
            f"cannot read {path}",
            why=error.strerror or "",
            do="the file is opened as the user who runs skep",
            errno=error.errno or 0,
        ) from error
    except (OSError, ValueError) as error:
        raise errors.BadObject(
            f"cannot read {path}",
            why=getattr(error, "strerror", None) or str(error),
            do="name an object file that clang -target bpf made",
        ) from error
    if len(data) > model.MAX_OBJECT_BYTES:
        raise errors.Exhausted(
            f"{path} is too large",
            why=f"an object may have {model.MAX_OBJECT_BYTES} bytes (16 MiB)",
            do="strip it: llvm-strip -g removes DWARF and keeps BTF",
        )
    if not data:
        raise errors.BadObject(f"cannot load {path}", why="the file is empty", do="compile it again, or check the path")
    return data


def source(path: str) -> model.FileSource:
    """The path as it is told to others: absolute."""
    return model.FileSource(path=os.path.abspath(path))


def _near(path: str) -> tuple[str, ...]:
    directory, name = os.path.split(path)
    try:
        names = sorted(os.listdir(directory or "."))[:10_000]
    except OSError:
        return ()
    return tuple(os.path.join(directory, near) for near in errors.near_misses(name, names))
