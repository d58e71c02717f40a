"""A systemd unit as its settings: enough of systemd.syntax(7) for the units of deploy/systemd."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.unit.house import source_tree

DIRECTORY = source_tree.ROOT / "deploy" / "systemd"
SERVICE = DIRECTORY / "skep.service"
SOCKET = DIRECTORY / "skep.socket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One ``Key=value`` line, the section it stands in and the comment lines directly above it."""

    section: str
    key: str
    value: str
    comment: str


def read(path: Path) -> tuple[Setting, ...]:
    """Every setting of a unit file, in order; raises ValueError on a line that is none."""
    settings: list[Setting] = []
    section = comment = ""
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            comment += line.lstrip("# ") + "\n"
            continue
        if line.startswith("["):
            section = line.strip("[]")
        elif line:
            key, equals, value = line.partition("=")
            if not equals:
                raise ValueError(f"{path.name}: not a setting: {line!r}")
            settings.append(Setting(section=section, key=key, value=value, comment=comment))
        comment = ""
    return tuple(settings)


def capabilities(path: Path = SERVICE) -> tuple[str, ...]:
    """The capabilities that the service is left with, in the unit's order."""
    return tuple(name for item in read(path) if item.key == "CapabilityBoundingSet" for name in item.value.split())
