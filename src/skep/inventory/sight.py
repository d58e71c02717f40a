"""What clients who see nothing of the host are told of it: network namespaces, interfaces, processes of pods."""

from __future__ import annotations

from skep import model
from skep.kernel import host, pods


class Sight:
    """Looks when asked; ``finder`` of pods."""

    def __init__(self, finder: pods.Pods | None) -> None:
        self._finder = finder or pods.Pods()

    def describe_host(self) -> model.HostSeen:
        """The network namespaces that have a name here, with their interfaces."""
        return host.describe()

    def watch_host(self) -> host.Watch:
        """The same whenever it changes."""
        return host.Watch()

    def find_pods(self, wanted: tuple[model.PodRef, ...]) -> tuple[model.PodSeen, ...]:
        """Where the network namespaces and the processes of pods of this node are, in the order of the question."""
        return self._finder.find(wanted)
