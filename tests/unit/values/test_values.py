"""Bytes and values are two forms of one thing: what is written is read again, and what is wrong is refused by name."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skep import errors, values
from skep.bytecode.btf import Btf, Kind
from skep.values import declared
from tests.unit.values import shapes


@settings(max_examples=50)
@given(st.data(), shapes.typed())
def test_what_is_written_is_read_again(data, typed):
    types, type_id, strategy = typed
    value = data.draw(strategy)
    raw = values.encode(types, type_id, value)
    assert len(raw) == types.size_of(type_id)
    told = values.decode(types, type_id, raw)
    assert shapes.subset(value, told)
    assert values.encode(types, type_id, told) == raw


@settings(max_examples=50)
@given(st.data(), shapes.typed())
def test_any_bytes_can_be_told(data, typed):
    """The kernel may hold anything; padding and what stands behind a text's NUL are all that is lost."""
    types, type_id, _ = typed
    size = types.size_of(type_id)
    raw = data.draw(st.binary(min_size=size, max_size=size))
    told = values.decode(types, type_id, raw)
    try:
        again = values.encode(types, type_id, told)
    except errors.InvalidRequest as refused:
        # A union of a text with rubbish behind its NUL, or of a NaN, says two things about the same bytes.
        if "share bytes and differ" not in refused.why:
            raise
        return
    assert values.decode(types, type_id, again) == told


@settings(max_examples=50)
@given(st.data(), shapes.typed(), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["m0", "m1", "low", "x"]), inner),
    max_leaves=5,
))  # fmt: skip
def test_any_json_is_written_or_refused(data, typed, value):
    types, type_id, _ = typed
    with contextlib.suppress(errors.InvalidRequest):
        assert len(values.encode(types, type_id, value)) == types.size_of(type_id)


@settings(max_examples=50)
@given(st.binary(max_size=64), shapes.typed())
def test_too_few_bytes_are_an_error_and_nothing_else(raw, typed):
    types, type_id, _ = typed
    if len(raw) < types.size_of(type_id):
        with pytest.raises(errors.BadObject):
            values.decode(types, type_id, raw)
    else:
        values.decode(types, type_id, raw)


# ---------------------------------------------------------------- single rules


@pytest.fixture
def flow() -> tuple[Btf, int]:
    build = shapes.Builder()
    u8, u16, u32 = build.integer("__u8", 1), build.integer("__u16", 2), build.integer("unsigned int", 4)
    be32 = build.add(Kind.TYPEDEF, "__be32", build.add(Kind.TYPEDEF, "__u32", u32))
    char = build.integer("char", 1, shapes.SIGNED)
    array = {size: build.add(Kind.ARRAY, "", 0, (u8, u32, size)) for size in (4, 6, 16)}
    text = build.add(Kind.ARRAY, "", 0, (char, u32, 8))
    level = build.add(Kind.ENUM, "level", 4, ("LOW", 0), ("HIGH", 7))
    members = [("source", be32), ("count", u32), ("port", u16), ("four", array[4]), ("mac", array[6]),
               ("six", array[16]), ("name", text), ("level", level)]  # fmt: skip
    type_id = build.struct("flow", members)
    return build.btf, type_id


def written(flow, name, value):
    types, type_id = flow
    raw = values.encode(types, type_id, {name: value}, base=bytes(64))
    (field,) = [one for one in values.fields(types, types.types[type_id - 1]) if one.name == name]
    return raw[field.bit // 8 : field.bit // 8 + field.size // 8]


@pytest.mark.parametrize(
    ("name", "value", "raw"),
    [
        ("count", 258, struct.pack("=I", 258)),
        ("count", "0x102", struct.pack("=I", 258)),
        ("count", "hex:0a000001", b"\x0a\0\0\x01"),
        ("source", "10.0.0.1", b"\x0a\0\0\x01"),
        ("four", "10.0.0.1", b"\x0a\0\0\x01"),
        ("four", [1, 2, 3, 4], b"\1\2\3\4"),
        ("mac", "aa:bb:cc:dd:ee:ff", bytes.fromhex("aabbccddeeff")),
        ("six", "fe80::1", bytes.fromhex("fe800000000000000000000000000001")),
        ("name", "eth0", b"eth0\0\0\0\0"),
        ("name", "exactly8", b"exactly8"),
        ("level", "HIGH", struct.pack("=I", 7)),
        ("level", 3, struct.pack("=I", 3)),
    ],
)  # fmt: skip
def test_values_may_be_written_in_the_ways_that_have_one_meaning(flow, name, value, raw):
    assert written(flow, name, value) == raw


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("count", 1 << 32, "value.count cannot be written: 4294967296 does not fit unsigned int (it takes 0 to"),
        ("count", -1, "does not fit unsigned int"),
        ("count", True, "is a number, not true"),
        ("count", 1.5, "1.5 is not a number, for unsigned int"),
        ("count", "10.0.0.1", "in which byte order unsigned int holds an address is not known (hex:0a000001"),
        ("count", "hex:0a", "it takes 4 bytes, not 1"),
        ("count", "hex:0", "not an even number of hexadecimal digits"),
        ("source", "10.0.0.256", "neither a number nor an IPv4 address"),
        ("cuont", 1, "struct flow has no member 'cuont' (did you mean count?)"),
        ("mac", [1, 2], "has 6 elements, not 2"),
        ("mac", "aa:bb", "or a MAC address"),
        ("name", "more than 8", "'more than 8' has 11 bytes, char[8] 8"),
        ("level", "HIHG", "enum level has no 'HIHG' (did you mean HIGH?)"),
        ("four", [1, 2, 300, 4], "value.four[2] cannot be written: 300 does not fit __u8 (it takes 0 to 255)"),
    ],
)
def test_a_wrong_value_is_told_with_its_place(flow, name, value, told):
    with pytest.raises(errors.InvalidRequest) as refused:
        written(flow, name, value)
    assert told in str(refused.value)


