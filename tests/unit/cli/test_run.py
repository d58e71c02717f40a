"""``skep program run`` and ``skep link read``: what is asked, and what a person or a program reads."""

from __future__ import annotations

import struct

import pytest

from skep import errors, model
from skep.cli import packet
from skep.hooks import iter as iterator
from tests.unit.cli import fake

PRINTS = fake.program(106, name="prints", hook="iter", prog_type=26)


@pytest.fixture
def skep() -> fake.FakeSkep:
    return fake.FakeSkep(all=(*fake.FakeSkep().all, PRINTS))


def test_a_run_in_every_form(run, skep) -> None:
    result = run("program", "run", "101", "--data", "hex:00010203", "--context", "hex:0a0b", "--repeat", "7")
    assert skep.asked == [model.Run(program=model.ProgramId(101), packet=b"\0\1\2\3", context=b"\n\x0b", repeat=7)]
    assert result.out.splitlines() == [
        "Program ID: 101",
        "  Verdict:  XDP_PASS (2)",
        "  Runs:     7",
        "  Duration: 41 ns a run",
        "  Data: 4 bytes, changed",
        "    0000: 00 01 41 03                                      ..A.",
        "  Context: 2 bytes, as it was",
        "    0000: 0a 0b                                            ..",
    ]
    told = run("program", "run", "101", "--data", "hex:0001", "-o", "json").json
    assert told == {
        "program_id": 101, "retval": 2, "verdict": "XDP_PASS", "runs": 1, "duration_ns": 41, "data_out": "000141",
        "data_changed": True, "context_out": "", "context_changed": False,
    }  # fmt: skip
    assert run("program", "run", "101", "-o", "name").out == "XDP_PASS\n"


def test_data_from_a_file(run, skep, tmp_path) -> None:
    file = tmp_path / "packet"
    file.write_bytes(b"frame")
    run("program", "run", "101", "--data", f"@{file}")
    assert skep.asked[0].packet == b"frame"
    file.write_bytes(bytes(65536))
    assert run("program", "run", "101", "--data", f"@{file}").code == 9
    assert run("program", "run", "101", "--data", f"@{file}-not").code == 3
    assert run("program", "run", "101", "--data", f"@{tmp_path}").code == 4


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--data", "hex:0"), 10),
        (("--data", "udp5"), 10),
        (("--context", "udp4"), 10),
        (("--repeat", "0"), 2),
        (("--repeat", "1000001"), 2),
        (("--pid", "1"), 2),
        (("--limit", "1"), 2),
    ],
)
def test_a_wrong_run_is_not_asked_for(run, skep, words, code) -> None:
    assert run("program", "run", "101", *words).code == code
    assert skep.asked == []


def test_a_refused_run(run, skep) -> None:
    skep.refusal = errors.Rejected("the kernel does not run the program", errno=22)
    assert run("program", "run", "101", "--data", "udp4").code == 6


def test_warnings_of_a_run_go_to_stderr(run, skep) -> None:
    skep.warnings = ("the time was up",)
    assert "warning: the time was up" in run("program", "run", "101", "-o", "name").err


def test_an_iterator_is_read(run, skep) -> None:
    assert run("program", "run", "106").out == "1 first\n2 second\n"
    run("program", "run", "106", "--pid", "7", "--limit", "9")
    run("link", "read", "3", "--limit", "5")
    assert skep.asked == [
        model.ReadIterator(program=model.ProgramId(106), attachment=iterator.IteratorAttachment()),
        model.ReadIterator(program=model.ProgramId(106), attachment=iterator.IteratorAttachment(pid=7), limit=9),
        model.ReadIterator(link=model.LinkId(3), limit=5),
    ]


@pytest.mark.parametrize("words", [("--data", "udp4"), ("--context", "hex:00"), ("--repeat", "1")])
def test_an_iterator_takes_no_packet(run, skep, words) -> None:
    assert run("program", "run", "106", *words).code == 2
    assert skep.asked == []


# ---------------------------------------------------------------- packets


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.mark.parametrize("kind", packet.KINDS)
def test_a_packet_is_a_whole_frame(kind: str) -> None:
    frame = packet.made(kind)
    assert len(frame) >= 60
    protocol = struct.unpack_from(">H", frame, 12)[0]
    assert protocol == {"4": 0x0800, "6": 0x86DD, "p": 0x0806}[kind[-1]]
    if protocol == 0x0800:
        header = frame[14:34]
        length, number = struct.unpack_from(">H", header, 2)[0], header[9]
        assert checksum(header) == 0xFFFF
        body = frame[34 : 14 + length]
        pseudo = header[12:20] + struct.pack(">HH", number, len(body))
        assert checksum(body if kind == "icmp4" else pseudo + body) == 0xFFFF
    if protocol == 0x86DD:
        length, number = struct.unpack_from(">HB", frame, 18)
        body = frame[54 : 54 + length]
        assert checksum(frame[22:54] + struct.pack(">II", length, number) + body) == 0xFFFF


def test_the_kinds_differ() -> None:
    assert len({packet.made(kind) for kind in packet.KINDS}) == len(packet.KINDS)
    with pytest.raises(errors.InvalidRequest):
        packet.made("sctp4")
