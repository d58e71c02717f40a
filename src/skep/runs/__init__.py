"""Programs run on request and iterators read: changes, since a program that runs does whatever it was written for."""

from __future__ import annotations

from skep.runs.runs import Runs

__all__ = ["Runs"]
