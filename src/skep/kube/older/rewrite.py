"""Files with objects of older kinds -> the same files with current ones: text in, text out.

A file is taken apart at its ``---`` lines. What holds no older object stays as it is, to the letter; what does is
written anew, behind the comments that it began with.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from skep import errors
from skep.kube import crd, kinds
from skep.kube.older import kinds as older
from skep.kube.older import translate

_BEGINNING: Final = re.compile(r"^---(?=\s|$)", re.MULTILINE)
"""Where a document begins; at the beginning of a line it means that even within a text."""
_COMMENTS: Final = re.compile(r"\A(---[ \t]*(?:#.*)?\r?\n)?((?:[ \t]*(?:#.*)?\r?\n)*)")
_APPLICATIONS: Final = {(kind.api_version, kind.name) for kind in (kinds.CLUSTER_APPLICATION, kinds.APPLICATION)}
_VIEWS: Final = {(kind.api_version, kind.name) for kind in older.VIEWS}


class _Loader(yaml.SafeLoader):
    """Leaves times as they are written: Kubernetes has no others than texts."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:timestamp"]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(slots=True)
class Seen:
    """The applications of all files so far, by kind, namespace and name: where each is, and whether it was made."""

    places: dict[tuple[str, str, str], tuple[str, bool]] = field(default_factory=dict)

    def add(self, document: Mapping[str, Any], where: str, *, made: bool) -> None:  # Any: JSON
        """InvalidRequest if what was made of an older object has the name of another."""
        about = document["metadata"]
        key = (str(document["kind"]), str(about.get("namespace", "")), str(about.get("name")))
        other, other_made = self.places.setdefault(key, (where, made))
        if other != where and (made or other_made):
            raise errors.InvalidRequest(
                f"{where}: {key[0]} {key[2]} is there twice",
                why=f"the other is in {other}; kinds that were apart are one kind now",
                do="rename one of them",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """A file as it is to be. ``done``: what became what; ``notes``: what could not be carried. ``problems``: what is
    wrong; ``text`` is of no use then."""

    text: str
    done: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[errors.InvalidRequest, ...] = ()


def rewrite(path: str, text: str, seen: Seen) -> Rewritten:
    """The file with every older object made a current one."""
    work = _Rewriting(path, seen)
    chunks = _chunks(text)
    work.several = sum(1 for chunk in chunks if _COMMENTS.sub("", chunk).strip()) > 1
    made = "".join(work.chunk(chunk) for chunk in chunks)
    return Rewritten(
        text=made, done=tuple(work.done), notes=tuple(work.notes), problems=tuple(work.problems)
    )  # fmt: skip


def _chunks(text: str) -> list[str]:
    starts = [match.start() for match in _BEGINNING.finditer(text)]
    edges = [0, *(start for start in starts if start), len(text)]
    return [text[begin:end] for begin, end in itertools.pairwise(edges)]


@dataclass(slots=True)
class _Rewriting:
    path: str
    seen: Seen
    several: bool = False
    number: int = 0
    done: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[errors.InvalidRequest] = field(default_factory=list)

    def chunk(self, text: str) -> str:
        """A part of the file as it is to be."""
        try:
            found = list(yaml.load_all(text, Loader=_Loader))
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            self.number += 1
            self._wrong(f"{self._where()} is neither YAML nor JSON", " ".join(str(error).split()), "correct it")
            return text
        found = [document for document in found if document is not None]
        if not found:
            return text
        made = []
        for document in found:
            self.number += 1
            made.append(self._document(document))
        if all(new is old for new, old in zip(made, found, strict=True)):
            return text
        try:
            return _written(text, [document for document in made if document is not None])
        except RecursionError:
            self._wrong(f"{self._where()} is within itself", "an alias is part of what it stands for", "write it out")
            return text

    def _document(self, document: object, place: str = "") -> object:
        """The document as it is to be: itself if it is to stay, None if it is to go."""
        where = self._where() + place
        if not isinstance(document, Mapping):
            return document
        if document.get("kind") == "List" and isinstance(document.get("items"), list):
            items = [
                self._document(item, f"{place}, item {number}") for number, item in enumerate(document["items"], 1)
            ]
            if all(new is old for new, old in zip(items, document["items"], strict=True)):
                return document
            return {**document, "items": [item for item in items if item is not None]}
        named = (document.get("apiVersion"), document.get("kind"))
        if named in _VIEWS:
            self.done.append(f"{where}: {_name(document)} left out: the operator writes it")
            return None
        try:
            if older.of(document) is None:
                if named in _APPLICATIONS and isinstance(document.get("metadata"), Mapping):
                    self.seen.add(document, where, made=False)
                return document
            made = translate.translate(document)
            new = _as_file(document, made)
            self.seen.add(new, where, made=True)
        except errors.InvalidRequest as error:
            told = error.what if error.what.startswith(where) else f"{where}: {error.what}"
            self._wrong(told, error.why, error.do)
            return document
        self.done.append(f"{where}: {_name(document)} -> {made.kind} {made.name}")
        self.notes += [f"{where}: {note}" for note in (*_moved(document, made), *made.notes)]
        return new

    def _where(self) -> str:
        return f"{self.path}, document {self.number}" if self.several else self.path

    def _wrong(self, what: str, why: str, do: str) -> None:
        self.problems.append(errors.InvalidRequest(what, why=why, do=do or "correct the object"))


def _written(text: str, documents: list[object]) -> str:
    """Documents in the form of what they were written as."""
    try:
        json.loads(text)
    except ValueError:
        pass
    else:
        return "".join(json.dumps(document, indent=2) + "\n" for document in documents)
    found = _COMMENTS.match(text)
    assert found is not None  # it matches the empty text too
    beginning = found.group(1) or ("---\n" if text.startswith("---") else "")
    comments = found.group(2)
    if not documents:
        return ""
    return beginning + comments + "---\n".join(map(crd.as_yaml, documents))


def _name(document: Mapping[str, Any]) -> str:  # Any: JSON
    about = document.get("metadata")
    name = about.get("name") if isinstance(about, Mapping) else None
    return f"{document['kind']} {name or '(without a name)'}"


def _as_file(document: Mapping[str, Any], made: translate.Translated) -> dict[str, Any]:  # Any: JSON
    """The object as a file has it: whoever left its namespace to kubectl still does."""
    about = dict(made.document["metadata"])
    if not document["metadata"].get("namespace"):
        about.pop("namespace", None)
    return {**made.document, "metadata": about}


def _moved(document: Mapping[str, Any], made: translate.Translated) -> tuple[str, ...]:  # Any: JSON
    namespace = document["metadata"].get("namespace")
    if namespace and made.namespace is None:
        return (f"the namespace {namespace} is left out: a {made.kind} is cluster-wide",)
    return ()
