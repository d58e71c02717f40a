"""Regular expressions of objects, which Go reads in a cluster (RE2) and Python here: what both read alike. Pure.

Neither language is taken whole. What one of them lacks, or takes for something else, is refused, so that an interface
that was left out by an expression on one side is left out on the other.
"""

from __future__ import annotations

import re

from skep import errors

_OTHERWISE = (
    (r"\(\?[^:]", "groups that begin with (? are written in different ways"),
    (r"\\[^dDwWsSbB\W]", "of escaped letters only d, w, s and b (and D, W, S, B) are the same everywhere"),
    (r"\[\^?\[", "classes within classes, such as [[:alpha:]], are not the same everywhere"),
    (r"\{[^0-9]", "a { that counts nothing is not the same everywhere; write \\{ for the letter"),
    (r"\{[0-9]*,?[0-9]{4}", "what is repeated is repeated at most 999 times"),
    (r"[*+?}][+]", "possessive repetition is not known everywhere"),
)
DIFFERENT = "|".join(pattern for pattern, _ in _OTHERWISE)
"""What finds, in an expression, something that Go and Python do not read alike; itself read alike by both."""


def is_one(word: str) -> bool:
    """Whether a word of ``allowedInterfaces`` is an expression, which stands between slashes."""
    return len(word) > 2 and word.startswith("/") and word.endswith("/")


def parse(word: str) -> re.Pattern[str]:
    """The expression between the slashes of ``word``. InvalidRequest if it is none, or not the same everywhere."""
    text = word[1:-1]
    for pattern, why in _OTHERWISE:
        if re.search(pattern, text):
            raise _wrong(word, why)
    try:
        return re.compile(text, re.ASCII)
    except (re.error, OverflowError) as error:
        raise _wrong(word, f"it is not a regular expression: {error}") from error


def _wrong(word: str, why: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(
        f"the expression {word!r} cannot be used", why=why, do="correct it, or leave the slashes out to mean the name"
    )
