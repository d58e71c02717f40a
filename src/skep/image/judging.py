"""Has signatures judged by a process without rights, and takes its word: the other side of ``child_judge``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from skep import errors
from skep.image import fetcher
from skep.policy.images import Root
from skep.trust import verdict
from skep.trust.piece import Piece
from skep.trust.refused import Refused
from skep.trust.verdict import Verdict
from skep.trust.wanted import Identity, KeyFile, LogUse, Pattern, Wanted

MEMORY: Final = 512 << 20
SECONDS: Final = 60.0
MOST_BYTES: Final = 64 << 20
"""Bytes of all signatures of an image together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be judged: ``pieces`` about ``image``, by ``wanted`` and ``root``."""

    image: str
    pieces: tuple[Piece, ...]
    wanted: Wanted
    root: Root | None


def judge_apart(request: Request, now: datetime) -> Verdict:
    """The verdict. Raises InvalidRequest for a key or root that is none, Unavailable when the process died."""
    if sum(len(each.data) for each in request.pieces) > MOST_BYTES:
        raise errors.Exhausted(
            f"the signatures of {request.image} are too large",
            why=f"all of them together may have {MOST_BYTES} bytes",
            do="remove old signatures",
        )
    head, data = pack(request)
    with fetcher.Process("skep.image.child_judge", ("cryptography",), None, MEMORY, SECONDS) as process:
        process.send({**head, "now": now.isoformat()}, data)
        answer, _ = process.receive()
    found = answer.get("verdict")
    try:
        return verdict.unpack(found if isinstance(found, dict) else {}, request.image)
    except Refused as error:
        raise errors.Unavailable(
            "the signatures could not be judged", why=error.why, do="see the log, and report it as a bug of skep"
        ) from error


def pack(request: Request) -> tuple[dict[str, Any], bytes]:  # Any: JSON
    """The request as it goes through the socket."""
    wanted = request.wanted
    head = {
        "image": request.image,
        "root": None if request.root is None else {"path": request.root.path, "size": len(request.root.data)},
        "keys": [{"name": each.name, "size": len(each.pem)} for each in wanted.keys],
        "identities": [
            [each.subject.text, each.subject.regular, each.issuer.text, each.issuer.regular]
            for each in wanted.identities
        ],
        "log": wanted.log,
        "predicates": sorted(wanted.predicates),
        "pieces": [
            {
                "digest": each.digest,
                "source": each.source,
                "media_type": each.media_type,
                "annotations": dict(each.annotations),
                "size": len(each.data),
            }
            for each in request.pieces
        ],
    }
    root = b"" if request.root is None else request.root.data
    return head, root + b"".join(each.pem for each in wanted.keys) + b"".join(each.data for each in request.pieces)


def unpack(head: dict[str, Any], data: bytes) -> Request:
    """What ``pack`` packed."""
    sizes = iter(_cut(head, data))
    root = None if head["root"] is None else Root(path=head["root"]["path"], data=next(sizes))
    keys = tuple(KeyFile(name=each["name"], pem=next(sizes)) for each in head["keys"])
    identities = tuple(
        Identity(subject=Pattern(text=name, regular=loose), issuer=Pattern(text=issuer, regular=also))
        for name, loose, issuer, also in head["identities"]
    )
    return Request(
        image=head["image"],
        root=root,
        wanted=Wanted(
            keys=keys,
            identities=identities,
            log=None if head["log"] is None else LogUse(head["log"]),
            predicates=frozenset(head["predicates"]),
        ),
        pieces=tuple(
            Piece(
                digest=each["digest"],
                source=each["source"],
                media_type=each["media_type"],
                annotations=each["annotations"],
                data=next(sizes),
            )
            for each in head["pieces"]
        ),
    )


def _cut(head: dict[str, Any], data: bytes) -> Iterator[bytes]:
    """The bytes of the root, of each key and of each piece."""
    parts = [*([head["root"]] if head["root"] is not None else []), *head["keys"], *head["pieces"]]
    start = 0
    for part in parts:
        yield data[start : start + part["size"]]
        start += part["size"]
