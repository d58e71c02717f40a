"""USDT: probes that a program's authors put into it by hand, with arguments (uprobe.multi: Linux 6.6; else 5.15).

The file lists its probes in notes; a probe may have many sites, which a link covers all. Arguments reach the program
through the map of <bpf/usdt.bpf.h>, which is filled when the link is made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skep import errors, model
from skep.hooks import hook, request, valid

BPF_PROG_TYPE_KPROBE = 2
BPF_PERF_EVENT = 41
BPF_TRACE_UPROBE_MULTI = 48
SPECS = "__bpf_usdt_specs"
"""The map that arguments are read by, in every object that includes usdt.bpf.h."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsdtAttachment:
    """One program on every site of a probe.

    ``target``: an absolute path or a library's bare name; without it, target and probe are those of the program's
    section ("usdt//usr/bin/python3:python:line"). ``probe``: "provider:name". ``cookie``: what ``bpf_usdt_cookie``
    returns. ``pid``, ``container_pid``: see UprobeAttachment.
    """

    target: str = ""
    probe: str = ""
    pid: int | None = None
    container_pid: int | None = None
    cookie: int = 0

    def __post_init__(self) -> None:
        valid.pid("pid", self.pid)
        valid.pid("container pid", self.container_pid)
        valid.natural("the cookie", self.cookie, 2**64 - 1)
        if bool(self.target) != bool(self.probe):
            raise errors.InvalidRequest(
                "a USDT probe needs both a target and a name",
                do="write them as TARGET PROVIDER:NAME, or leave both to the program's section",
            )
        if self.target:
            valid.text("the target", self.target)
            provider, _, name = self.probe.partition(":")
            if not provider or not name or "\0" in self.probe:
                raise errors.InvalidRequest(
                    f"{self.probe!r} is not a USDT probe", do="write it as PROVIDER:NAME, such as python:line"
                )


def _complete(attachment: UsdtAttachment, placing: hook.Placing) -> UsdtAttachment:
    """The section's place where the caller names none: usdt/PATH:PROVIDER:NAME."""
    if attachment.target:
        return attachment
    parts = placing.section.partition("/")[2].rsplit(":", 2)
    if len(parts) != 3 or not all(parts):
        raise errors.InvalidRequest(
            "no USDT probe is named",
            why=f"and the program's section {placing.section!r} is not usdt/PATH:PROVIDER:NAME",
            do="name the target and PROVIDER:NAME",
        )
    return dataclasses.replace(attachment, target=parts[0], probe=f"{parts[1]}:{parts[2]}")


def _expands(attachment: UsdtAttachment) -> request.UsdtTarget:
    provider, _, name = attachment.probe.partition(":")
    return request.UsdtTarget(
        path=attachment.target,
        provider=provider,
        name=name,
        pid=attachment.pid,
        container_pid=attachment.container_pid,
    )


def _requests(attachment: UsdtAttachment, placing: hook.Placing) -> request.Requests:
    """One link of all sites, or one for each: as the program was loaded."""
    target = dataclasses.replace(
        _expands(attachment), specs=placing.maps.get(SPECS), owner=placing.link, cookie=attachment.cookie
    )
    if placing.attach_type == BPF_TRACE_UPROBE_MULTI:
        return (request.LinkRequest(target=target, attach_type=BPF_TRACE_UPROBE_MULTI, label="usdt by uprobe.multi"),)
    sites = [one.site for one in placing.found if isinstance(one, request.UsdtTarget)]
    return request.Several(
        spots=tuple(
            request.Spot(
                label="every site" if site is None else f"{site:#x}",
                candidates=(
                    request.LinkRequest(
                        target=dataclasses.replace(target, site=site), attach_type=BPF_PERF_EVENT, label="usdt"
                    ),
                ),
            )
            for site in sites
        )
    )


def _build(values: Mapping[str, Any]) -> UsdtAttachment:  # Any: see Hook.build
    return UsdtAttachment(
        target=values.get("target") or "",
        probe=values.get("probe") or "",
        pid=values.get("pid"),
        container_pid=values.get("container_pid"),
        cookie=values.get("cookie") or 0,
    )


def _summary(attachment: UsdtAttachment) -> str:
    text = f"{attachment.target} {attachment.probe}"
    if attachment.pid is not None:
        text += f" pid {attachment.pid}"
    if attachment.container_pid is not None:
        text += f" container pid {attachment.container_pid}"
    return text


HOOK = hook.Hook(
    name=model.HookName("usdt"),
    prog_type=BPF_PROG_TYPE_KPROBE,
    sections=("usdt",),
    family=(model.HookName("usdt"),),
    attachment=UsdtAttachment,
    build=_build,
    requests=_requests,
    expands=_expands,
    summary=_summary,
    complete=_complete,
    config=("BPF_EVENTS", "UPROBES"),
    better=("uprobe_multi", BPF_TRACE_UPROBE_MULTI),
    first="5.15",
    doc="Runs when a process reaches a USDT probe of a file, with the probe's arguments.",
    options=(
        hook.Option(
            field="target",
            metavar="TARGET",
            help="Absolute path of a program or library, or a library's name such as libc.",
            parse=valid.parse_text,
            example="/usr/bin/python3",
        ),
        hook.Option(
            field="probe",
            metavar="PROVIDER:NAME",
            help="The probe; without target and probe: those of the program's section.",
            parse=valid.parse_text,
            example="python:line",
        ),
        hook.Option(
            field="pid",
            flags=("--pid",),
            metavar="PID",
            help="Only this process (default: all).",
            parse=valid.parse_int,
            example="3",
        ),
        hook.Option(
            field="container_pid",
            flags=("--container-pid",),
            metavar="PID",
            help="Look the target up as this process (a host pid) sees it.",
            parse=valid.parse_int,
            example="4",
        ),
        hook.Option(
            field="cookie",
            flags=("--cookie",),
            metavar="NUMBER",
            help="What bpf_usdt_cookie() returns to the program (default: 0).",
            parse=valid.parse_int,
            example="7",
        ),
    ),
)
