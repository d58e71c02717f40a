"""Members of every kind keep their behaviour in a chain: tail calls, callbacks, subprograms, deep frames, CO-RE."""

from __future__ import annotations

import os
import struct
from dataclasses import replace

import pytest

from skep import errors
from skep.bytecode import insn, relocated
from skep.chain import codes, flatten, limits, linked
from skep.chain.linked import XDP_HAS_FRAGS, Form, Part
from tests.kernel import bpf_raw
from tests.kernel.linked_rig import DROP, PASS, SYSTEM, TX, Rig, members_counts, number

PACKETS = 1000
XDPFILT = SYSTEM / "xdpfilt_alw_all.o"


def test_a_taken_tail_call_returns_its_verdict_to_the_chain() -> None:
    with Rig() as rig:
        before, after = rig.count(), rig.count()
        tail = rig.load("tail")
        bpf_raw.map_update(tail.plain["targets"], bytes(4), struct.pack("=I", tail.programs["target"]))
        members = [before[0], tail.members["jumper"], after[0]]
        assert linked.candidates(members)[0] == (Form.INLINE, Form.CALL, Form.INLINE)
        chain = rig.chain(members)
        assert bpf_raw.send(chain.fd, repeat=PACKETS)[0] == PASS
        assert number(tail.plain["packets"], 0) == PACKETS
        assert number(tail.plain["packets"], 1) == PACKETS  # the tail-called program ran
        assert number(after[1].plain["packets"]) == PACKETS  # and so did the member after it


def test_the_verdict_of_a_tail_called_program_ends_the_chain() -> None:
    with Rig() as rig:
        after = rig.count()
        tail = rig.load("tail", target_verdict=TX)
        bpf_raw.map_update(tail.plain["targets"], bytes(4), struct.pack("=I", tail.programs["target"]))
        chain = rig.chain([tail.members["jumper"], after[0]])
        assert bpf_raw.send(chain.fd, repeat=PACKETS)[0] == TX
        assert number(after[1].plain["packets"]) == 0
        assert members_counts(chain, 2)[0].stopped == {TX: PACKETS}


def test_an_empty_prog_array_lets_the_member_go_on_itself() -> None:
    with Rig() as rig:
        chain = rig.chain([rig.load("tail").members["jumper"], rig.count()[0]])
        assert bpf_raw.send(chain.fd)[0] == DROP


def test_an_inlined_tail_call_would_leave_the_chain() -> None:
    """Why the call form exists: the same members with the tail call inlined lose the member after it."""
    with Rig() as rig:
        after = rig.count()
        tail = rig.load("tail")
        bpf_raw.map_update(tail.plain["targets"], bytes(4), struct.pack("=I", tail.programs["target"]))
        chain = rig.chain([tail.members["jumper"], after[0]], forms=[Form.INLINE, Form.INLINE])
        bpf_raw.send(chain.fd, repeat=PACKETS)
        assert number(after[1].plain["packets"]) == 0


@pytest.mark.parametrize("form", [Form.INLINE, Form.CALL], ids=lambda form: form.value)
def test_callbacks_run(form: Form) -> None:
    with Rig() as rig:
        loaded = [rig.load("callback") for _ in range(3)]
        chain = rig.chain([one.members["looping"] for one in loaded], forms=[form] * 3)
        assert bpf_raw.send(chain.fd, repeat=PACKETS)[0] == PASS
        assert [number(one.plain["rounds"]) for one in loaded] == [10 * PACKETS] * 3


@pytest.mark.parametrize(
    ("source", "program", "form"),
    [
        ("callback", "looping", Form.INLINE),
        ("callback", "looping", Form.CALL),
        ("tail", "jumper", Form.CALL),
        ("subprogram", "with_both", Form.INLINE),
        ("subprogram", "with_both", Form.CALL),
    ],
)
def test_members_whose_types_were_lost_get_made_up_ones(source: str, program: str, form: Form) -> None:
    """The kernel does not tell the function table of a program of which the verifier dropped a dead function."""
    with Rig() as rig:
        untyped = replace(rig.load(source).members[program], btf=b"", func_info=())
        chain = rig.chain([untyped, untyped], forms=[form, form])
        assert bpf_raw.send(chain.fd)[0] in (PASS, DROP)


