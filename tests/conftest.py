"""What every test shares: markers by directory, a plain word when root is missing, and hypothesis's profile."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

TESTS = Path(__file__).parent
MARKED = {"kernel": ("kernel",), "e2e": ("e2e", "image", "kube"), "boots": ("guest",)}

# Timing on a shared machine says nothing about a property, so no deadline; a failing example is printed as code.
hypothesis.settings.register_profile("skep", deadline=None, print_blob=True)
hypothesis.settings.load_profile("skep")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by directory, so that nobody can forget to."""
    for item in items:
        for name, directories in MARKED.items():
            if any(TESTS / directory in item.path.parents for directory in directories):
                item.add_marker(name)
        if item.get_closest_marker("needs"):
            item.add_marker("guest")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse at once, rather than fail a hundred times, when the chosen tests need root and this is not root."""
    if os.geteuid() == 0 or session.config.option.collectonly:
        return
    privileged = [item for item in session.items if any(item.get_closest_marker(name) for name in MARKED)]
    if privileged:
        raise pytest.UsageError(
            f"{len(privileged)} of the chosen tests need root; run them as root or leave them out:"
            ' -m "not kernel and not e2e and not boots"'
        )
