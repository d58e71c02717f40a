"""What the API server says of itself: requests by verb and kind, watches that are open; and the memory of processes."""

from __future__ import annotations

import collections
import re
from pathlib import Path

from tests.kube.plane import ControlPlane

WRITES = ("POST", "PUT", "PATCH", "APPLY", "DELETE")
_LINE = re.compile(r"^(\w+)\{(.*)\} (\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class Counts:
    """Requests since the API server began, as (verb, resource with its subresource); ``-`` is what came between two."""

    def __init__(self, numbers: collections.Counter[tuple[str, str]]) -> None:
        self._numbers = numbers

    def __sub__(self, other: Counts) -> Counts:
        return Counts(self._numbers - other._numbers)

    def writes(self, resource: str) -> int:
        """Requests that change objects of a kind, their subresources too."""
        return sum(
            number for (verb, of), number in self._numbers.items() if verb in WRITES and of.split("/")[0] == resource
        )

    def of(self, resource: str) -> dict[str, int]:
        """All requests about a kind."""
        return {f"{verb} {of}": n for (verb, of), n in sorted(self._numbers.items()) if of.split("/")[0] == resource}


def counted(plane: ControlPlane) -> tuple[Counts, dict[str, int]]:
    """The requests that were answered, and the watches that are open, by kind."""
    numbers: collections.Counter[tuple[str, str]] = collections.Counter()
    watches: dict[str, int] = {}
    for line in plane.kubectl("get", "--raw", "/metrics").splitlines():
        if not line.startswith(("apiserver_request_total{", "apiserver_longrunning_requests{")):
            continue
        if found := _LINE.match(line):
            name, text, value = found.groups()
            labels = dict(_LABEL.findall(text))
            of = "/".join(filter(None, (labels["resource"], labels["subresource"])))
            if name == "apiserver_request_total":
                numbers[labels["verb"], of] += int(float(value))
            elif labels["verb"] == "WATCH":
                watches[of] = watches.get(of, 0) + int(float(value))
    return Counts(numbers), watches


def memory(pid: int) -> dict[str, int]:
    """Resident memory of a process in MiB: now, and at most so far (proc(5))."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = {key: value for key, _, value in (line.partition(":") for line in lines)}
    return {"now": int(found["VmRSS"].split()[0]) // 1024, "peak": int(found["VmHWM"].split()[0]) // 1024}


def cpu(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / 100
