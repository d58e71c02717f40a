"""BpfApplication in its two forms: what the one CRD of that name takes. Pure.

The older, cluster-wide kind and the current, namespaced one have group, version and plural in common, and a CRD has one
scope: it is the current one's, and its schema takes both forms. A form is all or nothing: rules see to that, since
required fields and defaults of the one would be wrong in the other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from skep.kube import kinds as current
from skep.kube import members
from skep.kube.older import fields
from skep.kube.shape import Field, Many, Record, Rule, Text

_CURRENT_TYPES: Final = {members.type_name(hook): members.member_name(hook) for hook in members.types(cluster=False)}
_OLDER_TYPES: Final = {type: member for type, (member, _) in fields.BODIES.items()}


def spec() -> Record:
    """The spec of a BpfApplication in either form."""
    now, then = current.APPLICATION.spec, fields.application(cluster=True)
    assert isinstance(now, Record)
    programs = Field(
        name="programs",
        # Not by their names, as a list of the current form alone would be: the older form's have none.
        shape=Many(of=_program(), fewest=1, most=members.MOST),
        required=True,
        doc="The programs, all out of one object.",
    )
    return Record(fields=(*_loose(now.fields), *_loose(then.fields), programs), rules=_FORMS)


def _loose(known: tuple[Field, ...], *, note: str = "") -> tuple[Field, ...]:
    """Fields without what only holds in their own form."""
    return tuple(
        dataclasses.replace(each, required=False, default=None, doc=note + each.doc + _otherwise(each))
        for each in known
        if each.name != "programs"
    )


def _otherwise(field: Field) -> str:
    return f" {field.default} without it." if isinstance(field.default, str | int) else ""


def _forms(found: Mapping[str, Any], form: tuple[str, ...], other: tuple[str, ...]) -> bool:  # Any: JSON
    return form[0] not in found or (all(name in found for name in form) and not any(name in found for name in other))


def _names(spec: object) -> set[str]:
    assert isinstance(spec, Record)
    return {field.name for field in spec.fields}


def _all(there: tuple[str, ...], absent: tuple[str, ...]) -> str:
    """CEL: these are there, those are not."""
    return " && ".join([*(f"has(self.{name})" for name in there), *(f"!has(self.{name})" for name in absent)])


_NOW: Final = ("byteCode", "nodeSelector")
_NOW_ONLY: Final = (*_NOW, *sorted(_names(current.APPLICATION.spec) - {*_NOW, "programs"}))
_THEN: Final = ("bytecode", "nodeselector")
_THEN_ONLY: Final = (*_THEN, "globaldata")
_FORMS: Final = (
    Rule(
        cel="has(self.byteCode) != has(self.bytecode)",
        message="byteCode is required (or, in the older form, bytecode; not both)",
        holds=lambda found: ("byteCode" in found) != ("bytecode" in found),
    ),
    Rule(
        cel=f"!has(self.byteCode) || ({_all(_NOW[1:], _THEN_ONLY[1:])})",
        message="beside byteCode, nodeSelector is required, and fields of the older form are forbidden",
        holds=lambda found: _forms(found, _NOW, _THEN_ONLY),
    ),
    Rule(
        cel=f"!has(self.bytecode) || ({_all(_THEN[1:], _NOW_ONLY[1:])})",
        message="beside bytecode, nodeselector is required, and fields of the current form are forbidden",
        holds=lambda found: _forms(found, _THEN, _NOW_ONLY),
    ),
    Rule(
        cel="self.programs.all(each, has(each.name) == has(self.byteCode))",
        message="each of programs has a name in the current form, and none in the older one",
        holds=lambda found: all(("name" in each) == ("byteCode" in found) for each in found["programs"]),
    ),
    Rule(
        cel="self.programs.all(one, !has(one.name) ||"
        " self.programs.exists_one(other, has(other.name) && other.name == one.name))",
        message="the name of each of programs occurs once",
        holds=lambda found: _once([each["name"] for each in found["programs"] if "name" in each]),
    ),
)


def _once(names: list[str]) -> bool:
    return len(names) == len(set(names))


def _program() -> Record:
    now = members.program(cluster=False)
    bodies = {field.name: field for field in now.fields if isinstance(field.shape, Record)}
    then = {member: fields.program(body, cluster=True) for member, body in fields.BODIES.values()}
    (name,) = (field for field in now.fields if field.name == "name")
    types = tuple(dict.fromkeys((*_CURRENT_TYPES, *_OLDER_TYPES)))
    found = [
        dataclasses.replace(name, required=False),
        Field(name="type", shape=Text(choices=types), required=True, doc="Its type; the field so called has more."),
    ]
    rules = [_type_rule()]
    for member in dict.fromkeys((*bodies, *then)):
        rules.append(_member_rule(member))
        if member not in then:
            found.append(bodies[member])
            continue
        mine = bodies.get(member)
        here = mine.shape.fields if mine is not None and isinstance(mine.shape, Record) else ()
        doc = mine.doc if mine is not None else "Of the older form."
        found.append(Field(name=member, shape=_body(here, then[member]), doc=doc))
        rules.append(_form_rule(member))
    return Record(fields=tuple(found), rules=tuple(rules))


def _body(now: tuple[Field, ...], then: Record) -> Record:
    """A program's body in either form."""
    needed = tuple(field.name for field in then.fields if field.required)
    names = tuple(field.name for field in then.fields)
    mine = tuple(field.name for field in now)
    older = "(has(self.bpffunctionname) || has(self.sectionname))"
    rule = Rule(
        cel=f"{older} ? ({_all(needed, mine) or 'true'}) : ({_all((), names)})",
        message=_needs(needed),
        holds=lambda found: (
            all(name in found for name in needed) and not any(name in found for name in mine)
            if _is_older(found)
            else not any(name in found for name in names)
        ),
    )
    other = Rule(
        cel="!(has(self.bpffunctionname) && has(self.sectionname))",
        message="sectionname is what bpffunctionname was called: one of them",
        holds=lambda found: not ("bpffunctionname" in found and "sectionname" in found),
    )
    # With the function's name there the rules of the older form hold as they stand.
    rest = tuple(each for each in then.rules if each is not fields.FUNCTION_RULE)
    return Record(fields=(*now, *_loose(then.fields, note="Older form: ")), rules=(rule, other, *rest))


