"""Programs on maps of sockets where the kernel has no links for maps (before 6.10), by what it had then."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from skep import errors, manager, model, steps
from skep.hooks import request, sockmap
from skep.kernel import linux
from tests.kernel import members, types_rig
from tests.kernel.types_rig import Rig


class Older(linux.Linux):
    """This kernel, asked for maps only what one before 6.10 can."""

    def attach(
        self, program: model.ProgramPin, candidates: tuple[request.LinkRequest, ...], pin: model.LinkPin
    ) -> steps.Linked:
        made = super().attach(program, candidates[1:], pin)
        return dataclasses.replace(made, taken=1, refused=("EINVAL: as if there were no links for maps",))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with types_rig.rig(tmp_path) as made:
        made.kernel.close()
        made.kernel = Older(made.pins.root)
        made.manager = manager.Manager(made.kernel, made.store, made.pins)
        yield made


def talk(rig: Rig, pin: str, *, sender: bool) -> str:
    return members.through_map(pin, sender=sender)


@pytest.mark.parametrize(("name", "sender"), [("on_sk_msg", True), ("on_stream_verdict", False), ("on_verdict", False)])
def test_a_map_holds_its_program_until_it_is_detached(rig: Rig, name: str, sender: bool) -> None:
    program = rig.load(name, refuse=1)
    pin = rig.pin("sockets")
    before = talk(rig, pin, sender=sender)
    link = rig.attach(program, sockmap.SockmapAttachment(map=pin))
    (shown,) = rig.links()
    assert shown.status.state is model.LinkState.ATTACHED
    assert shown.status.reason == "held by its map, without a link: it ends with the map"
    assert shown.status.pin_present
    assert shown.record.fallback
    assert rig.manager.doctor() == ()
    assert talk(rig, pin, sender=sender) != before
    rig.replace(program, refuse=0)
    assert rig.links()[0].status.state is model.LinkState.ATTACHED
    hits = rig.hits()
    assert talk(rig, pin, sender=sender) == before
    assert rig.hits() > hits, "the new version runs"
    rig.detach(link)
    hits = rig.hits()
    assert talk(rig, pin, sender=sender) == before
    assert rig.hits() == hits
    assert os.listdir(rig.pins.directory("links")) == []


def test_another_program_is_not_replaced_without_a_word(rig: Rig) -> None:
    first = rig.load("on_sk_msg", refuse=1)
    wanted = sockmap.SockmapAttachment(map=rig.pin("sockets"))
    link = rig.attach(first, wanted)
    with pytest.raises(errors.Conflict, match=f"it has program {first.record.id} already"):
        rig.attach(rig.load("on_sk_msg"), wanted)
    assert [one.record.id for one in rig.links()] == [link]


def test_a_map_that_is_gone_takes_its_program_along(rig: Rig) -> None:
    owner = rig.load("on_stream_verdict")
    pin = rig.pin("sockets")
    link = rig.attach(rig.load("on_sk_msg"), sockmap.SockmapAttachment(map=pin))
    rig.manager.run(types_rig.ROOT, model.Unload(program=owner.record.id))
    types_rig.until(lambda: rig.links()[0].status.state is model.LinkState.DEFUNCT)
    assert "gone" in rig.links()[0].status.reason
    rig.detach(link)
    assert rig.links() == ()
