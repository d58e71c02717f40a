"""A linked chain leads to the verdict that its members lead to one after the other: any packet, any form."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import hypothesis
import pytest
from hypothesis import strategies as st

from skep.chain import codes, linked, verdict
from skep.chain.codes import Mask
from skep.chain.linked import Form, Part
from tests.kernel import bpf_raw
from tests.kernel.linked_rig import SYSTEM, Rig

_FLAGS = 1 | 2 | 4 | 8  # xdp-filter's MAP_FLAG_SRC, DST, TCP, UDP (xdp-tools, xdp-filter/common_kern_user.h)
_FILTERED = (53, 80)
_FILTERS = ("xdpfilt_dny_udp", "xdpfilt_dny_tcp", "xdpfilt_alw_udp")
_SETS = (("pass",), ("pass", "drop"), ("drop", "aborted"), ("aborted", "drop", "pass", "tx", "redirect"))


@dataclass(frozen=True, slots=True)
class Built:
    """One chain in the kernel, and the programs of its members with their masks."""

    chain: int
    members: tuple[tuple[Mask, int], ...]


@pytest.fixture(scope="module")
def chains() -> Iterator[list[Built]]:
    """Three real filters that deny or allow some ports, in several proceed-on sets and all forms."""
    cpus = bpf_raw.possible_cpus()
    with Rig() as rig:
        loaded = [(name, rig.load(SYSTEM / f"{name}.o")) for name in _FILTERS]
        for _, one in loaded:
            for port in _FILTERED:
                key = struct.pack("=I", struct.unpack("=H", struct.pack(">H", port))[0])
                bpf_raw.map_update(one.plain["filter_ports"], key, struct.pack("=Q", _FLAGS) * cpus)
        built = []
        for number, form in enumerate(Form):
            for shift in range(2):
                masks = [verdict.parse_names(codes.XDP, _SETS[(number + shift + at) % len(_SETS)]) for at in range(3)]
                parts = [
                    Part(member=one.members[name], proceed=mask, form=form)
                    for (name, one), mask in zip(loaded, masks, strict=True)
                ]
                whole = linked.link(codes.XDP, parts, counter_map="counters", name="chain")
                alone = [one.programs[name] for name, one in loaded]
                built.append(Built(rig.open(whole).fd, tuple(zip(masks, alone, strict=True))))
        yield built


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """Ethernet frames that get far into the filters, and some that do not."""
    ethernet = draw(st.binary(min_size=12, max_size=12))
    ports = struct.pack(">HH", *draw(st.tuples(*[st.one_of(st.sampled_from(_FILTERED), st.integers(0, 65535))] * 2)))
    kind = draw(st.sampled_from(["ipv4", "ipv6", "noise"]))
    if kind == "ipv4":
        protocol = draw(st.sampled_from([6, 17, 1]))
        header = struct.pack(">BBHHHBBH", 0x45, 0, 60, 1, 0, 64, protocol, 0) + draw(st.binary(min_size=8, max_size=8))
        rest = b"\x08\x00" + header + ports
    elif kind == "ipv6":
        protocol = draw(st.sampled_from([6, 17, 58]))
        header = struct.pack(">IHBB", 6 << 28, 40, protocol, 64) + draw(st.binary(min_size=32, max_size=32))
        rest = b"\x86\xdd" + header + ports
    else:
        rest = draw(st.binary(min_size=2, max_size=40))
    return (ethernet + rest + bytes(40))[: draw(st.integers(14, 120))]


@hypothesis.given(packet=packets())
def test_a_chain_agrees_with_its_members(chains: list[Built], packet: bytes) -> None:
    for one in chains:
        alone = [(mask, bpf_raw.send(program, packet)[0]) for mask, program in one.members]
        expected, _ = verdict.run(codes.XDP, alone)
        assert bpf_raw.send(one.chain, packet)[0] == expected
