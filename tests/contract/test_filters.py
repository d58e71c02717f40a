"""Traffic-control filters, asked of the fake and of Linux: what stands for them, and whose qdisc it is."""

from __future__ import annotations

import pytest

from skep import errors, model
from tests.contract.conftest import Place


def test_a_filter_brings_its_qdisc_and_takes_it_along(place: Place) -> None:
    first, second = _two(place)
    made = place.kernel.attach(first, place.on_tc(), place.filter())
    assert (made.kernel.id, made.kernel.type, made.kernel.program_id) == (0, 0, _id(place, first))
    assert made.interface is not None
    assert made.filter is not None
    assert (made.filter.priority, made.filter.program_id) == (50, _id(place, first))
    assert place.outside.qdisc() == "clsact"
    assert place.filters() == [("ingress", 50, place.filter().rpartition("/")[0])]
    assert place.kernel.filters_in(place.interface.netns) == place.kernel.filters_on(place.interface)
    assert place.kernel.link(place.filter()) == made.kernel
    assert place.filter() in place.everything()
    place.kernel.swap(place.filter(), first, second)
    seen = place.kernel.link(place.filter())
    assert seen is not None
    assert (seen.program_id, seen.ifindex, seen.defunct) == (_id(place, second), made.interface.ifindex, False)
    place.kernel.detach(place.filter())
    place.kernel.detach(place.filter())
    assert place.kernel.link(place.filter()) is None
    assert place.outside.qdisc() == ""
    assert place.filters() == []


def test_a_swap_of_a_filter_expects_the_old_program(place: Place) -> None:
    first, second = _two(place)
    place.kernel.attach(first, place.on_tc(), place.filter())
    with pytest.raises(errors.Conflict):
        place.kernel.swap(place.filter(), second, first)
    assert _runs(place) == _id(place, first)
    place.kernel.point(place.filter(), second)
    place.kernel.point(place.filter(), second)
    assert _runs(place) == _id(place, second)
    assert len(place.filters()) == 1


def test_a_filter_keeps_its_program_when_the_pin_goes(place: Place) -> None:
    first, _ = _two(place)
    id = _id(place, first)
    place.kernel.attach(first, place.on_tc(), place.filter())
    place.kernel.unpin(first)
    assert _runs(place) == id
    assert place.kernel.program_by_id(id) is not None


def test_a_qdisc_that_was_there_stays(place: Place) -> None:
    first, _ = _two(place)
    place.outside.add_qdisc("clsact")
    place.kernel.attach(first, place.on_tc(), place.filter())
    place.kernel.detach(place.filter())
    assert place.outside.qdisc() == "clsact"


@pytest.mark.parametrize("first_to_go", ["ingress", "egress"])
def test_both_directions_share_the_qdisc_until_the_last_goes(place: Place, first_to_go: str) -> None:
    first, second = _two(place)
    ways = ("ingress", "egress")
    place.kernel.attach(first, place.on_tc("ingress", beside=place.filter("egress")), place.filter("ingress"))
    place.kernel.attach(second, place.on_tc("egress", beside=place.filter("ingress")), place.filter("egress"))
    assert [direction for direction, _, _ in place.filters()] == ["egress", "ingress"]
    place.kernel.detach(place.filter(first_to_go))
    assert place.outside.qdisc() == "clsact"
    assert [direction for direction, _, _ in place.filters()] == [one for one in ways if one != first_to_go]
    place.kernel.detach(place.filter(next(one for one in ways if one != first_to_go)))
    assert place.outside.qdisc() == ""


def test_foreign_filters_keep_their_place_and_the_qdisc(place: Place) -> None:
    first, second = _two(place)
    place.kernel.attach(first, place.on_tc(), place.filter())
    place.outside.add_filter("ingress", 10)
    place.outside.add_filter("ingress", 60)
    place.outside.add_filter("egress", 50)
    place.kernel.swap(place.filter(), first, second)
    own = place.filter().rpartition("/")[0]
    assert place.filters() == [("egress", 50, ""), ("ingress", 10, ""), ("ingress", 50, own), ("ingress", 60, "")]
    place.kernel.detach(place.filter())
    assert place.filters() == [("egress", 50, ""), ("ingress", 10, ""), ("ingress", 60, "")]
    assert place.outside.qdisc() == "clsact"


def test_a_taken_priority_is_refused_and_nothing_is_left(place: Place) -> None:
    first, _ = _two(place)
    place.outside.add_qdisc("clsact")
    place.outside.add_filter("ingress", 50)
    before = place.everything()
    with pytest.raises(errors.SkepError):
        place.kernel.attach(first, place.on_tc(), place.filter())
    assert place.filters() == [("ingress", 50, "")]
    assert place.everything() == before


def test_an_ingress_qdisc_has_room_for_one_direction(place: Place) -> None:
    first, second = _two(place)
    place.outside.add_qdisc("ingress")
    place.outside.add_filter("ingress", 10)
    place.kernel.attach(first, place.on_tc(), place.filter())
    with pytest.raises(errors.Conflict, match="egress"):
        place.kernel.attach(second, place.on_tc("egress"), place.filter("egress"))
    assert place.kernel.link(place.filter("egress")) is None
    assert [priority for _, priority, _ in place.filters()] == [10, 50]
    place.kernel.detach(place.filter())
    assert place.outside.qdisc() == "ingress"
    assert [priority for _, priority, _ in place.filters()] == [10]


@pytest.mark.parametrize("how", ["filter", "qdisc", "interface"])
def test_a_filter_that_others_removed_is_defunct(place: Place, how: str) -> None:
    first, second = _two(place)
    place.kernel.attach(first, place.on_tc(), place.filter())
    match how:
        case "filter":
            place.outside.remove_filter("ingress", 50)
        case "qdisc":
            place.outside.remove_qdisc()
        case _:
            place.outside.delete_interface()
    seen = place.kernel.link(place.filter())
    assert seen is not None
    assert (seen.ifindex, seen.defunct, seen.program_id) == (0, True, 0)
    with pytest.raises(errors.Conflict):
        place.kernel.swap(place.filter(), first, second)
    place.kernel.point(place.filter(), second)
    place.kernel.detach(place.filter())
    assert place.kernel.link(place.filter()) is None


def test_a_qdisc_that_others_made_anew_is_not_ours(place: Place) -> None:
    first, _ = _two(place)
    place.kernel.attach(first, place.on_tc(), place.filter())
    place.outside.remove_qdisc()
    place.outside.add_qdisc("clsact")
    place.kernel.detach(place.filter())
    assert place.outside.qdisc() == "clsact"


def test_a_filter_at_an_interface_that_is_not_there(place: Place) -> None:
    first, _ = _two(place)
    place.outside.delete_interface()
    before = place.everything()
    with pytest.raises(errors.NotFound):
        place.kernel.attach(first, place.on_tc(), place.filter())
    with pytest.raises(errors.NotFound):
        place.kernel.filters_on(place.interface)
    assert place.everything() == before


def _two(place: Place) -> list[model.ProgramPin]:
    return [*place.load(1, "packet"), *place.load(2, "packet")]


def _id(place: Place, pin: model.ProgramPin) -> model.ProgramId:
    found = place.kernel.program(pin)
    assert found is not None
    return found.id


def _runs(place: Place) -> model.ProgramId:
    found = place.kernel.link(place.filter())
    assert found is not None
    return found.program_id
