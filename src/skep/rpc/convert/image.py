"""Images between domain and ``skep.v1``."""

from __future__ import annotations

from typing import assert_never

from skep import errors, model
from skep.pb import skep_pb2
from skep.rpc.convert import capability


def pack_request(wanted: model.ImageRequest) -> skep_pb2.PullImageRequest:
    """An image to pull, as a request."""
    login = wanted.login
    return skep_pb2.PullImageRequest(
        url=wanted.url,
        pull_policy=wanted.policy,
        login=None
        if login is None
        else skep_pb2.RegistryLogin(
            username=login.username, password=login.password, identity_token=login.identity_token
        ),
    )


def unpack_request(message: skep_pb2.PullImageRequest) -> model.ImageRequest:
    """A request as an image to pull. InvalidRequest for an unknown policy."""
    login = message.login
    return model.ImageRequest(
        url=message.url,
        policy=policy(message.pull_policy or model.PullPolicy.IF_NOT_PRESENT),
        login=model.Login(username=login.username, password=login.password, identity_token=login.identity_token)
        if message.HasField("login")
        else None,
    )


def policy(name: str) -> model.PullPolicy:
    """A pull policy by its name. InvalidRequest."""
    try:
        return model.PullPolicy(name)
    except ValueError:
        raise errors.InvalidRequest(
            f"unknown pull policy {name[:40]!r}",
            why="no policy has that name",
            do=f"fill in one of {', '.join(model.PullPolicy)}",
        ) from None


def pack_told(told: model.PullProgress | model.Image) -> skep_pb2.PullImageResponse:
    """How far a pull is, or the image, as a message."""
    match told:
        case model.PullProgress():
            progress = skep_pb2.PullProgress(done=told.done, total=told.total, digest=told.digest)
            return skep_pb2.PullImageResponse(progress=progress)
        case model.Image():
            return skep_pb2.PullImageResponse(image=pack(told))
    assert_never(told)


def unpack_told(message: skep_pb2.PullImageResponse) -> model.PullProgress | model.Image:
    """A message as how far a pull is, or the image."""
    if message.HasField("image"):
        return unpack(message.image)
    progress = message.progress
    return model.PullProgress(done=progress.done, total=progress.total, digest=progress.digest)


def pack(image: model.Image) -> skep_pb2.Image:
    """An image as a message."""
    return skep_pb2.Image(
        digest=image.digest,
        manifest=image.manifest,
        names=image.names,
        platform=image.platform,
        size=image.size,
        programs=image.programs,
        maps=image.maps,
        labelled=image.labelled,
        evidence=image.evidence,
        pulled_at=image.pulled_at,
        used_at=image.used_at,
        loaded=image.loaded,
        fresh=image.fresh,
        damage=image.damage,
        capabilities=capability.pack(image.capabilities),
    )


def unpack(message: skep_pb2.Image) -> model.Image:
    """A message as an image."""
    return model.Image(
        digest=message.digest,
        manifest=message.manifest,
        names=tuple(message.names),
        platform=message.platform,
        size=message.size,
        programs=dict(message.programs),
        maps=dict(message.maps),
        labelled=message.labelled,
        evidence=message.evidence,
        pulled_at=message.pulled_at,
        used_at=message.used_at,
        loaded=tuple(model.ProgramId(id) for id in message.loaded),
        fresh=message.fresh,
        damage=message.damage,
        capabilities=capability.unpack(message.capabilities),
    )


def pack_pruned(pruned: model.Pruned) -> skep_pb2.PruneImagesResponse:
    """What was removed, as a message."""
    return skep_pb2.PruneImagesResponse(digests=pruned.digests, freed=pruned.freed)


def unpack_pruned(message: skep_pb2.PruneImagesResponse) -> model.Pruned:
    """A message as what was removed."""
    return model.Pruned(digests=tuple(message.digests), freed=message.freed)
