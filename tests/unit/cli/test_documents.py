"""The pages about the command line say what the program's tables say."""

from __future__ import annotations

from pathlib import Path

from skep import config
from skep.cli import exit

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_the_table_of_exit_codes_is_the_programs() -> None:
    text = (DOCS / "cli.md").read_text()
    rows = [f"| {code.number} | {code.name} | {code.meaning} |" for code in exit.table()]
    assert "\n".join(rows) in text


def test_the_table_of_settings_is_the_programs() -> None:
    text = (DOCS / "configuration.md").read_text()
    for row in config.SETTINGS:
        flag = f"`{row.flag}`" if row.flag else ""
        variables = ", ".join(f"`{name}`" for name in row.environment)
        assert f"| `{row.key}` | `{row.default}` | {flag} | {variables} | {row.help} |" in text
    for key, reason in config.INERT.items():
        assert f"| `{key}` | {reason} |" in text


def test_the_example_is_accepted() -> None:
    text = (DOCS / "configuration.md").read_text()
    values, notes = config.parse(text.split("```toml\n")[1].split("```")[0])
    assert (values["lock_timeout"], notes) == (10.0, ())
