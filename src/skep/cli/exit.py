"""Exit codes and the text of a failure: one table from error classes to codes.

A code is stable: scripts may rely on it. ``docs/cli.md`` and ``skep help exit-codes`` are made from the table.
"""

from __future__ import annotations

from dataclasses import dataclass

from skep import errors

USAGE = 2
INTERNAL = 70
"""``EX_SOFTWARE`` of sysexits.h: a bug in skep."""
INTERRUPTED = 130
PIPE = 141
"""128 + SIGPIPE, as the shell reports a filter whose reader went away."""
LOG_LINES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One exit code: its number, its name and when it is given."""

    number: int
    name: str
    meaning: str


CONFLICT = Code(
    number=11, name="conflict", meaning="the request does not fit the present state, or the thing is there already"
)
OK = Code(number=0, name="ok", meaning="everything that was asked is done")
CODES: tuple[tuple[type[errors.SkepError], Code], ...] = (
    (
        errors.Rejected,
        Code(number=6, name="rejected", meaning="the verifier or the kernel refused the program or attachment"),
    ),
    (
        errors.InvalidRequest,
        Code(number=10, name="invalid", meaning="a value, file or object is wrong; the same request can never succeed"),
    ),
    (errors.NotFound, Code(number=3, name="not found", meaning="no such program, link, interface, function or file")),
    (
        errors.Untrusted,
        Code(number=13, name="untrusted", meaning="no signature of the image is accepted, and one is needed"),
    ),
    (errors.Denied, Code(number=4, name="denied", meaning="the caller may not do this")),
    (
        errors.Unavailable,
        Code(number=5, name="unavailable", meaning="no daemon, or a part of it did not answer; a retry may help"),
    ),
    (errors.Unsupported, Code(number=7, name="unsupported", meaning="this kernel or this build cannot do it")),
    (errors.Busy, Code(number=8, name="busy", meaning="another writer held the lock for longer than --lock-timeout")),
    (errors.Exhausted, Code(number=9, name="exhausted", meaning="a limit would be exceeded (size, slots, disk)")),
    (errors.AlreadyExists, CONFLICT),
    (errors.MapsDiffer, CONFLICT),
    (errors.Conflict, CONFLICT),
    (errors.Broken, Code(number=12, name="broken", meaning="kernel, pins and store disagree: run skep doctor")),
    (
        errors.SkepError,
        Code(number=1, name="failed", meaning="doctor or diff found something, or a failure without a code of its own"),
    ),
)
"""Looked up in order, so that a class stands before the classes it derives from."""

OTHERS = (
    Code(number=USAGE, name="usage", meaning="the command line is wrong"),
    Code(number=INTERNAL, name="internal", meaning="a bug in skep; --log debug shows where"),
    Code(number=INTERRUPTED, name="interrupted", meaning="Ctrl-C"),
    Code(number=PIPE, name="pipe", meaning="the reader of the output went away"),
)


def code(error: errors.SkepError) -> int:
    """The exit code of an error."""
    return next(entry.number for kind, entry in CODES if isinstance(error, kind))


def table() -> tuple[Code, ...]:
    """Every exit code once, ascending."""
    codes = {entry.number: entry for entry in (OK, *(entry for _, entry in CODES), *OTHERS)}
    return tuple(codes[number] for number in sorted(codes))


def text(error: errors.SkepError, *, whole_log: bool = False) -> str:
    """What a person is told: what failed, why, what to do, and the end of the verifier's log or all of it."""
    lines = [f"skep: error: {error.what}"]
    if error.why:
        lines[0] += f": {error.why}"
    if error.log.strip():
        lines += _log(error.log, whole_log)
    if error.do:
        lines.append(f"  {error.do}")
    return "\n".join(lines)


def _log(log: str, whole: bool) -> list[str]:
    lines = log.rstrip().splitlines()
    if whole:
        return ["  verifier log:", *(f"    {line}" for line in lines)]
    # The kernel ends its log with statistics; what it stumbled over stands before them.
    useful = [line for line in lines if line.strip() and not _statistics(line)]
    shown = useful[-LOG_LINES:]
    title = (
        "  verifier log:"
        if len(shown) == len(lines)
        else (f"  verifier log, last {len(shown)} of {len(lines)} lines (--verifier-log shows all):")
    )
    return [title, *(f"    {line}" for line in shown)]


def _statistics(line: str) -> bool:
    return line.startswith(("processed ", "verification time ", "stack depth ", "-- END PROG LOAD LOG"))
