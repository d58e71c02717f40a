"""Label selectors as Kubernetes writes them, over metadata: ``app=web,tier in (a,b),!canary``. Pure.

Grammar: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors . As there, ``!=``
and ``notin`` also match where the key is missing.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from skep import errors


class Operator(enum.Enum):
    """What a requirement asks of a key."""

    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    ABSENT = "absent"
    GREATER = ">"
    LESS = "<"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One clause."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether metadata fulfils the clause."""
        value = labels.get(self.key)
        match self.operator:
            case Operator.IN:
                return value in self.values
            case Operator.NOT_IN:
                return value not in self.values
            case Operator.EXISTS:
                return value is not None
            case Operator.ABSENT:
                return value is None
            case Operator.GREATER:
                return value is not None and _integer(value) is not None and int(value) > int(*self.values)
            case Operator.LESS:
                return value is not None and _integer(value) is not None and int(value) < int(*self.values)
            case _:
                assert_never(self.operator)


_KEY = r"[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?"
_WORD = r"[A-Za-z0-9._/:-]*"
_SET = re.compile(rf"\s*(?P<key>{_KEY})\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)\s*")
_EQUAL = re.compile(rf"\s*(?P<key>{_KEY})\s*(?P<operator>==|=|!=|>|<)\s*(?P<value>{_WORD})\s*")
_BARE = re.compile(rf"\s*(?P<not>!?)\s*(?P<key>{_KEY})\s*")


def parse(text: str) -> tuple[Requirement, ...]:
    """The clauses of a selector; all must hold. Raises ``InvalidRequest``."""
    requirements: list[Requirement] = []
    position = 0
    while position < len(text):
        requirement, position = _clause(text, position)
        requirements.append(requirement)
        if position < len(text):
            if text[position] != "," or not text[position + 1 :].strip():
                raise _bad(text, text[position:])
            position += 1
    return tuple(requirements)


def matches(requirements: tuple[Requirement, ...], labels: Mapping[str, str]) -> bool:
    """Whether metadata fulfils every clause."""
    return all(requirement.matches(labels) for requirement in requirements)


def _clause(text: str, position: int) -> tuple[Requirement, int]:
    if found := _SET.match(text, position):
        words = frozenset(word.strip() for word in found["values"].split(","))
        operator = Operator.IN if found["operator"] == "in" else Operator.NOT_IN
        return Requirement(key=found["key"], operator=operator, values=words), found.end()
    if found := _EQUAL.match(text, position):
        return _comparison(text, found), found.end()
    if found := _BARE.match(text, position):
        operator = Operator.ABSENT if found["not"] else Operator.EXISTS
        return Requirement(key=found["key"], operator=operator), found.end()
    raise _bad(text, text[position:])


def _comparison(text: str, found: re.Match[str]) -> Requirement:
    value = frozenset({found["value"]})
    match found["operator"]:
        case "!=":
            return Requirement(key=found["key"], operator=Operator.NOT_IN, values=value)
        case ">" | "<" as sign:
            if _integer(found["value"]) is None:
                raise _bad(text, found[0])
            return Requirement(key=found["key"], operator=Operator(sign), values=value)
        case _:
            return Requirement(key=found["key"], operator=Operator.IN, values=value)


def _integer(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _bad(text: str, rest: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(
        f"{text!r} is not a label selector",
        why=f"it cannot be read from {rest.strip()!r} on",
        do="for example: app=web,tier in (front,back),version!=v1,!canary",
    )
