"""Where an application's links are on this node: selectors against interfaces and pods. Pure.

A place is what a link's identity is made of. In a pod it is the pod's UID with the network namespace's number or the
container's id, not a process or a path, which change under the same place; the name by which a status knows the link
leaves these out too, and stays when a container or the node begins anew.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from skep import errors, hooks, model
from skep.kube import export, interfaces, reconcile, resources
from skep.kube.agent import sight

UUID = "bpfman.io/uuid"
"""Metadata of programs (the state's UID) and of links (the uuid in the status), as bpfman-operator's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """One place of a link. ``told``: the status's fields of it. ``name``: what the place is called for good."""

    place: str
    name: str
    attachment: object
    told: Mapping[str, Any]  # Any: JSON

    def uuid(self, state: str, program: str) -> str:
        """Which link this is, for as long as the state object lives."""
        return str(uuid.uuid5(uuid.UUID(state), f"{program}\0{self.name}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A program with the places of its links."""

    program: resources.Program
    spots: tuple[Spot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expansion:
    """An application on this node. ``notes``: selectors that fit nothing. ``waits``: what is meant, not there yet."""

    programs: tuple[Placed, ...]
    notes: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()

    def wanted(self, state: str) -> tuple[reconcile.WantedProgram, ...]:
        """The same for ``reconcile``; ``state``: the state object's UID."""
        return tuple(
            reconcile.WantedProgram(
                spec=model.ProgramSpec(
                    name=each.program.name, hook=each.program.hook, attach_func=each.program.function
                ),
                links={spot.place: spot.attachment for spot in each.spots},
                labels={spot.place: {UUID: spot.uuid(state, each.program.name)} for spot in each.spots},
            )
            for each in self.programs
        )


def pods(application: resources.Application, known: Iterable[sight.Pod]) -> tuple[model.PodRef, ...]:
    """The pods that the daemon has to find for an application, each once, with the containers that are meant."""
    wanted: dict[str, dict[str, str]] = {}
    known = tuple(known)
    for program in application.programs:
        for link in program.links:
            if isinstance(link.network, resources.Pods):
                for pod in selected(application, link.network, known):
                    if not pod.host_network:
                        wanted.setdefault(pod.local, {})
            if link.containers is not None:
                for pod in selected(application, link.containers, known):
                    meant = {each.name: each.id for each in pod.running if _meant(each.name, link.containers)}
                    if meant:
                        wanted.setdefault(pod.local, {}).update(meant)
    return tuple(
        model.PodRef(
            uid=uid,
            containers=tuple(model.ContainerRef(name=name, id=id) for name, id in sorted(containers.items())),
        )
        for uid, containers in sorted(wanted.items())
    )


def selected(
    application: resources.Application, wanted: resources.Pods, known: Iterable[sight.Pod]
) -> tuple[sight.Pod, ...]:
    """The pods that a selector means, by UID; a namespaced application reaches no others than its own namespace's."""
    namespace = application.namespace if application.namespace is not None else wanted.namespace
    return tuple(
        sorted(
            (pod for pod in known if namespace in (None, "", pod.namespace) and wanted.selector.selects(pod.labels)),
            key=lambda pod: pod.uid,
        )
    )


def expand(
    application: resources.Application, node: sight.Node, known: Iterable[sight.Pod], view: sight.View
) -> Expansion:
    """The places that an application's links mean on this node now. InvalidRequest for what can be nowhere right."""
    work = _Expanding(application, node, tuple(known), view)
    programs = tuple(work.program(each) for each in application.programs)
    return Expansion(programs=programs, notes=tuple(dict.fromkeys(work.notes)), waits=tuple(dict.fromkeys(work.waits)))


def _meant(name: str, wanted: resources.Pods) -> bool:
    return not wanted.containers or name in wanted.containers


@dataclass(frozen=True, slots=True, kw_only=True)
class _Network:
    """A network namespace: how it is reached, what tells it from others, and its interfaces. ``path`` None: the node's
    own. ``there`` None: what is in it is not known."""

    path: str | None = None
    place: str | None = None
    name: str | None = None
    there: tuple[str, ...] | None
    primary: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Process:
    """A container's process: its number and, in the stead of that, what the container is called."""

    pid: int
    place: str
    name: str


@dataclass(slots=True)
class _Expanding:
    application: resources.Application
    node: sight.Node
    known: tuple[sight.Pod, ...]
    view: sight.View
    notes: list[str] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)

    def program(self, program: resources.Program) -> Placed:
        hook = hooks.by_name(program.hook)
        found: dict[str, Spot] = {}
        for link in program.links:
            for spot in self._link(hook, link):
                if found.setdefault(spot.place, spot).attachment != spot.attachment:
                    raise errors.InvalidRequest(
                        f"{link.path} is at a place of another link of {program.name}",
                        why=f"both are at {hook.summary(spot.attachment)}, in different order or with other verdicts",
                        do="leave one of them out",
                    )
        return Placed(program=program, spots=tuple(found.values()))

    def _link(self, hook: hooks.Hook[Any], link: resources.Link) -> Iterator[Spot]:  # Any: see hooks.HOOKS
        for network in self._networks(link):
            for process in self._processes(link):
                for interface in self._interfaces(link, network):
                    yield _spot(hook, link, network, process, interface)

    def _networks(self, link: resources.Link) -> Iterator[_Network]:
        own = self.view.host.namespaces[0]
        here = _Network(there=tuple(each.name for each in own.interfaces), primary=self._primary(own))
        match link.network:
            case None:
                yield here
            case str() as path:
                named = next((each for each in self.view.host.namespaces if each.path and _same(each.path, path)), None)
                there = None if named is None else tuple(each.name for each in named.interfaces)
                yield _Network(path=path, there=there, primary=named.primary if named else ())
            case resources.Pods() as wanted:
                fitting = selected(self.application, wanted, self.known)
                if not fitting:
                    self.notes.append(f"{link.path}.networkNamespaces selects no pod on this node")
                shared = False
                for pod in fitting:
                    if pod.host_network and self.application.namespace is not None:
                        # Its network is the node's, which is not its namespace's to look into.
                        self.notes.append(f"{link.path}.networkNamespaces leaves out {pod}: it has its node's network")
                    elif pod.host_network:
                        shared = True
                    else:
                        yield from self._pod(pod)
                if shared:
                    yield here

    def _pod(self, pod: sight.Pod) -> Iterator[_Network]:
        found = self.view.found.get(pod.local)
        if found is None or found.netns is None:
            self.waits.append(f"pod {pod} has no network yet" + (f": {found.missing}" if found else ""))
            return
        seen = self.view.namespace(found.inode)
        if seen is not None and seen.path is None:
            # Whatever the object says: the network is the node's.
            self.notes.append(f"pod {pod} is left out: it has its node's network")
            return
        yield _Network(
            path=seen.path if seen else found.netns,
            place=f"pod {pod.uid} {found.inode}",
            name=f"pod {pod.uid}",
            there=tuple(each.name for each in seen.interfaces) if seen else None,
            primary=seen.primary if seen else (),
        )

    def _processes(self, link: resources.Link) -> Iterator[_Process | None]:
        if link.containers is None:
            yield None
            return
        fitting = selected(self.application, link.containers, self.known)
        if not fitting:
            self.notes.append(f"{link.path}.containers selects no pod on this node")
        for pod in fitting:
            named = [name for name in pod.named if _meant(name, link.containers)]
            if not named:
                self.notes.append(f"{link.path}.containers selects no container of pod {pod}")
            running = {each.name: each for each in pod.running}
            found = self.view.found.get(pod.local)
            seen = {} if found is None else {each.id: each for each in found.containers}
            for name in named:
                container = running.get(name)
                process = None if container is None else seen.get(container.id)
                if container is None or process is None or not process.pid:
                    # An init container that is done runs no more, and nobody waits for it.
                    if container is not None or not pod.running:
                        why = f": {process.missing}" if process is not None and process.missing else ""
                        self.waits.append(f"container {name} of pod {pod} does not run yet{why}")
                    continue
                who = f"container {pod.uid} {name}"
                yield _Process(pid=process.pid, place=f"{who} {container.id}", name=who)

    def _interfaces(self, link: resources.Link, network: _Network) -> tuple[str | None, ...]:
        wanted = link.interfaces
        if wanted is None:
            return (None,)
        if network.there is None:
            if isinstance(wanted, resources.Named) and not any(map(interfaces.is_pattern, wanted.names)):
                return wanted.names
            self.waits.append(
                f"{link.path}.interfaceSelector cannot be looked up in {network.path}: name the interfaces one by one"
            )
            return ()
        chosen = interfaces.selected(wanted, network.there, network.primary)
        if not chosen:
            where = f" in {network.path}" if network.path else ""
            self.notes.append(f"{link.path}.interfaceSelector selects no interface of this node{where}")
        return chosen

    def _primary(self, own: model.NamespaceSeen) -> tuple[str, ...]:
        """The interfaces of the default routes; without any, the one with the node's address, as upstream has it."""
        if own.primary:
            return own.primary
        return tuple(
            each.name
            for each in own.interfaces
            if any(address.partition("/")[0] in self.node.addresses for address in each.addresses)
        )


def _same(path: str, word: str) -> bool:
    """Whether a namespace's path is what an object calls by path or by name."""
    return path == word or ("/" not in word and path.rpartition("/")[2] == word)


def _spot(
    hook: hooks.Hook[Any], link: resources.Link, network: _Network, process: _Process | None, interface: str | None
) -> Spot:  # Any: see hooks.HOOKS
    attachment = resources.build(
        hook, link, interface=interface, netns=network.path, container_pid=process.pid if process else None
    )
    place: dict[str, str] = {}
    name: dict[str, str] = {}
    if network.place is not None and network.name is not None:
        place["netns"], name["netns"] = network.place, network.name
    if process is not None:
        place["container_pid"], name["container_pid"] = process.place, process.name
    told = export.values(hook, attachment)
    if interface is not None:
        told["interfaceName"] = interface
    if network.path is not None and any(option.field == "netns" for option in hook.options):
        told["netnsPath"] = network.path
    if process is not None:
        told["containerPid"] = process.pid
    return Spot(
        place=reconcile.place(hook, attachment, place),
        name=reconcile.place(hook, attachment, name),
        attachment=attachment,
        told=told,
    )
