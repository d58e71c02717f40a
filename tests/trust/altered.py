"""Real signatures, as the tools made them, and what becomes of them when one thing is changed."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from skep.trust.judge import judge
from skep.trust.piece import Piece
from skep.trust.root import read_root
from skep.trust.tagged import BUNDLE
from skep.trust.verdict import Seen
from skep.trust.wanted import Wanted

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """One signature of an image, the root that it is checked against, and whose it has to be."""

    piece: Piece
    root: Json | None
    wanted: Wanted
    now: datetime

    def verify(self) -> Seen:
        """Who signed it. Raises ``Refused``."""
        root = None if self.root is None else read_root(json.dumps(self.root).encode(), "root")
        return judge("image", (self.piece,), self.wanted, root, self.now).require()

    def bundle(self, change: Callable[[Json], object]) -> Signed:
        """With the bundle changed."""
        fields = json.loads(self.piece.data)
        change(fields)
        return replace(self, piece=replace(self.piece, data=json.dumps(fields).encode()))

    def entry(self, change: Callable[[Json], object]) -> Signed:
        """With the bundle's log entry changed."""
        return self.bundle(lambda fields: change(fields["verificationMaterial"]["tlogEntries"][0]))

    def trusting(self, change: Callable[[Json], object]) -> Signed:
        """With the root changed."""
        root = copy.deepcopy(self.root)
        assert root is not None
        change(root)
        return replace(self, root=root)

    def note(self, name: str, change: Callable[[str], str]) -> Signed:
        """With one annotation of a signature below a tag changed."""
        notes = {**self.piece.annotations, name: change(self.piece.annotations[name])}
        return replace(self, piece=replace(self.piece, annotations=notes))

    def log_note(self, change: Callable[[Json], object]) -> Signed:
        """With what the log said of a signature below a tag changed."""

        def changed(text: str) -> str:
            fields = json.loads(text)
            change(fields)
            return json.dumps(fields)

        return self.note(BUNDLE, changed)


def flipped(fields: Json, name: str, at: int = -1) -> None:
    """One bit of a field in base64."""
    data = bytearray(base64.b64decode(fields[name]))
    data[at] ^= 1
    fields[name] = base64.b64encode(data).decode()


def flipped_text(text: str) -> str:
    """One bit of a text in base64."""
    fields = {"text": text}
    flipped(fields, "text", at=12)
    return fields["text"]


def inside(fields: Json, *path: str | int) -> Any:
    """What is at a path."""
    value: Any = fields
    for step in path:
        value = value[step]
    return value
