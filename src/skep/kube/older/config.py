"""bpfd's BpfProgramConfig -> the spec of a ClusterBpfApplication. Pure.

Three generations wrote it, without saying which: with ``attachpoint.interface`` and a priority beside it, with
``networkmultiattach`` or ``singleattach``; and the bytecode as an ``imageurl``, as a URI, or as an object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from skep import errors
from skep.kube import naming, shape
from skep.kube.older import bpfd, program
from skep.kube.older.program import Made

_TYPES: Final = {"XDP": "XDP", "TC": "TC", "TRACEPOINT": "Tracepoint"}
_DEFAULTS: Final = {"xdp": ["pass", "dispatcher_return"], "tc": ["pipe", "dispatcher_return"]}


def spec(found: Mapping[str, Any]) -> Made:  # Any: JSON
    """The current spec of a config's, which was read. InvalidRequest for attach points that do not fit the type."""
    name, notes = program.of_section(found["name"], "spec.name")
    if name == found["name"]:
        notes = ()
    body: dict[str, Any] = {"bpffunctionname": name, **_attachment(found)}
    one = program.one(_TYPES[found["type"]], body, "spec", cluster=True)
    code, more = _byte_code(found["bytecode"])
    made = program.merged([one])
    return Made(
        spec={
            "nodeSelector": found["nodeselector"],
            "byteCode": code,
            "programs": list(made.programs),
        },
        notes=(*notes, *more),
    )


def _attachment(found: Mapping[str, Any]) -> dict[str, Any]:  # Any: JSON
    """The same as a stand-alone program of bpfman 0.2 says it."""
    point, kind = found["attachpoint"], found["type"].lower()
    if kind == "tracepoint":
        if "singleattach" not in point:
            raise _unfit("spec.attachpoint", found["type"], "singleattach")
        return {"names": [point["singleattach"]["name"]]}
    if "singleattach" in point:
        raise _unfit("spec.attachpoint.singleattach", found["type"], "networkmultiattach")
    network = point.get("networkmultiattach")
    if network is None:
        if "priority" not in found:
            raise errors.InvalidRequest(
                "spec.priority is missing", why="with attachpoint.interface it stands beside it", do="fill it in"
            )
        network = {"interface": point["interface"], "priority": found["priority"], "direction": "NONE"}
    elif "priority" in found:
        raise shape.wrong("spec.priority", found["priority"], "networkmultiattach has its own")
    body = {
        "interfaceselector": network.get("interfaceselector") or {"interface": network["interface"]},
        "priority": network["priority"],
        "proceedon": _verdicts(kind, network.get("proceedon")),
    }
    if kind == "xdp":
        return body
    if network["direction"] == "NONE":
        raise errors.InvalidRequest(
            "spec.attachpoint has no direction",
            why="a TC program sees what comes in or what goes out",
            do="write networkmultiattach with direction: INGRESS or EGRESS",
        )
    return {**body, "direction": network["direction"].lower()}


def _verdicts(kind: str, words: list[str] | None) -> list[str]:
    if words is None:
        return _DEFAULTS[kind]
    if kind == "tc":
        raise shape.wrong(
            "spec.attachpoint.networkmultiattach.proceedon", words, "these are verdicts of XDP, and the type is TC"
        )
    return [word.lower() for word in words]


def _unfit(path: str, type: str, wanted: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(
        f"{path} does not fit the type {type}", why=f"it is attached by {wanted}", do=f"write {wanted}"
    )


def _byte_code(value: object) -> tuple[dict[str, Any], tuple[str, ...]]:  # Any: JSON
    """The bytecode in its three shapes: a URI, an object with imageurl, an object with image or path."""
    if isinstance(value, str):
        scheme, separator, rest = value.partition("://")
        if separator and rest and scheme in ("image", "file"):
            return ({"image": {"url": rest}} if scheme == "image" else {"path": rest}), ()
        raise shape.wrong("spec.bytecode", value, "as text it is image://IMAGE or file:///PATH")
    read = shape.read(bpfd.BYTE_CODE, value, "spec.bytecode")
    if len(read) != 1:
        raise errors.InvalidRequest(
            f"spec.bytecode has {' and '.join(read)}" if read else "spec.bytecode is empty",
            why="the program comes from one of them: imageurl, image, path",
            do="leave one" if read else "fill in one",
        )
    if "imageurl" in read:
        url = read["imageurl"].removeprefix("image://")
        return {"image": {"url": url}}, ()
    if "path" in read:
        return {"path": read["path"]}, ()
    image = read["image"]
    made: dict[str, Any] = {"url": image["url"], "imagePullPolicy": image["imagepullpolicy"]}
    notes: tuple[str, ...] = ()
    if "imagepullsecret" in image:
        made["imagePullSecret"] = {"name": image["imagepullsecret"], "namespace": naming.NAMESPACE}
        notes = (f"spec.bytecode.image.imagepullsecret is looked for in the namespace {naming.NAMESPACE}",)
    return {"image": made}, notes
