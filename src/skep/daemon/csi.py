"""The CSI driver inside the daemon, for who deploys both in one container as bpfman does (``serve --csi-support``).

In skep's own deployment the driver is a container of its own (`skep kube csi`): only that one must be privileged.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from skep import model, paths
from skep.kube.csi import driver, endpoint
from skep.manager import Manager


@contextlib.contextmanager
def served(manager: Manager, layout: paths.Layout, kubelet: str) -> Iterator[str]:
    """Answer kubelet until the block ends, at the path given; a side-car makes it known to kubelet."""
    settings = driver.Settings(node=os.environ.get("KUBE_NODE_NAME") or os.uname().nodename, kubelet=kubelet)
    source = driver.Source(
        programs=lambda: manager.programs(model.ProgramFilter(managed_only=True)), ready=lambda: None
    )
    made = endpoint.Endpoint(layout.csi, driver.Services(settings, source).add)
    made.start()
    try:
        yield made.path
    finally:
        made.stop()
