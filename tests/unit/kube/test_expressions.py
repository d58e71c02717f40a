"""Which regular expressions mean the same to Go and to Python, and what is said of the others."""

from __future__ import annotations

import pytest

from skep import errors
from skep.kube import expressions


@pytest.mark.parametrize(
    ("word", "name", "found"),
    [
        ("/^veth[0-9a-f]{1,8}$/", "veth0a", True),
        ("/^veth[0-9a-f]{1,8}$/", "xveth0a", False),
        ("/veth*/", "vet0", True),
        (r"/^(?:a|b)\.\d+$/", "b.17", True),
        (r"/^\d$/", "٣", False),
        ("/[]a]/", "]", True),
    ],
)
def test_what_is_read(word: str, name: str, found: bool) -> None:
    assert expressions.is_one(word)
    assert bool(expressions.parse(word).search(name)) is found


@pytest.mark.parametrize("word", ["", "/", "//", "eth0", "/eth0", "eth0/"])
def test_a_name_is_no_expression(word: str) -> None:
    assert not expressions.is_one(word)


@pytest.mark.parametrize(
    "word",
    [
        "/(/", "/*a/", "/[b-a]/", "/(?i)a/", "/(?=a)/", "/(?P<a>b)/", r"/\pL/", r"/\1/", r"/\Aa/", r"/\x41/",
        "/[[:alpha:]]/", "/[^[]/", "/a++/", "/a{2000}/", "/a{1,2000}/", "/a{,3}/", "/{x}/",
    ],
)  # fmt: skip
def test_what_is_refused(word: str) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        expressions.parse(word)
    assert repr(word) in caught.value.what
    assert caught.value.why and caught.value.do
