"""An empty cluster again, for tests that count all there is: tests share a control plane, and some leave objects."""

from __future__ import annotations

from typing import Final

from skep.kube import kinds
from skep.kube.older import kinds as older
from tests.kube.plane import ControlPlane, until

RELEASE: Final = '{"metadata":{"finalizers":null}}'
OURS: Final = ",".join(f"{each.plural}.{each.group}" for each in (*kinds.KINDS, *older.KINDS))


def clear(plane: ControlPlane) -> None:
    """Take away all Nodes and all objects of our kinds, whoever still holds them."""
    plane.kubectl("delete", f"{OURS},nodes", "--all", "-A", "--wait=false")

    def gone() -> bool:
        left = plane.list(OURS)
        for each in left:
            about = each["metadata"]
            group = each["apiVersion"].partition("/")[0]
            where = ("-n", about["namespace"]) if "namespace" in about else ()
            named = (f"{each['kind']}.{group}", about["name"], *where)
            plane.kubectl("patch", *named, "--type=merge", "-p", RELEASE, check=False)
        return not left

    until("nothing is left of other tests", gone)
