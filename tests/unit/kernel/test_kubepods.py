"""The names of control groups as kubelet and container runtimes really make them."""

from __future__ import annotations

import pytest

from skep.kernel import kubepods
from skep.kernel.kubepods import Above, Container, Other, Pod

UID = "8dbb5577-ff87-4b52-9d2e-7c1f3a9b6c01"
FLAT = UID.replace("-", "_")
STATIC = "0d4e5a1c2b3f4a5d6e7f8091a2b3c4d5"
ID = "5f2b8c0b5a0b7dbd0b8c5b4b6b1c1e7ad1f0e6bfb2df5b5b1a0c9e8d7f6a5b4c"

CONTAINERS = {
    "v2 systemd containerd burstable": f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{FLAT}.slice/"
    f"cri-containerd-{ID}.scope",
    "v2 systemd containerd besteffort": f"/kubepods.slice/kubepods-besteffort.slice/"
    f"kubepods-besteffort-pod{FLAT}.slice/cri-containerd-{ID}.scope",
    "v2 systemd containerd guaranteed": f"/kubepods.slice/kubepods-pod{FLAT}.slice/cri-containerd-{ID}.scope",
    "v2 systemd crio": f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{FLAT}.slice/crio-{ID}.scope",
    "v2 systemd dockershim": f"/kubepods.slice/kubepods-pod{FLAT}.slice/docker-{ID}.scope",
    "v1 systemd": f"systemd/kubepods.slice/kubepods-pod{FLAT}.slice/cri-containerd-{ID}.scope",
    "v1 cgroupfs burstable": f"/memory/kubepods/burstable/pod{UID}/{ID}",
    "cgroupfs besteffort": f"/kubepods/besteffort/pod{UID}/{ID}",
    "cgroupfs guaranteed": f"/kubepods/pod{UID}/{ID}",
    "cgroupfs crio": f"/kubepods/burstable/pod{UID}/crio-{ID}",
    "kind, cgroupRoot /kubelet with systemd": "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
    f"kubelet-kubepods-burstable-pod{FLAT}.slice/cri-containerd-{ID}.scope",
    "kind, cgroupRoot /kubelet with cgroupfs": f"/kubelet/kubepods/burstable/pod{UID}/{ID}",
    "cgroupRoot of two parts": f"/a.slice/a-b.slice/a-b-kubepods.slice/a-b-kubepods-pod{FLAT}.slice/crio-{ID}.scope",
    "kubelet systemd, containerd not": f"/system.slice/containerd.service/kubepods-burstable-pod{FLAT}.slice:"
    f"cri-containerd:{ID}",
    "the same, guaranteed, at the root": f"/kubepods-pod{FLAT}.slice:cri-containerd:{ID}",
}


@pytest.mark.parametrize("path", CONTAINERS.values(), ids=CONTAINERS)
def test_containers(path: str) -> None:
    """Every driver and runtime leads to the same pod and container."""
    assert kubepods.parse(path) == Container(uid=UID, id=ID)


@pytest.mark.parametrize(
    "path, expected",
    [
        ("", Above()),
        ("/", Above()),
        ("/kubepods.slice", Above()),
        ("/kubepods", Above(kubepods=True)),
        ("/kubepods/burstable", Above(kubepods=True)),
        ("/kubepods.slice/kubepods-besteffort.slice", Above()),
        ("/system.slice/sshd.service", Above()),
        (f"/kubepods/burstable/pod{UID}", Pod(uid=UID)),
        (f"/kubepods/pod{STATIC}", Pod(uid=STATIC)),
        (f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{STATIC}.slice", Pod(uid=STATIC)),
        (f"/kubepods/pod{UID.upper()}", Pod(uid=UID)),
    ],
)
def test_above_containers(path: str, expected: kubepods.Group) -> None:
    assert kubepods.parse(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        # The monitor of CRI-O is in the pod and is no container.
        f"/kubepods.slice/kubepods-pod{FLAT}.slice/crio-conmon-{ID}.scope",
        f"/kubepods/pod{UID}/crio-conmon-{ID}",
        f"/kubepods/pod{UID}/shared",
        # What somebody made inside a container means nothing, whatever it is called.
        f"/kubepods/pod{UID}/{ID}/init.scope",
        f"/kubepods/pod{UID}/{ID}/kubepods/pod{STATIC}/{ID}",
        f"/docker/{ID}/kubepods/pod{UID}/{ID}",
        f"/system.slice/docker-{ID}.scope/kubepods.slice/kubepods-pod{FLAT}.slice/cri-containerd-{ID}.scope",
        f"/machine.slice/libpod-{ID}.scope/container",
        f"/user.slice/user-1000.slice/user@1000.service/kubepods/pod{UID}/{ID}",
    ],
)
def test_what_is_nobodys(path: str) -> None:
    assert kubepods.parse(path) == Other()


@pytest.mark.parametrize("path", [f"/foo/pod{UID}/{ID}", f"/kubepods/other/pod{UID}", f"/pod{UID}/{ID}"])
def test_a_pod_is_below_kubepods_only(path: str) -> None:
    assert not isinstance(kubepods.parse(path), (Pod, Container))


@pytest.mark.parametrize(
    "id, number", [(f"containerd://{ID}", ID), (f"cri-o://{ID}", ID), (ID, ID), ("", ""), ("containerd://", "")]
)
def test_numbers_of_containers(id: str, number: str) -> None:
    assert kubepods.number(id) == number
