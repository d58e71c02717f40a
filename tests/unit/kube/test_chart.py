"""What is derived of the Helm chart is what is there, and each value is explained, typed and used."""

from __future__ import annotations

import re

import yaml

import skep
from skep.kube import chart
from tests.unit.house import source_tree

DEPLOY = source_tree.ROOT / "deploy"
CHART = DEPLOY / "helm/skep"
WRITTEN = (CHART / "values.yaml").read_text()


def test_what_is_derived_is_there() -> None:
    """`python -m skep.kube.chart deploy` writes it."""
    assert list(chart.stale(DEPLOY)) == []


def test_the_chart_has_our_version() -> None:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert about["version"] == about["appVersion"] == skep.__version__


def test_a_value_is_a_key_with_a_comment() -> None:
    text = "# What a file is.\n\na:\n  # What b is,\n  # in two lines.\n  b: {c: 1}\n# All of d.\nd:\n  e: [2]\n"
    assert chart.values(text) == (
        chart.Value(path="a.b", default={"c": 1}, doc="What b is, in two lines."),
        chart.Value(path="d", default={"e": [2]}, doc="All of d."),
    )


def test_every_value_is_explained() -> None:
    """One without a comment would be in neither schema nor table, and its use refused."""
    assert missing(yaml.safe_load(WRITTEN), {each.path for each in chart.values(WRITTEN)}) == []


def missing(read: dict[str, object], explained: set[str], above: str = "") -> list[str]:
    found = []
    for name, value in read.items():
        path = above + name
        if path in explained:
            continue
        found += missing(value, explained, path + ".") if isinstance(value, dict) and value else [path]
    return found


def test_every_value_is_used() -> None:
    """By the last two names of its path: templates reach the first by `with`."""
    templates = "\n".join(path.read_text() for path in (CHART / "templates").iterdir())
    used = set(re.findall(r"\.([A-Za-z]+(?:\.[A-Za-z]+)*)", templates))
    ends = {name for path in used for name in (path.removeprefix("Values."), path.rpartition(".")[2])}
    assert [each.path for each in chart.values(WRITTEN) if each.path.rpartition(".")[2] not in ends] == []


def test_the_configs_grammar_is_that_of_the_values() -> None:
    """All of it is optional: what is not said is the release's."""
    schema = chart.schema(chart.values(WRITTEN))
    config = schema["properties"]["config"]["properties"]["spec"]
    assert {"daemon", "agent", "csi", "configuration", "overrides"} <= set(config["properties"])
    assert "required" not in config and "required" not in config["properties"]["daemon"]
    assert config["additionalProperties"] is False
    assert "x-kubernetes-" not in str(schema)
