"""What a container runtime answers about a pod's processes: from a real gRPC server that answers as runtimes do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from skep import errors
from skep.pb import cri_pb2, cri_pb2_grpc
from skep.rpc import cri

CONTAINERD = {"sandboxID": "5f", "pid": 4321, "removing": False, "snapshotter": "overlayfs", "runtimeSpec": {"a": [1]}}


class Runtime(cri_pb2_grpc.RuntimeServiceServicer):
    """Knows the container "here" and the sandboxes of the pod "pod", one of which has ended."""

    def __init__(self, info: Mapping[str, str]) -> None:
        self.info = info

    def ContainerStatus(
        self, request: cri_pb2.ContainerStatusRequest, context: grpc.ServicerContext
    ) -> cri_pb2.ContainerStatusResponse:
        if request.container_id != "here":
            context.abort(grpc.StatusCode.NOT_FOUND, f'container "{request.container_id}": not found')
        return cri_pb2.ContainerStatusResponse(info=self.info if request.verbose else {})

    def ListPodSandbox(
        self, request: cri_pb2.ListPodSandboxRequest, context: grpc.ServicerContext
    ) -> cri_pb2.ListPodSandboxResponse:
        if dict(request.filter.label_selector) != {"io.kubernetes.pod.uid": "pod"}:
            return cri_pb2.ListPodSandboxResponse()
        ended = cri_pb2.PodSandbox(id="ended", state=cri_pb2.SANDBOX_NOTREADY)
        return cri_pb2.ListPodSandboxResponse(items=[ended, cri_pb2.PodSandbox(id="runs")])

    def PodSandboxStatus(
        self, request: cri_pb2.PodSandboxStatusRequest, context: grpc.ServicerContext
    ) -> cri_pb2.PodSandboxStatusResponse:
        known = request.pod_sandbox_id == "runs" and request.verbose
        return cri_pb2.PodSandboxStatusResponse(info=self.info if known else {})


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Runtime]:
    runtime = Runtime({"info": json.dumps(CONTAINERD)})
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    cri_pb2_grpc.add_RuntimeServiceServicer_to_server(runtime, server)
    server.add_insecure_port(f"unix:{tmp_path}/cri.sock")
    server.start()
    yield runtime
    server.stop(None).wait()


def test_processes_of_containers_and_sandboxes(served: Runtime, tmp_path: Path) -> None:
    runtime = cri.Runtime(f"{tmp_path}/cri.sock")
    assert runtime.container("here") == 4321
    assert runtime.sandbox("pod") == 4321


def test_what_it_does_not_know(served: Runtime, tmp_path: Path) -> None:
    runtime = cri.Runtime(f"{tmp_path}/cri.sock")
    with pytest.raises(errors.NotFound, match='container "other": not found'):
        runtime.container("other")
    with pytest.raises(errors.NotFound, match="no sandbox of pod other"):
        runtime.sandbox("other")


def test_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(errors.Unavailable, match="does not tell"):
        cri.Runtime(f"{tmp_path}/nobody.sock").container("here")


def test_an_answer_that_is_too_large_is_not_taken_in(served: Runtime, tmp_path: Path) -> None:
    served.info = {"info": "x" * (cri.MOST_BYTES + 1)}
    with pytest.raises(errors.Unavailable):
        cri.Runtime(f"{tmp_path}/cri.sock").container("here")


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"info": ""},
        {"info": "not JSON"},
        {"info": "[" * 100_000},
        {"info": "[4321]"},
        {"info": '{"pid": "4321"}'},
        {"info": '{"pid": true}'},
        {"info": '{"pid": 0}'},
        {"info": '{"pid": -1}'},
        {"info": '{"pid": 99999999999}'},
        {"info": json.dumps({"pid": 4321, "more": "x" * cri.MOST_INFO})},
        {"other": '{"pid": 4321}'},
    ],
    ids=lambda info: str(info)[:30],
)
def test_an_answer_without_a_process_id(info: dict[str, str]) -> None:
    with pytest.raises(errors.NotFound, match="tells no process id"):
        cri.pid(info)
