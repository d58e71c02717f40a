"""What came of an application on this node as the status of its state object (``kinds``). Pure."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from skep import errors, hooks, model
from skep.kube import export, members, naming, reconcile, resources
from skep.kube.agent import expand, outcome
from skep.kube.agent.outcome import Aim, Faults, Outcome

MESSAGE = 8192
"""Characters of a condition's message."""
ERRORS = 3
"""Different errors that a message tells; each link has its own besides."""
NOTES = 8


_REVISIONS = ("revision", "observedRevision")


def status(
    came: Outcome,
    *,
    node: str,
    uid: str,
    generation: int,
    revision: str = "",
    staged: bool = False,
    before: Mapping[str, Any],
    now: datetime.datetime,
) -> dict[str, Any] | None:  # Any: JSON
    """The status to write, None if ``before`` says the same. ``uid``: the state object's. ``revision``: of what was
    to run; ``staged``: it came in a rollout."""
    load, type, message = _verdict(came)
    first: Mapping[str, Any] = next(iter(before.get("conditions") or ()), {})
    # Who rolls out waits until a node has done well with this revision for a while.
    lasts = first.get("type") == type and (not staged or before.get("observedRevision", "") == revision)
    since = first.get("lastTransitionTime") if lasts else None
    made = {
        "node": node,
        "appLoadStatus": load,
        "observedGeneration": generation,
        "conditions": [
            {
                "type": type,
                "status": "True",
                "reason": type,
                "message": outcome.shortened(message, MESSAGE),
                "observedGeneration": generation,
                "lastTransitionTime": since or stamp(now),
            }
        ],
        "programs": _told_programs(came, uid, before),
        **_revisions(came, load, revision, before),
    }
    # A node where nothing happens writes nothing: an agent of before has told no revision, and need not be corrected.
    compared = (
        made.items() if staged else [each for each in made.items() if each[0] in before or each[0] not in _REVISIONS]
    )
    if all(before.get(key) == value for key, value in compared):
        return None
    return {"updateCount": int(before.get("updateCount", 0)) + 1, **made}


def stamp(now: datetime.datetime) -> str:
    """A time as Kubernetes writes it: RFC 3339, UTC, whole seconds."""
    return now.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _verdict(came: Outcome) -> tuple[str, str, str]:
    """appLoadStatus, the condition's type, and its message."""
    if came.aim is not Aim.RUN:
        if not came.gone:
            return "UnloadError", naming.UNLOAD_ERROR, _errors(came) or "programs are still loaded"
        if came.aim is Aim.NOT_SELECTED:
            return "NotSelected", naming.UNLOADED, "the node has not the labels that spec.nodeSelector wants"
        return "UnloadSuccess", naming.UNLOADED, "unloaded"
    if came.kept:
        return "LoadSuccess" if came.alive() else "NotLoaded", naming.PENDING, came.waiting
    loaded = came.application is not None and all(each.name in came.alive() for each in came.application.programs)
    if came.error is not None or came.refused:
        return "LoadError", naming.ERROR, _errors(came) + ("; what was applied before runs on" if came.alive() else "")
    if came.waiting:
        return "LoadSuccess" if loaded else "NotLoaded", naming.PENDING, came.waiting
    if came.failed:
        return "LoadSuccess", naming.ERROR, _errors(came)
    loose = [link for link in came.seen.links if link.status.state is not model.LinkState.ATTACHED]
    if loose:
        told = ", ".join(
            f"link {link.record.id} ({link.status.reason or link.status.state})" for link in loose[:ERRORS]
        )
        return "LoadSuccess", naming.ERROR, f"{_count(len(loose), 'link')} not whole: {told}"
    return "LoadSuccess", naming.SUCCESS, _summary(came)


def _revisions(came: Outcome, load: str, revision: str, before: Mapping[str, Any]) -> dict[str, str]:  # Any: JSON
    """Which revision runs, and which one this is about."""
    if came.aim is not Aim.RUN:
        return {}
    whole = load == "LoadSuccess" and not came.kept
    running = revision if whole else str(before.get("revision", "")) if came.alive() else ""
    told = {"revision": running, "observedRevision": revision}
    return {name: value for name, value in told.items() if value}


def _told_programs(came: Outcome, uid: str, before: Mapping[str, Any]) -> list[dict[str, Any]]:  # Any: JSON
    if came.kept:
        return list(before.get("programs") or ()) if came.alive() else []
    return [] if came.aim is not Aim.RUN or came.application is None else _programs(came, uid)


