"""``deploy/skep.toml`` says what the table of settings says."""

from __future__ import annotations

import re

from skep import config
from tests.unit.house import source_tree

EXAMPLE = source_tree.ROOT / "deploy" / "skep.toml"


def test_the_example_is_the_table_of_settings() -> None:
    """An administrator reads the example, not our code: each key with its help above it, and no key that is not one."""
    text = EXAMPLE.read_text()
    active = re.sub(r"^#(?=[a-z\[])", "", text, flags=re.MULTILINE)
    values, notes = config.parse(active)
    assert notes == ()
    assert set(values) == {row.name for row in config.SETTINGS} | {"interfaces"}
    for row in config.SETTINGS:
        assert f"# {row.help}\n" in text, f"the help of {row.key}"


def test_the_examples_values_are_the_defaults() -> None:
    """A commented default that is not the default misleads whoever removes the comment sign."""
    values, _ = config.parse(re.sub(r"^#(?=[a-z\[])", "", EXAMPLE.read_text(), flags=re.MULTILINE))
    defaults = config.Settings()
    for row in config.SETTINGS:
        wanted = row.default if row.path else getattr(defaults, row.name)
        assert values[row.name] == wanted, row.key


def test_the_example_changes_nothing_as_it_is() -> None:
    """Copied to /etc unchanged it must mean the same as no file."""
    values, notes = config.parse(EXAMPLE.read_text())
    assert (values, notes) == ({"interfaces": {}}, ())
