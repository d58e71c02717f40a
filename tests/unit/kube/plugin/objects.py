"""Objects of a made-up cluster, as an API server has them."""

from __future__ import annotations

from typing import Any

from skep.kube import naming

Json = dict[str, Any]


def application(
    name: str = "firewall",
    namespace: str = "",
    *,
    type: str = "Success",
    message: str = "applied on 2 nodes",
    counts: tuple[int, int, int] = (2, 2, 0),
    generation: int = 3,
    observed: int = 3,
    selector: Json | None = None,
    **about: Any,
) -> Json:
    """An application; ``counts``: desired, ready, failed."""
    desired, ready, failed = counts
    return {
        "apiVersion": "bpfman.io/v1alpha1",
        "kind": "BpfApplication" if namespace else "ClusterBpfApplication",
        "metadata": {
            "name": name, "uid": f"uid-{name}", "generation": generation,
            **({"namespace": namespace} if namespace else {}), **about,
        },
        "spec": {"nodeSelector": selector or {}},
        "status": {
            "observedGeneration": observed, "desired": desired, "ready": ready, "failed": failed,
            "conditions": [condition(type, message)],
        },
    }  # fmt: skip


def condition(type: str, message: str = "") -> Json:
    return {"type": type, "status": "True", "reason": type, "message": message}


def state(
    node: str,
    app: Json,
    *programs: Json,
    type: str = "Success",
    message: str = "m",
    loaded: str = "LoadSuccess",
    observed: int = 3,
    held: bool = True,
) -> Json:
    """An application's state on a node."""
    about = app["metadata"]
    namespaced = "namespace" in about
    finalizers = [naming.agent_finalizer(namespaced=namespaced)] if held else []
    return {
        "kind": app["kind"] + "State",
        "metadata": {
            "name": naming.state_name(about["name"], node),
            "labels": naming.state_labels(about["name"], node),
            "finalizers": finalizers,
            "ownerReferences": [
                {"kind": app["kind"], "name": about["name"], "uid": about["uid"], "controller": True}
            ],
            **({"namespace": about["namespace"]} if namespaced else {}),
        },
        "status": {
            "node": node, "appLoadStatus": loaded, "observedGeneration": observed,
            "conditions": [condition(type, message)], "programs": list(programs),
        },
    }  # fmt: skip


def program(name: str, kind: str, *links: Json, id: int | None = None, status: str = "Success", **body: Any) -> Json:
    made: Json = {"name": name, "type": kind, "programLinkStatus": status, kind.lower(): {**body, "links": list(links)}}
    return made if id is None else {**made, "programId": id}


def link(id: int | None = None, *, status: str = "Attached", **place: Any) -> Json:
    made: Json = {"shouldAttach": True, "uuid": "u", "linkStatus": status, **place}
    return made if id is None else {**made, "linkId": id}


def node(name: str, *, ready: bool = True, **labels: str) -> Json:
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {"metadata": {"name": name, "labels": labels}, "status": {"conditions": conditions}}


def pod(name: str, node: str, *ready: str, waiting: Json | None = None, restarts: int = 0, **about: Any) -> Json:
    """The DaemonSet's pod on a node; ``ready``: its containers that are."""
    statuses: list[Json] = [
        {
            "name": one, "ready": one in ready, "restartCount": restarts,
            "state": {"running": {}} if one in ready or waiting is None else {"waiting": waiting},
        }
        for one in ("daemon", "agent", "csi")
    ]  # fmt: skip
    return {
        "metadata": {"name": name, "namespace": "bpfman", **about},
        "spec": {"nodeName": node, "containers": [{"name": one["name"]} for one in statuses]},
        "status": {"containerStatuses": statuses},
    }


def inventory(node: str, *programs: Json, left_out: int = 0) -> Json:
    left = {"leftOut": {"programs": left_out}} if left_out else {}
    return {"metadata": {"name": node}, "status": {"node": node, "kernel": "6.12", "programs": list(programs), **left}}


def held(id: int, name: str, owner: Json, *places: str, type: str = "xdp", memory: str = "4Ki") -> Json:
    """A program of an inventory."""
    return {"id": id, "name": name, "type": type, "tag": "ab", "places": list(places), "memory": memory, "owner": owner}


def ours(applied: str, **more: str) -> Json:
    return {"managed": True, "applied": applied, **more}


def process(command: str, pid: int, **more: Any) -> Json:
    return {"managed": False, "processes": [{"pid": pid, "command": command, **more}]}
