"""Errors as gRPC statuses and back: one table of codes, one detail message.

A failed call carries a code, a text for people (with the last lines of a verifier's log), and in its trailing metadata
a ``google.rpc.Status`` with an ``ErrorDetail``, from which ``Client`` rebuilds the same exception.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from skep import errors
from skep.pb import skep_pb2

CODES: dict[type[errors.SkepError], str] = {
    errors.SkepError: "INTERNAL",
    errors.InvalidRequest: "INVALID_ARGUMENT",
    errors.BadObject: "INVALID_ARGUMENT",
    errors.Rejected: "INVALID_ARGUMENT",
    errors.NotFound: "NOT_FOUND",
    errors.AlreadyExists: "ALREADY_EXISTS",
    errors.Conflict: "FAILED_PRECONDITION",
    errors.MapsDiffer: "FAILED_PRECONDITION",
    errors.Denied: "PERMISSION_DENIED",
    errors.Untrusted: "PERMISSION_DENIED",
    errors.Unsupported: "UNIMPLEMENTED",
    errors.Exhausted: "RESOURCE_EXHAUSTED",
    errors.Busy: "DEADLINE_EXCEEDED",
    errors.Unavailable: "UNAVAILABLE",
    errors.Broken: "INTERNAL",
}
"""Class of the error -> name of its ``grpc.StatusCode``: the one place where the two meet."""

_BY_KIND = {kind.__name__: kind for kind in CODES}
_BY_CODE: dict[str, type[errors.SkepError]] = {
    "INVALID_ARGUMENT": errors.InvalidRequest,
    "OUT_OF_RANGE": errors.InvalidRequest,
    "NOT_FOUND": errors.NotFound,
    "ALREADY_EXISTS": errors.AlreadyExists,
    "FAILED_PRECONDITION": errors.Conflict,
    "ABORTED": errors.Conflict,
    "PERMISSION_DENIED": errors.Denied,
    "UNAUTHENTICATED": errors.Denied,
    "RESOURCE_EXHAUSTED": errors.Exhausted,
    "DEADLINE_EXCEEDED": errors.Busy,
    "CANCELLED": errors.Unavailable,
    "UNAVAILABLE": errors.Unavailable,
}
"""For a failed call without detail: an older daemon, another server, or gRPC itself."""

DETAILS_KEY = "grpc-status-details-bin"
"""Where gRPC keeps a ``google.rpc.Status``."""
WAIT_KEY = "skep-wait-ms"
"""Request metadata: how long the call may wait for other writers, in milliseconds, or ``FOREVER``."""
FOREVER = "forever"
LOG_KEY = "skep-log-bytes"
"""Request metadata: how many bytes of compressed verifier log the client takes."""
LOG_BYTES = 1024 * 1024
"""The most of it that is ever sent."""
_SMALL_LOG_BYTES = 1536
"""For clients that say nothing: gRPC refuses trailing metadata above 8 KiB by default, and base64 adds a third."""
_TEXT_BYTES = 1024
_MESSAGE_BYTES = 3072
_LOG_LINES = 12
_TYPE_URL = "type.googleapis.com/skep.v1.ErrorDetail"


def code(error: errors.SkepError) -> str:
    """The name of the status code of an error: that of its nearest class in ``CODES``."""
    for kind in type(error).__mro__:
        if kind in CODES:
            return CODES[kind]
    return CODES[errors.SkepError]


def message(error: errors.SkepError) -> str:
    """The text for people: what, why, do, and the end of the verifier's log, as short as metadata must be."""
    text = str(error)
    lines = [line for line in error.log.splitlines() if line.strip()][-_LOG_LINES:]
    if lines and lines[-1] not in text:
        text += "\n" + "\n".join(lines)
    return _cut(text, _MESSAGE_BYTES)


