"""Applications out of YAML and JSON files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from skep import errors
from skep.kube import resources

MAX_BYTES = 3 * 1024 * 1024
"""What an API server takes."""
T = TypeVar("T")


def read(paths: Iterable[str]) -> tuple[resources.Application, ...]:
    """The applications of some files, "-" being standard input. Errors name the file and the document in it."""
    return tuple(_each(paths, resources.read, lambda application: application.key))


def keys(paths: Iterable[str]) -> tuple[str, ...]:
    """The keys of the applications of some files, whose specs may be wrong."""
    return tuple(_each(paths, resources.key, lambda key: key))


def _each(paths: Iterable[str], read: Callable[[object], T], key: Callable[[T], str]) -> Iterator[T]:
    places: dict[str, str] = {}
    for path in paths:
        documents = _documents(path, data(path, MAX_BYTES))
        if not documents:
            raise errors.InvalidRequest(f"{path} holds no object", do="write one, as in deploy/samples")
        for number, document in enumerate(documents, 1):
            where = path if len(documents) == 1 else f"{path}, document {number}"
            try:
                found = read(document)
            except errors.InvalidRequest as error:
                raise errors.InvalidRequest(
                    f"{where}: {error.what}", why=error.why, do=error.do or "correct the object"
                ) from error
            if key(found) in places:
                raise errors.InvalidRequest(
                    f"{where}: {key(found)} is there twice",
                    why=f"the other is in {places[key(found)]}",
                    do="rename one of them",
                )
            places[key(found)] = where
            yield found


def data(path: str, most: int) -> bytes:
    """What a file holds, "-" being standard input. Errors: Exhausted (more than ``most`` bytes), NotFound, Denied."""
    shown = "standard input" if path == "-" else path
    try:
        if path == "-":
            found = sys.stdin.buffer.read(most + 1)
        else:
            with open(path, "rb") as stream:
                found = stream.read(most + 1)
    except FileNotFoundError as error:
        raise errors.NotFound(f"no file {path}", do="check the path", errno=error.errno or 0) from error
    except PermissionError as error:
        raise errors.Denied(
            f"cannot read {shown}", why=error.strerror or "", do="the file is opened as the user who runs skep"
        ) from error
    except OSError as error:
        raise errors.InvalidRequest(
            f"cannot read {shown}", why=error.strerror or str(error), do="name a YAML or JSON file"
        ) from error
    if len(found) > most:
        raise errors.Exhausted(f"{shown} is too large", why=f"it may have {most >> 20} MiB", do="split it")
    return found


def _documents(path: str, data: bytes) -> list[Any]:  # Any: parsed YAML
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        found = [document for document in yaml.load_all(data, Loader=loader) if document is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise errors.InvalidRequest(
            f"{path} is neither YAML nor JSON", why=" ".join(str(error).split()), do="correct it"
        ) from error
    documents = []
    for document in found:
        if isinstance(document, dict) and document.get("kind") == "List" and isinstance(document.get("items"), list):
            documents += document["items"]
        else:
            documents.append(document)
    return documents
