"""Sk_reuseport: which socket of a group that shares an address gets a connection or datagram (Linux 4.19)."""

from __future__ import annotations

from skep.hooks import request, socket

BPF_PROG_TYPE_SK_REUSEPORT = 21

HOOK = socket.hook_of(
    "sk_reuseport",
    prog_type=BPF_PROG_TYPE_SK_REUSEPORT,
    sections=("sk_reuseport/migrate", "sk_reuseport"),
    points={"sk_reuseport/migrate": 40, "sk_reuseport": 39},
    option=request.SocketOption.REUSEPORT,
    first="4.19",
    doc="Runs for every connection or datagram to an address that several sockets share, and chooses one of them.",
)
