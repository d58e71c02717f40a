"""Objects, one at a time: read, apply, change against concurrent writers, delete. All raise skep's errors.

A change is read, decided, and written as a merge patch that names the resource version it was decided on. If somebody
else was faster, it is read and decided again: nobody's write is lost, and what is as it should be is not written.
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Callable, Mapping
from typing import Final

from lightkube.types import PatchType

from skep import errors
from skep.kube.api import answers, merge, served
from skep.kube.api import key as keys
from skep.kube.api.backoff import Backoff
from skep.kube.api.connect import Api, Labels
from skep.kube.api.key import Key
from skep.kube.api.merge import Object

ATTEMPTS: Final = 8
"""How often a change is decided anew before its Conflict is raised."""
_AGAIN: Final = Backoff(first=0.02, longest=1.0)


async def get(api: Api, resource: served.Resource, key: Key) -> Object:
    """One object; raises NotFound."""
    return await api.ask("get", resource, key)


async def find(api: Api, resource: served.Resource, key: Key) -> Object | None:
    """One object, or None."""
    try:
        return await get(api, resource, key)
    except errors.NotFound:
        return None


async def every(
    api: Api,
    resource: served.Resource,
    *,
    namespace: str | None = None,
    labels: Labels | None = None,
    fields: Mapping[str, str] | None = None,
) -> list[Object]:
    """All objects of a kind (``namespace`` None: of all namespaces), at once in memory. What is needed more than once
    is an informer's business."""
    with answers.told(f"list {served.name(resource)}"):
        return [
            object
            async for _, page in api.pages(resource, namespace=namespace, labels=labels, fields=fields)
            for object in page
        ]


async def create(api: Api, object: Object, *, manager: str = "skep") -> Object:
    """Create it, and answer it as it is now; raises AlreadyExists. ``generateName`` and reviews have no name."""
    resource, metadata = served.of(object), object.get("metadata") or {}
    key = Key(namespace=metadata.get("namespace") or "", name=metadata.get("name") or metadata.get("generateName", ""))
    return await api.ask("post", resource, key, body=object, params={"fieldManager": manager})


async def apply(api: Api, object: Object, *, manager: str, force: bool = True) -> Object:
    """Create it or make it so, by server-side apply as ``manager``: fields that it does not name are others'.

    Fields that ``manager`` applied before and that are gone from ``object`` are removed. With ``force`` False, fields
    that others own raise Conflict.
    """
    return await api.ask(
        "patch",
        served.of(object),
        keys.of(object),
        body=object,
        content_type=PatchType.APPLY.value,
        params={"fieldManager": manager, "force": "true" if force else "false"},
    )


async def replace(api: Api, object: Object) -> Object:
    """Write it as it is if nobody has since it was read; raises Conflict, NotFound."""
    return await api.ask("put", served.of(object), keys.of(object), body=object)


async def change(
    api: Api,
    resource: served.Resource,
    key: Key,
    decide: Callable[[Object], Object | None],
    *,
    manager: str = "skep",
    seen: Object | None = None,
    status: bool = False,
) -> Object:
    """Make an object what ``decide`` makes of it; the object as it is then.

    ``decide`` gets a copy that it may alter, and may be called again with a newer one; None: leave it. ``seen`` spares
    reading where it is not too old. With ``status``, only the status is written, else all but that. Raises NotFound;
    Conflict only if ``ATTEMPTS`` times somebody else was faster.
    """
    for attempt in range(1, ATTEMPTS + 1):
        old = seen or await get(api, resource, key)
        seen = None
        new = decide(copy.deepcopy(old))
        patch = {} if new is None else merge.patch(old, new)
        patch = {name: value for name, value in patch.items() if (name == "status") is status}
        if not patch:
            return old
        version = {"resourceVersion": old["metadata"]["resourceVersion"]}
        patch["metadata"] = {**({} if status else patch.get("metadata", {})), **version}
        try:
            return await api.ask(
                "patch",
                resource.Status if status else resource,
                key,
                body=patch,
                content_type=PatchType.MERGE.value,
                params={"fieldManager": manager},
            )
        except errors.Conflict:
            if attempt == ATTEMPTS:
                raise
        await asyncio.sleep(_AGAIN.wait(attempt, random.random()))
    raise AssertionError("unreachable: the last attempt returns or raises")


async def write_status(
    api: Api,
    resource: served.Resource,
    key: Key,
    decide: Callable[[Object], Object],
    *,
    manager: str = "skep",
    seen: Object | None = None,
) -> Object:
    """Make the status what ``decide`` makes of the object; not written if it is that already. Raises NotFound."""

    def with_status(object: Object) -> Object:
        return {**object, "status": decide(object)}

    return await change(api, resource, key, with_status, manager=manager, seen=seen, status=True)


async def add_finalizer(
    api: Api, resource: served.Resource, key: Key, name: str, *, seen: Object | None = None
) -> Object:
    """Keep an object until ``remove_finalizer``; nothing on one that is being deleted, which takes no new ones."""

    def added(object: Object) -> Object | None:
        metadata = object["metadata"]
        held = metadata.get("finalizers") or []
        if name in held or metadata.get("deletionTimestamp"):
            return None
        metadata["finalizers"] = [*held, name]
        return object

    return await change(api, resource, key, added, seen=seen)


async def remove_finalizer(
    api: Api, resource: served.Resource, key: Key, name: str, *, seen: Object | None = None
) -> None:
    """Let an object go; nothing if it is not kept by this name, or has gone."""

    def removed(object: Object) -> Object | None:
        metadata = object["metadata"]
        held = metadata.get("finalizers") or []
        if name not in held:
            return None
        metadata["finalizers"] = [each for each in held if each != name]
        return object

    try:
        await change(api, resource, key, removed, seen=seen)
    except errors.NotFound:
        return


async def delete(api: Api, resource: served.Resource, key: Key) -> bool:
    """Ask for an object's deletion; False if there is none. Finalizers may keep it for a while."""
    try:
        await api.ask("delete", resource, key)
    except errors.NotFound:
        return False
    return True
