"""A patch makes the new object of the old one, and says no more than it must."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.kube.api import merge

LEAF = st.booleans() | st.integers() | st.text(max_size=3)
JSON = st.recursive(
    LEAF | st.lists(LEAF, max_size=2), lambda inner: st.dictionaries(st.sampled_from("abc"), inner), max_leaves=8
)
OBJECT = st.dictionaries(st.sampled_from("abcd"), JSON)


def patched(target: Any, patch: Any) -> Any:
    """The function MergePatch of RFC 7386, section 2, as it stands there."""
    if not isinstance(patch, dict):
        return patch
    made = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = patched(made.get(name), value)
    return made


def same(one: Any, other: Any) -> bool:
    """1 is not True in JSON."""
    return repr(one) == repr(other) if not isinstance(one, dict) else one.keys() == other.keys() and all(
        same(one[name], other[name]) for name in one
    )  # fmt: skip


@given(OBJECT, OBJECT)
def test_a_patch_makes_the_new_object_of_the_old_one(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert patched(old, merge.patch(old, new)) == new


@given(OBJECT)
def test_nothing_to_change_is_an_empty_patch(object: dict[str, Any]) -> None:
    assert merge.patch(object, object) == {}


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, {"b": 3}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1}}, {"a": {"y": None}}),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}, {"a": [1, 2, 3]}),
        ({"a": {"x": 1}}, {"a": "x"}, {"a": "x"}),
        ({"a": "x"}, {"a": {}}, {"a": {}}),
        ({}, {"a": None}, {}),
        ({"a": 1}, {"a": None}, {"a": None}),
    ],
)
def test_patches(old: dict[str, Any], new: dict[str, Any], patch: dict[str, Any]) -> None:
    assert merge.patch(old, new) == patch
