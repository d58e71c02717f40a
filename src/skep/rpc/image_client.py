"""The client's part that concerns images; ``image.images.Images`` over a socket, without the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar

from skep import model
from skep.pb import skep_pb2
from skep.rpc.convert import image, trust

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from skep.policy.images import Asked, Decision
    from skep.trust.verdict import Verdict

T = TypeVar("T", bound="Message")


class Call(Protocol):
    """``Client``'s way to make a call."""

    def __call__(self, name: str, make: Callable[[], Message], answer: type[T]) -> T: ...


class Stream(Protocol):
    """``Client``'s way to make a call that is answered with many messages."""

    def __call__(self, name: str, make: Callable[[], Message], answer: type[T]) -> Iterator[T]: ...


class Images:
    """The daemon's images."""

    def __init__(self, call: Call, stream: Stream) -> None:
        self._call = call
        self._stream = stream

    def pull(self, wanted: model.ImageRequest) -> Iterator[model.PullProgress | model.Image]:
        """Have an image in the cache; how far it is, and last the image. Closing the iterator ends the pull."""
        for told in self._stream("PullImage", lambda: image.pack_request(wanted), skep_pb2.PullImageResponse):
            yield image.unpack_told(told)

    def listed(self) -> tuple[model.Image, ...]:
        """The images in the cache, the newest first."""
        answer = self._call("ListImages", skep_pb2.ListImagesRequest, skep_pb2.ListImagesResponse)
        return tuple(image.unpack(one) for one in answer.images)

    def one(self, ref: str) -> model.Image:
        """One image. NotFound."""
        answer = self._call("GetImage", lambda: skep_pb2.GetImageRequest(image=ref), skep_pb2.GetImageResponse)
        return image.unpack(answer.image)

    def check(self, ref: str, asked: Asked | None = None) -> tuple[Decision, Verdict]:
        """Who signed an image of the cache, and what is decided about it."""

        def request() -> Message:
            return trust.pack_question(ref, asked)

        return trust.unpack_answer(self._call("CheckImage", request, skep_pb2.CheckImageResponse))

    def prune(self, *, everything: bool, older_than: float, dry_run: bool) -> model.Pruned:
        """Remove images that no program came from."""

        def request() -> Message:
            return skep_pb2.PruneImagesRequest(everything=everything, older_than=older_than, dry_run=dry_run)

        return image.unpack_pruned(self._call("PruneImages", request, skep_pb2.PruneImagesResponse))
