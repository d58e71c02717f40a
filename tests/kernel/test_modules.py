"""Functions and tracepoints of kernel modules are targets while their module is loaded.

vsock's loopback stands for every module: it is stock, has BTF, functions and tracepoints, does something when asked,
and can be unloaded again.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from skep import errors, model
from skep.hooks import aimed, kprobe, kprobe_multi, raw_tracepoint
from tests.kernel import types_rig
from tests.kernel.types_rig import Rig

MODULE, USER = "vmw_vsock_virtio_transport_common", "vsock_loopback"
FUNCTION, TRACEPOINT = "virtio_transport_recv_pkt", "virtio_transport_alloc_pkt"
PATTERN = "virtio_transport_recv_p*"
VMADDR_CID_LOCAL = 1  # linux/vm_sockets.h

pytestmark = pytest.mark.needs("fentry", "kprobe")


@dataclass(frozen=True, kw_only=True)
class Case:
    """``target``: what the program is loaded for, None where that is said when it is attached."""

    program: str
    attachment: object
    target: str | None = None


CASES = {
    "fentry": Case(program="on_fentry", target=FUNCTION, attachment=aimed.AimedAttachment()),
    "fexit": Case(program="on_fexit", target=FUNCTION, attachment=aimed.AimedAttachment()),
    "kprobe": Case(program="on_kprobe", attachment=kprobe.KprobeAttachment(fn_name=FUNCTION)),
    "kretprobe": Case(program="on_kretprobe", attachment=kprobe.KprobeAttachment(fn_name=FUNCTION)),
    "kprobe_multi": Case(
        program="on_kprobe_multi", attachment=kprobe_multi.KprobeMultiAttachment(functions=(PATTERN,))
    ),
    "tp_btf": Case(program="on_tp_btf", target=TRACEPOINT, attachment=aimed.AimedAttachment()),
    "raw_tracepoint": Case(
        program="on_raw_tracepoint", attachment=raw_tracepoint.RawTracepointAttachment(name=TRACEPOINT)
    ),
}

HOLD_NOTHING = {"kprobe", "kretprobe"}
"""Types that let their module go."""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with types_rig.rig(tmp_path) as made:
        yield made


@pytest.fixture
def module() -> Iterator[None]:
    """The module is loaded; it goes when nothing is loaded for it any more."""
    subprocess.run(["modprobe", USER], check=True)
    yield
    types_rig.until(unload)


@pytest.fixture
def no_module() -> None:
    assert unload()


def unload() -> bool:
    """Try to unload it, and what uses it; whether it is gone."""
    for name in (USER, MODULE):
        subprocess.run(["rmmod", name], check=False, capture_output=True)
    return not any(line.startswith(f"{MODULE} ") for line in Path("/proc/modules").read_text().splitlines())


def talk() -> None:
    """A connection with ourselves, and messages."""
    subprocess.run(["modprobe", USER], check=True)
    with contextlib.ExitStack() as stack:
        server, client = (stack.enter_context(socket.socket(socket.AF_VSOCK)) for _ in range(2))
        server.bind((VMADDR_CID_LOCAL, socket.VMADDR_PORT_ANY))
        server.listen()
        client.connect((VMADDR_CID_LOCAL, server.getsockname()[1]))
        peer = stack.enter_context(server.accept()[0])
        for _ in range(5):
            client.sendall(b"hello")
            assert peer.recv(16)


@pytest.mark.parametrize("name", CASES)
def test_a_target_in_a_module_has_its_effect_while_attached(module: None, rig: Rig, name: str) -> None:
    case = CASES[name]
    program = rig.load(case.program, case.target)
    talk()
    assert rig.hits() == 0
    link = rig.attach(program, case.attachment)
    talk()
    assert rig.hits() > 0
    assert rig.manager.link(link).status.state is model.LinkState.ATTACHED
    rig.detach(link)
    seen = rig.hits()
    talk()
    assert rig.hits() == seen


@pytest.mark.parametrize("name", sorted(set(CASES) - HOLD_NOTHING))
def test_a_module_stays_while_something_is_attached_to_it(module: None, rig: Rig, name: str) -> None:
    case = CASES[name]
    link = rig.attach(rig.load(case.program, case.target), case.attachment)
    assert not unload()
    talk()
    assert rig.hits() > 0
    assert rig.manager.link(link).status.state is model.LinkState.ATTACHED


@pytest.mark.parametrize("name", sorted(HOLD_NOTHING))
def test_a_kprobe_whose_module_was_unloaded_is_defunct(module: None, rig: Rig, name: str) -> None:
    """Also when the module comes back: the kernel does not arm the probe again."""
    case = CASES[name]
    program = rig.load(case.program, case.target)
    link = rig.attach(program, case.attachment)
    assert unload()
    assert rig.manager.link(link).status.state is model.LinkState.DEFUNCT
    assert [one.kind for one in rig.manager.doctor()] == ["defunct link"]
    talk()
    assert rig.hits() == 0
    assert rig.manager.link(link).status.state is model.LinkState.DEFUNCT
    again = rig.attach(program, case.attachment)
    talk()
    assert rig.hits() > 0
    assert rig.manager.link(again).status.state is model.LinkState.ATTACHED
    rig.detach(link)
    rig.detach(again)
    assert rig.links() == ()


@pytest.mark.parametrize("name", CASES)
def test_a_target_in_a_module_that_is_not_loaded_is_told(no_module: None, rig: Rig, name: str) -> None:
    case = CASES[name]
    with pytest.raises(errors.NotFound) as told:
        rig.attach(rig.load(case.program, case.target), case.attachment)
    wanted = TRACEPOINT if name in ("tp_btf", "raw_tracepoint") else FUNCTION
    assert (PATTERN if name == "kprobe_multi" else wanted) in str(told.value)
    assert rig.links() == ()
