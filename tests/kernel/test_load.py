"""Loading on a real kernel: what is pinned and kept, what is shared, and why an object is refused."""

from __future__ import annotations

import dataclasses
import errno
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from skep import errors, model, steps
from skep.bytecode import btf, elf, relocated
from skep.chain import codes, counts, linked
from skep.chain.codes import Mask
from skep.chain.linked import Form, Part
from skep.hooks import request
from skep.kernel import abi
from skep.kernel import sys as calls
from skep.kernel.linux import Linux
from tests import bpf_build, instance
from tests.kernel import kernel_rig
from tests.kernel.kernel_rig import Rig

REPOSITORY = Path(__file__).parents[2]


def test_programs_and_maps_are_pinned_and_told(rig: Rig) -> None:
    wanted = rig.request("hooks", "on_xdp", "on_tcx")
    made = rig.kernel.load_object(wanted)
    assert [one.pin for one in wanted.programs] == list(made)
    for program in wanted.programs:
        assert rig.kernel.program(program.pin) == made[program.pin].kernel
        assert made[program.pin].kernel.name == program.name
    names = {one.name: rig.kernel.map(one.pins[0]) for one in wanted.maps}
    assert {name: found.type for name, found in names.items() if found} == {
        "hits": abi.MAP_TYPE_ARRAY, ".rodata": abi.MAP_TYPE_ARRAY, ".bss": abi.MAP_TYPE_ARRAY
    }  # fmt: skip
    rodata = names[".rodata"]
    assert rodata is not None
    assert rodata.frozen


def test_only_the_named_programs_are_verified(rig: Rig) -> None:
    made = rig.kernel.load_object(rig.request("refused", "fine"))
    assert [one.kernel.name for one in made.values()] == ["fine"]


def test_the_member_loads_again_and_does_the_same(rig: Rig, network: instance.Network) -> None:
    made = rig.kernel.load_object(rig.request("hooks", "on_xdp"))
    ((pin, one),) = made.items()
    assert one.member.licence == "Dual BSD/GPL"
    assert one.member.verified_insns == one.kernel.verified_insns > 0
    again = rig.program_pin("again")
    copy = rig.kernel.load_member(one.member, again)
    assert (copy.tag, set(copy.map_ids)) == (one.kernel.tag, set(one.kernel.map_ids))
    rig.kernel.attach(again, kernel_rig.xdp(network), rig.link_pin("1"))
    kernel_rig.send(network, 4)
    assert rig.hits() == 4
    assert rig.kernel.program(pin) is not None


@pytest.mark.parametrize("name", ["with_static", "with_global", "with_both"])
def test_the_member_keeps_its_functions(rig: Rig, name: str) -> None:
    made = rig.kernel.load_object(rig.request("subprogram", name))
    (one,) = made.values()
    starts = {0} | {at + call.imm + 1 for at, call in enumerate(one.member.decoded()) if call.is_local_call}
    assert {info.insn_off for info in one.member.func_info} == starts
    rig.kernel.load_member(one.member, rig.program_pin("again"))


@pytest.mark.parametrize("enabled", [1, 0], ids=["all alive", "one dropped"])
def test_the_member_keeps_functions_that_the_verifier_drops(rig: Rig, enabled: int) -> None:
    """A callback cannot be loaded without its type, whatever else in the program was found to be dead."""
    made = rig.kernel.load_object(rig.request("dead_function", "configured", enabled=enabled))
    (one,) = made.values()
    names = btf.parse(one.member.btf)
    kept = [names.types[info.type_id - 1].name for info in one.member.func_info]
    assert kept == ["configured", "optional", "one_round"]
    rig.kernel.load_member(one.member, rig.program_pin("again"))


def test_global_data_is_set_before_the_load(rig: Rig, network: instance.Network) -> None:
    (program,) = rig.load("hooks", "on_xdp", slot=3)
    rig.kernel.attach(program, kernel_rig.xdp(network), rig.link_pin("1"))
    kernel_rig.send(network, 2)
    assert rig.hits(slot=3) == 2


@pytest.mark.parametrize(
    "patch",
    [
        steps.Patch(section=".rodata", offset=1 << 20, data=b"\1"),
        steps.Patch(section=".rodata", offset=-1, data=b"\1"),
        steps.Patch(section=".data.none", offset=0, data=b"\1"),
        steps.Patch(section="hits", offset=0, data=b"\1"),
    ],
    ids=["beyond the end", "before the start", "no such section", "not a data section"],
)
def test_global_data_that_does_not_fit(rig: Rig, patch: steps.Patch) -> None:
    wanted = dataclasses.replace(rig.request("hooks", "on_xdp"), patches=(patch,))
    with pytest.raises(errors.InvalidRequest, match="global data"):
        rig.kernel.load_object(wanted)
    assert rig.kernel.pins(model.PinDir(rig.root)) == ()


