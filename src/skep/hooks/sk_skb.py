"""Sk_skb: what the sockets of a map receive (Linux 4.14; links 6.10)."""

from __future__ import annotations

from skep.hooks import sockmap

BPF_PROG_TYPE_SK_SKB = 14

HOOK = sockmap.hook_of(
    "sk_skb",
    prog_type=BPF_PROG_TYPE_SK_SKB,
    points={"sk_skb/stream_parser": 4, "sk_skb/stream_verdict": 5, "sk_skb/verdict": 38},
    config=("NET_SOCK_MSG", "BPF_STREAM_PARSER"),
    doc="Runs on what the sockets of a map receive, and may drop it or hand it to another socket.",
)
