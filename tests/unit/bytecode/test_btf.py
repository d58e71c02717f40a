from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep import errors
from skep.bytecode import btf, elf, programs
from skep.bytecode.btf import Btf, Kind, Type
from tests.unit.bytecode import real_objects

EVERY_KIND = (
    Type(Kind.INT, "int", 4, ((1 << 24 | 32,),)),
    Type(Kind.PTR, "", 1),
    Type(Kind.ARRAY, "", 0, ((1, 1, 5),)),
    Type(Kind.STRUCT, "s", 8, (("a", 1, 0), ("b", 1, 32)), 2),
    Type(Kind.UNION, "u", 4, (("a", 1, 0),), 1, True),
    Type(Kind.ENUM, "e", 4, (("A", 0), ("B", 0xFFFFFFFF)), 2, True),
    Type(Kind.FWD, "f"),
    Type(Kind.TYPEDEF, "t", 4),
    Type(Kind.VOLATILE, "", 8),
    Type(Kind.CONST, "", 9),
    Type(Kind.RESTRICT, "", 2),
    Type(Kind.FUNC_PROTO, "", 1, (("x", 2), ("", 0)), 2),
    Type(Kind.FUNC, "function", 12, (), btf.FUNC_GLOBAL),
    Type(Kind.VAR, "v", 1, ((1,),)),
    Type(Kind.DATASEC, ".data", 4, ((14, 0, 4),), 1),
    Type(Kind.FLOAT, "double", 8),
    Type(Kind.DECL_TAG, "tag", 13, ((0xFFFFFFFF,),)),
    Type(Kind.TYPE_TAG, "user", 1),
    Type(Kind.ENUM64, "wide", 8, (("W", 0, 256),), 1),
)


def test_every_kind_survives_the_way_out_and_back() -> None:
    assert btf.parse(btf.build(EVERY_KIND)).types == EVERY_KIND
    assert {one.kind for one in EVERY_KIND} == set(Kind)


@pytest.mark.parametrize("name", [name for name, _ in real_objects.everything()])
def test_what_clang_writes_survives_too(name: str) -> None:
    blob = programs.types(elf.parse(real_objects.compiled(name)))
    read = btf.parse(blob)
    assert len(read.types) > 5
    assert btf.parse(btf.build(read.types)) == read


def test_concatenated_blobs_keep_their_meaning() -> None:
    one = Btf(EVERY_KIND)
    both, starts = btf.concatenate([one, one])
    assert starts == (0, len(EVERY_KIND))
    assert both.types[: len(EVERY_KIND)] == EVERY_KIND
    for number, (old, new) in enumerate(zip(EVERY_KIND, both.types[starts[1] :], strict=True)):
        moved = [type_id + starts[1] for type_id in btf.references(old)]
        assert btf.references(new) == moved, number
        assert (new.kind, new.name, new.vlen, new.flag) == (old.kind, old.name, old.vlen, old.flag)
    assert btf.parse(btf.build(both.types)) == both


@given(st.lists(st.sampled_from(EVERY_KIND), max_size=20), st.integers(0, 100))
def test_shifting_there_and_back_changes_nothing(types: list[Type], by: int) -> None:
    for one in types:
        away = btf.shift(one, lambda type_id: type_id + by)
        assert btf.shift(away, lambda type_id: type_id - by) == one


def test_functions_take_along_what_they_need_and_nothing_else() -> None:
    blob = btf.build(EVERY_KIND)
    part, infos = btf.for_functions(blob, ((0, 13), (9, 13)))
    kept = btf.parse(part)
    assert sorted(one.kind.name for one in kept.types) == ["DECL_TAG", "FUNC", "FUNC_PROTO", "INT", "PTR"]
    assert [at for at, _ in infos] == [0, 9]
    function = kept.type(infos[0][1])
    assert function is not None
    assert function.name == "function"
    proto = kept.type(function.size)
    assert proto is not None
    assert [name for name, _ in proto.items] == ["x", ""]


def test_func_info_that_names_no_function_is_refused() -> None:
    with pytest.raises(errors.BadObject, match="type 1 is not a function"):
        btf.for_functions(btf.build(EVERY_KIND), ((0, 1),))


def test_sizes_and_spelling() -> None:
    read = Btf(EVERY_KIND)
    assert [read.size_of(type_id) for type_id in (1, 2, 3, 10, 16, 13, 0, 99)] == [4, 8, 20, 8, 8, 0, 0, 0]
    assert [read.spell(type_id) for type_id in (1, 2, 3, 10, 7, 19, 0)] == [
        "int",
        "int *",
        "int[5]",
        "const volatile t",
        "struct f",
        "enum wide",
        "void",
    ]


def test_a_type_that_is_its_own_typedef_ends() -> None:
    circle = Btf((Type(Kind.TYPEDEF, "t", 1), Type(Kind.ARRAY, "", 0, ((2, 2, 9),)), Type(Kind.CONST, "", 3)))
    assert circle.resolve(1) is None
    assert circle.size_of(2) == 0
    assert circle.spell(3) == "?"


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (b"", "less than its header"),
        (b"\0" * 24, "magic"),
        (btf.build(EVERY_KIND)[:-1], "beyond its end"),
        (btf._HEADER.pack(btf.MAGIC, 2, 0, 24, 0, 0, 0, 0), "version is 2"),
        (btf._HEADER.pack(btf.MAGIC, 1, 0, 24, 0, 4, 4, 0) + bytes(4), "cut short"),
        (btf._HEADER.pack(btf.MAGIC, 1, 0, 24, 0, 12, 12, 0) + btf._TYPE.pack(0, 31 << 24, 0), "unknown kind 31"),
        (btf._HEADER.pack(btf.MAGIC, 1, 0, 24, 0, 12, 12, 0) + btf._TYPE.pack(5, 2 << 24, 0), "outside its strings"),
        (btf._HEADER.pack(btf.MAGIC, 1, 0, 24, 0, 12, 12, 0) + btf._TYPE.pack(0, 4 << 24 | 9, 0), "cut short"),
    ],
)
def test_damaged_btf_is_refused(blob: bytes, words: str) -> None:
    with pytest.raises(errors.BadObject) as refused:
        btf.parse(blob)
    assert words in refused.value.why
