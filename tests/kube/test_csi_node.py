"""The CSI driver with a real kubelet: an unprivileged pod reads a counter, and a wrong one hears why not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from skep import paths
from skep.kernel import mountinfo
from skep.kube.operator import daemonset, settings
from tests import bpf_build, instance
from tests.kernel import kernel_rig
from tests.kube import images, node
from tests.kube.plane import ControlPlane, until
from tests.parts import Server

pytestmark = [pytest.mark.slow, pytest.mark.node]

DRIVER = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "CSIDriver",
    "metadata": {"name": "csi.bpfman.io"},
    "spec": {"attachRequired": False, "podInfoOnMount": True, "volumeLifecycleModes": ["Ephemeral"],
             "fsGroupPolicy": "ReadWriteOnceWithFSType"},
}  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[node.Cluster]:
    """A cluster whose node has a daemon with a program, and the driver in its container."""
    directory = tmp_path_factory.mktemp("csi")
    with node.cluster(directory) as made:
        for archive in (images.reader(directory), images.skep(directory)):
            made.node.import_image(archive)
        words = (*made.node.inside, "env", *environment(), *instance.command())
        daemon = Server(directory / "daemon.log", *words, "serve")
        try:
            until("the daemon", (made.node.root / paths.DEFAULT_SOCKET[1:]).exists, 60)
            object = str(bpf_build.build("kinds", "EXTRA"))
            load = ("program", "load", "file", object, "--programs", "xdp:first", "-a", "counter", "-o", "json")
            (program,) = json.loads(skep(made, *load))["programs"]
            skep(made, "link", "attach", "xdp", str(program["status"]["kernel"]["id"]), "eth0", "--priority", "50")
            made.plane.apply(DRIVER, driver())
            running(made.plane, "driver")
            yield made
        finally:
            daemon.close()


def driver() -> dict[str, Any]:
    """A pod with the driver's container as the operator deploys it; the daemon is outside, on the node."""
    image = {"image": images.SKEP}
    spec = {"daemon": image, "agent": image, "configuration": settings.CONFIGURATION}
    config = {"metadata": {"name": "c", "uid": "u"}, "spec": spec}
    template = daemonset.document(settings.read(config), "")["spec"]["template"]["spec"]
    (container,) = [each for each in template["containers"] if each["name"] == "csi"]
    named = [{"name": "KUBE_NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]
    assert [each for each in container["env"] if each["name"] == "KUBE_NODE_NAME"] == named
    mounted = {each["name"] for each in container["volumeMounts"]}
    volumes = [each for each in template["volumes"] if each["name"] in mounted]
    for each in volumes:
        if each["name"] == "sockets":  # shared by the containers of one pod there
            del each["emptyDir"]
            each["hostPath"] = {"path": paths.DEFAULT_SOCKET.rpartition("/")[0]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "driver", "namespace": "default"},
        "spec": {
            "hostNetwork": True,
            "hostPID": True,
            "containers": [{**container, "env": named, "imagePullPolicy": "Never"}],
            "volumes": volumes,
        },
    }


def skep(made: node.Cluster, *words: str) -> str:
    """skep's command line on the node."""
    return made.node.run("env", *environment(), *instance.command(), *words)


def environment() -> list[str]:
    return [f"{name}={value}" for name, value in instance.environment().items()]


def send(made: node.Cluster, count: int) -> None:
    """Packets to the node's interface."""
    kernel_rig.send(instance.Network(made.node.network, near="eth0", far="wire"), count)


def pod(name: str, *, attributes: dict[str, str] | None = None, group: int | None = 2000, read_only: bool = False,
        seccomp: str = "Unconfined") -> dict[str, Any]:  # fmt: skip
    """A pod without any right, as its user writes it."""
    context = {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000, "seccompProfile": {"type": seccomp}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "securityContext": context if group is None else {**context, "fsGroup": group},
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "reader", "image": images.READER, "imagePullPolicy": "Never",
                    "command": ["sh", "-c", "trap exit TERM; sleep 1000 & wait"],
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "maps", "mountPath": "/maps"}],
                }
            ],
            "volumes": [
                {
                    "name": "maps",
                    "csi": {
                        "driver": "csi.bpfman.io",
                        **({"readOnly": True} if read_only else {}),
                        "volumeAttributes": {
                            "csi.bpfman.io/program": "counter", "csi.bpfman.io/maps": "hits", **(attributes or {}),
                        },
                    },
                }
            ],
        },
    }  # fmt: skip


