"""The floor under a fleet: the same state objects, written by a client that does nothing else."""

from __future__ import annotations

import datetime
import ssl
from typing import Any

from lightkube.config import client_adapter, kubeconfig
from lightkube.types import PatchType

from skep import model
from skep.kube import act, naming
from skep.kube.agent import expand, outcome, owned, records, sight, status
from skep.kube.api import connect, objects, served
from skep.kube.api.key import Key
from tests.kube.fleet import daemon


def context(config: kubeconfig.SingleConfig) -> ssl.SSLContext:
    """The TLS of a kubeconfig."""
    assert config.user is not None
    return client_adapter.verify_cluster(config.cluster, config.user, config.abs_file, trust_env=False)


async def token(api: connect.Api, namespace: str, node: str) -> str:
    """A token of the agents' account that says on which node it is."""
    about = await objects.get(api, served.NODE, Key(name=node))
    bound = {"kind": "Node", "apiVersion": "v1", "name": node, "uid": about["metadata"]["uid"]}
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"name": naming.ACCOUNT, "namespace": namespace},
        "spec": {"audiences": [], "expirationSeconds": 7200, "boundObjectRef": bound},
    }
    answer = await api._client._client.post(
        f"/api/v1/namespaces/{namespace}/serviceaccounts/{naming.ACCOUNT}/token", json=body
    )
    answer.raise_for_status()
    made: str = answer.json()["status"]["token"]
    return made


def documents(wish: records.Wish, node: str) -> tuple[dict[str, Any], dict[str, Any]]:  # Any: JSON
    """The state of an application on a node as it is created, and its status."""
    made = records.new_state(wish, node)
    # Nobody would ever take the finalizer away.
    del made["metadata"]["finalizers"]
    return made, _status(wish, node)


async def write(api: connect.Api, state: dict[str, Any], status: dict[str, Any], *, change: bool) -> None:  # Any: JSON
    """The two writes of a state that begins, or the one of a state that changes."""
    if not change:
        await objects.create(api, state)
    await api.ask(
        "patch",
        served.CLUSTER_STATE.Status,
        Key(name=state["metadata"]["name"]),
        body={"status": status},
        content_type=PatchType.MERGE.value,
    )


def _status(wish: records.Wish, node: str) -> dict[str, Any]:  # Any: JSON
    """What an agent would write of it when all is well."""
    application = wish.application
    assert application is not None
    uid = "00000000-0000-0000-0000-000000000000"
    here = sight.Node(name=node)
    seen = sight.View(host=daemon.HOST)
    expansion = expand.expand(application, here, (), seen)
    door = daemon.Daemon()
    source = model.ImageSource(url="", pull_policy="", digest="0")
    plan = act.decide(
        application,
        expansion.wanted(uid),
        act.Code(source=source, digest="0"),
        None,
        act.Seen(programs=(), links=()),
        metadata=owned.metadata(application, node, uid),
    )
    act.run(door, plan)
    came = outcome.Outcome(
        aim=outcome.Aim.RUN,
        application=application,
        expansion=expansion,
        seen=act.observe(door, owned.owner(application.key, node)),
    )
    now = datetime.datetime.now(datetime.UTC)
    made = status.status(came, node=node, uid=uid, generation=wish.generation, before={}, now=now)
    assert made is not None
    return made
