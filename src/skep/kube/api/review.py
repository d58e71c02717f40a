"""Who asks, and whether they may: the API server says (TokenReview, SubjectAccessReview), remembered for a minute."""

from __future__ import annotations

import asyncio
import enum
import hashlib
from typing import Final

from skep.kube.api import objects
from skep.kube.api.connect import Api

SECONDS: Final = 60.0
"""How long an answer is remembered: so long may a token that was revoked still read."""
_MOST: Final = 256
_AT_ONCE: Final = 4
"""Questions to the API server, however many ask us."""


class Verdict(enum.Enum):
    """What the API server says of a token."""

    ALLOWED = enum.auto()
    REFUSED = enum.auto()
    UNKNOWN = enum.auto()


class Reviewer:
    """Asks whether the bearer of a token may ``get`` a path that is no resource.

    The account we are needs ``create`` of both kinds of review: ClusterRole ``system:auth-delegator``.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: dict[bytes, tuple[float, Verdict]] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def judge(self, token: str, path: str) -> Verdict:
        """Whether its bearer may; raises skep's errors if the API server does not say."""
        # The token itself is not kept.
        digest = hashlib.sha256(f"{path}\0{token}".encode()).digest()
        async with self._slots:
            now = asyncio.get_running_loop().time()
            if (known := self._known.get(digest)) and now < known[0]:
                return known[1]
            verdict = await self._ask(token, path)
        self._known.pop(digest, None)
        if len(self._known) >= _MOST:
            del self._known[next(iter(self._known))]
        self._known[digest] = (now + SECONDS, verdict)
        return verdict

    async def _ask(self, token: str, path: str) -> Verdict:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        told = (await objects.create(self._api, review)).get("status") or {}
        if not told.get("authenticated"):
            return Verdict.UNKNOWN
        user = told.get("user") or {}
        access = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": user.get("username"),
                "uid": user.get("uid"),
                "groups": user.get("groups"),
                "extra": user.get("extra"),
                "nonResourceAttributes": {"path": path, "verb": "get"},
            },
        }
        answer = (await objects.create(self._api, access)).get("status") or {}
        return Verdict.ALLOWED if answer.get("allowed") else Verdict.REFUSED
