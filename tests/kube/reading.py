"""What objects a control plane has, asked over one connection: kubectl takes a third of a second of processor to say.

Tests look many times a second until something holds. What is read is the same API that kubectl reads; whatever name
this one does not know for sure, or is known to several groups, is left to kubectl.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import urllib.parse
from dataclasses import dataclass
from typing import Any

DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@dataclass(frozen=True, slots=True)
class Resource:
    """Where objects of a kind are: ``path`` is that of the group's version."""

    path: str
    plural: str
    namespaced: bool


class Reader:
    """One administrator's reading. Used by several threads, one at a time."""

    def __init__(self, address: str, port: int, context: ssl.SSLContext) -> None:
        self._address, self._port, self._context = address, port, context
        self._connection: http.client.HTTPSConnection | None = None
        self._known: dict[str, Resource | None] = {}
        self._lock = threading.Lock()

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any] | None:  # Any: JSON
        """One object, {} if there is none; None: kubectl has to say."""
        with self._lock:
            resource = self._resource(kind)
            if resource is None:
                return None
            status, found = self._ask(_path(resource, namespace) + "/" + urllib.parse.quote(name))
            if status == 404 and found.get("details", {}).get("name"):
                return {}
            if status != 200:
                self._unsure()
                return None
            return self._seen(found)

    def list(self, kind: str, namespace: str | None, labels: str) -> list[dict[str, Any]] | None:  # Any: JSON
        """All objects of a kind, ``namespace`` None: of all; None: kubectl has to say."""
        with self._lock:
            resource = self._resource(kind)
            if resource is None:
                return None
            query = "?" + urllib.parse.urlencode({"labelSelector": labels}) if labels else ""
            status, found = self._ask(_path(resource, namespace) + query)
            if status != 200:
                self._unsure()
                return None
            one = {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
            return [self._seen({**one, **each}) for each in found["items"]]

    def _unsure(self) -> None:
        """The kind may be gone, or have another scope: the next look asks anew which kinds there are."""
        self._known.clear()

    def _seen(self, document: dict[str, Any]) -> dict[str, Any]:  # Any: JSON
        """As kubectl shows it."""
        document["metadata"].pop("managedFields", None)
        return document

    def _resource(self, kind: str) -> Resource | None:
        if kind.lower() not in self._known:
            self._known = self._discovered()
        return self._known.get(kind.lower())

    def _discovered(self) -> dict[str, Resource | None]:
        known: dict[str, Resource | None] = {}
        for root in ("/api", "/apis"):
            status, found = self._ask(root, DISCOVERY)
            assert status == 200, (status, found)
            for group in found["items"]:
                of = group["metadata"].get("name", "")
                version = group["versions"][0]
                for each in version["resources"]:
                    path = f"{root}/{of}/{version['version']}" if of else f"{root}/{version['version']}"
                    made = Resource(path, each["resource"], each["scope"] == "Namespaced")
                    one = each.get("singularResource") or each["responseKind"]["kind"].lower()
                    names = {each["resource"], one, *each.get("shortNames", ())}
                    for name in (*names, *(f"{name}.{of}" for name in names if of)):
                        known[name] = made if name not in known else None
        return known

    def _ask(self, path: str, accept: str = "application/json") -> tuple[int, Any]:  # Any: JSON
        """Answers of an API server that has been started anew come over a new connection."""
        for last in (False, True):
            if self._connection is None:
                self._connection = http.client.HTTPSConnection(
                    self._address, self._port, context=self._context, timeout=30
                )
            try:
                self._connection.request("GET", path, headers={"Accept": accept})
                answer = self._connection.getresponse()
                body = answer.read()
                return answer.status, json.loads(body) if answer.status != 404 or body[:1] == b"{" else {}
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                self._connection = None
                if last:
                    raise ConnectionError(f"the API server does not answer: {error}") from error
        raise AssertionError


def _path(resource: Resource, namespace: str | None) -> str:
    within = f"/namespaces/{namespace}" if resource.namespaced and namespace else ""
    return f"{resource.path}{within}/{resource.plural}"
