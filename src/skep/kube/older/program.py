"""Programs of the older kinds -> programs of the current ones. Pure.

There one attachment was described with each program, here a program has links: what names one function several times
becomes one program with several links.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from skep import errors
from skep.kube import members, naming, shape

ALONE: Final = {
    "xdp": "XDP", "tc": "TC", "tcx": "TCX", "tracepoint": "Tracepoint", "kprobe": "Kprobe", "uprobe": "Uprobe",
    "fentry": "Fentry", "fexit": "Fexit",
}  # fmt: skip
"""The type that a kind of its own has -> as the union of an application writes it."""
_CURRENT: Final = {each.lower(): each for each in members.UPSTREAM}
_OF_VIEWS: Final = ("bpfman.io/appProgramId", naming.HOSTNAME)
"""Labels that only BpfPrograms had: they name a program of the application and a node; one selects applications now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A current spec, and what it cannot say."""

    spec: Mapping[str, Any]  # Any: JSON
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class One:
    """A program with the links of one older body. ``path``: where that stood. ``function``: fixed when it is loaded."""

    path: str
    name: str
    type: str
    links: tuple[Mapping[str, Any], ...]  # Any: JSON
    function: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """The programs of an application, each function once."""

    programs: tuple[Mapping[str, Any], ...]  # Any: JSON
    notes: tuple[str, ...]


def one(type: str, body: Mapping[str, Any], path: str, *, cluster: bool) -> One:  # Any: JSON
    """A program of ``type`` (as older unions write it) from its body, which was read."""
    name, notes = function(body, path)
    kind, aim = type.lower(), None
    links: Iterable[dict[str, Any]]
    match kind:
        case "xdp" | "tc" | "tcx":
            links, more = _network(kind, body, path, cluster=cluster)
            notes += more
        case "fentry" | "fexit":
            aim, links = body["func_name"], [{"mode": "Attach"}]
        case "tracepoint":
            links = [{"name": each} for each in body["names"]]
        case "kprobe" | "kretprobe":
            kind = "kretprobe" if kind == "kretprobe" or body["retprobe"] else "kprobe"
            offset = {} if kind == "kretprobe" else {"offset": body["offset"]}
            if kind == "kretprobe" and body["offset"]:
                raise shape.wrong(f"{path}.offset", body["offset"], "a kretprobe has no offset")
            links = [{"function": each, **offset} for each in body.get("func_names") or [body["func_name"]]]
        case _:
            kind = "uretprobe" if kind == "uretprobe" or body["retprobe"] else "uprobe"
            links = [_user_space(body)]
    return One(path=path, name=name, type=_CURRENT[kind], links=tuple(links), function=aim, notes=notes)


def function(body: Mapping[str, Any], path: str) -> tuple[str, tuple[str, ...]]:  # Any: JSON
    """The program's function: a section was named at first, whose last part aya took for it."""
    if "sectionname" not in body:
        return str(body["bpffunctionname"]), ()
    return of_section(str(body["sectionname"]), f"{path}.sectionname")


def of_section(section: str, path: str) -> tuple[str, tuple[str, ...]]:
    """The function that a section's name stood for, and a note where that is a guess."""
    name = section.rpartition("/")[2]
    if not name:
        raise shape.wrong(path, section, "it ends in the program's name")
    note = f"{path} names an ELF section: the program is taken to be its function {name}"
    return name, (note,)


