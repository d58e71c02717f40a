"""What of the Helm chart is derived: ``python -m skep.kube.chart deploy`` writes it into deploy/helm/skep.

CRDs, roles and policies are copies of deploy's (a chart has to hold its files: GitOps tools and archives lose symbolic
links); the values' schema comes from values.yaml and from the grammar of a Config; the table of the values, from
values.yaml and its comments. Templates and values.yaml are written by hand, and a test compares what the chart renders
with what kustomize makes of deploy.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

import skep
from skep.kube import crd, deployment, shape
from skep.kube.operator import settings

COPIED: Final = ("crds", "policies", "rbac", "monitoring", "openshift")
"""Directories of deploy that are in the chart as they are."""
FILES: Final = ("operator/account.yaml", "operator/network.yaml")
"""Single files that are."""
MARKS: Final = ("<!-- values: made by `python -m skep.kube.chart deploy` -->\n", "<!-- end of values -->\n")
_DIALECT: Final = "http://json-schema.org/draft-07/schema#"
_PERCENTAGE: Final = {"type": "string", "pattern": "^(100|[0-9]{1,2})%$"}
_TEXTS: Final = {"type": "object", "additionalProperties": {"type": "string"}}
_NAMES: Final = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"name": {"type": "string", "minLength": 1}},
        "required": ["name"],
        "additionalProperties": False,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A key of values.yaml: its path ("image.tag"), its default, and the comment above it."""

    path: str
    default: Any  # Any: JSON
    doc: str


def files(deploy: Path) -> dict[str, str]:
    """Path below deploy/helm/skep -> text, of all that is derived."""
    chart = deploy / "helm/skep"
    made = {
        f"files/{path.relative_to(deploy).as_posix()}": path.read_text()
        for name in COPIED
        for path in sorted((deploy / name).rglob("*.yaml"))
        if path.stem != "kustomization"
    }
    made |= {f"files/{name}": (deploy / name).read_text() for name in FILES}
    made["files/config.yaml"] = crd.as_yaml(settings.default(("", "")))
    known = values((chart / "values.yaml").read_text())
    made["values.schema.json"] = json.dumps(schema(known), indent=2) + "\n"
    made["README.md"] = _replaced((chart / "README.md").read_text(), table(known))
    made["Chart.yaml"] = re.sub(
        r"(?m)^(version|appVersion): .*$", rf"\1: {skep.__version__}", (chart / "Chart.yaml").read_text()
    )
    return made


def values(text: str) -> tuple[Value, ...]:
    """The keys of a values.yaml that have a comment; those below them are theirs."""
    read = yaml.safe_load(text)
    found: list[Value] = []
    above: list[tuple[int, str]] = []
    comment: list[str] = []
    documented = -1
    for line in text.splitlines():
        match = re.match(r"^( *)(?:# ?(.*)|([A-Za-z]+):.*)$", line)
        if match is None:
            comment = []
            continue
        indent, said, key = len(match[1]), match[2], match[3]
        if key is None:
            comment.append(said)
            continue
        above = [(at, name) for at, name in above if at < indent] + [(indent, key)]
        if documented >= 0 and indent > documented:
            continue
        documented = indent if comment else -1
        if comment:
            path = ".".join(name for _, name in above)
            found.append(Value(path=path, default=_at(read, path), doc=" ".join(comment)))
        comment = []
    return tuple(found)


def schema(known: tuple[Value, ...]) -> dict[str, Any]:  # Any: JSON
    """The JSON schema of the values: no other keys, and types as their defaults have them."""
    made = _object()
    made["properties"]["global"] = {"type": "object", "description": "Helm's, for charts that have this one below."}
    for value in known:
        *parents, name = value.path.split(".")
        at = made
        for parent in parents:
            at = at["properties"].setdefault(parent, _object())
        at["properties"][name] = {"description": value.doc, **_type(value)}
    return {"$schema": _DIALECT, "title": "Values of the chart skep", **made}


