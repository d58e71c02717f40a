"""Making the driver known to kubelet: what the side-car node-driver-registrar does elsewhere.

Kubelet watches a directory; for each socket in it, it asks what is behind it, calls that, and says how it went.
Source: k8s.io/kubernetes/pkg/kubelet/pluginmanager.
"""

from __future__ import annotations

import logging
from typing import Final

import grpc

from skep.kube import naming
from skep.kube.csi import endpoint
from skep.pb import pluginregistration_pb2, pluginregistration_pb2_grpc

log = logging.getLogger("skep.csi")

SOCKET: Final = f"{naming.DRIVER}-reg.sock"
_LONGEST: Final = 60.0
"""Seconds between two attempts, at most."""


class Registration(pluginregistration_pb2_grpc.RegistrationServicer):
    """What kubelet asks. ``refused``: it does not want this driver yet."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.refused = False

    def GetInfo(
        self, request: pluginregistration_pb2.InfoRequest, context: grpc.ServicerContext
    ) -> pluginregistration_pb2.PluginInfo:
        """What is here. The versions are of CSI."""
        return pluginregistration_pb2.PluginInfo(
            type="CSIPlugin", name=naming.DRIVER, endpoint=self._address, supported_versions=["1.0.0"]
        )

    def NotifyRegistrationStatus(
        self, request: pluginregistration_pb2.RegistrationStatus, context: grpc.ServicerContext
    ) -> pluginregistration_pb2.RegistrationStatusResponse:
        """How it went."""
        self.refused = not request.plugin_registered
        if self.refused:
            log.error("kubelet has not registered the driver", extra={"why": request.error})
        else:
            log.info("kubelet has registered the driver")
        return pluginregistration_pb2.RegistrationStatusResponse()


class Registrar:
    """Keeps a socket in kubelet's ``directory`` for the driver at ``address``.

    ``check`` it now and then: the socket is put back when it has gone, and made anew, later each time, after a refusal,
    since kubelet looks at a socket only when it appears.
    """

    def __init__(self, directory: str, address: str) -> None:
        self._service = Registration(address)
        self._endpoint = endpoint.Endpoint(
            f"{directory}/{SOCKET}",
            lambda server: pluginregistration_pb2_grpc.add_RegistrationServicer_to_server(self._service, server),
        )
        self._pause = 1.0
        self._due = 0.0

    def start(self) -> None:
        """Be found from now on."""
        self._endpoint.start()

    def check(self, now: float) -> None:
        """``now``: seconds of a clock that never goes back."""
        if self._endpoint.check():
            log.info("registering again: the socket had gone", extra={"socket": self._endpoint.path})
            self._service.refused = False
            return
        if not self._service.refused:
            self._pause, self._due = 1.0, 0.0
        elif not self._due:
            self._due, self._pause = now + self._pause, min(self._pause * 2, _LONGEST)
        elif now >= self._due:
            self._due = 0.0
            self._service.refused = False
            self._endpoint.again()

    def stop(self) -> None:
        """Kubelet takes the driver off its list when the socket goes; what is mounted stays."""
        self._endpoint.stop(0)