def _network(
    kind: str, body: Mapping[str, Any], path: str, *, cluster: bool
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:  # Any: JSON
    link: dict[str, Any] = {"interfaceSelector": interfaces(body["interfaceselector"], f"{path}.interfaceselector")}
    notes: tuple[str, ...] = ()
    if "containers" in body:
        found = body["containers"]
        namespace = {"namespace": found["namespace"]} if cluster and found["namespace"] else {}
        link["networkNamespaces"] = {**namespace, "pods": found["pods"]}
        if found.get("containernames"):
            notes = (f"{path}.containers.containernames is left out: a pod's containers share its network",)
    if kind != "xdp":
        link["direction"] = body["direction"].capitalize()
    link["priority"] = body["priority"]
    if kind != "tcx":
        link["proceedOn"] = verdicts(kind, body["proceedon"])
    return [link], notes


def interfaces(value: Mapping[str, Any], path: str) -> dict[str, Any]:  # Any: JSON
    """Which interfaces: by name, or the primary one."""
    if "interface" in value:
        return {"interfaces": [value["interface"]]}
    if "interfaces" in value:
        if not value["interfaces"]:
            raise shape.wrong(f"{path}.interfaces", [], "it names one interface or more")
        return {"interfaces": value["interfaces"]}
    if not value["primarynodeinterface"]:
        raise shape.wrong(f"{path}.primarynodeinterface", False, "it can only be true")
    return {"primaryNodeInterface": True}


def verdicts(kind: str, words: Iterable[str]) -> list[str]:
    """Verdicts as the current kinds spell them, each once."""
    known = {each.lower(): each for each in members.VERDICTS[kind]}
    return list(dict.fromkeys(known[word.lower().replace("_", "")] for word in words))


def _user_space(body: Mapping[str, Any]) -> dict[str, Any]:  # Any: JSON
    link: dict[str, Any] = {"offset": body["offset"], "target": body["target"]}
    if "func_name" in body:
        link["function"] = body["func_name"]
    if "pid" in body:
        link["pid"] = body["pid"]
    if "containers" in body:
        found = body["containers"]
        link["containers"] = {
            **({"namespace": found["namespace"]} if found.get("namespace") else {}),
            "pods": found["pods"],
            **({"containerNames": found["containernames"]} if found.get("containernames") else {}),
        }
    return link


def merged(found: Sequence[One]) -> Merged:
    """The programs, each function once with all its links. InvalidRequest where one would have to be two things."""
    first: dict[str, One] = {}
    links: dict[str, list[Mapping[str, Any]]] = {}
    for each in found:
        before = first.setdefault(each.name, each)
        if (before.type, before.function) != (each.type, each.function):
            raise errors.InvalidRequest(
                f"{each.path} has the function of {before.path}",
                why=f"{each.name} would be {_what(before)} and {_what(each)}, and a program of one application is one",
                do="put the two into an object each",
            )
        mine = links.setdefault(each.name, [])
        mine.extend(link for link in each.links if link not in mine)
    programs = tuple(_program(each, links[name]) for name, each in first.items())
    return Merged(programs=programs, notes=tuple(note for each in found for note in each.notes))


def _what(each: One) -> str:
    return each.type + (f" of {each.function}" if each.function else "")


def _program(each: One, links: list[Mapping[str, Any]]) -> dict[str, Any]:  # Any: JSON
    if each.function is not None:
        links = links[:1]
    aim = {} if each.function is None else {"function": each.function}
    return {"name": each.name, "type": each.type, each.type.lower(): {**aim, "links": links}}


def byte_code(value: Mapping[str, Any]) -> dict[str, Any]:  # Any: JSON
    """Where programs come from: an image or a path, one of the two."""
    if ("image" in value) == ("path" in value):
        raise errors.InvalidRequest(
            "spec.bytecode has both image and path" if value else "spec.bytecode is empty",
            why="the program comes from one of them: image, path",
            do="leave one" if value else "fill in one",
        )
    if "path" in value:
        return {"path": value["path"]}
    image = value["image"]
    secret = {"imagePullSecret": image["imagepullsecret"]} if "imagepullsecret" in image else {}
    return {"image": {"url": image["url"], "imagePullPolicy": image["imagepullpolicy"], **secret}}


def map_owner(bodies: Sequence[tuple[Mapping[str, Any], str]]) -> tuple[dict[str, Any], tuple[str, ...]]:  # Any: JSON
    """The one selector of map owners, {} for none, and notes on labels that only BpfPrograms had."""
    found: list[tuple[dict[str, Any], str]] = []
    notes = []
    for body, path in bodies:
        where = f"{path}.mapownerselector"
        selector = body["mapownerselector"]
        labels = {key: value for key, value in selector.get("matchLabels", {}).items() if key not in _OF_VIEWS}
        conditions = [each for each in selector.get("matchExpressions", ()) if each["key"] not in _OF_VIEWS]
        kept = {
            **({"matchLabels": labels} if labels else {}),
            **({"matchExpressions": conditions} if conditions else {}),
        }
        if _count(kept) != _count(selector):
            notes.append(f"{where}: {' and '.join(_OF_VIEWS)} are left out, for applications are selected now")
        if _count(selector) and not kept:
            raise shape.wrong(where, selector, "it has to select an application by its labels")
        if kept and kept not in [each for each, _ in found]:
            found.append((kept, where))
    if len(found) > 1:
        raise errors.InvalidRequest(
            f"{found[1][1]} is not {found[0][1]}",
            why="the programs of one application share their maps with one other",
            do="put the programs into an object each",
        )
    if found and len(bodies) > 1:
        notes.append(f"{found[0][1]} holds for all programs of the application")
    return (found[0][0] if found else {}), tuple(notes)


def _count(selector: Mapping[str, Any]) -> int:  # Any: JSON
    return len(selector.get("matchLabels") or ()) + len(selector.get("matchExpressions") or ())
