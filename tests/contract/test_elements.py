"""What both kernels say of what maps hold."""

from __future__ import annotations

import struct

import pytest

from skep import errors, model


@pytest.fixture
def hits(place):
    """An array of four numbers of 8 bytes."""
    place.load(1, "first")
    return place.kernel.map(place.pins.map(model.SetKey(1), "hits")).id


def key(number: int) -> bytes:
    return struct.pack("=I", number)


def test_what_is_written_is_there(place, hits):
    assert place.kernel.element(hits, key(1)) == (bytes(8),)
    place.kernel.update_element(hits, key(1), (b"12345678",), 0)
    assert place.kernel.element(hits, key(1)) == (b"12345678",)


def test_pages_hold_every_element_once(place, hits):
    place.kernel.update_element(hits, key(2), (b"abcdefgh",), 0)
    found, token = place.kernel.elements(hits, b"", 3)
    assert len(found) == 3
    assert token
    rest, token = place.kernel.elements(hits, token, 3)
    if token:  # Linux tells only with the next page that there is none
        more, token = place.kernel.elements(hits, token, 3)
        assert more == ()
    assert token == b""
    assert dict((*found, *rest)) == {key(index): (b"abcdefgh" if index == 2 else bytes(8),) for index in range(4)}


def test_an_array_keeps_its_elements(place, hits):
    with pytest.raises(errors.AlreadyExists):
        place.kernel.update_element(hits, key(1), (bytes(8),), model.MapMode.NEW)


def test_other_maps_have_no_events(place, hits):
    with pytest.raises(errors.InvalidRequest), place.kernel.records(hits):
        pass


def test_btf_that_is_gone_is_empty(place):
    assert place.kernel.btf(4_000_000_000) == b""
    assert place.kernel.possible_cpus() >= 1