def running(plane: ControlPlane, name: str) -> None:
    until(f"pod {name} runs", lambda: plane.get("pod", name, namespace="default")["status"]["phase"] == "Running", 60)


def element(plane: ControlPlane, name: str, *words: str) -> str:
    """What /bin/element in a pod prints, also when it fails."""
    return plane.kubectl("exec", name, "--", "element", *words, check=False).splitlines()[0]


def volumes(made: node.Cluster) -> dict[str, str]:
    """Where volumes are mounted on the node, and whose they are."""
    text = (made.node.root.parent / "mountinfo").read_text()
    found = [mount for mount in mountinfo.parse(text) if mount.source.startswith("csi.bpfman.io/")]
    # Kubelet's directory is a bind mount of the test's own, where each is seen a second time.
    return {mount.point: mount.source for mount in found if mount.point.startswith("/var/lib/kubelet/")}


def test_kubelet_knows_the_driver(cluster: node.Cluster) -> None:
    def known() -> bool:
        drivers = cluster.plane.get("csinode", cluster.node.name)["spec"]["drivers"] or []
        return [(one["name"], one["nodeID"]) for one in drivers] == [("csi.bpfman.io", cluster.node.name)]

    until("the CSINode names it", known, 60)


def test_an_unprivileged_pod_reads_a_counter(cluster: node.Cluster) -> None:
    plane = cluster.plane
    plane.apply(pod("reader"), pod("watcher", read_only=True), pod("stranger", group=None))
    for name in ("reader", "watcher", "stranger"):
        running(plane, name)
    assert len(volumes(cluster)) == 3
    before = int(element(plane, "reader", "get", "/maps/hits", "3"))
    send(cluster, 50)
    assert int(element(plane, "reader", "get", "/maps/hits", "3")) >= before + 50
    assert element(plane, "reader", "set", "/maps/hits", "0", "123456") == "123456"
    assert element(plane, "watcher", "get-only", "/maps/hits", "0") == "123456"
    assert "Read-only file system" in element(plane, "watcher", "get", "/maps/hits", "0")
    assert "Permission denied" in element(plane, "stranger", "get", "/maps/hits", "0")
    plane.kubectl("delete", "pod", "reader", "watcher", "stranger")
    until("nothing is mounted", lambda: not volumes(cluster))


def test_volumes_outlive_the_drivers_container(cluster: node.Cluster) -> None:
    plane = cluster.plane
    plane.apply(pod("first"))
    running(plane, "first")
    before = int(element(plane, "first", "get", "/maps/hits", "3"))
    plane.kubectl("delete", "pod", "driver")
    send(cluster, 20)
    assert int(element(plane, "first", "get", "/maps/hits", "3")) >= before + 20
    plane.apply(pod("second"))  # kubelet waits until the driver is there again
    plane.apply(driver())
    running(plane, "second")
    plane.kubectl("delete", "pod", "first", "second")
    until("nothing is mounted", lambda: not volumes(cluster))


def test_a_runtimes_default_seccomp_profile_forbids_bpf(cluster: node.Cluster) -> None:
    """What docs/csi.md says to users of RuntimeDefault."""
    cluster.plane.apply(pod("confined", seccomp="RuntimeDefault"))
    running(cluster.plane, "confined")
    assert "Operation not permitted" in element(cluster.plane, "confined", "get", "/maps/hits", "3")
    cluster.plane.kubectl("delete", "pod", "confined")
    until("nothing is mounted", lambda: not volumes(cluster))


def test_a_pod_hears_what_is_wrong_and_goes_on_when_it_is_right(cluster: node.Cluster) -> None:
    plane = cluster.plane
    plane.apply(pod("wrong", attributes={"csi.bpfman.io/maps": "hitz"}), pod("early", attributes={PROGRAM: "later"}))

    def events() -> str:
        return plane.kubectl("get", "events", "-o", "jsonpath={range .items[*]}{.message}{'\\n'}{end}")

    until("an event", lambda: "did you mean hits?" in events(), 60)
    until("an event", lambda: "no application 'later' for this pod" in events(), 60)
    skep(cluster, "program", "load", "file", str(bpf_build.build("kinds")), "--programs", "xdp:second", "-a", "later")
    running(plane, "early")
    plane.kubectl("delete", "pod", "wrong", "early")
    until("nothing is mounted", lambda: not volumes(cluster))
    pods = cluster.node.root / "var/lib/kubelet/pods"
    until("kubelet has tidied up", lambda: not list(pods.glob("*/volumes/kubernetes.io~csi/*")))


PROGRAM = "csi.bpfman.io/program"
