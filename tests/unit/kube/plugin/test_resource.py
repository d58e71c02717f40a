"""Paths of the kinds, and what a refusal of the API server is in our words."""

from __future__ import annotations

import pytest

from skep import errors
from skep.kube.plugin import resource


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (resource.NODE.path(), "/api/v1/nodes"),
        (resource.POD.path(namespace="a", name="b"), "/api/v1/namespaces/a/pods/b"),
        (resource.POD.path(query={"labelSelector": "a=b"}), "/api/v1/pods?labelSelector=a%3Db"),
        (
            resource.APPLICATION.path(namespace="web"),
            "/apis/bpfman.io/v1alpha1/namespaces/web/bpfapplications",
        ),
        (resource.CLUSTER_STATE.path(namespace="web"), "/apis/bpfman.io/v1alpha1/clusterbpfapplicationstates"),
        (resource.NODE.path(name="../pods"), "/api/v1/nodes/..%2Fpods"),
    ],
)
def test_paths(path: str, text: str) -> None:
    assert path == text


FORBIDDEN = 'nodes is forbidden: User "bob" cannot list resource "nodes" in API group "" at the cluster scope'
INSIDE = 'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "web"'


@pytest.mark.parametrize(
    ("code", "message", "error", "do"),
    [
        (
            403,
            FORBIDDEN,
            errors.Denied,
            "ClusterRole skep-viewer-role gives it, bound with: kubectl create clusterrole",
        ),
        (403, INSIDE, errors.Denied, "the ClusterRoles view and skep-viewer-role give it"),
        (403, 'cannot create resource "pods/exec" in the namespace', errors.Denied, "root's power on its node"),
        (401, "Unauthorized", errors.Denied, "log in again"),
        (404, "the server could not find the requested resource", resource.UnknownKind, "kubectl apply --server-side"),
        (404, 'nodes "x" not found', errors.NotFound, "kubectl skep status -A"),
        (410, "Expired", errors.Conflict, "ask again"),
        (500, "etcdserver: leader changed", errors.Unavailable, "ask again"),
    ],
)
def test_refusals(code: int, message: str, error: type[errors.SkepError], do: str) -> None:
    told = resource.refused("list nodes", code, {"kind": "Status", "message": message}, "")
    assert type(told) is error and do in told.do
    assert told.why == message or error is resource.UnknownKind


def test_a_kind_that_is_unknown_altogether_is_told_without_a_status() -> None:
    told = resource.refused("list configs", 404, None, "404 page not found\n")
    assert type(told) is resource.UnknownKind and "CRDs are not in it" in told.why


@pytest.mark.parametrize(
    ("text", "error", "do"),
    [
        ("dial tcp 10.0.0.1:443: connect: connection refused", errors.Unavailable, "kubectl cluster-info"),
        ('error: context "nope" does not exist', errors.InvalidRequest, "kubectl config get-contexts"),
        ("error: stat /x: no such file or directory", errors.InvalidRequest, "name a kubeconfig"),
        ("dial tcp 127.0.0.1:8080: connect: connection refused", errors.InvalidRequest, "kubectl knows no cluster"),
        ("", errors.Unavailable, "kubectl cluster-info"),
    ],
)
def test_a_cluster_that_kubectl_does_not_reach(text: str, error: type[errors.SkepError], do: str) -> None:
    told = resource.refused("list nodes", 502, None, text)
    assert type(told) is error and do in told.do and told.why