def test_maps_are_shared_with_an_earlier_load(rig: Rig, network: instance.Network) -> None:
    rig.load("hooks", "on_tcx")
    shared = rig.map_pin("1_hits")
    wanted = rig.request("hooks", "on_xdp")
    maps = tuple(
        dataclasses.replace(one, pins=(shared, *one.pins), reuse=shared) if one.name == "hits" else one
        for one in wanted.maps
    )
    made = rig.kernel.load_object(dataclasses.replace(wanted, maps=maps))
    ((pin, one),) = made.items()
    assert shared in one.member.maps
    assert rig.kernel.map(shared) == rig.kernel.map(rig.map_pin("2_hits"))
    rig.kernel.attach(pin, kernel_rig.xdp(network), rig.link_pin("1"))
    kernel_rig.send(network, 2)
    assert rig.hits(1) == 2


def test_a_map_that_differs_is_refused_with_the_difference(rig: Rig) -> None:
    first = rig.request("named_pins", "shares")
    rig.kernel.load_object(first)
    pin = rig.map_pin("1_skep_shared_map")
    wanted = rig.request("named_pins", "shares", defines=("VALUE=__u32",))
    maps = tuple(dataclasses.replace(one, reuse=pin) if one.name == "skep_shared_map" else one for one in wanted.maps)
    before = rig.kernel.pins(model.PinDir(rig.root))
    with pytest.raises(errors.Conflict, match="value size 4 against 8"):
        rig.kernel.load_object(dataclasses.replace(wanted, maps=maps))
    assert rig.kernel.pins(model.PinDir(rig.root)) == before


def test_maps_whose_sizes_are_rounded_can_be_shared(rig: Rig) -> None:
    """Ring buffers, perf event arrays and devmaps differ in the kernel from what the object says."""
    rig.kernel.load_object(rig.request("named_pins", "shares"))
    wanted = rig.request("named_pins", "shares")
    maps = tuple(dataclasses.replace(one, reuse=rig.map_pin(f"1_{one.name}")) for one in wanted.maps)
    rig.kernel.load_object(dataclasses.replace(wanted, maps=maps))
    assert rig.kernel.map(rig.map_pin("1_ring")) == rig.kernel.map(rig.map_pin("2_ring"))


def test_pinning_by_name_happens_where_we_say(rig: Rig) -> None:
    """libbpf would pin into the root of bpffs, and take what it finds there."""
    shared = rig.map_pin("shared")
    for expected in ("made", "found"):
        wanted = rig.request("named_pins", "shares")
        maps = tuple(
            dataclasses.replace(one, pins=(shared,), reuse=shared, reuse_if_present=True)
            if one.name == "skep_shared_map" else one
            for one in wanted.maps
        )  # fmt: skip
        before = rig.kernel.map(shared)
        rig.kernel.load_object(dataclasses.replace(wanted, maps=maps))
        after = rig.kernel.map(shared)
        assert after is not None
        assert (before == after) is (expected == "found")
    assert not os.path.lexists("/sys/fs/bpf/skep_shared_map")


def test_a_missing_map_pin_to_share(rig: Rig) -> None:
    wanted = rig.request("hooks", "on_xdp")
    maps = tuple(dataclasses.replace(one, reuse=rig.map_pin("never")) for one in wanted.maps)
    with pytest.raises(errors.NotFound, match="never"):
        rig.kernel.load_object(dataclasses.replace(wanted, maps=maps))


def test_global_data_of_a_shared_section_is_refused(rig: Rig) -> None:
    rig.load("hooks", "on_xdp")
    wanted = rig.request("hooks", "on_xdp", slot=1)
    maps = tuple(
        dataclasses.replace(one, reuse=rig.map_pin("1_rodata")) if one.name == ".rodata" else one for one in wanted.maps
    )
    with pytest.raises(errors.Conflict, match="shared"):
        rig.kernel.load_object(dataclasses.replace(wanted, maps=maps))


def test_the_verifiers_refusal_keeps_its_log(rig: Rig) -> None:
    with pytest.raises(errors.Rejected, match="invalid access to packet") as caught:
        rig.kernel.load_object(rig.request("refused", "unchecked_packet"))
    assert caught.value.errno == 13
    assert "processed" in caught.value.log
    assert "0:" in caught.value.log
    assert rig.kernel.pins(model.PinDir(rig.root)) == ()


