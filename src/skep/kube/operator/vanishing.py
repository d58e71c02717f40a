"""States of nodes that are gone: no agent will ever let go of them, so the operator does.

Without that, an application whose node has vanished could never be deleted.
"""

from __future__ import annotations

import logging
from typing import Final

from skep.kube import naming
from skep.kube.api import objects, served
from skep.kube.api.connect import Api
from skep.kube.api.key import Key
from skep.kube.operator import view
from skep.kube.operator.records import NodeLabel

log = logging.getLogger("skep.kube.operator.vanishing")

GRACE: Final = 3.0
"""Seconds between a node's disappearance and that of its states: a Node object may be made anew."""


class Vanishing:
    """What is done for one node that is gone."""

    def __init__(self, api: Api, seen: view.View) -> None:
        self._api = api
        self._seen = seen

    async def handle(self, node: NodeLabel) -> float | None:
        """Let go of its states, if it is gone: states and nodes are watched apart, so the API server is asked. In how
        many seconds to look again."""
        states = self._seen.states_on(node)
        if not states or await self._is_there(node):
            return None
        for state in states:
            kind = view.state_kind_of(state.key)
            finalizer = naming.agent_finalizer(namespaced=bool(state.key.namespace))
            await objects.remove_finalizer(self._api, kind, state.key, finalizer)
            await objects.delete(self._api, kind, state.key)
        log.info("node %s is gone, and so are its %d states", node, len(states))
        # An agent that was about to write when its node went may have made another.
        return GRACE

    async def _is_there(self, node: NodeLabel) -> bool:
        if len(node) < naming.LONGEST_LABEL:
            return await objects.find(self._api, served.NODE, Key(name=node)) is not None
        # A label of this length may stand for a longer name.
        nodes = await objects.every(self._api, served.NODE)
        return any(naming.label(each["metadata"]["name"]) == node for each in nodes)
