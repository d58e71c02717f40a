"""Proceed-on sets as names, codes and masks; what of a chain can be reached, and what to warn about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from skep import errors
from skep.chain.codes import Hook, Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Which members of a chain can run at all (by position), and what its owner may not expect."""

    reachable: tuple[bool, ...]
    warnings: tuple[str, ...]


def default(hook: Hook) -> Mask:
    """The proceed-on set when none is asked."""
    return parse_names(hook, hook.default)


def parse_names(hook: Hook, names: Iterable[str]) -> Mask:
    """The mask of verdict names ("pass", "Dispatcher-Return") or decimal codes; none at all is the default set.

    ``InvalidRequest`` names an unknown verdict, with near misses.
    """
    mask = 0
    empty = True
    for name in names:
        empty = False
        mask |= hook.bit(_code(hook, name))
    return default(hook) if empty else Mask(mask)


def parse_codes(hook: Hook, wanted: Iterable[int]) -> Mask:
    """The mask of numeric verdicts, as the API carries them; none at all is the default set."""
    return parse_names(hook, (str(code) for code in wanted))


def codes(hook: Hook, mask: Mask) -> tuple[int, ...]:
    """The verdicts in ``mask``, lowest first."""
    return tuple(sorted(code for code in hook.codes.values() if hook.bit(code) & mask))


def names(hook: Hook, mask: Mask) -> tuple[str, ...]:
    """The names of the verdicts in ``mask``, in the order of their codes."""
    by_code = {code: name for name, code in hook.codes.items()}
    return tuple(by_code[code] for code in codes(hook, mask))


def name_of(hook: Hook, code: int) -> str:
    """The verdict's name; "other" for ``hook.other``, and the number of a code that the hook does not know."""
    for name, known in hook.codes.items():
        if known == code:
            return name
    return "other" if code == hook.other else str(code)


def proceeds(hook: Hook, mask: Mask, code: int) -> bool:
    """Whether a member with this mask hands a packet on after ``code``. Unknown codes never do."""
    return code in hook.codes.values() and bool(hook.bit(code) & mask)


def run(hook: Hook, members: Sequence[tuple[Mask, int]]) -> tuple[int, int]:
    """The meaning of a chain, for one packet: (mask, verdict) of each member -> (final verdict, members that ran)."""
    for position, (mask, code) in enumerate(members):
        if not proceeds(hook, mask, code):
            known = hook.lowest <= code <= hook.last
            return code if known else hook.abort, position + 1
    return hook.fall_off, len(members)


def reach(hook: Hook, members: Sequence[tuple[str, Mask]]) -> Reach:
    """Look at a chain of (name, mask) in order: members after one that never hands on cannot run."""
    reachable: list[bool] = []
    warnings: list[str] = []
    wall = ""
    for name, mask in members:
        reachable.append(not wall)
        if wall:
            warnings.append(f"{name} never runs: {wall} before it hands no verdict on")
        elif not mask:
            wall = name
    if members and not wall:
        warnings.extend(_lost_verdicts(hook, *members[-1]))
    return Reach(reachable=tuple(reachable), warnings=tuple(warnings))


def _lost_verdicts(hook: Hook, name: str, mask: Mask) -> Iterable[str]:
    end = name_of(hook, hook.fall_off)
    for code in codes(hook, mask):
        if code == hook.fall_off or code > hook.last or code in _HARMLESS.get(hook.name, ()):
            continue
        verdict = name_of(hook, code)
        yield (
            f"{name} is the last member and proceeds on {verdict}: a packet it gives {verdict} falls off the end "
            f"as {end}, which turns {_a(verdict)} into {_a(end)}"
        )


def _a(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


# Verdicts that mean "go on" to the kernel too, so that falling off the end loses nothing.
_HARMLESS = {"TC": (-1, 3)}  # unspec, pipe


def _code(hook: Hook, name: str) -> int:
    clean = name.strip().lower().replace("-", "_")
    code = hook.codes.get(clean)
    if code is not None:
        return code
    if clean.replace("_", "-").lstrip("-").isdecimal():
        number = int(clean.replace("_", "-"))
        if number in hook.codes.values():
            return number
    known = ", ".join(f"{one} ({number})" for one, number in hook.codes.items())
    near = errors.near_misses(clean, hook.codes)
    hint = f"did you mean {', '.join(near)}? " if near else ""
    raise errors.InvalidRequest(
        f"{name!r} is not a verdict of {hook.name} programs", why=f"proceed-on takes {known}", do=hint + "see the list"
    )