def table(known: tuple[Value, ...]) -> str:
    """A row for each value."""
    rows = [f"| `{each.path}` | `{json.dumps(each.default)}` | {each.doc} |" for each in known]
    return "\n".join(["| Value | Default | |", "|---|---|---|", *rows]) + "\n"


def _type(value: Value) -> dict[str, Any]:  # Any: JSON
    if value.path in _SPECIAL:
        return _SPECIAL[value.path]
    match value.default:
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer", "minimum": 0}
        case str():
            return {"type": "string"}
        case list():
            return {"type": "array", "items": {"type": "object"}}
        case dict():
            return {"type": "object"}
        case other:
            raise ValueError(f"{value.path}: no type for {other!r}")


def _optional(found: Any) -> Any:  # Any: JSON
    """A CRD's schema as that of values: nothing is required, no other keys, and no words of Kubernetes' own."""
    match found:
        case dict():
            kept = {
                key: _optional(each)
                for key, each in found.items()
                if not key.startswith("x-kubernetes-") and key not in ("required", "default", "format")
            }
            if isinstance(found.get("properties"), dict):
                kept["additionalProperties"] = False
            return kept
        case list():
            return [_optional(each) for each in found]
        case _:
            return found


_CONFIG: Final = shape.schema(deployment.CONFIG)
_SPECIAL: Final[Mapping[str, dict[str, Any]]] = {  # Any: JSON
    "image.digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "image.tag": {"type": "string", "pattern": "^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$"},
    "image.repository": {"type": "string", "pattern": "^(([^@\\s]*/)?[^@:/\\s]+)?$"},
    "image.pullPolicy": {"enum": list(deployment.PULL_POLICIES)},
    "image.pullSecrets": _NAMES,
    "nodeSelector": _TEXTS,
    "podAnnotations": _TEXTS,
    "monitoring.labels": _TEXTS,
    "monitoring.interval": {"type": "string", "pattern": "^(([0-9]+(ms|s|m|h))+)?$"},
    "monitoring.agentPort": {"type": "integer", "minimum": 1, "maximum": 65535},
    "resources": _optional(shape.schema(deployment.RESOURCES)),
    "uninstall.timeoutSeconds": {"type": "integer", "minimum": 10},
    "podDisruptionBudget.maxUnavailable": {"anyOf": [{"type": "integer", "minimum": 1}, _PERCENTAGE]},
    "config.spec": _optional(_CONFIG),
}
"""What a default's type does not say."""


def _object() -> dict[str, Any]:  # Any: JSON
    return {"type": "object", "additionalProperties": False, "properties": {}}


def _at(read: Any, path: str) -> Any:  # Any: JSON
    for name in path.split("."):
        read = read[name]
    return read


def _replaced(text: str, rows: str) -> str:
    """A README with another table between the marks."""
    before, first, rest = text.partition(MARKS[0])
    _, last, after = rest.partition(MARKS[1])
    if not first or not last:
        raise ValueError("README.md has no marks for the table of values")
    return f"{before}{first}{rows}{last}{after}"


def stale(deploy: Path) -> Iterator[str]:
    """Paths below the chart that are not as they would be written, or are there for nothing."""
    chart, made = deploy / "helm/skep", files(deploy)
    for path, text in made.items():
        if not (chart / path).is_file() or (chart / path).read_text() != text:
            yield path
    there = {path.relative_to(chart).as_posix() for path in (chart / "files").rglob("*") if path.is_file()}
    yield from sorted(there - set(made))


def main(words: list[str]) -> int:
    """Write them all, and remove what is there for nothing."""
    if len(words) != 1:
        sys.stderr.write("usage: python -m skep.kube.chart DEPLOY\n")
        return 2
    deploy = Path(words[0])
    made = files(deploy)
    for path in list(stale(deploy)):
        target = deploy / "helm/skep" / path
        if path not in made:
            target.unlink()
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(made[path])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
