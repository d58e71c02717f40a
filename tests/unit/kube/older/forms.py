"""BpfApplications in both forms, and mixtures of them with a word of what is said against each."""

from __future__ import annotations

from typing import Any

PODS: dict[str, Any] = {"pods": {}}
NOW: dict[str, Any] = {
    "nodeSelector": {}, "byteCode": {"path": "/opt/x.o"},
    "programs": [{"name": "a", "type": "XDP", "xdp": {"links": [
        {"interfaceSelector": {"interfaces": ["eth0"]}, "networkNamespaces": PODS}]}}],
}  # fmt: skip
XDP: dict[str, Any] = {"bpffunctionname": "a", "interfaceselector": {"interfaces": ["eth0"]}, "priority": 1}
THEN: dict[str, Any] = {
    "nodeselector": {}, "bytecode": {"path": "/opt/x.o"}, "programs": [{"type": "XDP", "xdp": XDP}],
}  # fmt: skip


def with_programs(spec: dict[str, Any], *programs: dict[str, Any]) -> dict[str, Any]:
    return {**spec, "programs": list(programs)}


MIXED: tuple[tuple[dict[str, Any], str], ...] = (
    ({**NOW, **THEN}, "byteCode is required"),
    ({**NOW, "globaldata": {"a": "AQ=="}}, "fields of the older form are forbidden"),
    ({**THEN, "mapPolicy": "Keep"}, "fields of the current form are forbidden"),
    ({**THEN, "programs": NOW["programs"]}, "none in the older one"),
    ({**NOW, "programs": THEN["programs"]}, "each of programs has a name"),
    (with_programs(THEN, {"type": "UProbe", "uprobe": {"bpffunctionname": "a", "target": "libc"}}), "Uprobe"),
    (with_programs(THEN, {"type": "XDP", "xdp": {"bpffunctionname": "a"}}), "interfaceselector"),
    (with_programs(THEN, {"type": "XDP", "xdp": {**XDP, "links": []}}), "the older form has bpffunctionname"),
    (with_programs(NOW, {"name": "a", "type": "XDP", "xdp": {"priority": 1}}), "none of its fields"),
    (
        with_programs(NOW, {"name": "a", "type": "Kprobe", "kprobe": {"bpffunctionname": "a", "func_name": "f"}}),
        "the type is one of",
    ),
    (with_programs(NOW, *NOW["programs"], *NOW["programs"]), "occurs once"),
)
