"""What the use cases of images need of the rest of skep, as values and functions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from skep import errors, model, policy

if TYPE_CHECKING:
    from skep.image.images import Images


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


Begin = Callable[[Around], "Images"]
"""Makes the use cases; imports them only then, for most instances never see an image."""


class Lazy:
    """The images of one instance, begun when they are first wanted."""

    def __init__(self, begin: Begin | None) -> None:
        self._begin = begin
        self._lock = threading.Lock()
        self._images: Images | None = None

    def begun(self, rest: Around) -> Images:
        """Them. Unsupported where this instance has none."""
        if self._begin is None:
            raise errors.Unsupported(
                "bytecode images are not supported here", feature="bytecode images", do="load the object's file"
            )
        with self._lock:
            if self._images is None:
                self._images = self._begin(rest)
            return self._images
