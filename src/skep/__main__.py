"""``python -m skep`` is the program ``skep``."""

from __future__ import annotations

from skep.cli import main

main.main()
