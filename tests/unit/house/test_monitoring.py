"""Alert rules and the dashboard ask for numbers that somebody serves, by labels and words that they have."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from skep import model
from skep.inventory import alerts
from skep.kube import naming
from skep.kube.operator.rollout.told import Phase
from tests.unit.house import source_tree

MONITORING = source_tree.ROOT / "deploy" / "monitoring"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((MONITORING / "rules.yaml").read_text())["spec"]["groups"]
    for rule in group["rules"]
]
PANELS: list[dict[str, Any]] = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
EXPRESSIONS = [rule["expr"] for rule in RULES] + [
    target["expr"] for panel in PANELS for target in panel["targets"]
]  # fmt: skip
SERVED = {
    name
    for path in (source_tree.ROOT / "src/skep").rglob("*.py")
    for name in re.findall(r'"(skep_[a-z_]+)"', path.read_text())
}
WORDS = {
    "sanctioned": {"true", "false"},
    "kind": {each.value for each in model.AlertKind},
    "hook": set(alerts.HOOKS),
    "condition": {naming.PENDING, naming.SUCCESS, naming.ERROR, naming.UNLOADED, naming.UNLOAD_ERROR},
    "phase": {each.value for each in Phase},
}
"""Label -> what it may be."""


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_number_is_served(expression: str) -> None:
    """A misspelt one never fires, and nobody sees it."""
    named = re.findall(r"\b(skep_[a-z_]+|up)\b", expression)
    assert named
    for name in named:
        bare = re.sub(r"_(total|bucket|sum|count)$", "", name)
        assert name == "up" or name in SERVED or bare in SERVED, name
    for label, operator, value in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', expression):
        if label in WORDS:
            assert operator and set(value.split("|")) <= WORDS[label], (label, value)


def test_the_numbers_are_looked_for_where_they_are() -> None:
    assert {"skep_foreign_programs", "skep_clashes", "skep_operator_rollouts", "skep_agent_daemon_up"} <= SERVED


def test_every_alert_has_its_place_in_the_documentation() -> None:
    text = (source_tree.ROOT / "docs/alerts.md").read_text()
    for rule in RULES:
        assert f"| `{rule['alert']}` |" in text
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"].keys() == {"summary", "description"}