def _needs(names: tuple[str, ...]) -> str:
    needed = f", and {', '.join(names)}" if names else ""
    return f"the older form has bpffunctionname{needed}; the current form has none of its fields"


def _is_older(body: Mapping[str, Any]) -> bool:  # Any: JSON
    return "bpffunctionname" in body or "sectionname" in body


def _member_rule(member: str) -> Rule:
    types = tuple(
        dict.fromkeys(type for known in (_CURRENT_TYPES, _OLDER_TYPES) for type in known if known[type] == member)
    )
    is_one = f"self.type == '{types[0]}'" if len(types) == 1 else f"self.type in {list(types)}"
    return Rule(
        cel=f"has(self.type) && {is_one} ?  has(self.{member}) : !has(self.{member})",
        message=f"{member} configuration is required when type is {member}, and forbidden otherwise",
        holds=lambda found: (member in found) == (found.get("type") in types),
    )


def _type_rule() -> Rule:
    now, then = list(_CURRENT_TYPES), list(_OLDER_TYPES)
    return Rule(
        cel=f"self.type in (has(self.name) ? {now} : {then})",
        message="with a name (the current form) the type is one of " + ", ".join(now)
        + "; without (the older form) of " + ", ".join(then),
        holds=lambda found: found["type"] in (now if "name" in found else then),
    )  # fmt: skip


def _form_rule(member: str) -> Rule:
    return Rule(
        cel=f"!has(self.{member}) || has(self.name) != "
        f"(has(self.{member}.bpffunctionname) || has(self.{member}.sectionname))",
        message=f"{member} has a bpffunctionname in the older form, and the program a name in the current one",
        holds=lambda found: member not in found or ("name" in found) != _is_older(found[member]),
    )


SPEC: Final = spec()
