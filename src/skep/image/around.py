"""What the use cases of images need of the rest of skep, as values and functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from skep import errors, model, policy


class Told(Protocol):
    """Writes a line of log and history; see ``Manager``."""

    def __call__(
        self,
        caller: model.Caller,
        verb: str,
        operation: model.OperationId,
        subject: str,
        began: float,
        failed: errors.SkepError | None,
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What the images' use cases need of the rest of skep.

    ``read``: a file with the rights of who asks. ``loaded``: digest of an image -> programs out of it.
    """

    access: policy.Access
    read: Callable[[model.Caller, str, int], bytes]
    loaded: Callable[[], Mapping[str, tuple[model.ProgramId, ...]]]
    begin: Callable[[], model.OperationId]
    tell: Told
    clock: Callable[[], float]
