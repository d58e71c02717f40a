"""What answers: the daemon's release, process and directories, from ``skep.v1``."""

from __future__ import annotations

from dataclasses import dataclass

from skep.pb import skep_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What answers at the other end."""

    version: str
    pid: int
    kernel: str
    runtime_dir: str
    state_dir: str
    pins_dir: str


def unpack(message: skep_pb2.VersionResponse) -> Version:
    """A message as what answers."""
    return Version(
        version=message.version,
        pid=message.pid,
        kernel=message.kernel,
        runtime_dir=message.runtime_dir,
        state_dir=message.state_dir,
        pins_dir=message.pins_dir,
    )
