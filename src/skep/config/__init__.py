"""Settings: one table (``table``), the values' grammar (``values``), and where they are looked for (``load``).

A value is looked for in this order: flag, environment, configuration file, default. ``/etc/bpfman/bpfman.toml`` is read
when ``/etc/skep/skep.toml`` is absent; its keys that mean nothing here are accepted with a note. Nothing is printed
here: notes are handed to the caller.
"""

from __future__ import annotations

from skep.config.load import BPFMAN_FILE, DEFAULT_FILE, FILE_ENVIRONMENT, Loaded, load, parse
from skep.config.table import INERT, SETTINGS, Setting, Settings
from skep.config.values import LEVELS, level, seconds

__all__ = [
    "BPFMAN_FILE",
    "DEFAULT_FILE",
    "FILE_ENVIRONMENT",
    "INERT",
    "LEVELS",
    "SETTINGS",
    "Loaded",
    "Setting",
    "Settings",
    "level",
    "load",
    "parse",
    "seconds",
]
