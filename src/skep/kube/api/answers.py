"""What an API server, or the way to it, answers when it does not do what was asked, in skep's words."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import msgspec
from lightkube.core import exceptions

from skep import errors

FOREIGN = (
    exceptions.ConfigError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    httpx2.StreamError,
    msgspec.MsgspecError,
    json.JSONDecodeError,
)
"""What lightkube and what it stands on raise."""

_LATER = "it is tried again; if this stays, look at the API server"


@contextlib.contextmanager
def told(what: str) -> Iterator[None]:
    """Say failures of lightkube's calls in here as skep's errors: ``what`` failed, why, and what to do."""
    try:
        yield
    except FOREIGN as error:
        raise translated(what, error) from error


def code(error: Exception) -> int:
    """The HTTP status that an error stands for, also in a watch; 0 if the server did not answer."""
    if isinstance(error, exceptions.ApiError) and error.status.code:
        return error.status.code
    # An error in a watch has no response; the property of the class it derives from would raise.
    response = getattr(error, "response", None)
    return response.status_code if isinstance(response, httpx2.Response) else 0


def reason(error: Exception) -> str:
    """Kubernetes' word for the error ("AlreadyExists", "Expired"), or ""."""
    return str(_status(error).get("reason") or "")


def translated(what: str, error: Exception) -> errors.SkepError:
    """The error of ours for one of ``FOREIGN``."""
    if isinstance(error, errors.SkepError):
        return error
    why = _why(error)
    match code(error):
        case 0:
            if isinstance(error, (exceptions.ConfigError, httpx2.InvalidURL)):
                return errors.InvalidRequest(what, why=why, do="correct the kubeconfig")
            return errors.Unavailable(what, why=why, do=_LATER)
        case 401:
            return errors.Denied(what, why=why, do="give a token or certificate that the API server knows")
        case 403:
            return errors.Denied(what, why=why, do="give the account a role that allows it: deploy/rbac")
        case 404 | 405:
            return errors.NotFound(what, why=why, do="if the kind itself is unknown, apply deploy/crds")
        case 409 if reason(error) == "AlreadyExists":
            return errors.AlreadyExists(what, why=why, do="choose another name, or change what is there")
        case 409 | 410:
            return errors.Conflict(what, why=why, do="read the object again and decide anew")
        case 413:
            return errors.Exhausted(what, why=why, do="make the object smaller")
        case 429:
            return errors.Unavailable(what, why=why, do=_LATER)
        case number if number < 500:
            return errors.InvalidRequest(what, why=why, do="correct the object")
        case _:
            return errors.Unavailable(what, why=why, do=_LATER)


def _why(error: Exception) -> str:
    if message := _status(error).get("message"):
        return str(message)
    if number := code(error):
        return f"HTTP status {number}"
    if isinstance(error, exceptions.ApiError):
        return reason(error) or "the API server gives no reason"
    return str(error) or type(error).__name__


def _status(error: Exception) -> dict[str, Any]:  # Any: JSON
    """The ``Status`` object of an answer; {} where there is none, as from a proxy on the way."""
    if isinstance(error, exceptions.ApiError):
        return {"message": error.status.message, "reason": error.status.reason}
    response = getattr(error, "response", None)
    if not isinstance(response, httpx2.Response):
        return {}
    try:
        read = response.json()
    except (httpx2.StreamError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}