def _summary(came: Outcome) -> str:
    programs = _count(len(came.alive()), "program") + " loaded"
    links = _count(len(came.seen.links), "link") + " attached"
    expansion = came.expansion
    remarks = (*expansion.notes, *expansion.waits) if expansion is not None else ()
    more = f" and {len(remarks) - NOTES} more" if len(remarks) > NOTES else ""
    return f"{programs}, {links}" + "".join(f"; {each}" for each in remarks[:NOTES]) + more


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _errors(came: Outcome) -> str:
    """The different errors, those of programs before those of links."""
    found = [] if came.error is None else [came.error]
    found += [row.error for row in came.refused if row.error is not None]
    found += [row.error for row in came.rows if row.error is not None and row.action.noun != "program"]
    texts = list(dict.fromkeys(outcome.words(each, MESSAGE // (ERRORS + 1)) for each in found))
    more = f"; and {len(texts) - ERRORS} other errors" if len(texts) > ERRORS else ""
    return "; ".join(texts[:ERRORS]) + more


def _programs(came: Outcome, uid: str) -> list[dict[str, Any]]:  # Any: JSON
    assert came.application is not None
    told = outcome.faults(came)
    spots = {each.program.name: each.spots for each in came.expansion.programs} if came.expansion else {}
    alive = came.alive()
    made = []
    for program in came.application.programs:
        seen = alive.get(program.name)
        links = [each for each in came.seen.links if seen is not None and each.record.program == seen.record.key]
        made.append(_program(came, program, seen, links, spots.get(program.name), told, uid))
    return made


def _program(
    came: Outcome,
    program: resources.Program,
    seen: model.Program | None,
    links: list[model.Link],
    spots: tuple[expand.Spot, ...] | None,
    told: Faults,
    uid: str,
) -> dict[str, Any]:  # Any: JSON
    hook = hooks.by_name(program.hook)
    fault = told.programs.get(program.name)
    by_place = {link.record.metadata.get(reconcile.PLACE): link for link in links}
    entries = []
    for spot in spots or ():
        link = by_place.pop(spot.place, None)
        error = told.places.get((program.name, spot.place)) or (told.links.get(link.record.id) if link else None)
        entries.append(_wanted(spot, spot.uuid(uid, program.name), link, error or (fault if link is None else None)))
    # What could not be detached, and what runs on while nobody could find out what is wanted.
    entries += [_leftover(hook, link, told, wanted=spots is None) for place, link in by_place.items() if place]
    body: dict[str, Any] = {}
    if hook.aimed and program.function is not None:
        body["function"] = program.function
    if not hook.unattached:
        body["links"] = entries
    return {
        "name": program.name,
        "type": members.type_name(hook),
        "programLinkStatus": _program_status(came, seen, entries),
        **({} if seen is None else {"programId": seen.record.id}),
        **({} if not (maps := _maps(seen)) else {"maps": maps}),
        members.member_name(hook): body,
    }


def _maps(seen: model.Program | None) -> dict[str, str]:
    """The pins that the daemon reports of a program's maps; the compiler's own sections are nobody else's."""
    return {} if seen is None else {ref.name: ref.pin for ref in seen.record.maps if ref.pin and not ref.internal}


def _program_status(came: Outcome, seen: model.Program | None, entries: list[dict[str, Any]]) -> str:
    if came.expansion is None:
        return "Pending" if came.waiting else "UpdateAttachInfoError"
    if seen is None:
        return "Pending" if came.waiting else "Error"
    whole = all((each["linkStatus"] == "Attached") is each["shouldAttach"] and "error" not in each for each in entries)
    return "Success" if whole else "Error"


def _wanted(
    spot: expand.Spot, uuid: str, link: model.Link | None, error: errors.SkepError | None
) -> dict[str, Any]:  # Any: JSON
    entry = {**spot.told, "shouldAttach": True, "uuid": uuid}
    if link is not None:
        entry["linkId"] = link.record.id
    text = outcome.words(error) if error is not None else ""
    if link is None:
        entry["linkStatus"] = "AttachError" if error is not None else "NotAttached"
    elif link.status.state is model.LinkState.DEFUNCT:
        entry["linkStatus"] = "NotAttached"
        text = text or link.status.reason or "it no longer runs"
    else:
        entry["linkStatus"] = "Attached"
        if link.status.state is model.LinkState.PARTIAL:
            text = text or link.status.reason or f"it does not run at {', '.join(link.status.missing)}"
    return {**entry, "error": text} if text else entry


def _leftover(
    hook: hooks.Hook[Any], link: model.Link, told: Faults, *, wanted: bool
) -> dict[str, Any]:  # Any: JSON; see hooks.HOOKS
    """A link that no place of the application is for."""
    attachment = link.record.attachment
    interface = None if hook.interface is None else hook.interface(attachment)
    entry = export.values(hook, attachment)
    netns = interface.netns if interface is not None else getattr(attachment, "netns", None)
    if interface is not None:
        entry["interfaceName"] = interface.name
    if netns:
        entry["netnsPath"] = netns
    if getattr(attachment, "container_pid", None) is not None:
        entry["containerPid"] = getattr(attachment, "container_pid", None)
    fault = told.links.get(link.record.id)
    entry |= {
        "shouldAttach": wanted,
        "uuid": link.record.metadata.get(expand.UUID, str(link.record.id)),
        "linkId": link.record.id,
        "linkStatus": "DetachError" if fault is not None else "Attached",
    }
    return {**entry, "error": outcome.words(fault)} if fault is not None else entry
