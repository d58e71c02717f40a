"""The CRDs, derived from ``kinds``: ``python -m skep.kube.crd DIRECTORY`` writes one YAML file for each.

Those of older generations (``older.kinds``) are in a directory of their own below, for who wants to leave them out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from skep.kube import kinds, shape
from skep.kube.older import both
from skep.kube.older import kinds as older

OLDER = "older/"
"""Where the older kinds are."""
HEADER = "# Made by `python -m skep.kube.crd deploy/crds` from src/skep/kube; a test compares them.\n"


def definition(kind: kinds.Kind) -> dict[str, Any]:  # Any: JSON
    """The CustomResourceDefinition of a kind (apiextensions.k8s.io/v1)."""
    properties: dict[str, Any] = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
    }
    if kind.spec is not None:
        # BpfApplications come in two forms, of which what reads the current one knows nothing.
        properties["spec"] = shape.schema(both.SPEC if kind is kinds.APPLICATION else kind.spec)
    properties["status"] = shape.schema(kind.status)
    schema: dict[str, Any] = {"type": "object", "description": kind.doc, "properties": properties}
    if kind.spec is not None:
        # Upstream's does not say so; an object without it is one that nobody can act on.
        schema["required"] = ["spec"]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                **({"shortNames": [kind.short]} if kind.short else {}),
                "categories": list(kind.categories),
            },
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [
                {
                    "name": kinds.VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in kind.columns],
                }
            ],
        },
    }


def _column(column: kinds.Column) -> dict[str, Any]:  # Any: JSON
    made: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return made | {"priority": 1} if column.wide else made


def files() -> dict[str, str]:
    """File name -> YAML."""
    named = [("", kind) for kind in kinds.KINDS] + [(OLDER, kind) for kind in older.KINDS]
    return {f"{where}{kind.group}_{kind.plural}.yaml": HEADER + as_yaml(definition(kind)) for where, kind in named}


class _Plain(yaml.SafeDumper):
    """Writes what is used twice twice: kubectl reads aliases, people do not."""

    def ignore_aliases(self, data: Any) -> bool:  # Any: yaml's own
        return True


def as_yaml(document: object) -> str:
    """The text of a file."""
    text: str = yaml.dump(document, Dumper=_Plain, sort_keys=False, width=110, allow_unicode=True)
    return text


def write(module: str, files: Callable[[], dict[str, str]], words: list[str]) -> int:
    """Write all files of a module into the directory that its command line names; the exit code."""
    if len(words) != 1:
        sys.stderr.write(f"usage: python -m {module} DIRECTORY\n")
        return 2
    for name, text in files().items():
        path = Path(words[0], name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


def main(words: list[str]) -> int:
    """Write them all."""
    return write("skep.kube.crd", files, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
