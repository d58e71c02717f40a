"""A plain host as the one node there is: which interfaces selectors mean here, and what only a cluster has. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skep import errors, hooks, model
from skep.kube import interfaces, reconcile, resources

APPLICATION = "bpfman.io/application"
"""Metadata that names a program's application; bpfman's, and that of ``skep program load -a``."""

FILE = "skep/apps.d"
"""Metadata that names the file of the daemon's directory of applications out of which a program was brought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What selectors are compared with. ``primary``: the interfaces of the default routes, the best first."""

    labels: Mapping[str, str]
    interfaces: tuple[str, ...]
    primary: tuple[str, ...]


def metadata(application: resources.Application) -> dict[str, str]:
    """What the application's programs are labelled with."""
    return {**application.labels, APPLICATION: application.name, reconcile.OWNER: application.key}


def programs(application: resources.Application, host: Host) -> tuple[reconcile.WantedProgram, ...]:
    """The programs with the places that their links mean here.

    InvalidRequest for what only a cluster has, and for a node selector that leaves this host out; NotFound for a
    selector that no interface fits.
    """
    if not application.nodes.selects(host.labels):
        labels = ", ".join(f"{name}={value}" for name, value in host.labels.items())
        raise errors.InvalidRequest(
            f"{application.key} is not for this host",
            why=f"spec.nodeSelector does not select it; its labels are {labels}",
            do="make it {} to mean every host",
        )
    return tuple(_program(each, host) for each in application.programs)


def owner(application: resources.Application, seen: tuple[model.Program, ...]) -> model.ProgramId | None:
    """The program whose maps are used, of those that others have loaded; None if no map owner is asked for.

    NotFound if the selector fits none, Conflict if it fits programs with different maps.
    """
    selector = application.map_owner
    if selector is None:
        return None
    mine = metadata(application)[reconcile.OWNER]
    fitting = [
        program
        for program in seen
        if program.status.kernel is not None
        and program.record.metadata.get(reconcile.OWNER) != mine
        and selector.selects(program.record.metadata)
    ]
    if not fitting:
        raise errors.NotFound(
            f"spec.mapOwnerSelector of {application.key} fits no loaded program",
            why="the labels of an application are its programs' metadata",
            do="apply the owner first; 'skep program list' shows what is loaded",
        )
    if len({program.record.set for program in fitting}) > 1:
        names = ", ".join(f"{program.record.id} ({program.record.name})" for program in fitting)
        raise errors.Conflict(
            f"spec.mapOwnerSelector of {application.key} fits programs with different maps",
            why=f"it fits {names}",
            do="select one application",
        )
    return fitting[0].record.id


def _program(program: resources.Program, host: Host) -> reconcile.WantedProgram:
    hook = hooks.by_name(program.hook)
    found: dict[str, object] = {}
    for link in program.links:
        netns = _network(link)
        names = (None,) if link.interfaces is None else _interfaces(link, link.interfaces, netns, host)
        for name in names:
            attachment = resources.build(hook, link, interface=name, netns=netns)
            where = reconcile.place(hook, attachment)
            if found.setdefault(where, attachment) != attachment:
                raise errors.InvalidRequest(
                    f"{link.path} is at a place of another link of {program.name}",
                    why=f"both are at {hook.summary(attachment)}, in different order or with other verdicts",
                    do="leave one of them out",
                )
    spec = model.ProgramSpec(name=program.name, hook=program.hook, attach_func=program.function)
    return reconcile.WantedProgram(spec=spec, links=found)


def _network(link: resources.Link) -> str | None:
    for what, value in (("networkNamespaces", link.network), ("containers", link.containers)):
        if isinstance(value, resources.Pods):
            raise errors.InvalidRequest(
                f"{link.path}.{what} selects pods, and a plain host has none",
                why="pods are known to a cluster's agent only",
                do="name a network namespace with networkNamespaces.path, or leave it out for the host's own"
                if what == "networkNamespaces"
                else "leave it out to mean the host's own files",
            )
    return link.network if isinstance(link.network, str) else None


def _interfaces(
    link: resources.Link, wanted: resources.Interfaces, netns: str | None, host: Host
) -> tuple[str | None, ...]:
    if netns is not None:
        if isinstance(wanted, resources.Named) and not any(map(interfaces.is_pattern, wanted.names)):
            return wanted.names
        raise errors.InvalidRequest(
            f"{link.path}.interfaceSelector is looked up in the host's own network namespace only",
            why=f"the link is in {netns}",
            do="name its interfaces there one by one",
        )
    chosen = interfaces.selected(wanted, host.interfaces, host.primary)
    if not chosen:
        raise errors.NotFound(
            f"{link.path}.interfaceSelector selects no interface of this host",
            why="there are " + ", ".join(host.interfaces)
            if not isinstance(wanted, resources.Primary)
            else "there is no default route",
            do="see `ip link` and `ip route`",
        )
    return chosen
