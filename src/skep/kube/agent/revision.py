"""Which revision of an application this node runs: its spec's, or in a staged rollout the one that it is assigned.

Where nothing is assigned yet, or what is assigned cannot be had, the node keeps what it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skep import errors
from skep.kube import kinds, naming, resources, revisions
from skep.kube.agent.records import State, Wish
from skep.kube.api import objects, served
from skep.kube.api.connect import Api
from skep.kube.api.key import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What to run. ``application`` None: nothing new, because of ``problem`` or, which is no error, ``waiting``."""

    revision: str
    application: resources.Application | None = None
    problem: errors.SkepError | None = None
    waiting: str = ""


def meant(wish: Wish, state: State | None, before: Mapping[str, Any]) -> str:  # Any: JSON
    """The revision that this node is to run; "": that of its turn, which has not come. ``before``: the status."""
    if not wish.staged:
        return wish.revision
    return (state.assigned if state else "") or str(before.get("revision", ""))


class Revisions:
    """Revisions that this node runs although the spec is another by now."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._running: dict[str, tuple[str, str, resources.Application]] = {}
        """By the application's key: the UID of its object, the revision that was chosen last, and what that is."""

    async def choose(self, wish: Wish, state: State | None, before: Mapping[str, Any]) -> Choice:  # Any: JSON
        """What is to run. Unavailable while the API server does not answer and would have to."""
        revision = meant(wish, state, before)
        if revision == wish.revision:
            found = wish.application
        elif not revision:
            return Choice(revision="", waiting=f"waits for its turn in the rollout of revision {wish.revision}")
        else:
            try:
                found = self._known(wish, revision) or await self._stored(wish, revision)
            except (errors.Denied, errors.NotFound, errors.InvalidRequest) as error:
                return Choice(
                    revision=revision, waiting=f"keeps what it has: revision {revision} cannot be had: {error}"
                )
        if found is None:
            return Choice(revision=revision, problem=wish.error)
        self._running[wish.key] = wish.uid, revision, found
        return Choice(revision=revision, application=found)

    def running(self, wish: Wish) -> resources.Application | None:
        """What was chosen last; what the spec says where nothing was."""
        uid, _, application = self._running.get(wish.key, ("", "", None))
        return application if uid == wish.uid and wish.staged else wish.application

    def forget(self, key: str) -> None:
        """The application is gone."""
        self._running.pop(key, None)

    def _known(self, wish: Wish, revision: str) -> resources.Application | None:
        uid, known, application = self._running.get(wish.key, ("", "", None))
        return application if (uid, known) == (wish.uid, revision) else None

    async def _stored(self, wish: Wish, revision: str) -> resources.Application:
        """The revision as the operator has stored it. NotFound, Denied, or InvalidRequest for what is none of ours."""
        name = naming.revision_name(wish.name, revision)
        if not wish.stored_in:
            raise errors.NotFound(f"nobody has said where ControllerRevision {name} is", do="see the operator's log")
        document = await objects.get(self._api, served.REVISION, Key(namespace=wish.stored_in, name=name))
        spec = revisions.restored(document, wish.uid, revision, wish.nodes)
        if spec is None:
            raise errors.InvalidRequest(
                f"ControllerRevision {name} is not that revision", why="somebody has changed it", do="delete it"
            )
        about = {"name": wish.name, "labels": dict(wish.labels)}
        if wish.namespace is not None:
            about["namespace"] = wish.namespace
        kind = kinds.CLUSTER_APPLICATION if wish.namespace is None else kinds.APPLICATION
        return resources.read({"apiVersion": kinds.API_VERSION, "kind": kind.name, "metadata": about, "spec": spec})
