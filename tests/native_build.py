"""Builds the native C of the tests (``tests/native``) once per source text, into a cache outside the checkout."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent / "native"
_FLAGS = ("-O2", "-g", "-Wall", "-Werror")


def build(name: str, *options: str, strip: bool = False) -> Path:
    """The program of ``tests/native/<name>.c``; ``options``: more of the compiler's, each set its own program."""
    source = SOURCES / f"{name}.c"
    command = ["gcc", *_FLAGS, *options]
    texts = [*command, str(strip), *(one.read_text() for one in sorted(SOURCES.glob("*.h"))), source.read_text()]
    target = _cache() / hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16] / name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".{os.getpid()}")
        subprocess.run([*command, "-o", str(partial), str(source)], check=True)
        if strip:
            subprocess.run(["strip", str(partial)], check=True)
        partial.rename(target)  # two sessions may build at once
    return target


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "skep" / "native"