@pytest.mark.parametrize("program", ["with_static", "with_global", "with_both"])
@pytest.mark.parametrize("form", list(Form), ids=lambda form: form.value)
def test_subprograms_run_in_every_form(program: str, form: Form) -> None:
    with Rig() as rig:
        loaded = [rig.load("subprogram", only=[program], verdict=code) for code in (PASS, PASS, TX)]
        chain = rig.chain([one.members[program] for one in loaded], forms=[form] * 3)
        assert bpf_raw.send(chain.fd, repeat=PACKETS)[0] == TX
        times = 2 if program == "with_both" else 1
        assert [number(one.plain["packets"]) for one in loaded] == [PACKETS * times] * 3


def test_flattening_removes_every_call_that_can_go() -> None:
    with Rig() as rig:
        member = rig.load("subprogram", only=["with_both"]).members["with_both"]
        flat = flatten.flatten(member)
        assert flat is not None
        assert any(one.is_local_call for one in member.decoded())
        assert not any(one.is_local_call for one in flat.decoded())


def test_registers_the_caller_needs_survive_a_flattened_call() -> None:
    with Rig() as rig:
        loaded = rig.load("registers", only=["registers"])
        alone = bpf_raw.send(loaded.programs["registers"], bytes(range(64)))[0]
        chain = rig.chain([loaded.members["registers"]], forms=[Form.FLAT], proceed=["dispatcher-return"])
        assert not any(one.is_local_call for one in insn.decode(chain.linked.insns))
        assert bpf_raw.send(chain.fd, bytes(range(64)))[0] == alone == TX


@pytest.mark.parametrize("depth", [8, 256, 472, 488])
def test_deep_frames_keep_the_context_for_later_members(depth: int) -> None:
    with Rig() as rig:
        after = rig.load("subprogram", only=["with_static"])  # it reads the context
        deep = rig.load("deep", f"DEPTH={depth}").members["deep"]
        fitting = linked.candidates([deep, after.members["with_static"]])
        chain = rig.chain([deep, after.members["with_static"]], forms=fitting[0])
        assert bpf_raw.send(chain.fd, repeat=PACKETS)[0] == PASS
        assert number(after.plain["packets"]) == PACKETS


def test_a_deep_body_beside_a_deep_subprogram_is_called_instead() -> None:
    with Rig() as rig:
        body = rig.load("deep", "DEPTH=400").members["deep"]
        inner = rig.load("deep", "DEPTH=8", "INNER=300").members["deep"]
        forms = linked.candidates([body, inner])
        assert (Form.INLINE, Form.INLINE) not in forms
        for one in forms:
            assert bpf_raw.send(rig.chain([body, inner], forms=one).fd)[0] == PASS


def test_a_frame_that_fits_in_no_form_is_refused_by_name() -> None:
    with Rig() as rig:
        deep = rig.load("deep", "DEPTH=504").members["deep"]
        with pytest.raises(errors.Exhausted, match=r"528 bytes of at most 512; heaviest: deep \(528\)"):
            linked.candidates([deep, rig.count()[0]])


def test_a_frame_of_the_whole_stack_runs_alone() -> None:
    with Rig() as rig:
        deep = rig.load("deep", "DEPTH=504").members["deep"]
        assert bpf_raw.send(rig.chain([deep]).fd)[0] == PASS


def test_core_relocations_are_those_of_this_kernel() -> None:
    with Rig() as rig:
        loaded = rig.load("relocations")
        bpf_raw.send(loaded.programs["relocated"])
        alone = [number(loaded.plain["seen"], key) for key in (0, 1)]
        bpf_raw.map_update(loaded.plain["seen"], struct.pack("=I", 0), bytes(8))
        bpf_raw.map_update(loaded.plain["seen"], struct.pack("=I", 1), bytes(8))
        chain = rig.chain([rig.count()[0], loaded.members["relocated"]])
        bpf_raw.send(chain.fd)
        assert [number(loaded.plain["seen"], key) for key in (0, 1)] == alone
        assert alone[1] > 1000  # not the 8 bytes that the object declares


