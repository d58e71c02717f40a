"""One older object at a time: the current application of it is made, changed and deleted, and its status told back.

The application has the older object's name, so that pods and people find it. A name that somebody else has is left to
them: which of two claims is meant, only a person knows.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lightkube.types import PatchType

from skep import errors
from skep.kube import naming
from skep.kube.api import notice, objects, served
from skep.kube.api.connect import Api
from skep.kube.api.events import Events
from skep.kube.api.key import Key
from skep.kube.api.merge import Object
from skep.kube.older import kinds, status, translate
from skep.kube.operator import records as applications
from skep.kube.operator import view
from skep.kube.operator.older import records, releasing
from skep.kube.operator.older.records import Ref
from skep.kube.operator.older.watching import Watching

log = logging.getLogger("skep.kube.operator.older")

MANAGER: Final = "bpfman-operator-older"
"""Our name as the manager of the fields of translated applications."""
LEFT: Final = 2.0
"""Seconds until a name is looked at again that an application still has whose older object is gone."""
_REFUSALS: Final = (errors.InvalidRequest, errors.AlreadyExists, errors.Exhausted)
"""What stays as it is until somebody changes an object: told in its status, and not tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Applied:
    """What was applied last: what it said, and the object as it was then."""

    digest: str
    uid: str
    generation: int


