"""Links on a real kernel: a program runs while attached, not after, and every refusal names its reason."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from skep import errors, model
from skep.hooks import request
from skep.kernel import abi
from tests import instance
from tests.kernel import kernel_rig
from tests.kernel.kernel_rig import Rig

ROUNDS = 100


def test_xdp_runs_while_attached(rig: Rig, network: instance.Network) -> None:
    (program,) = rig.load("hooks", "on_xdp")
    made = rig.kernel.attach(program, kernel_rig.xdp(network), rig.link_pin("1"))
    kernel_rig.send(network, 5)
    attached = rig.hits()
    rig.kernel.detach(rig.link_pin("1"))
    kernel_rig.send(network, 5)
    assert (attached, rig.hits()) == (5, 5)
    assert made.interface == rig.kernel.interface(kernel_rig.near(network))
    assert (made.kernel.attach_type, made.taken, made.refused) == (abi.XDP, 0, ())
    assert rig.kernel.pins(model.PinDir(f"{rig.root}/links")) == ()


def test_tcx_runs_while_attached(rig: Rig, network: instance.Network) -> None:
    (program,) = rig.load("hooks", "on_tcx")
    made = rig.kernel.attach(program, kernel_rig.tcx(network), rig.link_pin("1"))
    kernel_rig.send(network, 5)
    attached = rig.hits()
    rig.kernel.detach(rig.link_pin("1"))
    kernel_rig.send(network, 5)
    assert (attached, rig.hits()) == (5, 5)
    assert made.kernel.ifindex == made.interface.ifindex if made.interface else False


def test_tracepoint_runs_while_attached(rig: Rig) -> None:
    (program,) = rig.load("hooks", "on_tracepoint", only_tgid=os.getpid())
    made = rig.kernel.attach(program, kernel_rig.tracepoint(), rig.link_pin("1"))
    for _ in range(5):
        os.getppid()
    attached = rig.hits()
    rig.kernel.detach(rig.link_pin("1"))
    os.getppid()
    assert (attached, rig.hits()) == (5, 5)
    assert made.kernel.detail == "sys_enter_getppid"


@pytest.mark.parametrize("path", ["libc", "libc.so.6"])
@pytest.mark.parametrize("retprobe", [False, True], ids=["entry", "return"])
def test_uprobe_runs_while_attached(rig: Rig, path: str, retprobe: bool) -> None:
    (program,) = rig.load("hooks", "on_uprobe", only_tgid=os.getpid())
    made = rig.kernel.attach(program, kernel_rig.uprobe(path, retprobe=retprobe), rig.link_pin("1"))
    for _ in range(5):
        os.getppid()
    attached = rig.hits()
    rig.kernel.detach(rig.link_pin("1"))
    os.getppid()
    assert (attached, rig.hits()) == (5, 5)
    assert "/libc.so.6+0x" in made.kernel.detail


def test_uprobe_of_one_process_only(rig: Rig) -> None:
    (program,) = rig.load("hooks", "on_uprobe")
    rig.kernel.attach(program, kernel_rig.uprobe(pid=os.getpid()), rig.link_pin("1"))
    os.getppid()
    subprocess.run([sys.executable, "-c", "import os; os.getppid()"], check=True)
    assert rig.hits() == 1


def test_uprobe_by_offset_in_the_file(rig: Rig) -> None:
    (program,) = rig.load("hooks", "on_uprobe", only_tgid=os.getpid())
    by_symbol = rig.kernel.attach(program, kernel_rig.uprobe(), rig.link_pin("1"))
    path, _, offset = by_symbol.kernel.detail.partition("+")
    rig.kernel.detach(rig.link_pin("1"))
    rig.kernel.attach(program, kernel_rig.uprobe(path, "", offset=int(offset, 16)), rig.link_pin("1"))
    os.getppid()
    assert rig.hits() == 1


def test_uprobe_in_the_mount_namespace_of_a_process(rig: Rig) -> None:
    (program,) = rig.load("hooks", "on_uprobe")
    # In its namespace /mnt/inside.so is libc; in ours there is no such file.
    script = 'mount -t tmpfs t /mnt && cp "$0" /mnt/inside.so && echo ready && read -r line'
    libc = rig.kernel.attach(program, kernel_rig.uprobe(), rig.link_pin("1")).kernel.detail.partition("+")[0]
    rig.kernel.detach(rig.link_pin("1"))
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, libc]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as inside:
        assert inside.stdout is not None
        assert inside.stdout.readline() == "ready\n"
        candidates = kernel_rig.uprobe("/mnt/inside.so", container_pid=inside.pid)
        rig.kernel.check_target(candidates[0].target)
        rig.kernel.attach(program, candidates, rig.link_pin("1"))
        by_name = kernel_rig.uprobe("libc", container_pid=inside.pid)
        rig.kernel.check_target(by_name[0].target)
        inside.communicate("\n")
    assert not os.path.exists("/mnt/inside.so")
    assert rig.kernel.link(rig.link_pin("1")) is not None


def test_cookie_reaches_the_program(rig: Rig) -> None:
    (program,) = rig.load("hooks", "on_cookie", only_tgid=os.getpid())
    rig.kernel.attach(program, kernel_rig.uprobe(cookie=1000), rig.link_pin("1"))
    os.getppid()
    assert rig.hits() == 1000


HOOKS: dict[str, Callable[[instance.Network], tuple[request.LinkRequest, ...]]] = {
    "on_xdp": kernel_rig.xdp,
    "on_tcx": kernel_rig.tcx,
    "on_tracepoint": lambda _: kernel_rig.tracepoint("skb", "consume_skb"),
    "on_uprobe": lambda _: kernel_rig.uprobe(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOOKS)
def test_detach_is_done_when_it_returns(rig: Rig, network: instance.Network, name: str) -> None:
    """Gone by id, and the same place can be taken again at once, a hundred times."""
    (program,) = rig.load("hooks", name)
    pin = rig.link_pin("1")
    left: list[model.KernelLinkId] = []
    for _ in range(ROUNDS):
        made = rig.kernel.attach(program, HOOKS[name](network), pin)
        rig.kernel.detach(pin)
        left += [one.id for one in rig.kernel.links() if one.id == made.kernel.id]
    assert left == []


def test_detaching_twice_is_fine(rig: Rig, network: instance.Network) -> None:
    (program,) = rig.load("hooks", "on_xdp")
    rig.kernel.attach(program, kernel_rig.xdp(network), rig.link_pin("1"))
    rig.kernel.detach(rig.link_pin("1"))
    rig.kernel.detach(rig.link_pin("1"))
    assert rig.kernel.xdp_on(kernel_rig.near(network)) == ()


@pytest.mark.parametrize("modes", [(kernel_rig.XDP_DRV,), (kernel_rig.XDP_SKB,), (kernel_rig.XDP_SKB, 4)])
def test_xdp_hook_in_use_names_its_holder(rig: Rig, network: instance.Network, modes: tuple[int, ...]) -> None:
    first, second = rig.load("hooks", "on_xdp") + rig.load("hooks", "on_xdp")
    rig.kernel.attach(first, kernel_rig.xdp(network), rig.link_pin("1"))
    holder = rig.kernel.program(first)
    assert holder is not None
    with pytest.raises(errors.Conflict, match=rf"held by program {holder.id} \(on_xdp\)"):
        rig.kernel.attach(second, kernel_rig.xdp(network, *modes), rig.link_pin("2"))
    assert rig.kernel.xdp_on(kernel_rig.near(network)) == (holder.id,)


def test_foreign_xdp_program_is_seen_and_named(rig: Rig, network: instance.Network) -> None:
    first, second = rig.load("hooks", "on_xdp") + rig.load("hooks", "on_xdp")
    subprocess.run([*network.enter, "bpftool", "net", "attach", "xdpgeneric", "pinned", first, "dev", network.near],
                   check=True)  # fmt: skip
    holder = rig.kernel.program(first)
    assert holder is not None
    assert rig.kernel.xdp_on(kernel_rig.near(network)) == (holder.id,)
    with pytest.raises(errors.Conflict, match=f"program {holder.id}"):
        rig.kernel.attach(second, kernel_rig.xdp(network, 4, 2), rig.link_pin("2"))


def test_native_refusal_falls_to_generic_and_says_why(rig: Rig, network: instance.Network) -> None:
    for end in (network.near, network.far):
        kernel_rig.ip(network, "link", "set", end, "mtu", "9000")
    (program,) = rig.load("hooks", "on_xdp")
    made = rig.kernel.attach(program, kernel_rig.xdp(network, 4, 2), rig.link_pin("1"))
    assert made.taken == 1
    assert made.refused == ("drv: ERANGE: the MTU of 9000 is too large for a program without multi-buffer support",)
    rig.kernel.detach(rig.link_pin("1"))
    with pytest.raises(errors.Rejected, match="9000"):
        rig.kernel.attach(program, kernel_rig.xdp(network, 4), rig.link_pin("1"))


def test_tcx_order_follows_anchors(rig: Rig, network: instance.Network) -> None:
    pins = [rig.load("hooks", "on_tcx")[0] for _ in range(4)]
    ids = [seen.id for pin in pins if (seen := rig.kernel.program(pin))]
    after, before = request.Place.AFTER, request.Place.BEFORE
    links = [rig.link_pin(str(number)) for number in range(4)]
    anchors = [
        request.Anchor(place=after),
        request.Anchor(place=before),
        request.Anchor(place=after, link=links[1]),
        request.Anchor(place=before, link=links[0]),
    ]
    for pin, link, anchor in zip(pins, links, anchors, strict=True):
        rig.kernel.attach(pin, kernel_rig.tcx(network, anchor), link)
    running = rig.kernel.tcx_on(kernel_rig.near(network), abi.TCX_INGRESS)
    assert [entry.program_id for entry in running] == [ids[1], ids[2], ids[3], ids[0]]
    assert rig.kernel.tcx_on(kernel_rig.near(network), abi.TCX_EGRESS) == ()


def test_tcx_same_program_twice(rig: Rig, network: instance.Network) -> None:
    (program,) = rig.load("hooks", "on_tcx")
    rig.kernel.attach(program, kernel_rig.tcx(network), rig.link_pin("1"))
    with pytest.raises(errors.AlreadyExists):
        rig.kernel.attach(program, kernel_rig.tcx(network), rig.link_pin("2"))


def test_a_program_of_another_type_is_rejected_not_unsupported(rig: Rig, network: instance.Network) -> None:
    (program,) = rig.load("hooks", "on_tracepoint")
    for candidates in (kernel_rig.tcx(network), kernel_rig.xdp(network)):
        with pytest.raises(errors.Rejected, match="EINVAL"):
            rig.kernel.attach(program, candidates, rig.link_pin("1"))


def test_tcx_anchor_that_is_gone(rig: Rig, network: instance.Network) -> None:
    (program,) = rig.load("hooks", "on_tcx")
    anchor = request.Anchor(place=request.Place.BEFORE, link=rig.link_pin("never"))
    with pytest.raises(errors.Conflict, match="its pin is not there"):
        rig.kernel.attach(program, kernel_rig.tcx(network, anchor), rig.link_pin("1"))


def test_swap_is_atomic_and_checks_what_runs(rig: Rig, network: instance.Network) -> None:
    first, second = rig.load("hooks", "on_xdp", slot=1) + rig.load("hooks", "on_xdp", slot=2)
    link = rig.link_pin("1")
    rig.kernel.attach(first, kernel_rig.xdp(network), link)
    rig.kernel.swap(link, first, second)
    kernel_rig.send(network, 3)
    assert (rig.hits(1, 1), rig.hits(2, 2)) == (0, 3)
    with pytest.raises(errors.Conflict, match="not the expected one"):
        rig.kernel.swap(link, first, second)
    rig.kernel.point(link, first)
    kernel_rig.send(network, 3)
    assert rig.hits(1, 1) == 3


def test_swap_of_a_link_whose_device_is_gone(rig: Rig, network: instance.Network) -> None:
    first, second = rig.load("hooks", "on_xdp") + rig.load("hooks", "on_xdp")
    rig.kernel.attach(first, kernel_rig.xdp(network), rig.link_pin("1"))
    kernel_rig.ip(network, "link", "del", network.near)
    with pytest.raises(errors.Conflict, match="device is gone"):
        rig.kernel.swap(rig.link_pin("1"), first, second)
    seen = rig.kernel.link(rig.link_pin("1"))
    assert seen is not None
    assert seen.ifindex == 0


def test_point_at_a_missing_link_is_fine(rig: Rig) -> None:
    (program,) = rig.load("hooks", "on_xdp")
    rig.kernel.point(rig.link_pin("never"), program)
    with pytest.raises(errors.NotFound):
        rig.kernel.swap(rig.link_pin("never"), program, program)


def test_nothing_stays_attached_when_the_pin_is_taken(rig: Rig, network: instance.Network) -> None:
    first, second = rig.load("hooks", "on_xdp") + rig.load("hooks", "on_tcx")
    rig.kernel.attach(second, kernel_rig.tcx(network), rig.link_pin("1"))
    with pytest.raises(errors.AlreadyExists):
        rig.kernel.attach(first, kernel_rig.xdp(network), rig.link_pin("1"))
    assert rig.kernel.xdp_on(kernel_rig.near(network)) == ()
    rig.kernel.attach(first, kernel_rig.xdp(network), rig.link_pin("2"))


MISSING: dict[str, tuple[request.Target, str]] = {
    "interface": (request.InterfaceTarget(interface=model.InterfaceRef(name="loo")), "did you mean lo"),
    "namespace": (
        request.InterfaceTarget(interface=model.InterfaceRef(name="lo", netns="/run/netns/never-made")),
        "no network namespace at /run/netns/never-made",
    ),
    "no namespace": (
        request.InterfaceTarget(interface=model.InterfaceRef(name="lo", netns="/etc/passwd")),
        "not a network namespace",
    ),
    "tracepoint": (
        request.TracepointTarget(group="syscalls", name="sys_enter_getpid_"), "syscalls/sys_enter_getpid"
    ),
    "group": (request.TracepointTarget(group="syscall", name="sys_enter_getpid"), "syscalls/sys_enter_getpid"),
    "symbol": (kernel_rig.uprobe("libc", "getppidd")[0].target, "getppid"),
    "library": (kernel_rig.uprobe("libcc")[0].target, "libc"),
    "file": (kernel_rig.uprobe("/never/made")[0].target, "/never/made"),
    "container": (kernel_rig.uprobe(container_pid=2**22 - 1)[0].target, "no such process"),
    "process": (kernel_rig.uprobe(pid=2**22 - 1)[0].target, "no process"),
}  # fmt: skip


@pytest.mark.parametrize("what", MISSING)
def test_a_missing_target_is_not_found_with_what_it_may_have_been(rig: Rig, what: str) -> None:
    target, expected = MISSING[what]
    with pytest.raises(errors.NotFound, match=expected):
        rig.kernel.check_target(target)
    hook = {"InterfaceTarget": "on_xdp", "TracepointTarget": "on_tracepoint"}.get(type(target).__name__, "on_uprobe")
    (program,) = rig.load("hooks", hook)
    attach_type = abi.XDP if hook == "on_xdp" else abi.PERF_EVENT
    candidate = request.LinkRequest(target=target, attach_type=attach_type)
    with pytest.raises(errors.NotFound, match=expected):
        rig.kernel.attach(program, (candidate,), rig.link_pin("1"))


WRONG: dict[str, tuple[request.Target, str]] = {
    "relative path": (kernel_rig.uprobe("lib/libc.so")[0].target, "relative"),
    "directory": (kernel_rig.uprobe("/etc", "main")[0].target, "not a regular file"),
    "no program": (kernel_rig.uprobe("/etc/passwd", "main")[0].target, "not an ELF file"),
    "beyond the end": (kernel_rig.uprobe("/etc/passwd", "", offset=1 << 40)[0].target, "bytes"),
    "tracepoint outside": (request.TracepointTarget(group="..", name="x"), "group/name"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_target_is_an_invalid_request(rig: Rig, what: str) -> None:
    target, expected = WRONG[what]
    with pytest.raises(errors.InvalidRequest, match=expected):
        rig.kernel.check_target(target)
