"""Events, findings and features as JSON; bpfman has none of them."""

from __future__ import annotations

from skep import model
from skep.cli import when


def event(event: model.Event) -> dict[str, object]:
    """One line of history."""
    return {
        "id": event.id,
        "at": when.stamp(event.at),
        "operation": event.operation,
        "verb": event.verb,
        "subject": event.subject,
        "outcome": event.outcome,
        "detail": event.detail,
        "duration_ms": round(event.duration_ms, 3),
        "caller": {
            "uid": event.caller.uid,
            "gid": event.caller.gid,
            "pid": event.caller.pid,
            "origin": event.caller.origin,
        },
    }


def finding(finding: model.Finding) -> dict[str, object]:
    """One difference between kernel, pins and store."""
    return {
        "kind": finding.kind,
        "subject": finding.subject,
        "explanation": finding.explanation,
        "remedy": finding.remedy,
        "adoptable": finding.adoptable,
    }


def feature(feature: model.Feature) -> dict[str, object]:
    """One thing this kernel can or cannot."""
    return {
        "name": feature.name,
        "available": feature.available,
        "errno": feature.errno,
        "first": feature.first,
        "note": feature.note,
    }
