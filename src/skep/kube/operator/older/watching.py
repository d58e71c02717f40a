"""The older objects of the cluster, and the BpfPrograms made for them: of each kind as long as its CRD is there.

Whoever leaves those CRDs out, or deletes them later, has an operator that asks for nothing of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Final

from skep.kube.api import informer, served
from skep.kube.api.connect import Api
from skep.kube.api.key import Key
from skep.kube.older import kinds
from skep.kube.operator import definitions
from skep.kube.operator.definitions import Definition
from skep.kube.operator.older import records
from skep.kube.operator.older.records import Ref, Seen
from skep.kube.operator.records import NodeLabel

log = logging.getLogger("skep.kube.operator.older")

VIEWS: Final = {f"{each.plural}.{each.group}": each for each in kinds.VIEWS}
OBJECTS: Final = {f"{each.kind.plural}.{each.kind.group}": each for each in (*kinds.OWN, kinds.APPLICATION)}


class Watching:
    """Informers that come and go with their CRDs. ``changed``: told of each older object that has changed.

    ``informers``: where they are entered, by the kind's name, for the metrics.
    """

    def __init__(
        self,
        api: Api,
        changed: Callable[[Ref], None],
        informers: MutableMapping[str, informer.Informer[Any]],  # Any: each keeps something else
    ) -> None:
        self._api = api
        self._changed = changed
        self._informers = informers
        self._objects: dict[str, informer.Informer[Seen]] = {}
        self._views: dict[str, informer.Informer[records.View]] = {}
        self._on_nodes: dict[tuple[str, NodeLabel], dict[Key, records.View]] = {}
        """By the UID of the older object, and by node."""
        self._running: dict[str, tuple[bool, asyncio.Task[None]]] = {}

    def look(self, there: Iterable[Definition], group: asyncio.TaskGroup) -> None:
        """Begin what the CRDs serve by now, and end what they no longer do."""
        wanted = {each.name: each.namespaced for each in there if each.serves and each.name in {*VIEWS, *OBJECTS}}
        for name in [name for name, (scope, _) in self._running.items() if wanted.get(name) is not scope]:
            self._end(name)
        for name in [name for name in wanted if name not in self._running]:
            self._begin(name, wanted[name], group)

    def resource(self, ref: Ref) -> served.Resource | None:
        """The kind of an older object as it is served now; None if it is not."""
        name = f"{ref.older.kind.plural}.{ref.older.kind.group}"
        return _resource(name, self._running[name][0]) if name in self._running else None

    def view_kind(self, ref: Ref) -> served.Resource | None:
        """The kind of the BpfPrograms of an older object; None if it is not served."""
        view = ref.older.view
        known = f"{view.plural}.{view.group}" in self._views
        return served.kind(view.api_version, view.name) if known else None

    async def views(self, ref: Ref, uid: str, node: NodeLabel) -> Mapping[Key, records.View]:
        """The BpfPrograms of an older object on a node, as soon as it is known which there are."""
        view = ref.older.view
        await self._views[f"{view.plural}.{view.group}"].settled()
        return self._on_nodes.get((uid, node), {})

    def named_like(self, application: Key) -> Iterator[Ref]:
        """The older objects that an application of this name may be made of, or keeps from theirs."""
        for name, each in self._objects.items():
            older = OBJECTS[name]
            if older.target.namespaced is not bool(application.namespace):
                continue
            if older is kinds.APPLICATION and self._running[name][0]:
                places = [key for key in each.all() if key.name == application.name]
            else:
                places = [application] if each.get(application) is not None else []
            yield from (Ref(kind=older.kind.name, key=key) for key in places)

    def trouble(self) -> tuple[str, ...]:
        """Why what is seen may be old."""
        everything: list[informer.Informer[Any]] = [*self._objects.values(), *self._views.values()]  # Any: see above
        return tuple(each.trouble for each in everything if each.trouble and not each.absent)

    def _view_changed(self, key: Key, old: records.View | None, new: records.View | None) -> None:
        for each in filter(None, (old, new)):
            place = each.owner, each.node
            here = self._on_nodes.setdefault(place, {})
            if each is new:
                here[key] = each
            else:
                here.pop(key, None)
            if not here:
                del self._on_nodes[place]

    def _begin(self, name: str, namespaced: bool, group: asyncio.TaskGroup) -> None:
        resource = _resource(name, namespaced)
        made: informer.Informer[Any]  # Any: each keeps something else
        if name in VIEWS:
            made = self._views[name] = informer.Informer(
                self._api, resource, keep=records.view, changed=self._view_changed
            )
        else:
            kind = OBJECTS[name].kind.name
            made = self._objects[name] = informer.Informer(
                self._api, resource, keep=records.seen,
                changed=lambda key, old, new: self._changed(Ref(kind=kind, key=key)),
            )  # fmt: skip
        self._informers[f"older {name}"] = made
        self._running[name] = namespaced, group.create_task(made.run())
        log.info("serving %s", name)

    def _end(self, name: str) -> None:
        _, task = self._running.pop(name)
        task.cancel()
        self._informers.pop(f"older {name}", None)
        for each, kept in (self._views.pop(name).all() if name in self._views else {}).items():
            self._view_changed(each, kept, None)
        gone = self._objects.pop(name, None)
        for key in gone.all() if gone is not None else ():
            self._changed(Ref(kind=OBJECTS[name].kind.name, key=key))
        log.info("no longer serving %s", name)


def _resource(name: str, namespaced: bool) -> served.Resource:
    if name == definitions.APPLICATIONS:
        return served.APPLICATION if namespaced else served.OLDER_APPLICATION
    kind = VIEWS[name] if name in VIEWS else OBJECTS[name].kind
    return served.kind(kind.api_version, kind.name)
