"""When an inventory is written."""

from __future__ import annotations

from typing import Any

import pytest

from skep.kube.inventory.decide import Decision, Nothing, Wait, Write, decide

A: dict[str, Any] = {"node": "n", "memory": "100Ki"}
B: dict[str, Any] = {"node": "n", "memory": "900Ki"}
BAD: dict[str, Any] = {**A, "findings": [{"kind": "clash", "hook": "xdp"}]}
NEAR: dict[str, Any] = {"node": "n", "memory": "110Ki"}


@pytest.mark.parametrize(
    ("written", "wanted", "now", "last", "decision"),
    [
        (None, A, 0.0, None, Write(status=A, create=True)),
        ({}, A, 0.0, None, Write(status=A, create=False)),
        ({"status": A}, A, 0.0, None, Nothing()),
        ({"status": A}, NEAR, 0.0, None, Nothing()),
        ({"status": A}, B, 5.0, None, Write(status=B, create=False)),
        ({"status": A}, B, 40.0, 15.0, Wait(seconds=5.0)),
        ({"status": A}, B, 45.0, 15.0, Write(status=B, create=False)),
        ({"status": A}, A, 16.0, 15.0, Nothing()),
        (None, A, 16.0, 15.0, Wait(seconds=29.0)),
        ({"status": A}, BAD, 16.0, 15.0, Wait(seconds=4.0)),
        ({"status": A}, BAD, 20.0, 15.0, Write(status=BAD, create=False)),
        ({"status": BAD}, A, 20.0, 15.0, Write(status=A, create=False)),
        ({"status": BAD}, {**B, "findings": BAD["findings"]}, 20.0, 15.0, Wait(seconds=25.0)),
    ],
    ids=[
        "first", "no-status", "same", "nearly-same", "other", "other-too-soon", "other-in-time", "same-soon",
        "deleted-soon", "something-wrong-soon", "something-wrong", "nothing-wrong-any-more", "the-same-wrong",
    ],
)  # fmt: skip
def test_decisions(
    written: dict[str, Any] | None, wanted: dict[str, Any], now: float, last: float | None, decision: Decision
) -> None:
    assert decide(written, wanted, today="t", now=now, last=last) == decision
