"""What the agent knows of the cluster and of its node, whoever finds it out (``view``)."""

from __future__ import annotations

from typing import Protocol

from skep import model
from skep.kube.agent import sight
from skep.kube.agent.records import State, Wish


class Known(Protocol):
    """What informers know; see ``program``."""

    @property
    def node(self) -> sight.Node | None:
        """This node's object."""

    @property
    def host(self) -> model.HostSeen | None:
        """What the daemon sees; None while it does not answer."""

    def wish(self, key: str) -> Wish | None:
        """An application's object."""

    def wishes(self) -> tuple[Wish, ...]:
        """All of them."""

    def sees(self, key: str) -> bool:
        """Whether ``wish`` would know of an application; not while its kind is none that the API server knows."""

    def state(self, key: str) -> State | None:
        """An application's state on this node."""

    def states(self) -> tuple[State, ...]:
        """All of them."""

    def pods(self) -> tuple[sight.Pod, ...]:
        """The pods of this node."""
