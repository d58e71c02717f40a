"""Domain values as views: what ``-o table`` and ``-o wide`` show, and names. The documents are in ``document``."""

from __future__ import annotations
