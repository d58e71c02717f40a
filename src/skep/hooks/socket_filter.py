"""Socket filters: how much of each packet one socket keeps (Linux 3.19)."""

from __future__ import annotations

from skep.hooks import request, runs, socket

BPF_PROG_TYPE_SOCKET_FILTER = 1

HOOK = socket.hook_of(
    "socket_filter",
    prog_type=BPF_PROG_TYPE_SOCKET_FILTER,
    sections=("socket",),
    option=request.SocketOption.FILTER,
    runs=runs.SOCKET_FILTER,
    first="3.19",
    doc="Runs on every packet that one socket receives, and says how many of its bytes the socket keeps.",
)
