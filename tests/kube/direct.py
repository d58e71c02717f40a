"""An administrator's reading and writing over one connection: kubectl takes a third of a second of processor for each.

Tests look many times a second until something holds, and write thousands of objects. It is the API that kubectl uses;
whatever name this one does not know for sure, or is known to several groups, is left to kubectl.
"""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import threading
import time
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


class Direct:
    """One administrator's connection. Used by several threads, one at a time."""

    def __init__(self, address: str, port: int, context: ssl.SSLContext) -> None:
        self._address, self._port, self._context = address, port, context
        self._connection: http.client.HTTPSConnection | None = None
        self._known: dict[str, Resource | None] = {}
        self._kinds: dict[tuple[str, str], Resource] = {}
        """By apiVersion and kind."""
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

    def apply(self, document: dict[str, Any]) -> bool:  # Any: JSON
        """Server-side apply as whom nobody else is; False if that cannot be: kubectl has to."""
        about = document.get("metadata", {})
        with self._lock:
            kind = document["apiVersion"], document["kind"]
            if kind not in self._kinds:
                self._known = self._discovered()
            resource = self._kinds.get(kind)
            if resource is None or "name" not in about:
                return False
            path = _path(resource, about.get("namespace", "default")) + "/" + urllib.parse.quote(about["name"])
            query = "?fieldManager=tests&force=true&fieldValidation=Strict"
            status, _ = self._ask(path + query, "PATCH", document, "application/apply-patch+yaml")
            if status == 404:
                self._unsure()
            return status in (200, 201)

    def delete(self, kind: str, name: str, namespace: str, *, wait: bool, missing: bool) -> str | None:
        """Delete one, and wait until it is gone; what is against it, None: kubectl has to say. ``missing``: it may be
        away already."""
        with self._lock:
            resource = self._resource(kind)
            if resource is None:
                return None
            path = _path(resource, namespace) + "/" + urllib.parse.quote(name)
            body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
            status, found = self._ask(path, "DELETE", body)
        if status == 404 and found.get("details", {}).get("name"):
            return "" if missing else str(found["message"])
        if status not in (200, 202):
            with self._lock:
                self._unsure()
            return None
        uid = (found.get("details") or found.get("metadata"))["uid"]
        end = time.monotonic() + 120
        while wait:
            now = self.get(kind, name, namespace)
            if not now or now["metadata"]["uid"] != uid:
                break
            if time.monotonic() > end:
                return f"timed out waiting for {kind} {name}"
            time.sleep(0.02)
        return ""

    def token(self, namespace: str, account: str, bound: dict[str, str] | None) -> str:
        """A token of a service account that lasts an hour; ``bound``: the object without which it is worth nothing."""
        spec = {"expirationSeconds": 3600, **({"boundObjectRef": bound} if bound else {})}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        with self._lock:
            status, found = self._ask(f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", "POST", body)
        if status != 201:
            raise subprocess.CalledProcessError(1, ["create", "token", account], "", str(found.get("message", found)))
        return str(found["status"]["token"])

    def _unsure(self) -> None:
        """The kind may be gone, or have another scope: the next look asks anew which kinds there are."""
        self._known.clear()
        self._kinds.clear()

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
        self._kinds.clear()
        for root in ("/api", "/apis"):
            status, found = self._ask(root, accept=DISCOVERY)
            assert status == 200, (status, found)
            for group in found["items"]:
                of = group["metadata"].get("name", "")
                version = group["versions"][0]
                for each in version["resources"]:
                    path = f"{root}/{of}/{version['version']}" if of else f"{root}/{version['version']}"
                    made = Resource(path, each["resource"], each["scope"] == "Namespaced")
                    kind = each["responseKind"]
                    group_version = "/".join(
                        filter(None, (kind.get("group") or of, kind.get("version") or version["version"]))
                    )
                    self._kinds.setdefault((group_version, kind["kind"]), made)
                    one = each.get("singularResource") or each["responseKind"]["kind"].lower()
                    names = {each["resource"], one, *each.get("shortNames", ())}
                    for name in (*names, *(f"{name}.{of}" for name in names if of)):
                        known[name] = made if name not in known else None
        return known

    def _ask(
        self,
        path: str,
        method: str = "GET",
        body: object = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> tuple[int, Any]:  # Any: JSON
        """Answers of an API server that has been started anew come over a new connection."""
        headers = {"Accept": accept, **({} if body is None else {"Content-Type": content_type})}
        for last in (False, True):
            if self._connection is None:
                self._connection = http.client.HTTPSConnection(
                    self._address, self._port, context=self._context, timeout=30
                )
            try:
                self._connection.request(method, path, None if body is None else json.dumps(body), headers)
                answer = self._connection.getresponse()
                said = answer.read()
                return answer.status, json.loads(said) if answer.status != 404 or said[:1] == b"{" else {}
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                self._connection = None
                if last:
                    raise ConnectionError(f"the API server does not answer: {error}") from error
        raise AssertionError


def _path(resource: Resource, namespace: str | None) -> str:
    within = f"/namespaces/{namespace}" if resource.namespaced and namespace else ""
    return f"{resource.path}{within}/{resource.plural}"
