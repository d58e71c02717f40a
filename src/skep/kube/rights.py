"""What the daemon's container may do: each capability with what stops working without it. Pure.

Found by leaving them out one at a time: tests/e2e/test_service.py for a host, tests/e2e/test_container.py for a
container. The systemd unit has the same. Not among them: CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN includes them, and
nothing else turns ids into descriptors), CAP_SYS_RESOURCE (maps are charged to a memory cgroup since Linux 5.11),
CAP_NET_RAW, CAP_SYS_MODULE, CAP_DAC_OVERRIDE, CAP_CHOWN.
"""

from __future__ import annotations

from typing import Final

DAEMON: Final = (
    ("SYS_ADMIN", "list programs, maps and links (ids become descriptors), load any type, enter network namespaces"),
    ("NET_ADMIN", "make traffic-control filters and their qdisc over netlink, where SYS_ADMIN does not do"),
    ("SETUID", "open a client's file with that client's rights; make the reader of images nobody"),
    ("SETGID", "the same, for groups"),
    ("DAC_READ_SEARCH", "reach a probe's target in a container's private directory; read what root names"),
    ("SYS_PTRACE", "see the network namespace, the root directory and the sockets of other users' processes: of pods"),
    ("KILL", "end the process that reads images, which is nobody's"),
)
"""Capability without "CAP_", and why the daemon has it. Agent and operator have none; the CSI driver is privileged, for
Kubernetes lets nothing else propagate a mount."""
