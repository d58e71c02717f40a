"""Whatever the API server or the way to it says becomes an error that tells who must act."""

from __future__ import annotations

import json

import httpx2
import pytest
from lightkube.core import exceptions
from lightkube.models import meta_v1

from skep import errors
from skep.kube.api import answers


def answer(code: int, body: str = "", content_type: str = "application/json") -> Exception:
    request = httpx2.Request("GET", "https://api/x")
    response = httpx2.Response(code, text=body, headers={"Content-Type": content_type}, request=request)
    return httpx2.HTTPStatusError("said no", request=request, response=response)


def status(code: int, reason: str) -> Exception:
    return answer(code, json.dumps({"kind": "Status", "code": code, "reason": reason, "message": f"it is {reason}"}))


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (status(401, "Unauthorized"), errors.Denied),
        (status(403, "Forbidden"), errors.Denied),
        (status(404, "NotFound"), errors.NotFound),
        (status(409, "AlreadyExists"), errors.AlreadyExists),
        (status(409, "Conflict"), errors.Conflict),
        (status(410, "Expired"), errors.Conflict),
        (status(413, "RequestEntityTooLarge"), errors.Exhausted),
        (status(422, "Invalid"), errors.InvalidRequest),
        (status(429, "TooManyRequests"), errors.Unavailable),
        (status(500, "InternalError"), errors.Unavailable),
        (answer(502, "<html>bad gateway</html>", "text/html"), errors.Unavailable),
        (answer(502, "[]"), errors.Unavailable),
        (answer(503, "{", ""), errors.Unavailable),
        (httpx2.ConnectError("refused"), errors.Unavailable),
        (httpx2.ReadTimeout(""), errors.Unavailable),
        (httpx2.RemoteProtocolError("server went away"), errors.Unavailable),
        (exceptions.ConfigError("no such context"), errors.InvalidRequest),
        (exceptions.ApiError(status=meta_v1.Status(code=410, message="too old")), errors.Conflict),
        (exceptions.ApiError(status=meta_v1.Status()), errors.Unavailable),
    ],
    ids=str,
)
def test_who_must_act(error: Exception, wanted: type[errors.SkepError]) -> None:
    told = answers.translated("do it", error)
    assert type(told) is wanted
    assert told.what == "do it" and told.why not in ("", "None") and told.do


def test_the_api_servers_own_words_are_told() -> None:
    with pytest.raises(errors.Denied, match="get the pod: it is Forbidden") as told, answers.told("get the pod"):
        raise status(403, "Forbidden")
    assert isinstance(told.value.__cause__, httpx2.HTTPStatusError)


def test_an_error_of_ours_is_left_as_it_is() -> None:
    with pytest.raises(errors.Busy) as told, answers.told("x"):
        raise errors.Busy("y", do="z")
    assert told.value.what == "y"
