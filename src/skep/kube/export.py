"""What runs on a host as an application's object: the reverse of ``resources`` and ``host``. Pure.

What is written is read again before it is given out, so an object means what it was made of, or there is none.
"""

from __future__ import annotations

import base64
import enum
from typing import Any

from skep import errors, hooks, model
from skep.hooks import tracepoint
from skep.kube import host, kinds, members, reconcile, resources


def application(name: str, programs: tuple[model.Program, ...], links: tuple[model.Link, ...]) -> dict[str, Any]:
    """The object of all programs of one application; Any: JSON. InvalidRequest if they are not out of one object, or
    a link is at a place that an object cannot name."""
    sources = {program.record.source for program in programs}
    data = {tuple(sorted(program.record.global_data.items())) for program in programs}
    if len(sources) > 1 or len(data) > 1:
        raise errors.InvalidRequest(
            f"application {name} cannot be one object",
            why="its programs come out of several files or images" if len(sources) > 1 else "their global data differ",
            do="load them under an application name each",
        )
    first = programs[0].record
    ours = (host.APPLICATION, reconcile.OWNER, host.FILE)
    labels = {key: value for key, value in first.metadata.items() if key not in ours}
    spec: dict[str, Any] = {"nodeSelector": {}, "byteCode": _byte_code(first.source)}
    if first.global_data:
        spec["globalData"] = {key: base64.b64encode(value).decode() for key, value in first.global_data.items()}
    spec["programs"] = [
        _program(program, tuple(link for link in links if link.record.program == program.record.key))
        for program in programs
    ]
    document = {
        "apiVersion": kinds.API_VERSION,
        "kind": kinds.CLUSTER_APPLICATION.name,
        "metadata": {"name": name, **({"labels": labels} if labels else {})},
        "spec": spec,
    }
    _same(document, programs, links)
    return document


def _same(document: dict[str, Any], programs: tuple[model.Program, ...], links: tuple[model.Link, ...]) -> None:
    """InvalidRequest unless the object says where each link is."""
    read = resources.read(document)
    nowhere = host.Host(labels={}, interfaces=(), primary=())
    for program, made in zip(programs, host.programs(read, nowhere), strict=True):
        hook = hooks.by_name(program.record.hook)
        for link in links:
            if link.record.program != program.record.key:
                continue
            attachment = made.links.get(reconcile.place(hook, link.record.attachment))
            if attachment != link.record.attachment:
                raise errors.InvalidRequest(
                    f"link {link.record.id} ({hook.summary(link.record.attachment)}) cannot be written into an object",
                    why="no field says where it is",
                    do="detach it, or attach it where the fields of skep's CRDs reach",
                )


def _byte_code(source: model.Source) -> dict[str, Any]:  # Any: JSON
    match source:
        case model.FileSource():
            return {"path": source.path}
        case model.ImageSource():
            return {"image": {"url": source.url, "imagePullPolicy": str(source.pull_policy)}}


def _program(program: model.Program, links: tuple[model.Link, ...]) -> dict[str, Any]:  # Any: JSON
    record = program.record
    hook = hooks.by_name(record.hook)
    body: dict[str, Any] = {}
    if hook.aimed and record.attach_func is not None:
        body["function"] = record.attach_func
    if links:
        body["links"] = [_link(hook, link.record.attachment) for link in links]
    return {"name": record.name, "type": members.type_name(hook), members.member_name(hook): body}


def _link(hook: hooks.Hook[Any], attachment: object) -> dict[str, Any]:  # Any: JSON; see hooks.HOOKS
    if not hook.options:
        return {"mode": "Attach"}
    found: dict[str, Any] = {}
    interface = None if hook.interface is None else hook.interface(attachment)
    told = values(hook, attachment)
    for option in hook.options:
        name = members.field_name(option)
        match option.field:
            case "interface" if interface is not None:
                found[name] = {"interfaces": [interface.name]}
            case "netns":
                netns = interface.netns if interface is not None else getattr(attachment, "netns", None)
                if netns is not None:
                    found[name] = {"path": netns}
            case _ if name in told:
                found[name] = told[name]
    return found


def values(hook: hooks.Hook[Any], attachment: object) -> dict[str, Any]:  # Any: JSON; see hooks.HOOKS
    """What an object says of an attachment besides where it is: interface, network namespace, container."""
    found: dict[str, Any] = {}
    for option in hook.options:
        name = members.field_name(option)
        match option.field:
            case "interface" if hook.interface is not None:
                pass
            case "netns" | "container_pid":
                pass  # a process ends; objects name containers otherwise, and _same refuses what is lost here
            case "tracepoint":
                assert isinstance(attachment, tracepoint.TracepointAttachment)
                found[name] = f"{attachment.group}/{attachment.name}"
            case "proceed_on":
                codes = getattr(attachment, "proceed_on", ())
                found[name] = [_spelled(hook, code) for code in codes]
            case _:
                value = _plain(getattr(attachment, option.field, None))
                if value not in (None, []):
                    found[name] = value.capitalize() if option.field == "direction" else value
    return found


def _spelled(hook: hooks.Hook[Any], code: int) -> str:  # Any: see hooks.HOOKS
    """A verdict's code as objects write it."""
    word = next(name for name, number in hook.verdicts.items() if number == code).replace("_", "")
    return next(each for each in members.VERDICTS[hook.name] if each.lower() == word)


def _plain(value: object) -> Any:  # Any: JSON
    match value:
        case enum.Enum():
            return value.value
        case tuple():
            return [_plain(item) for item in value]
    return value
