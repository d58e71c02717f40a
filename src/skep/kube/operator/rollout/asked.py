"""What ``spec.rollout`` asks for. Pure."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skep.kube import resources, rollout, shape


class OnFailure(enum.StrEnum):
    """What becomes of a rollout when a node refuses it."""

    PAUSE = "Pause"
    RETURN = "Return"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A staged rollout as it is wanted. ``unavailable``: a number of nodes, or with ``percent`` that share of them."""

    unavailable: int = 1
    percent: bool = False
    order: tuple[resources.Selector, ...] = ()
    on_failure: OnFailure = OnFailure.PAUSE
    settle: datetime.timedelta = datetime.timedelta()
    paused: bool = False

    def most(self, total: int) -> int:
        """How many of ``total`` nodes may be without the application: at least one, or nothing would ever change."""
        return max(1, -(-total * self.unavailable // 100)) if self.percent else self.unavailable

    def group(self, labels: Mapping[str, str]) -> int:
        """The place in the order of a node with these labels; the last for one that no selector takes."""
        return next((place for place, each in enumerate(self.order) if each.selects(labels)), len(self.order))


def read(value: object) -> Asked:
    """``spec.rollout`` as a value. InvalidRequest with the path of what is wrong."""
    given: Mapping[str, Any] = shape.read(rollout.WANTED, value, "spec.rollout")  # Any: JSON
    most = given["maxUnavailable"]
    return Asked(
        unavailable=int(str(most).rstrip("%")),
        percent=isinstance(most, str),
        order=tuple(
            resources.selector(each, f"spec.rollout.order[{index}]")
            for index, each in enumerate(given.get("order", ()))
        ),
        on_failure=OnFailure(given["onFailure"]),
        settle=datetime.timedelta(seconds=given["minReadySeconds"]),
        paused=given["paused"],
    )
