"""The login for an image out of a pull secret: ``kubernetes.io/dockerconfigjson``, or the older ``dockercfg``. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from skep import errors, model
from skep.image import auth, local, reference
from skep.kube import resources

_TYPES = {
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
    "kubernetes.io/dockercfg": ".dockercfg",
}
"""A secret's type -> the key of its file; core/v1 types.go."""


def secret(application: resources.Application) -> tuple[str, str] | None:
    """The secret that an application names, as (namespace, name).

    Denied if it is in another namespace than a namespaced application: who may write one here may not read there.
    """
    code = application.byte_code
    if not isinstance(code, resources.Image) or code.secret is None:
        return None
    namespace, _ = code.secret
    if application.namespace not in (None, namespace):
        raise errors.Denied(
            f"spec.byteCode.image.imagePullSecret names a secret of namespace {namespace}",
            why=f"a BpfApplication of namespace {application.namespace} may only use that namespace's",
            do=f"copy it to {application.namespace}, or use a ClusterBpfApplication",
        )
    return code.secret


def login(url: str, document: Mapping[str, Any]) -> model.Login | None:  # Any: JSON
    """The login of a Secret for an image; None if it has none for that registry. InvalidRequest for another Secret."""
    about = document.get("metadata") or {}
    name = f"secret {about.get('namespace')}/{about.get('name')}"
    kind = document.get("type")
    if kind not in _TYPES:
        raise errors.InvalidRequest(
            f"{name} is no pull secret",
            why=f"its type is {kind}",
            do="make one: kubectl create secret docker-registry NAME --docker-server=… --docker-username=…",
        )
    try:
        data = base64.b64decode((document.get("data") or {})[_TYPES[kind]], validate=True)
        if kind == "kubernetes.io/dockercfg":
            data = json.dumps({"auths": json.loads(data)}).encode()
    except (KeyError, ValueError, binascii.Error) as error:
        # The reason may quote what is secret.
        raise errors.InvalidRequest(
            f"{name} cannot be read", why=f"{_TYPES[kind]} is not there or not JSON", do="make it anew"
        ) from error
    if any(url.startswith(transport) for transport in local.TRANSPORTS):
        return None
    found = auth.lookup(auth.parse(data, name), reference.parse(url))
    if isinstance(found, auth.Helper):
        raise errors.InvalidRequest(
            f"{name} names a credential helper", why="a cluster's nodes have none", do="put the login itself into it"
        )
    return found
