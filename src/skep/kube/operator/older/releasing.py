"""An older object that is deleted with ``--cascade=orphan``: what was made of it stays, and is nobody's but its own.

So files can be converted and the older objects deleted while programs run on: nothing is unloaded in between.
"""

from __future__ import annotations

import logging
from typing import Final

from skep.kube import naming
from skep.kube.api import key as keys
from skep.kube.api import objects, served
from skep.kube.api.connect import Api
from skep.kube.api.merge import Object
from skep.kube.older import kinds as older
from skep.kube.older import views
from skep.kube.operator import records as applications
from skep.kube.operator import view
from skep.kube.operator.older.records import Ref

log = logging.getLogger("skep.kube.operator.older")

ORPHAN: Final = "orphan"
"""The API server's finalizer on what is deleted so (metav1.FinalizerOrphanDependents). Its garbage collector takes the
owner references away and then the finalizer, as a rule before we look."""
_LABELS: Final = (naming.TRANSLATED_FROM, naming.TRANSLATED_NAMESPACE, naming.TRANSLATED_UID)


def is_wanted(ref: Ref, document: Object | None, there: Object | None) -> bool:
    """Whether what was made of a deleted object is to stay. ``document`` None: it is gone; ``there``: what was made.

    A BpfApplication in its older form owns nothing, so that of it only the finalizer tells.
    """
    if document is not None and ORPHAN in (document["metadata"].get("finalizers") or ()):
        return True
    origin = None if there is None else applications.origin(there)
    return origin is not None and origin.kind == ref.kind and not origin.uid


async def release(api: Api, ref: Ref, uid: str, views_of: served.Resource | None, *, manager: str) -> Object | None:
    """Let the application stay, and delete the BpfPrograms; the application, None if there is none of this object.

    ``views_of``: the kind of the BpfPrograms. ``manager``: who applied the application, and no longer owns its fields.
    """

    def own(object: Object) -> Object | None:
        if not _is_of(applications.origin(object), ref, uid):
            return None
        about = object["metadata"]
        about["labels"] = {key: value for key, value in about["labels"].items() if key not in _LABELS}
        about["ownerReferences"] = [each for each in about.get("ownerReferences") or () if each["uid"] != uid]
        about["managedFields"] = [each for each in about.get("managedFields") or () if each.get("manager") != manager]
        return object

    kind = view.kind_of(ref.target)
    there = await objects.find(api, kind, ref.target)
    is_ours = there is not None and _is_of(applications.origin(there), ref, uid)
    if is_ours:
        await objects.change(api, kind, ref.target, own, seen=there)
        log.info("%s is deleted, and %s stays", ref, ref.target)
    if views_of is not None:
        await _remove_views(api, ref, uid, "" if there is None else there["metadata"]["uid"], views_of)
    return there if is_ours else None


def _is_of(origin: applications.Origin | None, ref: Ref, uid: str) -> bool:
    """Whether an application was made of this object; the collector may have taken its owner already."""
    return origin is not None and origin.kind == ref.kind and origin.uid in (uid, "")


async def _remove_views(api: Api, ref: Ref, uid: str, application: str, kind: served.Resource) -> None:
    name = naming.label(ref.key.name)
    label = views.OWNING_CONFIG if ref.older.view is older.BPFD_PROGRAM else naming.OWNED
    for each in await objects.every(api, kind, namespace=ref.target.namespace or None, labels={label: name}):
        owners = {owner["uid"] for owner in each["metadata"].get("ownerReferences") or () if owner.get("controller")}
        if owners <= {uid, application}:
            await objects.delete(api, kind, keys.of(each))
