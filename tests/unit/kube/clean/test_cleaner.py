"""The DaemonSet that cleans nodes goes where the daemon's went, and removes what the code keeps there."""

from __future__ import annotations

from typing import Any

from skep import paths
from skep.kube.clean import cleaner
from skep.kube.operator import daemonset, deploy, settings


def daemon(**spec: Any) -> dict[str, Any]:
    made = settings.default(("daemon-image", "agent-image"), namespace="elsewhere")
    made["metadata"] = {"name": "bpfman-config", "uid": "c1"}
    made["spec"]["daemon"] |= spec
    (found,) = (each for each in deploy.objects(settings.read(made)) if each["kind"] == "DaemonSet")
    return found


def test_it_goes_where_the_daemon_went() -> None:
    affinity: dict[str, Any] = {"nodeAffinity": {}}
    made = cleaner.document(daemon(nodeSelector={"pool": "a"}, tolerations=[{"operator": "Exists"}], affinity=affinity))
    pod = made["spec"]["template"]["spec"]
    assert made["metadata"]["namespace"] == "elsewhere"
    assert (pod["nodeSelector"], pod["tolerations"], pod["affinity"]) == (
        {"pool": "a"}, [{"operator": "Exists"}], affinity,
    )  # fmt: skip
    images = {each["image"] for each in (*pod["initContainers"], *pod["containers"])}
    assert images == {"daemon-image"}


def test_all_that_pods_leave_on_a_node_is_removed() -> None:
    """Whatever the daemon's pods may write on the node is below a directory that is removed, or is not skep's."""
    kept = {"/run/netns", "/sys", "/sys/fs/cgroup", paths.HOST_BPFFS, f"{daemonset.KUBELET}/plugins_registry",
            f"{daemonset.KUBELET}/pods"}  # fmt: skip
    pod = daemon()["spec"]["template"]["spec"]
    written = {each["hostPath"]["path"] for each in pod["volumes"] if "hostPath" in each}
    assert written - kept | {paths.DEFAULT_PINS} == set(cleaner.DIRECTORIES)


def test_each_directory_is_below_one_that_is_mounted() -> None:
    pod = cleaner.document(daemon())["spec"]["template"]["spec"]
    mounted = {each["hostPath"]["path"] for each in pod["volumes"]}
    assert all(each.rpartition("/")[0] in mounted for each in cleaner.DIRECTORIES)
    (container,) = pod["initContainers"]
    assert {each["mountPath"] for each in container["volumeMounts"]} == {cleaner.HOST + path for path in mounted}
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["DAC_OVERRIDE"]}
