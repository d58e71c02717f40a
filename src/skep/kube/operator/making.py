"""Objects that the operator makes: applied when they are wanted otherwise, or when somebody has changed them."""

from __future__ import annotations

import logging

from skep.kube.api import key as keys
from skep.kube.api import objects, served
from skep.kube.api.connect import Api
from skep.kube.api.merge import Object
from skep.kube.operator import deploy, view

log = logging.getLogger("skep.kube.operator")


class Maker:
    """Applies objects, and remembers how each looked then.

    Applying what is there already changes nothing in the cluster, but is a request: an idle operator makes none.
    """

    def __init__(self, api: Api, seen: view.View) -> None:
        self._api = api
        self._seen = seen
        self._applied: dict[tuple[str, keys.Key], tuple[Object, str]] = {}

    async def make(self, document: Object) -> None:
        """Make it so. Raises skep's errors."""
        where = (document["kind"], keys.of(document))
        before, looked = self._applied.get(where, (None, ""))
        there = self._seen.made(*where)
        if before == document and there is not None and there.fingerprint == looked:
            return
        done = await objects.apply(self._api, document, manager=deploy.MANAGER)
        if looked and deploy.fingerprint(done) != looked:
            log.info("%s %s is as it should be again", *where)
        self._applied[where] = (document, deploy.fingerprint(done))

    async def remove(self, document: Object, owner: str) -> None:
        """Delete it if it is there and the operator has made it for the Config with this uid."""
        where = (document["kind"], keys.of(document))
        self._applied.pop(where, None)
        there = self._seen.made(*where)
        if there is not None and there.owner == owner:
            await objects.delete(self._api, served.of(document), where[1])
            log.info("%s %s is no longer wanted", *where)
