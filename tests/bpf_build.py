"""Builds the BPF C of the tests once per source text, into a cache outside the checkout."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sysconfig
from pathlib import Path

SOURCES = Path(__file__).parent / "bpf"
_FLAGS = ("-O2", "-g", "-target", "bpf", "-Wall", "-Werror", "-Wno-unused-function")


def build(name: str, *defines: str, sources: Path = SOURCES) -> Path:
    """The object of ``<sources>/<name>.bpf.c``; ``defines``: more ``-D`` options, each its own object."""
    source = sources / f"{name}.bpf.c"
    headers = f"-I/usr/include/{sysconfig.get_config_var('MULTIARCH')}"
    command = ["clang", *_FLAGS, headers, *(f"-D{one}" for one in defines)]
    texts = [source.read_text(), *(one.read_text() for one in sorted(sources.glob("*.h")))]
    digest = hashlib.sha256("\0".join([*command, *texts]).encode()).hexdigest()[:16]
    target = _cache() / digest / f"{name}.bpf.o"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".{os.getpid()}")
        subprocess.run([*command, "-c", str(source), "-o", str(partial)], check=True)
        partial.rename(target)  # two sessions may build at once
    return target


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "skep" / "bpf"
