"""Control groups named as kubelet and container runtimes name them, below a directory of one's own, with processes."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 30.0


@dataclass(slots=True)
class Node:
    """``top``: the cgroup below which kubelet's are made (its ``--cgroup-root``)."""

    top: Path
    driver: str = "cgroupfs"
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def pod(self, uid: str = "", quality: str = "burstable") -> Pod:
        """A pod without containers."""
        uid = uid or str(uuid.uuid4())
        part = quality and f"-{quality}"
        if self.driver == "systemd":
            front = f"{self.top.name.removesuffix('.slice')}-kubepods"
            place = (
                self.top / f"{front}.slice" / f"{front}{part}.slice" / f"{front}{part}-pod{uid.replace('-', '_')}.slice"
            )
        else:
            place = self.top / "kubepods" / quality / f"pod{uid}"
        place.mkdir(parents=True, exist_ok=True)
        return Pod(self, uid, place)

    def run(self, *words: str, place: Path | None = None) -> subprocess.Popen[bytes]:
        """A process that is ended with the node, in a cgroup."""
        made = subprocess.Popen(words)
        self._processes.append(made)
        if place is not None:
            (place / "cgroup.procs").write_text(str(made.pid))
        return made

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """End one of the processes."""
        process.kill()
        process.wait()
        self._processes.remove(process)

    def close(self) -> None:
        """End the processes, remove the cgroups."""
        for process in list(self._processes):
            self.stop(process)
        for directory, _, _ in os.walk(self.top, topdown=False):
            wait_for(lambda directory=directory: _removed(directory))  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Pod:
    node: Node
    uid: str
    place: Path

    def container(self, *words: str, prefix: str = "cri-containerd-") -> Container:
        """A container that runs ``words``; without them nothing runs in it."""
        id = secrets.token_hex(32)
        place = self.place / (f"{prefix}{id}.scope" if self.node.driver == "systemd" else id)
        place.mkdir()
        return Container(self, id, place, self.node.run(*words, place=place) if words else None)


@dataclass(frozen=True, slots=True)
class Container:
    pod: Pod
    id: str
    place: Path
    process: subprocess.Popen[bytes] | None

    @property
    def pid(self) -> int:
        """Of its first process."""
        assert self.process is not None
        return self.process.pid

    @property
    def url(self) -> str:
        """As a Pod's status has it."""
        return f"containerd://{self.id}"


@contextlib.contextmanager
def node(hierarchy: str, driver: str = "cgroupfs") -> Iterator[Node]:
    """A node whose cgroups are in a directory of their own in a mounted hierarchy."""
    name = f"skeppods{os.getpid()}x{secrets.token_hex(3)}"
    top = Path(hierarchy) / (f"{name}.slice" if driver == "systemd" else name)
    top.mkdir()
    made = Node(top, driver)
    try:
        yield made
    finally:
        made.close()


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it holds; AssertionError after half a minute."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "did not come true"
        time.sleep(0.02)


def netns(pid: int) -> int:
    """The number of a process's network namespace."""
    return os.stat(f"/proc/{pid}/ns/net").st_ino


def in_own_network(process: subprocess.Popen[bytes]) -> int:
    """The number of the network namespace that ``unshare -n`` has made, once it has."""
    own = netns(os.getpid())
    wait_for(lambda: netns(process.pid) != own)
    return netns(process.pid)


def _removed(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
