"""Packets without a pause: ``python -m tests.kube.traffic ADDRESS PORT``; on SIGTERM it says how many it has sent.

It imports only what Python brings, so that it can be started in any network namespace.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time

EVERY = 0.001
"""Seconds between two packets: enough of them to fall into any gap, few enough that no queue drops one."""


class Traffic:
    """A process that sends packets, and how many it sent when it was stopped."""

    def __init__(self, enter: tuple[str, ...], address: str, port: int) -> None:
        self._process = subprocess.Popen(
            [*enter, sys.executable, __file__, address, str(port)], stdout=subprocess.PIPE, text=True
        )

    def stop(self) -> int:
        """Stop it; how many packets it sent."""
        self._process.terminate()
        told, _ = self._process.communicate(timeout=30)
        return int(told)

    def close(self) -> None:
        """End it, whatever happened before."""
        self._process.kill()
        self._process.wait()


def main(address: str, port: str) -> None:
    sent, going = 0, True

    def stop(*_: object) -> None:
        nonlocal going
        going = False

    signal.signal(signal.SIGTERM, stop)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        while going:
            out.sendto(b"packet", (address, int(port)))
            sent += 1
            time.sleep(EVERY)
    sys.stdout.write(str(sent))


if __name__ == "__main__":
    main(*sys.argv[1:])