@pytest.mark.slow
def test_a_program_beyond_the_verifiers_patience(rig: Rig) -> None:
    with pytest.raises(errors.Rejected, match="too large") as caught:
        rig.kernel.load_object(rig.request("refused", "too_long"))
    assert caught.value.errno == errno.E2BIG
    assert len(caught.value.log) > 1 << 20


@pytest.mark.native  # the guest refuses nothing
@pytest.mark.parametrize(
    ("name", "prog_type", "feature", "first"),
    [("policy", abi.PROG_TYPE_TRACING, "fentry", "5.5"), ("watch_open", abi.PROG_TYPE_LSM, "lsm", "5.7")],
)
def test_a_type_that_policy_refuses_is_unsupported(
    rig: Rig, name: str, prog_type: int, feature: str, first: str
) -> None:
    probed = {one.name: one for one in rig.kernel.features()}
    if probed["fentry"].available:
        pytest.skip("this kernel allows the type")
    wanted = rig.request("refused", name)
    program = dataclasses.replace(wanted.programs[0], prog_type=prog_type)
    with pytest.raises(errors.Unsupported) as caught:
        rig.kernel.load_object(dataclasses.replace(wanted, programs=(program,)))
    assert feature in caught.value.feature
    assert (caught.value.first, caught.value.errno) == (first, 1)
    assert "ulimit" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "prog_type"),
    [
        pytest.param("policy", abi.PROG_TYPE_TRACING, marks=pytest.mark.needs("fentry")),
        pytest.param("watch_open", abi.PROG_TYPE_LSM, marks=pytest.mark.needs("lsm")),
    ],
)
def test_a_type_that_policy_allows_is_loaded(rig: Rig, name: str, prog_type: int) -> None:
    wanted = rig.request("refused", name)
    program = dataclasses.replace(wanted.programs[0], prog_type=prog_type)
    rig.kernel.load_object(dataclasses.replace(wanted, programs=(program,)))
    loaded = rig.kernel.program(program.pin)
    assert loaded is not None
    assert (loaded.name, loaded.type) == (name, prog_type)


def test_a_function_to_attach_to_that_does_not_exist(rig: Rig) -> None:
    wanted = rig.request("refused", "no_target")
    program = dataclasses.replace(
        wanted.programs[0],
        prog_type=abi.PROG_TYPE_TRACING,
        expected_attach_type=abi.TRACE_FENTRY,
        attach_func="skep_never_a_function",
    )
    with pytest.raises(errors.NotFound, match="skep_never_a_function"):
        rig.kernel.load_object(dataclasses.replace(wanted, programs=(program,)))


def test_a_program_that_is_not_in_the_object(rig: Rig) -> None:
    wanted = rig.request("hooks", "on_xdp")
    program = dataclasses.replace(wanted.programs[0], name="on_xdq")
    with pytest.raises(errors.NotFound, match="did you mean on_xdp"):
        rig.kernel.load_object(dataclasses.replace(wanted, programs=(program,)))


@pytest.mark.parametrize(
    "data", [b"", b"\x7fELF", b"not an object", bpf_build.build("hooks").read_bytes()[:900], os.urandom(64)],
    ids=["empty", "cut", "text", "cut in half", "noise"],
)  # fmt: skip
def test_bytes_that_are_no_object(rig: Rig, data: bytes) -> None:
    wanted = dataclasses.replace(rig.request("hooks", "on_xdp"), object=data)
    with pytest.raises(errors.BadObject):
        rig.kernel.load_object(wanted)


def test_a_pin_in_the_way_undoes_the_load(rig: Rig) -> None:
    (taken,) = rig.load("hooks", "on_xdp")
    wanted = rig.request("hooks", "on_tcx", "on_xdp")
    programs = (wanted.programs[0], dataclasses.replace(wanted.programs[1], pin=taken))
    before = rig.kernel.pins(model.PinDir(rig.root))
    with pytest.raises(errors.AlreadyExists):
        rig.kernel.load_object(dataclasses.replace(wanted, programs=programs))
    assert rig.kernel.pins(model.PinDir(rig.root)) == before


WITHOUT_MEMLOCK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 4096))
from tests.kernel import kernel_rig
with kernel_rig.rig() as rig:
    rig.load("hooks", "on_xdp", "on_tcx")
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (4096, 4096)
    assert resource.getrlimit(resource.RLIMIT_MEMLOCK) == (0, 0)
