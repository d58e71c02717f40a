"""Log entries: that a log which is trusted holds an entry about exactly this signature."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime

from skep.trust import body
from skep.trust.checkpoint import read_checkpoint
from skep.trust.evidence import Evidence, LogEntry, Proof
from skep.trust.keys import verifies
from skep.trust.merkle import leaf_hash, root_from
from skep.trust.refused import Reason, Refused
from skep.trust.root import Log, Logs


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """A log holds the entry. ``at`` is the time that it promised, None where it gave none."""

    log: str
    index: int
    at: datetime | None
    proven: bool
    """By an inclusion proof; otherwise by the log's promise alone."""


def check_entry(entry: LogEntry, evidence: Evidence, spki: bytes, logs: Logs) -> Logged:
    """Raise ``Refused`` unless the entry is in a known log and about this signature by the key with this ``spki``."""
    log = next((each for each in logs if entry.log_id in each.ids), None)
    if log is None:
        raise Refused(
            Reason.UNKNOWN_LOG, f"it is in log {entry.log_id.hex()[:16]}…, which the trusted root does not hold"
        )
    if not entry.promise and entry.proof is None:
        raise Refused(Reason.NO_LOG_ENTRY, f"{log.url} neither promises nor proves that it holds the entry")
    at = _check_promise(entry, log) if entry.promise else None
    if entry.proof is not None:
        _check_proof(entry, entry.proof, log)
    body.check(entry.body, evidence, spki)
    return Logged(log=log.url, index=entry.index, at=at, proven=entry.proof is not None)


def _check_promise(entry: LogEntry, log: Log) -> datetime:
    """The signed entry timestamp: over the entry's canonical JSON (RFC 8785; names sorted, nothing to escape)."""
    said = {
        "body": base64.b64encode(entry.body).decode(),
        "integratedTime": entry.integrated,
        "logID": entry.log_id.hex(),
        "logIndex": entry.index,
    }
    message = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    if not verifies(log.key, entry.promise, message):
        raise Refused(Reason.BAD_PROMISE, f"the promise of {log.url} (signed entry timestamp) is not by its key")
    try:
        at = datetime.fromtimestamp(entry.integrated, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Refused(Reason.BAD_PROMISE, f"{log.url} promised no time that there is: {entry.integrated}") from error
    if not log.valid.holds(at):
        raise Refused(
            Reason.UNKNOWN_LOG, f"{log.url} is trusted from {log.valid}, and took the entry in at {at:%FT%TZ}"
        )
    return at


def _check_proof(entry: LogEntry, proof: Proof, log: Log) -> None:
    if not proof.checkpoint:
        raise Refused(Reason.BAD_CHECKPOINT, f"the inclusion proof brings no checkpoint of {log.url}")
    checkpoint = read_checkpoint(proof.checkpoint)
    ours = [line for line in checkpoint.signatures if line.key_hash == log.note_hash]
    if not any(verifies(log.key, line.signature, checkpoint.text) for line in ours):
        raise Refused(
            Reason.BAD_CHECKPOINT, f"the checkpoint of {checkpoint.origin} is not signed by the key of {log.url}"
        )
    if (checkpoint.root, checkpoint.size) != (proof.root, proof.size):
        raise Refused(Reason.BAD_CHECKPOINT, f"the checkpoint of {checkpoint.origin} is of another tree than the proof")
    root = root_from(leaf_hash(entry.body), index=proof.index, size=proof.size, hashes=proof.hashes)
    if root != checkpoint.root:
        raise Refused(
            Reason.BAD_PROOF,
            f"the inclusion proof does not lead to the tree of {checkpoint.size} that {log.url} signed",
        )
