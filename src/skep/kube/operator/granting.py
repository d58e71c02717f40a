"""Pull secrets: in each namespace the agent may read exactly those that applications name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from skep import errors
from skep.kube.api.connect import Api
from skep.kube.operator import logins, making, settings, view

_MISSING: Final = 60.0
"""Seconds until a namespace is tried again that an application names and that is not there."""


class Granting:
    """What is done for one namespace at a time."""

    def __init__(self, api: Api, seen: view.View) -> None:
        self._seen = seen
        self._maker = making.Maker(api, seen)

    async def handle(self, namespace: str) -> float | None:
        """Grant what is named, and nothing else."""
        wanted = self._settings()
        if wanted is None:
            return None
        named = self._wanted().get(namespace, frozenset())
        pair = logins.objects(namespace, named, wanted)
        try:
            for each in pair:
                if named:
                    await self._maker.make(each)
                else:
                    await self._maker.remove(each, wanted.uid)
        except errors.NotFound:
            return _MISSING
        return None

    def namespaces(self) -> set[str]:
        """All in which something is granted or is to be."""
        return set(self._wanted()) | self._seen.granted()

    def _wanted(self) -> Mapping[str, frozenset[str]]:
        return logins.wanted(one for each in self._seen.applications() for one in self._seen.earlier(each))

    def _settings(self) -> settings.Settings | None:
        """Who is granted it; None without a Config, or with one that nothing is made of."""
        document = self._seen.config()
        if document is None or "deletionTimestamp" in document["metadata"]:
            return None
        try:
            return settings.read(document)
        except errors.InvalidRequest:
            return None
