"""What control groups are called: by kubelets with both drivers, by systemd, and by nobody in particular."""

from __future__ import annotations

import pytest

from skep import model
from skep.kernel import groups

UID = "6a1d0c1e-2b5f-4c4e-9f3a-0123456789ab"
UNDERSCORED = UID.replace("-", "_")
STATIC = "0f" * 16
CONTAINER = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@pytest.mark.parametrize(
    ("path", "pod", "container"),
    [
        (f"/kubepods/burstable/pod{UID}/{CONTAINER}", UID, CONTAINER),
        (f"/kubepods/pod{UID}/{CONTAINER}", UID, CONTAINER),
        (f"/kubepods/besteffort/pod{UID}", UID, ""),
        (f"/kubepods/pod{STATIC}/{CONTAINER}/init.scope", STATIC, CONTAINER),
        (
            f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UNDERSCORED}.slice/"
            f"cri-containerd-{CONTAINER}.scope",
            UID,
            CONTAINER,
        ),
        (f"/kubepods.slice/kubepods-pod{UNDERSCORED}.slice/crio-{CONTAINER}.scope", UID, CONTAINER),
        (f"/kubepods.slice/kubepods-pod{UNDERSCORED}.slice/crio-conmon-{CONTAINER}.scope", UID, ""),
        (f"/../../besteffort/pod{UID}/{CONTAINER}", UID, CONTAINER),
        (f"/kubepods/pod{UID}/{CONTAINER}/kubepods/pod{STATIC}", UID, CONTAINER),
        ("/kubepods/besteffort", "", ""),
        (f"/pod{UID}/{CONTAINER}", "", ""),
    ],
)
def test_pods(path: str, pod: str, container: str) -> None:
    assert groups.named(path) == model.Group(path=path, pod=pod, container=container)


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/nginx.service", "nginx.service"),
        ("/system.slice/nginx.service/workers", "nginx.service"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/a.service", "a.service"),
        ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
        ("/system.slice", "system.slice"),
        ("/", ""),
        ("/mine/below", ""),
    ],
)
def test_units(path: str, unit: str) -> None:
    assert groups.named(path) == model.Group(path=path, unit=unit)


@pytest.mark.parametrize(
    ("lines", "path"),
    [
        (["0::/system.slice/a.service"], "/system.slice/a.service"),
        (["9:name=systemd:/system.slice/a.service", "4:memory:/x", "0::/"], "/system.slice/a.service"),
        (["4:memory:/x/y.slice", "1:name=systemd:/system.slice/a.service", "0::/"], "/system.slice/a.service"),
        ([f"4:memory:/kubepods/pod{UID}", "1:name=systemd:/system.slice/a.service"], f"/kubepods/pod{UID}"),
        (["4:memory:/mine", "0::/"], "/mine"),
        (["0::/with:colons/a.service"], "/with:colons/a.service"),
        (["nonsense"], "/"),
        ([], "/"),
    ],
)
def test_of_several_hierarchies_the_one_that_says_most_is_chosen(lines: list[str], path: str) -> None:
    assert groups.chosen(lines).path == path
