"""Who may do what. Pure: decisions are values that can be explained."""

from __future__ import annotations

from skep.policy.access import ANYBODY, Access, Decision, Reading, explain

__all__ = ["ANYBODY", "Access", "Decision", "Reading", "explain"]
