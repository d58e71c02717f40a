"""Whether a process is alive, and whether it can do its work: ``/healthz`` and ``/readyz``.

Each is a handful of named checks. Anybody may ask, so what fails is told by name only; why is in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus

from skep.kube.api import listen
from skep.kube.api.listen import Answer, Asked, Route

log = logging.getLogger("skep.kube.api.health")

Check = Callable[[], str]
"""Why something is not as it should be; "" if it is."""


def routes(*, live: Mapping[str, Check], ready: Mapping[str, Check]) -> dict[str, Route]:
    """``/healthz`` with the checks of ``live``, ``/readyz`` with those of ``ready``, for ``listen.listening``."""
    return {"/healthz": _route(live), "/readyz": _route(ready)}


def report(found: Mapping[str, str]) -> Answer:
    """What is answered for the outcome of each check, in the words of Kubernetes' own servers."""
    lines = [f"[-]{name} failed: the log says why" if why else f"[+]{name} ok" for name, why in found.items()]
    if any(found.values()):
        return listen.text(HTTPStatus.SERVICE_UNAVAILABLE, "\n".join([*lines, "not ok"]))
    return listen.text(HTTPStatus.OK, "\n".join([*lines, "ok"]))


def _route(checks: Mapping[str, Check]) -> Route:
    last: dict[str, str] = {}

    async def answered(_: Asked) -> Answer:
        found = {name: check() for name, check in checks.items()}
        for name, why in found.items():
            if why and why != last.get(name):
                log.warning("%s: %s", name, why)
        last.update(found)
        return report(found)

    return answered