def test_frags_only_when_every_member_has_it() -> None:
    with Rig() as rig:
        frags = [rig.load("count", only=["count_frags"]).members["count_frags"] for _ in range(2)]
        bare = rig.count()[0]
        assert [one.prog_flags for one in (*frags, bare)] == [XDP_HAS_FRAGS, XDP_HAS_FRAGS, 0]
        assert rig.chain(frags).linked.prog_flags == XDP_HAS_FRAGS
        mixed = rig.chain([*frags, bare])
        assert mixed.linked.prog_flags == 0
        assert bpf_raw.send(mixed.fd)[0] == PASS


def test_a_tail_call_cannot_lose_frags() -> None:
    with Rig() as rig:
        tail = rig.load("tail", "FRAGS")
        frags = rig.load("count", only=["count_frags"]).members["count_frags"]
        bpf_raw.map_update(tail.plain["targets"], bytes(4), struct.pack("=I", tail.programs["target"]))
        assert bpf_raw.send(rig.chain([tail.members["jumper"], frags]).fd)[0] == PASS
        with pytest.raises(errors.Conflict, match=r"'jumper' tail-calls.*'count' does not"):
            rig.chain([tail.members["jumper"], rig.count()[0]])


def test_proprietary_and_gpl_members_share_a_chain_until_one_needs_gpl_helpers() -> None:
    with Rig() as rig:
        closed = rig.load("licences")
        closed_member = _relicensed(closed.members["licensed"], "Proprietary")
        chain = rig.chain([closed_member, rig.count()[0]])
        assert chain.linked.licence == "Proprietary"
        assert bpf_raw.send(chain.fd)[0] == PASS
        demanding = rig.load("licences", "GPL_HELPER").members["licensed"]
        with pytest.raises(errors.Conflict, match="GPL-only helpers"):
            rig.chain([closed_member, demanding])
        whole = linked.link(
            codes.XDP, [Part(member=demanding, proceed=codes.Mask(4))], counter_map="counters", name="chain"
        )
        with pytest.raises(bpf_raw.Refused, match="GPL"):  # the kernel agrees about the helper
            rig.open(_as_proprietary(whole))


def test_64_maps_fit_and_65_are_refused_by_name() -> None:
    with Rig() as rig:
        members = [rig.load("many_maps").members["eight_maps"] for _ in range(8)]
        assert bpf_raw.send(rig.chain(members[:7]).fd)[0] == PASS
        with pytest.raises(errors.Exhausted, match=r"65 of at most 64.*eight_maps \(8\)"):
            rig.chain(members)


@pytest.mark.slow
def test_12_copies_of_a_heavy_filter_fit_and_the_verifier_refuses_13() -> None:
    with Rig() as rig:
        members = [rig.load(XDPFILT).members["xdpfilt_alw_all"] for _ in range(12)]
        chain = rig.chain(members)
        assert bpf_raw.send(chain.fd)[0] == PASS
        more = [*members, replace(members[0])]  # with the maps of the first: 66 would be too many
        for forms in linked.candidates(more):
            with pytest.raises(bpf_raw.Refused) as refused:
                rig.chain(more, forms=forms)
            assert refused.value.errno in (7, 22)  # E2BIG
        told = str(limits.too_complex(more))
        assert str(limits.VERIFIED) in told
        assert "xdpfilt_alw_all (" in told


@pytest.mark.parametrize("path", sorted(SYSTEM.glob("xdpfilt_*.o")), ids=lambda path: path.stem)
def test_debians_filters_link_with_each_other(path: os.PathLike[str]) -> None:
    with Rig() as rig:
        name = SYSTEM.joinpath(path).stem
        members = [rig.load(SYSTEM / path).members[name] for _ in range(2)]
        before, after = rig.count(), rig.count()
        chain = rig.chain([before[0], *members, after[0]], proceed=["pass", "drop", "aborted"])
        assert bpf_raw.send(chain.fd, repeat=10)[0] == PASS
        assert number(after[1].plain["packets"]) == 10


def _relicensed(member: relocated.Member, licence: str) -> relocated.Member:
    return replace(member, licence=licence)


def _as_proprietary(whole: linked.Linked) -> linked.Linked:
    return replace(whole, licence="Proprietary")
