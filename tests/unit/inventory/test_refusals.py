"""Which attachments are remembered as wanted, and for how long."""

from __future__ import annotations

import contextlib

import pytest

from skep import errors, model
from skep.hooks import xdp
from skep.inventory import refusals


def attach(interface: str = "eth0", program: int = 1) -> model.Attach:
    where = xdp.XdpAttachment(interface=model.InterfaceRef(name=interface), priority=50)
    return model.Attach(program=model.ProgramId(program), attachment=where)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def failing(known: refusals.Refusals, op: model.Operation, error: Exception | None) -> None:
    with contextlib.suppress(errors.SkepError), known.watching([op]):
        if error is not None:
            raise error


def test_an_attachment_is_known_until_it_succeeds_or_nobody_asks_any_more() -> None:
    clock = Clock()
    known = refusals.Refusals(clock)
    quiet = known.fingerprint()
    failing(known, attach(), errors.Conflict("taken"))
    failing(known, attach("eth1"), errors.Denied("no", why="EPERM"))
    assert [id for id, _ in known.all()] == [1, 1]
    busy = known.fingerprint()
    assert busy != quiet
    clock.now = 100.0
    failing(known, attach(), errors.Conflict("taken"))
    assert known.fingerprint() == busy, "asking again is no news"
    clock.now = 200.0
    assert [attachment for _, attachment in known.all()] == [attach().attachment]
    failing(known, attach(), None)
    assert known.all() == ()
    assert known.fingerprint() == quiet


@pytest.mark.parametrize(
    "error", [errors.NotFound("no interface"), errors.InvalidRequest("priority"), errors.Busy("wait")]
)
def test_what_no_program_of_others_is_the_reason_of_is_not_remembered(error: errors.SkepError) -> None:
    known = refusals.Refusals()
    failing(known, attach(), error)
    assert known.all() == ()


def test_other_operations_are_not_remembered() -> None:
    known = refusals.Refusals()
    failing(known, model.Unload(program=model.ProgramId(1)), errors.Conflict("used"))
    assert known.all() == ()


def test_a_caller_who_asks_for_thousands_fills_no_memory() -> None:
    known = refusals.Refusals()
    for id in range(refusals.MOST + 10):
        failing(known, attach(program=id + 1), errors.Conflict("taken"))
    assert len(known.all()) == refusals.MOST
