"""What a container runtime tells of a pod's processes, for pods without a control group of their own.

Two questions of the Container Runtime Interface (runtime.v1), and only questions: nothing is ever changed. A runtime
tells process ids in the verbose part of its answers, JSON whose shape is its own business; containerd's and CRI-O's
have "pid" at the top of the object "info". What it says is believed only as far as a living process has that number
(``kernel.pods``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import grpc

from skep import errors
from skep.pb import cri_pb2, cri_pb2_grpc

SECONDS: Final = 5.0
"""For each question."""
MOST_BYTES: Final = 4 * 1024 * 1024
"""Of an answer: the verbose part has a container's whole specification."""
MOST_INFO: Final = 1024 * 1024
"""Of the text in it that is read as JSON."""
_LABEL: Final = "io.kubernetes.pod.uid"
"""What kubelet labels sandboxes with (pkg/kubelet/types/labels.go)."""
_HIGHEST: Final = 2**22
"""PID_MAX_LIMIT (linux/threads.h)."""

T = TypeVar("T")


class Runtime:
    """A container runtime behind the Unix socket ``path``. Each question is a connection of its own: they are rare."""

    def __init__(self, path: str) -> None:
        self._path = path

    def container(self, number: str) -> int:
        """The first process of a container. NotFound, Unavailable."""
        request = cri_pb2.ContainerStatusRequest(container_id=number, verbose=True)
        return self._ask(lambda stub: pid(stub.ContainerStatus(request, timeout=SECONDS).info))

    def sandbox(self, uid: str) -> int:
        """The process that holds a pod's namespaces. NotFound, Unavailable."""

        def ask(stub: cri_pb2_grpc.RuntimeServiceStub) -> int:
            filter = cri_pb2.PodSandboxFilter(label_selector={_LABEL: uid})
            listed = stub.ListPodSandbox(cri_pb2.ListPodSandboxRequest(filter=filter), timeout=SECONDS)
            ready = [each.id for each in listed.items if each.state == cri_pb2.SANDBOX_READY]
            if not ready:
                raise errors.NotFound(f"the runtime has no sandbox of pod {uid}", do="see 'crictl pods'")
            request = cri_pb2.PodSandboxStatusRequest(pod_sandbox_id=ready[0], verbose=True)
            return pid(stub.PodSandboxStatus(request, timeout=SECONDS).info)

        return self._ask(ask)

    def _ask(self, question: Callable[[cri_pb2_grpc.RuntimeServiceStub], T]) -> T:
        options = (
            ("grpc.max_receive_message_length", MOST_BYTES),
            ("grpc.enable_http_proxy", 0),
            # containerd's server insists on a name of a host.
            ("grpc.default_authority", "localhost"),
        )
        with grpc.insecure_channel(f"unix:{self._path}", options=options) as channel:
            try:
                return question(cri_pb2_grpc.RuntimeServiceStub(channel))
            except grpc.RpcError as error:
                failed: Any = error  # a Call too, which grpc's types do not say
                kind = errors.NotFound if failed.code() is grpc.StatusCode.NOT_FOUND else errors.Unavailable
                raise kind(
                    f"the container runtime at {self._path} does not tell",
                    why=(failed.details() or "")[:300],
                    do="see pods.cri_socket",
                ) from error


def pid(info: Mapping[str, str]) -> int:
    """The process in the verbose part of an answer. NotFound when there is none in it."""
    text = info.get("info", "")
    found: Any = None  # Any: JSON
    if len(text) <= MOST_INFO:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
    number = found.get("pid") if isinstance(found, dict) else None
    if type(number) is not int or not 0 < number <= _HIGHEST:
        raise errors.NotFound(
            "the runtime tells no process id", why='its verbose answer has no "pid"', do="see 'crictl inspect'"
        )
    return number