"""


def test_locked_memory_is_not_needed_and_descriptors_are_taken() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_MEMLOCK],
        env={"PYTHONPATH": f"{REPOSITORY}/src:{REPOSITORY}", "PATH": os.environ["PATH"], "HOME": os.environ["HOME"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def _chain(rig: Rig, *parts: Part) -> tuple[linked.Linked, model.MapPin]:
    where = rig.map_pin("counts")
    return linked.link(codes.XDP, parts, counter_map=where, name="chain"), where


def _part(rig: Rig, source: str, name: str, form: Form) -> Part:
    (one,) = rig.kernel.load_object(rig.request(source, name)).values()
    return Part(member=one.member, proceed=Mask(1 << 2), form=form)


@pytest.mark.parametrize("form", Form)
def test_a_linked_chain_runs_its_members_and_counts(rig: Rig, network: instance.Network, form: Form) -> None:
    parts = [_part(rig, "hooks", "on_xdp", form), _part(rig, "subprogram", "with_both", form)]
    whole, where = _chain(rig, *parts)
    made = rig.kernel.load_linked((whole,), rig.program_pin("chain"), where, whole.slots)
    assert (made.taken, made.refused) == (0, ())
    rig.kernel.attach(rig.program_pin("chain"), kernel_rig.xdp(network), rig.link_pin("1"))
    kernel_rig.send(network, 7)
    rig.kernel.settle()
    sums = rig.kernel.read_counts(where)
    assert rig.hits(1) == 7
    assert len(sums) == whole.slots
    assert sums[counts.fall_off_slot(codes.XDP, 2)] == 7


def test_a_refused_chain_falls_to_the_next_candidate(rig: Rig) -> None:
    whole, where = _chain(rig, _part(rig, "hooks", "on_xdp", Form.INLINE))
    broken = dataclasses.replace(whole, insns=relocated.patch(whole.insns, range(100))[:-8])
    made = rig.kernel.load_linked((broken, whole), rig.program_pin("chain"), where, whole.slots)
    assert made.taken == 1
    assert made.refused[0].startswith("inline: EINVAL")
    rig.kernel.unpin(rig.program_pin("chain"))
    rig.kernel.unpin(where)
    with pytest.raises(errors.Rejected) as caught:
        rig.kernel.load_linked((broken,), rig.program_pin("chain"), where, whole.slots)
    assert caught.value.log
    assert rig.kernel.map(where) is None
    assert rig.kernel.program(rig.program_pin("chain")) is None


def test_counts_sum_every_possible_cpu(rig: Rig) -> None:
    whole, where = _chain(rig, _part(rig, "hooks", "on_xdp", Form.INLINE))
    rig.kernel.load_linked((whole,), rig.program_pin("chain"), where, whole.slots)
    with calls.held(calls.obj_get(where)) as fd:
        cpus = kernel_rig.possible_cpus()
        calls.map_update(fd, struct.pack("=I", 1), struct.pack(f"={cpus}Q", *range(1, cpus + 1)))
    assert rig.kernel.read_counts(where)[:2] == (0, cpus * (cpus + 1) // 2)
    with pytest.raises(errors.NotFound):
        rig.kernel.read_counts(rig.map_pin("never"))
    rig.load("hooks", "on_xdp")
    with pytest.raises(errors.Broken, match="cannot be read as counters"):
        rig.kernel.read_counts(rig.map_pin(f"{rig.loads}_hits"))


# ---------------------------------------------------------------- the loader


def _crash(rig: Rig) -> None:
    """Kill the loader in the middle of a request, as a damaged object would."""
    pid = rig.kernel.loader_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    threading.Timer(0.2, os.kill, (pid, signal.SIGSEGV)).start()
    threading.Timer(0.3, os.kill, (pid, signal.SIGCONT)).start()


def test_a_crash_of_the_loader_is_that_objects_only(rig: Rig) -> None:
    rig.load("hooks", "on_xdp")
    _crash(rig)
    with pytest.raises(errors.Unavailable, match=r"the loader crashed on this object \(SIGSEGV\)"):
        rig.load("hooks", "on_tcx")
    rig.load("hooks", "on_tcx")


def test_a_loader_that_died_unasked_is_replaced(rig: Rig) -> None:
    rig.load("hooks", "on_xdp")
    pid = rig.kernel.loader_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    rig.load("hooks", "on_tcx")
    assert rig.kernel.loader_pid not in (None, pid)


@pytest.mark.native  # its patience is shorter than an emulated start
def test_a_stalled_loader_is_stopped(rig: Rig) -> None:
    impatient = Linux(rig.root, loader_timeout=2.0)
    wanted = rig.request("hooks", "on_xdp")
    impatient.load_object(wanted)
    pid = impatient.loader_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(errors.Unavailable, match=r"did not answer within 2 seconds"):
        impatient.load_object(rig.request("hooks", "on_tcx"))
    assert time.monotonic() - began < 20
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    impatient.load_object(rig.request("hooks", "on_tcx"))
    impatient.close()


def test_the_loader_keeps_nothing(rig: Rig) -> None:
    rig.load("hooks", "on_xdp", "on_tcx")
    first = os.listdir(f"/proc/{rig.kernel.loader_pid}/fd")
    with pytest.raises(errors.Rejected):
        rig.load("refused", "unchecked_packet")
    rig.load("subprogram", "with_both")
    assert os.listdir(f"/proc/{rig.kernel.loader_pid}/fd") == first


DIES = """
import os, signal, sys
from skep.kernel.linux import Linux
kernel = Linux("/sys/fs/bpf/skep-never-made")
kernel.warm_up()
with kernel._loader.ask({"programs": [], "patches": [], "reuse": []}, (b"?",), []):
    pass
