"""Documents lead somewhere: every link to a file of this repository works, and the README leads to every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.house import source_tree

LINK = re.compile(r"\]\(([^)\s]+)\)")
PAGES = sorted([*source_tree.ROOT.glob("*.md"), *(source_tree.ROOT / "docs").glob("*.md")])


def targets(page: Path) -> set[Path]:
    """The files that a page links to."""
    found = (target.partition("#")[0] for target in LINK.findall(page.read_text()) if "://" not in target)
    return {(page.parent / target).resolve() for target in found if target}


@pytest.mark.parametrize("page", PAGES, ids=source_tree.shown)
def test_links_lead_to_files(page: Path) -> None:
    assert {target for target in targets(page) if not target.exists()} == set()


def test_the_readme_leads_to_every_page() -> None:
    """By one step or two: a page that nothing links to is one that nobody reads."""
    readme = source_tree.ROOT / "README.md"
    first = targets(readme)
    second = {target for page in first if page.suffix == ".md" for target in targets(page)}
    unreachable = {source_tree.shown(page) for page in PAGES} - {
        source_tree.shown(page) for page in first | second | {readme} if page.suffix == ".md" and page.is_file()
    }
    assert unreachable - {"docs/index.md"} == set(), "docs/index.md is the same table for who begins in docs/"
