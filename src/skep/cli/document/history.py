"""Events, findings and features as JSON; bpfman has none of them."""

from __future__ import annotations

import errno

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


def errno_name(code: int) -> str:
    """ "EPERM"; "" for 0. Of two names for one number the one that kernels use."""
    if code == errno.EOPNOTSUPP:
        return "EOPNOTSUPP"
    return errno.errorcode.get(code, str(code)) if code else ""


def feature(feature: model.Feature) -> dict[str, object]:
    """One thing this kernel can or cannot."""
    return {
        "name": feature.name,
        "available": feature.available,
        "errno": feature.errno,
        "first": feature.first,
        "note": feature.note,
        "group": feature.group,
        "errno_name": errno_name(feature.errno),
        "config": [f"CONFIG_{one}" for one in feature.config],
        "needs": feature.needs,
        "lasting": feature.lasting,
    }
