"""The machines that bytecode is built for: OCI architecture, byte order, bpfman's build argument, bpf2go's words. Pure.

An ELF for BPF tells its byte order and no more: programs that read registers or kernel structures are still compiled
for one architecture, and only its file's name or the user tells which.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from skep import errors
from skep.bytecode.elf import ByteOrder
from skep.image.manifest import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One row. ``architecture``: GOARCH. ``words``: what bpf2go and others put into a file's name for it."""

    architecture: str
    order: ByteOrder
    words: tuple[str, ...]

    @property
    def platform(self) -> Platform:
        return Platform(os="linux", architecture=self.architecture)

    @property
    def argument(self) -> str:
        """The build argument of bpfman's Containerfile for several architectures: "BC_AMD64_EL"."""
        return f"BC_{self.architecture.upper()}_{'EL' if self.order is ByteOrder.LITTLE else 'EB'}"


def _row(architecture: str, order: ByteOrder, *words: str) -> Machine:
    return Machine(architecture=architecture, order=order, words=(architecture, *words))


MACHINES: Final = (
    _row("386", ByteOrder.LITTLE, "i386"),
    _row("amd64", ByteOrder.LITTLE, "x86", "x86_64"),
    _row("arm", ByteOrder.LITTLE),
    _row("arm64", ByteOrder.LITTLE, "aarch64"),
    _row("loong64", ByteOrder.LITTLE, "loongarch", "loongarch64"),
    _row("mips", ByteOrder.BIG),
    _row("mipsle", ByteOrder.LITTLE, "mips"),
    _row("mips64", ByteOrder.BIG),
    _row("mips64le", ByteOrder.LITTLE, "mips64"),
    _row("ppc64", ByteOrder.BIG, "powerpc"),
    _row("ppc64le", ByteOrder.LITTLE, "ppc64", "powerpc", "powerpcle"),
    _row("riscv64", ByteOrder.LITTLE, "riscv"),
    _row("s390x", ByteOrder.BIG, "s390"),
)
"""Those of bpfman's ``Containerfile.bytecode.multi.arch``."""

GENERIC: Final[Mapping[str, ByteOrder]] = {"bpfel": ByteOrder.LITTLE, "bpfeb": ByteOrder.BIG}
"""Bytecode for every machine of a byte order, in bpf2go's words."""


def order_of(architecture: str) -> ByteOrder | None:
    """The byte order of an architecture, "bpfel" and "bpfeb" among them; None for one that is not in the table."""
    orders = {one.architecture: one.order for one in MACHINES}
    return orders.get(architecture) or GENERIC.get(architecture)


def by_architecture(text: str) -> tuple[Platform, ByteOrder]:
    """The platform that a user names: "linux/arm64", "arm64" or "bpfel". NotFound."""
    name = text.removeprefix("linux/")
    if name in GENERIC:
        return Platform(os="linux", architecture=name), GENERIC[name]
    for one in MACHINES:
        if one.architecture == name:
            return one.platform, one.order
    names = [*(one.architecture for one in MACHINES), *GENERIC]
    raise errors.NotFound(
        f"no architecture {text!r}",
        why="bytecode images know " + ", ".join(names),
        near=errors.near_misses(name, names),
    )


def by_file_name(name: str) -> tuple[Platform, ByteOrder] | None:
    """The platform that a file's name tells, None when it does not: "count_x86_bpfel.o" is for amd64, "count_bpfel.o"
    for every little-endian machine (the names that cilium's bpf2go writes)."""
    # "x86_64" falls apart into its two words, of which "x86" is enough.
    words = set(re.split(r"[_.-]", name))
    orders = [order for word, order in GENERIC.items() if word in words]
    if len(orders) != 1:
        return None
    for one in MACHINES:
        if one.order is orders[0] and words & set(one.words):
            return one.platform, one.order
    generic = "bpfel" if orders[0] is ByteOrder.LITTLE else "bpfeb"
    return Platform(os="linux", architecture=generic), orders[0]


def one_each(parts: Iterable[tuple[Platform, str]]) -> None:
    """Refuse two files for one platform. InvalidRequest."""
    seen: dict[str, str] = {}
    for platform, name in parts:
        if str(platform) in seen:
            raise errors.InvalidRequest(
                f"two files are for {platform}",
                why=f"{seen[str(platform)]} and {name}",
                do="give one file for each platform",
            )
        seen[str(platform)] = name