os.kill(kernel.loader_pid, signal.SIGSTOP)  # so that it cannot see its socket close
print(kernel.loader_pid, flush=True)
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_loader_dies_with_us() -> None:
    environment = {"PYTHONPATH": f"{REPOSITORY}/src", "PATH": os.environ["PATH"]}
    with subprocess.Popen(
        [sys.executable, "-c", DIES], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as us:
        assert us.stdout is not None
        watch = os.pidfd_open(int(us.stdout.readline()))
        us.communicate("\n")
    poll = select.poll()
    poll.register(watch, select.POLLIN)
    ended = poll.poll(5000)
    os.close(watch)
    assert us.returncode == -signal.SIGKILL
    assert ended


# ---------------------------------------------------------------- leaks


def _everything(rig: Rig, network: instance.Network, number: int) -> None:
    """A round of what a manager does, refusals included, all under pins of its own."""
    mine = Rig(rig.kernel, rig.root, loads=number * 100)
    (program,) = mine.load("hooks", "on_tcx")
    link = mine.link_pin(str(number))
    anchored = kernel_rig.tcx(network, request.Anchor(place=request.Place.AFTER))
    rig.kernel.attach(program, anchored, link)
    for refused in (
        lambda: rig.kernel.attach(program, anchored, mine.link_pin(f"{number}_again")),
        lambda: rig.kernel.attach(program, kernel_rig.xdp(network), link),
        lambda: rig.kernel.attach(program, kernel_rig.uprobe(symbol="never"), mine.link_pin(f"{number}_no")),
        lambda: rig.kernel.attach(program, kernel_rig.uprobe(), mine.link_pin(f"{number}_no")),
        lambda: mine.load("refused", "unchecked_packet"),
        lambda: rig.kernel.load_object(dataclasses.replace(mine.request("hooks", "on_xdp"), object=b"?")),
        lambda: rig.kernel.read_counts(mine.map_pin("never")),
    ):
        with pytest.raises(errors.SkepError):
            refused()
    rig.kernel.tcx_on(kernel_rig.near(network), abi.TCX_INGRESS)
    rig.kernel.xdp_on(kernel_rig.near(network))
    rig.kernel.detach(link)
    rig.kernel.unpin(program)


def test_no_descriptor_leaks(rig: Rig, network: instance.Network) -> None:
    _everything(rig, network, 1)
    before = kernel_rig.descriptors()
    for number in range(2, 6):
        _everything(rig, network, number)
    assert kernel_rig.descriptors() == before


def test_sixteen_threads_at_once(rig: Rig, network: instance.Network) -> None:
    _everything(rig, network, 1)
    before = kernel_rig.descriptors()
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            _everything(rig, network, number)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2, 18)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failures == []
    assert kernel_rig.descriptors() == before
    assert rig.kernel.pins(model.PinDir(f"{rig.root}/links")) == ()


def test_the_objects_licence_is_that_of_its_section(rig: Rig) -> None:
    data = bpf_build.build("hooks").read_bytes()
    section = elf.parse(data).section("license")
    assert section is not None
    (one,) = rig.kernel.load_object(rig.request("hooks", "on_xdp")).values()
    assert one.member.licence.encode() + b"\0" == section.data
