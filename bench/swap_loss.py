"""Does changing a chain under traffic lose or repeat a packet?

50,000 numbered frames cross a veth pair while the chain on its receiving end is changed 200 times: members move,
change their proceed-on set, come and go. Counted exactly at four places: the sender's successful sends, the members'
own maps and the chain's counters (in the kernel), and the numbers that arrive at a socket behind the chain.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import socket
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from bench import api, measure
from skep.pb import skep_pb2
from tests import instance

QUESTION = "Packets lost or repeated while a chain is changed under traffic"
ETHERTYPE = 0x88B5  # IEEE 802: local experimental; no protocol stack answers it
BURST = 8
"""Frames sent at once; far below the 256 slots of a veth's XDP ring, so that the wire itself drops none."""
BUFFER_BYTES = 256 * 1024 * 1024
SO_RCVBUFFORCE = 33
CLONE_NEWNET = 0x40000000
SETTLE_SECONDS = 1.0


def main() -> None:
    """Sends, changes, counts, reports."""
    parser = measure.parser(QUESTION, ["python -m bench.swap_loss", "python -m bench.swap_loss --changes 20"])
    parser.add_argument("--changes", type=int, default=200, help="changes of the chain (default 200)")
    parser.add_argument("--packets", type=int, default=50_000, help="frames sent (default 50000)")
    arguments = parser.parse_args()
    measure.need_root()
    with (
        instance.network("skep-swap") as network,
        instance.instance("skep-swap", enter=network.enter) as daemon,
        api.connect(daemon) as client,
    ):
        chain = Chain(client, network.near)
        with receiver(network) as arrived, sender(network, arguments) as traffic:
            durations = []
            for number in range(arguments.changes):
                durations.append(measure.timed(partial(chain.change, number)))
                traffic.allow(number + 1)
            traffic.finish()
            time.sleep(SETTLE_SECONDS)
        counted = chain.counts()
    repeated = sum(times - 1 for times in arrived.numbers.values())
    lost = traffic.sent - len(arrived.numbers)
    wrong = sum(abs(value - traffic.sent) for value in counted.values())
    figures = [
        measure.figure("packets lost", lost, 0, unit="packets"),
        measure.figure("packets repeated", repeated, 0, unit="packets"),
        measure.figure("counters off by", wrong, 0, unit="packets"),
    ]
    detail = {
        "sent": traffic.sent,
        "arrived": sum(arrived.numbers.values()),
        "dropped by the receiving socket": arrived.dropped,
        "counted": counted,
        "changes": arguments.changes,
        "change": measure.summary(durations),
    }
    measure.report(arguments, QUESTION, figures, detail)


class Chain:
    """Two members that stay and count, and a third that comes and goes."""

    def __init__(self, client: api.Api, interface: str) -> None:
        self._client, self._interface = client, interface
        path = measure.bpf_object("member.bpf.c")
        self._stay = [client.load(path, "member") for _ in range(2)]
        self._guest = client.load(path, "member")
        self._links = [client.attach(program, "xdp", interface, priority=50) for program in self._stay]
        self._visit: int | None = None

    def change(self, number: int) -> None:
        """Change ``number`` of a cycle of four, each one swap."""
        match number % 4:
            case 0:
                self._client.update(self._links[0], priority=60 if number % 8 else 40)
            case 1 if self._visit is None:
                self._visit = self._client.attach(self._guest, "xdp", self._interface, priority=number % 100)
            case 2:
                verdicts = skep_pb2.Verdicts(codes=[2] if number % 8 > 3 else [2, 31])
                self._client.skep.UpdateLink(skep_pb2.UpdateLinkRequest(link_id=self._links[1], proceed_on=verdicts))
            case 3 if self._visit is not None:
                self._client.detach(self._visit)
                self._visit = None

    def counts(self) -> dict[str, int]:
        """Packets by the maps of the members that stayed, and by the chain's counters for their links."""
        found = {}
        for name, program, link in zip(("first", "second"), self._stay, self._links, strict=True):
            found[f"{name}, own map"] = seen(self._client.get(program).info.map_pin_path)
            found[f"{name}, chain's counter"] = self._client.runs(link)
        return found


