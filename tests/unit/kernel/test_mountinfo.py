"""mountinfo as kernels write it."""

from __future__ import annotations

from skep.kernel import mountinfo

TEXT = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
69 46 0:40 / /kubelet/a\\040b rw,nosuid shared:5 master:1 - bpf csi.bpfman.io/v\\134\\0431/ab ro,gid=7,mode=750
70 46 0:41 / /x ro,relatime master:9 - ext4 /dev/vda rw
"""


def test_every_field_that_is_used() -> None:
    assert mountinfo.parse(TEXT) == (
        mountinfo.Mount(id=22, point="/proc", type="proc", source="proc", read_only=False, shared=False),
        mountinfo.Mount(
            id=69, point="/kubelet/a b", type="bpf", source="csi.bpfman.io/v\\#1/ab", read_only=True, shared=True
        ),
        mountinfo.Mount(id=70, point="/x", type="ext4", source="/dev/vda", read_only=False, shared=False),
    )


def test_this_process_is_somewhere() -> None:
    with open("/proc/self/status", encoding="ascii") as file:
        mount = mountinfo.of(file.fileno())
    assert (mount.point, mount.type) == ("/proc", "proc")
