"""The same story for every way to install: from an empty cluster to a counted packet, and back to a cluster as it was.

A way is two functions; what lies between them and after them is the same for all::

    def test_by_some_way(empty: Story) -> None:
        install_rig.told(empty, install_rig.Way(install=..., uninstall=...))

``uninstall`` is called while the application is still there: whatever deletes it belongs to the way.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.kube import story_rig
from tests.kube.plane import ControlPlane, until
from tests.kube.story_rig import PORT, Story, counter
from tests.kube.traffic import Traffic

NAME = "udp-count"
"""The application of the story, of examples/kubernetes."""
OTHERS = ("events", "events.events.k8s.io", "leases.coordination.k8s.io")
"""Resources whose objects come and go by themselves: what is told of the past, and that a node is alive."""
OWN = ("/var/lib/skep", "/run/skep", "/var/cache/skep", "/run/bpfman-sock")
"""Directories of a node that are skep's alone."""
PLACES = (
    *OWN, "/etc/skep", "/etc/bpfman", "/sys/fs/bpf", "/var/lib/kubelet/plugins", "/var/lib/kubelet/plugins_registry",
)  # fmt: skip
"""What is looked at, with everything that is in it."""
OF_THE_KERNEL = (".debug",)
"""How the kernel's own files in a bpffs end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How skep gets into a cluster and out of it again. Each returns when it is done. ``during``: what is done to it
    while packets are counted."""

    install: Callable[[Story], None]
    uninstall: Callable[[Story], None]
    during: Callable[[Story], None] = lambda story: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is in the cluster and on the node, by names; equal when nothing was added and nothing is missing."""

    objects: frozenset[str]
    node: frozenset[str]


@contextlib.contextmanager
def empty(directory: Path) -> Iterator[Story]:
    """A cluster with nothing of skep's in it, and the example's image in the node's registry."""
    with story_rig.story(directory, empty=True) as story:
        story.push("udp_count", "v1")
        # The node shows what the machine has below /var, and somebody may run skep on that; this changes the node only.
        story.node.run("rm", "-rf", *OWN)
        yield story


def told(story: Story, way: Way) -> None:
    """From nothing to a counted packet, and back to nothing."""
    before = seen(story)
    way.install(story)
    loaded = works(story, way.during)
    way.uninstall(story)
    nothing_left(story, before, loaded)


def works(story: Story, during: Callable[[Story], None] = lambda story: None) -> story_rig.InKernel:
    """An application is applied and counts each packet, whatever is done ``during`` that, and a pod without any right
    reads how many; what it has in the kernel. The application stays; the pods do not."""
    web = story.run_pod("web")
    story.kubectl("apply", "-f", "-", input=story.example("application"))
    story.kubectl("wait", "--for=condition=Success", f"bpfapplication/{NAME}", "--timeout=60s")
    (state,) = story.plane.list("bpfapplicationstates", namespace="default")
    loaded = in_kernel(state)
    assert loaded.programs and loaded.maps, state
    story.run_pod("reader")

    def read() -> int:
        return counter(story.kubectl("exec", "reader", "--", "cat", "/maps/packets"))

    with contextlib.closing(Traffic(story.node.enter, web["status"]["podIP"], PORT)) as traffic:
        until("packets are counted", lambda: read() > 100)
        during(story)
        sent = traffic.stop()
    until("every packet is counted", lambda: read() == sent, 5)
    story.kubectl("delete", "pod", "reader", "web", "--timeout=60s")
    return loaded


def nothing_left(story: Story, before: Seen, loaded: story_rig.InKernel) -> None:
    """The cluster and the node are as they were before skep came."""
    left = [number for kind, numbers in (("prog", loaded.programs), ("map", loaded.maps)) for number in numbers
            if _there(kind, number)]  # fmt: skip
    assert not left, f"still in the kernel: {left}"

    def same() -> bool:
        now = seen(story)
        for what, old, new in (("object", before.objects, now.objects), ("on the node", before.node, now.node)):
            assert new == old, f"{what}: left {sorted(new - old)}, missing {sorted(old - new)}"
        return True

    # Only what ends by itself once everybody has let go: kubelet forgets a pod's directory after the pod.
    until("all is as it was", same, 30, every=0.5)


def seen(story: Story) -> Seen:
    """What is there now."""
    return Seen(objects=frozenset(objects(story.plane)), node=frozenset(_node(story)))


def in_kernel(state: dict[str, Any]) -> story_rig.InKernel:  # Any: JSON
    """The programs of a state, and the maps that they have."""
    programs = tuple(one["programId"] for one in state["status"]["programs"])
    maps = {number for one in programs for number in _shown("prog", one).get("map_ids", [])}
    return story_rig.InKernel(programs, frozenset(maps))


def objects(plane: ControlPlane) -> Iterator[str]:
    """Every object of every kind that can be listed, by its name; of the node also labels, annotations and drivers."""
    kinds = plane.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    asked = ",".join(one for one in kinds if one not in OTHERS)
    wanted = "{range .items[*]}{.kind}.{.apiVersion} {.metadata.namespace}/{.metadata.name}{'\\n'}{end}"
    yield from plane.kubectl("get", asked, "-A", "-o", f"jsonpath={wanted}").splitlines()
    for one in plane.list("nodes"):
        about = one["metadata"]
        yield from (f"node {what}: {key}" for what in ("labels", "annotations") for key in about.get(what, {}))
    for one in plane.list("csinodes"):
        yield from (f"driver {driver['name']}" for driver in one["spec"].get("drivers") or ())


def _node(story: Story) -> Iterator[str]:
    """Mounts, files where skep has some, and queueing disciplines."""
    mounts = [line.split()[4] for line in story.node.run("cat", "/proc/self/mountinfo").splitlines()]
    # Names of network namespaces are the machine's, where other tests have theirs; the node's pods have a CNI's.
    yield from (f"mount {each}" for each in mounts if not each.startswith("/run/netns/") or "/cni-" in each)
    for place in PLACES:
        directory = story.node.root / place[1:]
        if directory.exists():
            yield place
        yield from (f"{place}/{path.relative_to(directory)}" for path in _below(directory))
    shaped = json.loads(story.node.run("tc", "-json", "qdisc", "show"))
    yield from (f"qdisc {one['kind']} {one['dev']}" for one in shaped if one["kind"] in ("clsact", "ingress"))


def _below(directory: Path) -> Iterator[Path]:
    found = directory.rglob("*") if directory.is_dir() else ()
    return (path for path in found if not path.name.endswith(OF_THE_KERNEL))


def _there(kind: str, number: int) -> bool:
    return "id" in _shown(kind, number)


def _shown(kind: str, number: int) -> dict[str, Any]:  # Any: JSON
    """What bpftool says of an id; an error, without an id, of one that is gone."""
    done = subprocess.run(
        ["bpftool", "--json", kind, "show", "id", str(number)], capture_output=True, text=True, check=False
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
