"""What a host is to applications: its labels, its interfaces, and those of its default routes."""

from __future__ import annotations

import os

from skep import model
from skep.kube import host

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def here(seen: model.HostSeen) -> host.Host:
    """This host as selectors see it; the interfaces are those of the daemon's network namespace."""
    own = seen.namespaces[0]
    name = os.uname()
    return host.Host(
        labels={
            "kubernetes.io/hostname": name.nodename,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": _ARCHITECTURES.get(name.machine, name.machine),
        },
        interfaces=tuple(each.name for each in own.interfaces),
        primary=own.primary,
    )
