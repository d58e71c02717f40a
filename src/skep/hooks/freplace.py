"""Freplace: a program takes the place of a global function of another loaded program (BPF_PROG_TYPE_EXT; Linux 5.6)."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from skep import errors, model
from skep.hooks import aimed

BPF_PROG_TYPE_EXT = 28

_DO = "load it as freplace:NAME:PROGRAM/FUNCTION, or give --target-program (and --target-function)"


class Aim(NamedTuple):
    """What is replaced: a function of the program with a kernel id."""

    program: model.ProgramId
    function: str

    def __str__(self) -> str:
        return f"{self.program}/{self.function}"


def parse(text: str) -> Aim:
    """ "42/check" -> program 42's function ``check``. InvalidRequest."""
    number, slash, function = text.partition("/")
    if not slash or not function or not (number.isascii() and number.isdigit()) or int(number) >= 2**32:
        raise errors.InvalidRequest(
            f"{text!r} does not say which function of which program is replaced", why="it is PROGRAM/FUNCTION", do=_DO
        )
    return Aim(model.ProgramId(int(number)), function)


def _target(section: str, named: str | None) -> str:
    """The aim as text. The section may name the function ("freplace/check"); a program's id is known only later."""
    inside = section.partition("/")[2]
    told = named or ""
    if told.isdigit():
        told += "/"
    if told.endswith("/") and inside:
        told += inside
    if not told:
        raise errors.InvalidRequest(
            "the freplace program has no target", why="no section can tell another program's id", do=_DO
        )
    return str(parse(told))


HOOK = dataclasses.replace(
    aimed.hook_of(
        "freplace",
        sections=("freplace",),
        attach_type=0,
        prog_type=BPF_PROG_TYPE_EXT,
        config=("DEBUG_INFO_BTF",),
        first="5.6",
        doc="Takes the place of a global function of another loaded program; both are chosen at load.",
    ),
    aim=_target,
)
