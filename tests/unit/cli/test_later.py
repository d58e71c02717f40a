"""What bpfman's command line has and this release has not is refused as such, whatever words follow."""

from __future__ import annotations

import pytest

from skep.cli import exit


@pytest.mark.parametrize(
    "words",
    [
        ("program", "load", "image", "registry/image:1", "--programs", "xdp:pass", "-p", "Always"),
        ("load", "image", "--programs", "xdp:pass", "-i", "registry/image:1"),
        ("image", "pull", "-i", "registry/image:1"),
        ("image",),
    ],
    ids=" ".join,
)
def test_it_is_unsupported_and_not_a_mistyped_word(run, words: tuple[str, ...]) -> None:
    result = run(*words)
    assert (result.code, result.out) == (7, "")
    assert "not supported" in result.err
    assert len(result.err.splitlines()) == 2, "what to do stands on a line of its own"


def test_the_code_is_that_of_unsupported() -> None:
    assert {code.number: code.name for code in exit.table()}[7] == "unsupported"
