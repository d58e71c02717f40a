"""``kubectl skep status``: a cluster at a glance. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from skep.kube.plugin import application, machinery, part
from skep.kube.plugin.application import Listed
from skep.kube.plugin.machinery import Config, OnNode, Operator
from skep.kube.plugin.part import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The lists that it is made of."""

    config: Part
    deployments: Part
    pods: Part
    nodes: Part
    cluster_applications: Part
    applications: Part

    def all(self) -> tuple[Part, ...]:
        """Each of them."""
        return (
            self.config, self.deployments, self.pods, self.nodes, self.cluster_applications, self.applications,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A cluster. ``operator``, ``config`` and ``nodes`` None: they may not be seen. ``untold``: what is missing, and
    why."""

    operator: Operator | None
    config: Config | None
    nodes: tuple[OnNode, ...] | None
    applications: tuple[Listed, ...]
    untold: tuple[str, ...]

    def document(self) -> dict[str, object]:
        """As JSON."""
        return {
            "operator": None if self.operator is None else self.operator.document(),
            "config": None if self.config is None else self.config.document(),
            "nodes": None if self.nodes is None else [each.document() for each in self.nodes],
            "applications": [each.document() for each in self.applications],
            "notShown": list(self.untold),
        }


def overview(parts: Parts) -> Overview:
    """The lists as one answer."""
    objects = parts.nodes.objects if parts.nodes.known else None
    return Overview(
        operator=machinery.operator(parts.deployments.objects) if parts.deployments.known else None,
        config=machinery.config(next(iter(parts.config.objects), None)) if parts.config.known else None,
        nodes=machinery.nodes(parts.pods.objects, objects) if parts.pods.known else None,
        applications=_sorted(
            map(application.listed, (*parts.cluster_applications.objects, *parts.applications.objects))
        ),
        untold=part.untold(parts.all()),
    )


def _sorted(found: Iterable[Listed]) -> tuple[Listed, ...]:
    return tuple(sorted(found, key=lambda each: (each.namespace, each.name)))