def seen(directory: str) -> int:
    """The one number in the map ``seen`` of bench/c/member.bpf.c."""
    words = ["bpftool", "-j", "map", "lookup", "pinned", f"{directory}/seen", "key", "0", "0", "0", "0"]
    printed = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    return int.from_bytes(bytes(int(byte, 16) for byte in printed["value"]), "little")


@dataclass
class Arrived:
    """What came out behind the chain: how often each number, and what the socket itself had to drop."""

    numbers: Counter[int] = field(default_factory=Counter)
    dropped: int = 0


@contextlib.contextmanager
def receiver(network: instance.Network) -> Iterator[Arrived]:
    """Collects every frame of ours on the near interface, until the end of the block."""
    arrived = Arrived()
    with in_namespace(network, network.near) as listening:
        listening.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        listening.settimeout(0.1)
        over = threading.Event()

        def collect() -> None:
            while True:
                try:
                    frame = listening.recv(128)
                except TimeoutError:
                    if over.is_set():
                        return
                    continue
                arrived.numbers[struct.unpack_from("!I", frame, 14)[0]] += 1

        collecting = threading.Thread(target=collect)
        collecting.start()
        try:
            yield arrived
        finally:
            over.set()
            collecting.join()
            packets_and_drops = listening.getsockopt(263, 6, 8)  # SOL_PACKET, PACKET_STATISTICS
            arrived.dropped = struct.unpack("II", packets_and_drops)[1]


class Traffic:
    """Frames in proportion to the changes done, so that every change meets some."""

    def __init__(self, wire: socket.socket, *, packets: int, changes: int) -> None:
        self.sent = 0
        self._wire, self._packets, self._changes = wire, packets, changes
        self._done = 0
        self._over = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def allow(self, changes: int) -> None:
        """``changes`` have been done."""
        self._done = changes

    def finish(self) -> None:
        """Waits until all frames have been sent."""
        self._done = self._changes
        self._thread.join()

    def stop(self) -> None:
        """Sends no more; after ``finish`` there is nothing to stop."""
        self._over = True
        self._thread.join()

    def _run(self) -> None:
        while self.sent < self._packets and not self._over:
            # Never more than one change's share ahead of the changes, never so far behind that the end is all traffic.
            limit = min(self._packets, self._packets * (self._done + 1) // self._changes)
            for _ in range(min(BURST, limit - self.sent)):
                self._wire.send(bytes(12) + struct.pack("!HI", ETHERTYPE, self.sent) + bytes(46))
                self.sent += 1
            time.sleep(0.0003)


@contextlib.contextmanager
def sender(network: instance.Network, arguments: argparse.Namespace) -> Iterator[Traffic]:
    """Traffic from the far interface, running until its ``finish``."""
    with in_namespace(network, network.far) as wire:
        traffic = Traffic(wire, packets=arguments.packets, changes=arguments.changes)
        try:
            yield traffic
        finally:
            traffic.stop()


def _setns(path: str) -> None:
    """Moves the calling thread; ``os.setns`` exists only from Python 3.12 on."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(path, "rb") as namespace:
        if libc.setns(namespace.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {path}")


@contextlib.contextmanager
def in_namespace(network: instance.Network, interface: str) -> Iterator[socket.socket]:
    """A packet socket of ``interface``; a socket stays in the namespace in which it was made."""
    made: list[socket.socket] = []

    def make() -> None:
        # A thread of its own: it ends inside the namespace, and this one never left its own.
        _setns(network.path)
        one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
        one.bind((interface, ETHERTYPE))
        made.append(one)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    with made[0] as opened:
        yield opened


if __name__ == "__main__":
    main()