class Translating:
    """What is done for one older object. ``namespace``: where the operator is; ``made``: told of each application that
    this process has not made before."""

    def __init__(
        self,
        api: Api,
        seen: view.View,
        watching: Watching,
        events: Events,
        namespace: str,
        made: Callable[[Key], None],
    ) -> None:
        self._api = api
        self._seen = seen
        self._watching = watching
        self._events = events
        self._namespace = namespace
        self._made = made
        self._applied: dict[Ref, _Applied] = {}

    async def handle(self, ref: Ref) -> float | None:
        """Bring one up to date; in how many seconds it is to be looked at again, whatever happens."""
        resource = self._watching.resource(ref)
        document = None if resource is None else await objects.find(self._api, resource, ref.key)
        if resource is None or document is None or kinds.of(document) is None:
            return await self._left(ref)
        try:
            if "deletionTimestamp" in document["metadata"]:
                return await self._delete(ref, resource, document)
            return await self._translate(ref, resource, document)
        except errors.NotFound:
            return None  # its deletion will be told, or has been

    # ---------------------------------------------------------------- there

    async def _translate(self, ref: Ref, resource: served.Resource, document: Object) -> float | None:
        try:
            self._check_place(ref)
            wanted = translate.translate(document)
            body = records.marked(wanted.marked(), ref, document["metadata"]["uid"])
            again = await self._apply(ref, resource, document, body, wanted.notes)
        except _REFUSALS as error:
            self._applied.pop(ref, None)
            await self._tell(ref, resource, document, status.refused(error))
            return None
        application = self._seen.application(ref.target)
        known = application is not None and self._is_of(application.origin, ref, document)
        told = application.told if application is not None and known else applications.Told()
        generation = application.generation if application is not None else 0
        said = status.told(told.document() if told.type else {}, generation=generation)
        assert said is not None
        await self._tell(ref, resource, document, said)
        return again

    def _check_place(self, ref: Ref) -> None:
        """InvalidRequest for a cluster-wide object in a namespace that is not the operator's."""
        if ref.target.namespace == ref.key.namespace or ref.key.namespace == self._namespace:
            return
        raise errors.InvalidRequest(
            "a BpfApplication in this form is for the whole cluster, and cannot be in this namespace",
            why=f"only in {self._namespace}, the operator's, it is taken for what it was before bpfman 0.6",
            do="convert it (skep kube convert), or for pods of this namespace write a BpfApplication of today",
        )

    async def _apply(
        self, ref: Ref, resource: served.Resource, document: Object, body: Object, notes: tuple[str, ...]
    ) -> float | None:
        """Make the application so. AlreadyExists if the name is somebody else's."""
        digest, before = records.digest(body), self._applied.get(ref)
        known = self._seen.application(ref.target)
        if known is not None and before == _Applied(digest=digest, uid=known.uid, generation=known.generation):
            return None
        there = await objects.find(self._api, view.kind_of(ref.target), ref.target)
        if there is not None and not self._is_of(applications.origin(there), ref, document):
            return await self._claimed(ref, there)
        if there is not None and "deletionTimestamp" in there["metadata"]:
            return LEFT  # somebody has deleted it: it comes again when it is gone
        if naming.OPERATOR_FINALIZER not in (document["metadata"].get("finalizers") or ()):
            await objects.add_finalizer(self._api, resource, ref.key, naming.OPERATOR_FINALIZER, seen=document)
        if there is not None:
            # With the uid, nobody's object that came in between is taken over.
            body = {**body, "metadata": {**body["metadata"], "uid": there["metadata"]["uid"]}}
        drifted = (
            there is not None
            and before is not None
            and before.digest == digest
            and before.generation != there["metadata"].get("generation", 0)
        )
        done = await self._made_so(ref, body, there, drifted=drifted)
        about = done["metadata"]
        self._applied[ref] = _Applied(digest=digest, uid=about["uid"], generation=about.get("generation", 0))
        self._tell_what_was_done(ref, document, there, done, before, digest, notes)
        if before is None or before.uid != about["uid"]:
            self._made(ref.target)
        return None

    async def _made_so(self, ref: Ref, body: Object, there: Object | None, *, drifted: bool) -> Object:
        """Apply it. Fields that somebody else has set besides are theirs to the API server, and would stay: where they
        are a change of what was made before, or do not go together with it, they are taken away."""
        force = there is not None

        def without_others(document: Object) -> Object:
            return {**document, "spec": body["spec"]}

        if drifted:
            await objects.change(self._api, view.kind_of(ref.target), ref.target, without_others, manager=MANAGER)
        try:
            return await objects.apply(self._api, body, manager=MANAGER, force=force)
        except errors.InvalidRequest:
            if drifted or not force:
                raise
        await objects.change(self._api, view.kind_of(ref.target), ref.target, without_others, manager=MANAGER)
        return await objects.apply(self._api, body, manager=MANAGER, force=force)

    def _tell_what_was_done(
        self,
        ref: Ref,
        document: Object,
        there: Object | None,
        done: Object,
        before: _Applied | None,
        digest: str,
        notes: tuple[str, ...],
    ) -> None:
        made = _named(done)
        if there is None:
            log.info("made %s of %s", made, ref)
            self._events.tell(notice.about(document), "Translated", "; ".join((f"made {made} of it", *notes)))
        elif done["metadata"].get("generation") == there["metadata"].get("generation"):
            return
        elif before is not None and before.digest == digest:
            text = f"a change of it was undone: it is made of {ref}; change that, or delete it before"
            log.warning("%s: %s", made, text)
            self._events.tell(notice.about(done), "Reverted", text, warning=True)
        else:
            self._events.tell(notice.about(document), "Translated", "; ".join((f"changed {made}", *notes)))

    async def _claimed(self, ref: Ref, there: Object) -> float | None:
        """AlreadyExists for a name that somebody else has; what an earlier object of this name left is removed."""
        made = applications.origin(there)
        if _is_named(made, ref):
            if "deletionTimestamp" not in there["metadata"]:
                await objects.delete(self._api, view.kind_of(ref.target), ref.target)
            return LEFT
        if made is None:
            who, do = "it was written as what it is", f"rename this {ref.kind}, or delete it: what runs is the other"
        else:
            where = f" in {made.namespace}" if made.namespace else ""
            who, do = f"it is made of the {made.kind}{where} of that name", f"rename this {ref.kind}, or delete one"
        raise errors.AlreadyExists(f"there is {_named(there)} already", why=who, do=do)

    # ---------------------------------------------------------------- deleted

    async def _delete(self, ref: Ref, resource: served.Resource, document: Object) -> float | None:
        """Delete the application, and let the older object go once it is gone."""
        if naming.OPERATOR_FINALIZER not in (document["metadata"].get("finalizers") or ()):
            return None  # somebody else's finalizer keeps it
        there = await objects.find(self._api, view.kind_of(ref.target), ref.target)
        if releasing.is_wanted(ref, document, there):
            await self._release(ref, document["metadata"]["uid"])
            await objects.remove_finalizer(self._api, resource, ref.key, naming.OPERATOR_FINALIZER)
            return None
        if there is None or not self._is_of(applications.origin(there), ref, document):
            await objects.remove_finalizer(self._api, resource, ref.key, naming.OPERATOR_FINALIZER, seen=document)
            self._applied.pop(ref, None)
            return None
        if "deletionTimestamp" not in there["metadata"]:
            await objects.delete(self._api, view.kind_of(ref.target), ref.target)
            return None
        said = status.told(there.get("status"), generation=there["metadata"].get("generation", 0), deleting=True)
        if said is not None:
            await self._tell(ref, resource, document, said)
        return None

    async def _release(self, ref: Ref, uid: str) -> None:
        """Let what was made of an older object stay without it. ``uid``: the older object's, "" if nobody knows."""
        self._applied.pop(ref, None)
        kept = await releasing.release(self._api, ref, uid, self._watching.view_kind(ref), manager=MANAGER)
        if kept is not None:
            text = f"{ref} was deleted, and this was to stay (--cascade=orphan): it is written as what it is now"
            self._events.tell(notice.about(kept), "Kept", text)

    async def _left(self, ref: Ref) -> float | None:
        """Remove what is there of an older object that is not: deleted with its finalizer, or written anew as a current
        one. What has an owner the garbage collector removes, too."""
        self._applied.pop(ref, None)
        there = await objects.find(self._api, view.kind_of(ref.target), ref.target)
        if there is None or "deletionTimestamp" in there["metadata"]:
            return None
        if releasing.is_wanted(ref, None, there):
            await self._release(ref, "")
        elif _is_named(applications.origin(there), ref):
            log.info("%s is no longer there: deleting %s", ref, _named(there))
            await objects.delete(self._api, view.kind_of(ref.target), ref.target)
        return None

    # ---------------------------------------------------------------- both

    @staticmethod
    def _is_of(origin: applications.Origin | None, ref: Ref, document: Mapping[str, Any]) -> bool:  # Any: JSON
        """Whether an application was made of this very object."""
        return origin is not None and origin.kind == ref.kind and origin.uid == document["metadata"]["uid"]

    async def _tell(self, ref: Ref, resource: served.Resource, document: Object, said: status.Told) -> None:
        """Write the older object's condition, unless it says that already."""
        before = document.get("status")
        made = status.status(said, before=before, now=datetime.datetime.now(datetime.UTC))
        if made is None:
            return
        await self._api.ask(
            "patch",
            resource.Status,
            ref.key,
            body={"metadata": {"uid": document["metadata"]["uid"]}, "status": made},
            content_type=PatchType.MERGE.value,
            params={"fieldManager": MANAGER},
        )
        if applications.told(before or {}).type != said.type:
            log.info("%s: %s", ref, said.message, extra={"state": said.type})
            if said.type != status.NOT_YET_LOADED:
                warning = said.type != status.RECONCILE_SUCCESS
                self._events.tell(notice.about(document), said.type, said.message, warning=warning)


def _is_named(origin: applications.Origin | None, ref: Ref) -> bool:
    """Whether an application was made of an object that is called so, be it this one or one before it."""
    if origin is None or origin.kind != ref.kind:
        return False
    return (origin.namespace or ref.target.namespace) == ref.key.namespace


def _named(document: Object) -> str:
    """An object as a person names it."""
    about = document["metadata"]
    where = f"{about['namespace']}/" if about.get("namespace") else ""
    return f"{document['kind']} {where}{about['name']}"
