"""What is wrong between skep and the programs of others: foreign ones that clash or that nobody sanctioned. Pure.

Two programs are on the same hook when the survey has the same words for their places. Where several may run the kernel
does not tell what a program decides, so sharing a hook is told as that; a clash is where one of them cannot run, or is
not asked. Nothing is ever stopped for an alert.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from skep import model
from skep.model import AlertKind, kind

YOUNG: Final = 5.0
"""Seconds for which a program that is nowhere and nobody's may be one that is about to be attached or recorded."""
HOOKS: Final = (
    "xdp", "tc", "tcx", "netkit", "cgroup", "flow_dissector", "sk_lookup", "struct_ops", "tracing", "other",
)  # fmt: skip
"""The words that ``Alert.hook`` may be: few, since they label numbers."""
FOREIGN, FOREIGN_HELP = "skep_foreign_programs", "Programs that skep did not load, and whether they are sanctioned."
CLASHES, CLASHES_HELP = "skep_clashes", "What is wrong between skep and others, by kind and hook; shares is no fault."
"""Names and helps of ``foreign`` and ``counted`` as numbers for Prometheus."""
_SHARED: Final = ("xdp", "tc", "tcx", "netkit", "sk_lookup")
"""Hooks on which programs decide in turn; tracing goes on beside others without a word."""
_ORDER: Final = tuple(AlertKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An attachment that was asked for a short while ago, and refused.

    ``hook``: the program's type. ``holders``: the XDP programs on its interface that are not ours. ``path``: below the
    mount, of a cgroup; ``table``: of struct_ops.
    """

    application: str
    name: str
    hook: str
    place: str
    prog_type: int = 0
    holders: tuple[model.ProgramId, ...] = ()
    path: str = ""
    table: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drifted:
    """A link of ours that is not as skep made it, though its place is there. ``now``: the program it runs, 0: none."""

    link: model.LinkId
    application: str
    name: str
    hook: str
    place: str
    reason: str
    now: model.ProgramId = model.ProgramId(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What alerts are decided by, of (nearly) one moment. ``filters``: of others beside each of our tc chains, by the
    chain's place and with our own filter's priority. ``own_pins``: the directory of ours. ``now``: seconds since the
    epoch."""

    inventory: model.Inventory
    unlinked: tuple[model.Unlinked, ...] = ()
    wanted: tuple[Wanted, ...] = ()
    drifted: tuple[Drifted, ...] = ()
    filters: Mapping[str, tuple[int, tuple[model.Filter, ...]]] = field(default_factory=dict)
    own_pins: str = "/"
    now: float


def judged(seen: Sight, sanctioned: tuple[model.Sanctioned, ...]) -> model.Inventory:
    """The inventory with what is wrong: which programs are not sanctioned, and all alerts, the worst first."""
    programs = tuple(replace(one, sanctioned=_sanctioned(one, seen, sanctioned)) for one in seen.inventory.programs)
    found = replace(seen.inventory, programs=programs)
    whole = replace(seen, inventory=found)
    alerts = (
        *_refused(whole),
        *_drift(seen),
        *_filters(whole),
        *_groups(whole),
        *_unsanctioned(whole),
        *_shared(whole),
    )
    first = {one.identity: one for one in reversed(alerts)}
    ordered = sorted(first.values(), key=lambda one: (_ORDER.index(one.kind), one.hook, one.place, one.name))
    return replace(found, alerts=tuple(ordered))


def foreign(found: model.Inventory) -> Mapping[tuple[str, bool], int]:
    """How many foreign programs there are, by type and by whether they are sanctioned."""
    return Counter(
        (kind.program(one.kernel.type), one.sanctioned)
        for one in found.programs
        if isinstance(one.owner, model.Foreign)
    )


def counted(found: model.Inventory) -> Mapping[tuple[str, str], int]:
    """How many alerts there are of each kind on each hook; ``foreign`` counts what is not sanctioned."""
    kinds = (AlertKind.CLASH, AlertKind.DRIFT, AlertKind.SHARES)
    return Counter((one.kind.value, one.hook) for one in found.alerts if one.kind in kinds)


def holder(owner: model.Foreign, found: model.Inventory) -> str:
    """Whose a foreign program is, in words: "flowlog[26248] in flowlog.service"."""
    told = []
    for pid in owner.pids[:3]:
        one = found.process(pid)
        group = one.group if one is not None else model.Group()
        within = f" in {group.unit}" if group.unit else f" in pod {group.pod}" if group.pod else ""
        told.append((f"{one.comm}[{pid}]" if one is not None else f"process {pid}") + within)
    if told:
        return ", ".join(told) + (", …" if len(owner.pids) > 3 else "")
    if owner.pins:
        return f"pin {owner.pins[0]}"
    return f"cgroup {owner.groups[0].path}" if owner.groups else "nobody who can be seen"


def hook_of(place: str) -> str:
    """The word for a place's hook out of ``HOOKS``."""
    first = place.partition(" ")[0]
    return first if first in HOOKS else "other"


def _words(owner: model.Foreign, found: model.Inventory) -> tuple[str, ...]:
    """All by which a pattern for processes may know who holds a program."""
    processes = [one for pid in owner.pids if (one := found.process(pid)) is not None]
    words = [word for one in processes for word in (one.comm, one.exe, one.group.unit)]
    return tuple(filter(None, (*words, *(group.unit for group in owner.groups))))


def _sanctioned(one: model.OwnedProgram, seen: Sight, sanctioned: tuple[model.Sanctioned, ...]) -> bool:
    if isinstance(one.owner, model.Managed):
        return True
    loose = not (one.owner.pids or one.owner.pins or one.owner.groups or one.places)
    if loose and seen.now - one.since < YOUNG:
        return True
    if any(pin.startswith(seen.own_pins) for pin in one.owner.pins):
        return True  # pinned by a skep that does not know it yet, or no more: the doctor's business
    who = _words(one.owner, seen.inventory)
    return any(each.fits(one.name, kind.program(one.kernel.type), one.kernel.tag, who) for each in sanctioned)


def _told(one: model.OwnedProgram, found: model.Inventory) -> str:
    """A foreign program and whose it is."""
    whose = f", held by {holder(one.owner, found)}" if isinstance(one.owner, model.Foreign) else ""
    return f"program {one.kernel.id} ({one.name or 'no name'}{whose})"


def _application(key: str, name: str) -> str:
    return f"{name} of {key.partition('@')[0]}" if key else name


def _strangers(found: model.Inventory) -> Iterator[model.OwnedProgram]:
    return (one for one in found.programs if isinstance(one.owner, model.Foreign))


def _keys(owner: model.Owner) -> tuple[str, ...]:
    return tuple(filter(None, owner.key.split(", "))) if isinstance(owner, model.Managed) else ()


def _refused(seen: Sight) -> Iterator[model.Alert]:
    for want in seen.wanted:
        for one, how, remedy in _in_the_way(want, seen):
            yield model.Alert(
                kind=AlertKind.CLASH,
                hook=hook_of(want.place),
                place=want.place,
                program=one.kernel.id,
                name=one.name,
                applications=(want.application,) if want.application else (),
                message=f"{_application(want.application, want.name)} cannot be attached to {want.place}: "
                f"{_told(one, seen.inventory)} {how}",
                remedy=remedy,
            )


def _in_the_way(want: Wanted, seen: Sight) -> Iterator[tuple[model.OwnedProgram, str, str]]:
    """The foreign programs for which an attachment was refused, why, and what to do."""
    strangers = {one.kernel.id: one for one in _strangers(seen.inventory)}
    for id in want.holders:
        if id in strangers:
            yield strangers[id], "holds its XDP hook, where there is one program", _detach(strangers[id], want.place)
    for one in strangers.values():
        if want.hook == "flow_dissector" and any(place.startswith("flow_dissector ") for place in one.places):
            yield one, "is the flow dissector, and there is one", _detach(one, want.place)
        if want.table and f"struct_ops {want.table}" in one.places:
            yield one, "is registered under that name", "unregister it, or rename one of them"
    for each in seen.unlinked:
        group = each.group.path if each.group is not None else ""
        above = each.alone and group and want.path and _above(group, want.path)
        if above and each.program in strangers and strangers[each.program].kernel.type == want.prog_type:
            how = f"is alone on cgroup {group}, without BPF_F_ALLOW_MULTI"
            yield strangers[each.program], how, "have its owner attach it with BPF_F_ALLOW_MULTI, as links are"


def _above(upper: str, lower: str) -> bool:
    """Whether a cgroup is the other or one above it."""
    return lower == upper or lower.startswith(upper.rstrip("/") + "/")


def _detach(one: model.OwnedProgram, place: str) -> str:
    interface = place.split(" ")[1] if place.startswith("xdp ") else ""
    by_link = f"'bpftool link detach id N' where 'bpftool link show' has a link N of program {one.kernel.id}"
    return f"have its owner detach it, or: 'ip link set dev {interface} xdp off', {by_link}" if interface else (
        f"have its owner detach it, or: {by_link}"
    )  # fmt: skip


def _drift(seen: Sight) -> Iterator[model.Alert]:
    programs = {one.kernel.id: one for one in _strangers(seen.inventory)}
    for each in seen.drifted:
        now = programs.get(each.now)
        instead = f"; there is {_told(now, seen.inventory)} now" if now is not None else ""
        yield model.Alert(
            kind=AlertKind.DRIFT,
            hook=hook_of(each.place) if hook_of(each.place) != "other" else _family(each.hook),
            place=each.place,
            program=now.kernel.id if now is not None else model.ProgramId(0),
            name=now.name if now is not None else "",
            applications=(each.application,) if each.application else (),
            message=f"{_application(each.application, each.name)} does not run at {each.place or each.hook} as it was "
            f"attached: {each.reason}{instead}",
            remedy=f"find out who did it; then 'skep link detach {each.link}' and attach it again (what an application "
            "file or object wants comes back by itself)",
        )


def _family(hook: str) -> str:
    """A program type's word out of ``HOOKS``."""
    if hook.startswith("cgroup_") or hook in ("sockops", "lsm_cgroup"):
        return "cgroup"
    tracing = ("probe", "fentry", "fexit", "fmod_ret", "lsm", "tracepoint", "tp_btf", "usdt", "perf_event", "iter")
    return hook if hook in HOOKS else "tracing" if any(word in hook for word in tracing) else "other"


def _filters(seen: Sight) -> Iterator[model.Alert]:
    programs = {one.kernel.id: one for one in seen.inventory.programs}
    for place, (own, others) in seen.filters.items():
        ours = _ours_at(place, seen.inventory)
        for one in others:
            if one.priority >= own:
                continue
            known = programs.get(one.program_id)
            yield model.Alert(
                kind=AlertKind.CLASH,
                hook="tc",
                place=place,
                program=one.program_id,
                name=known.name if known is not None else one.name or one.kind,
                applications=ours,
                message=f"a foreign {one} is asked before skep's chain at {place} (priority {own}): what it decides"
                " never reaches the chain" + (f"; {_told(known, seen.inventory)}" if known is not None else ""),
                remedy=f"give it a priority above {own} ('tc filter'), or remove it",
            )


def _groups(seen: Sight) -> Iterator[model.Alert]:
    """Foreign programs that are alone on a cgroup above ours: below, ours run in their place."""
    programs = {one.kernel.id: one for one in _strangers(seen.inventory)}
    alone = [one for one in seen.unlinked if one.alone and one.group is not None and one.program in programs]
    if not alone:
        return
    for ours in seen.inventory.programs:
        keys = _keys(ours.owner)
        if not isinstance(ours.owner, model.Managed):
            continue
        for place in ours.places:
            word, hook, path = (*place.split(" ", 2), "", "")[:3]
            for each in alone:
                assert each.group is not None
                if word != "cgroup" or each.place != f"cgroup {hook} {each.group.path}":
                    continue
                if not _above(each.group.path, path):
                    continue
                one = programs[each.program]
                yield model.Alert(
                    kind=AlertKind.CLASH,
                    hook="cgroup",
                    place=place,
                    program=one.kernel.id,
                    name=one.name,
                    applications=keys,
                    message=f"{_told(one, seen.inventory)} on {each.place} does not run for {path}: it was attached "
                    f"without BPF_F_ALLOW_MULTI, and {_application(', '.join(keys), ours.name)} is there",
                    remedy="have its owner attach it with BPF_F_ALLOW_MULTI, as links are",
                )


def _unsanctioned(seen: Sight) -> Iterator[model.Alert]:
    for one in _strangers(seen.inventory):
        if one.sanctioned:
            continue
        type_ = kind.program(one.kernel.type)
        where = f" at {', '.join(one.places[:4])}" if one.places else ", attached nowhere"
        yield model.Alert(
            kind=AlertKind.UNSANCTIONED,
            hook=hook_of(one.places[0]) if one.places else "other",
            place=one.places[0] if one.places else "",
            program=one.kernel.id,
            name=one.name,
            message=f"{_told(one, seen.inventory)} of type {type_}, tag {one.kernel.tag}, is not sanctioned{where}",
            remedy="find out who loaded it; if it is meant to be there, add it to the list of sanctioned programs",
        )


def _shared(seen: Sight) -> Iterator[model.Alert]:
    found = seen.inventory
    theirs: defaultdict[str, list[model.OwnedProgram]] = defaultdict(list)
    ours = {place for one in found.programs if isinstance(one.owner, model.Managed) for place in one.places}
    for one in _strangers(found):
        for place in one.places:
            if place in ours and hook_of(place) in _SHARED:
                theirs[place].append(one)
    for place, programs in theirs.items():
        before = {
            one.program_id for own, others in [seen.filters.get(place, (0, ()))] for one in others if one.priority < own
        }
        for one in programs:
            if one.kernel.id in before:
                continue  # told as a clash
            yield model.Alert(
                kind=AlertKind.SHARES,
                hook=hook_of(place),
                place=place,
                program=one.kernel.id,
                name=one.name,
                applications=_ours_at(place, found),
                message=f"{_told(one, found)} runs at {place} too: whichever comes first may decide for both",
                remedy="none, if both are meant to be there; 'skep chain get' tells the order",
            )


def _ours_at(place: str, found: model.Inventory) -> tuple[str, ...]:
    keys = {key for one in found.programs if place in one.places for key in _keys(one.owner)}
    return tuple(sorted(keys))