def test_every_member_must_be_given_unless_the_others_are_kept(flow):
    types, type_id = flow
    with pytest.raises(errors.InvalidRequest, match=r"source, port, .* are missing"):
        values.encode(types, type_id, {"count": 1})
    base = bytes(range(types.size_of(type_id)))
    merged = values.encode(types, type_id, {"count": 1}, base=base)
    assert merged == base[:4] + struct.pack("=I", 1) + base[8:]


def test_members_of_a_union_must_agree():
    build = shapes.Builder()
    u32, u16 = build.integer("unsigned int", 4), build.integer("unsigned short", 2)
    union = build.struct("u", [("whole", u32), ("half", u16)], Kind.UNION)
    assert values.encode(build.btf, union, {"half": 5}) == b"\x05\0\0\0"
    assert values.encode(build.btf, union, {"half": 5, "whole": 5}) == b"\x05\0\0\0"
    with pytest.raises(errors.InvalidRequest, match="share bytes and differ"):
        values.encode(build.btf, union, {"half": 5, "whole": 6})


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"abc\0\0\0\0\0", "abc"),
        (b"abc\0rest", "abc"),
        (b"abcdefgh", "abcdefgh"),
        (b"\0\0\0\0\0\0\0\0", ""),
        (b"\x01\x02\0\0\0\0\0\0", [1, 2, 0, 0, 0, 0, 0, 0]),
        (b"\xff\0\0\0\0\0\0\0", [-1, 0, 0, 0, 0, 0, 0, 0]),
        (b"hex:\0\0\0\0", [104, 101, 120, 58, 0, 0, 0, 0]),
    ],
)
def test_a_char_array_is_text_when_it_can_be_read(raw, told):
    build = shapes.Builder()
    char = build.integer("char", 1, shapes.SIGNED)
    array = build.add(Kind.ARRAY, "", 0, (char, char, 8))
    assert values.decode(build.btf, array, raw) == told


def test_hostile_types_do_not_cost_more_than_their_bytes():
    """A union of unions of unions … of no bytes at all would be told for ever."""
    build = shapes.Builder()
    inner = build.integer("int", 1)
    for _ in range(20):
        inner = build.struct("u", [(f"m{index}", inner) for index in range(16)], Kind.UNION)
    with pytest.raises(errors.BadObject, match="nested too deeply"):
        values.decode(build.btf, inner, b"\0")


def test_a_type_that_contains_itself_ends():
    types = Btf((shapes.Type(Kind.STRUCT, "s", 4, (("again", 1, 0),), 1),))
    with pytest.raises(errors.BadObject):
        values.decode(types, 1, bytes(4))
    with pytest.raises(errors.InvalidRequest):
        value: values.Json = {}
        for _ in range(40):
            value = {"again": value}
        values.encode(types, 1, value)


@pytest.mark.parametrize(
    ("name", "found"), [("flow", True), ("struct flow", True), ("union flow", False), ("int", True), ("flo", False)]
)
def test_a_type_is_found_by_the_name_c_gives_it(name, found):
    build = shapes.Builder()
    build.struct("flow", [("a", build.integer("int", 4))])
    assert bool(declared.named(build.btf, name)) is found


def test_the_only_struct_that_a_global_points_to_is_the_type_of_events():
    build = shapes.Builder()
    number = build.integer("int", 4)
    event = build.struct("event", [("a", number)])
    build.add(Kind.VAR, "unused", build.add(Kind.PTR, "", event), (0,))
    assert declared.pointed_at(build.btf) == event
    other = build.struct("other", [("a", number)])
    build.add(Kind.VAR, "too", build.add(Kind.PTR, "", other), (0,))
    assert declared.pointed_at(build.btf) == 0