def details(error: errors.SkepError, status: int, text: str, log_bytes: int | None) -> bytes:
    """The value of ``DETAILS_KEY``. ``log_bytes`` is what the client announced, None when it did not."""
    log, cut = _compress(error.log, _SMALL_LOG_BYTES if log_bytes is None else min(log_bytes, LOG_BYTES))
    limit = _TEXT_BYTES if log_bytes is None else 16 * _TEXT_BYTES
    detail = skep_pb2.ErrorDetail(
        kind=_kind(error),
        what=_cut(error.what, limit),
        why=_cut(error.why, limit),
        do=_cut(error.do, limit),
        errno=error.errno,
        near=error.near if isinstance(error, errors.NotFound) else (),
        feature=error.feature if isinstance(error, errors.Unsupported) else "",
        first=error.first if isinstance(error, errors.Unsupported) else "",
        log_zlib=log,
        log_cut=cut,
    )
    packed = skep_pb2.PackedDetail(type_url=_TYPE_URL, value=detail.SerializeToString())
    short = text if log_bytes is not None else ""  # the status line says it already
    return skep_pb2.StatusDetails(code=status, message=short, details=[packed]).SerializeToString()


def restore(name: str, text: str, metadata: Iterable[tuple[str, bytes]]) -> errors.SkepError:
    """The exception that the daemon raised, out of a failed call's code, text and trailing metadata."""
    for key, value in metadata:
        if key == DETAILS_KEY:
            found = _from_details(value)
            if found is not None:
                return found
    text = text or "the daemon gave no reason"
    if name == "UNIMPLEMENTED":
        return errors.Unsupported(text, feature="this call", do="use a client and a daemon of the same release")
    kind = _BY_CODE.get(name, errors.Broken)
    if kind is errors.Unavailable:
        return errors.Unavailable("the daemon does not answer", why=text, do="look at its log, then try again")
    if name == "DEADLINE_EXCEEDED":
        return errors.Busy("the daemon did not answer in time", why=text, do="try again, with a longer deadline")
    return kind(text)


def _from_details(value: bytes) -> errors.SkepError | None:
    from google.protobuf.message import DecodeError

    try:
        status = skep_pb2.StatusDetails.FromString(value)
        for packed in status.details:
            if packed.type_url == _TYPE_URL:
                return _rebuild(skep_pb2.ErrorDetail.FromString(packed.value))
    except (DecodeError, zlib.error):
        return None
    return None


def _rebuild(detail: skep_pb2.ErrorDetail) -> errors.SkepError:
    kind = _BY_KIND.get(detail.kind, errors.SkepError)
    what, why, do = detail.what, detail.why, detail.do
    if issubclass(kind, errors.NotFound):
        return kind(what, why=why, do=do, errno=detail.errno, near=tuple(detail.near))
    if issubclass(kind, errors.Unsupported):
        return kind(what, feature=detail.feature, first=detail.first, why=why, do=do, errno=detail.errno)
    log = zlib.decompress(detail.log_zlib).decode(errors="replace") if detail.log_zlib else ""
    if detail.log_cut:
        log = "[the beginning is missing: the log was too long to send]\n" + log
    return kind(what, why=why, do=do, errno=detail.errno, log=log)


def _kind(error: errors.SkepError) -> str:
    return next((kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _BY_KIND), "SkepError")


def _compress(log: str, limit: int) -> tuple[bytes, bool]:
    """A log compressed to at most ``limit`` bytes: whole, or its end and True."""
    raw, cut = log.encode(), False
    while raw:
        packed = zlib.compress(raw, 1)
        if len(packed) <= limit:
            return packed, cut
        keep = min(len(raw) * limit // len(packed), len(raw) * 3 // 4)
        raw, cut = raw[len(raw) - keep :], True
    return b"", cut


def _cut(text: str, limit: int) -> str:
    """Text of at most ``limit`` bytes in UTF-8."""
    raw = text.encode()
    return text if len(raw) <= limit else raw[: limit - 3].decode(errors="ignore") + "…"
