"""What came of an application as a status that the CRDs take, written only when it says something else."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

import pytest

from skep import errors, model
from skep.kube import act, kinds, reconcile, resources, shape
from skep.kube.agent import expand, news, outcome, status
from skep.kube.agent.outcome import Aim, Outcome
from tests.unit.kube.agent import world
from tests.unit.kube.agent.world import POD1, application, attached, expanded, found, loaded, pod, seen, view

NOW = datetime.datetime(2026, 5, 4, 3, 2, 1, 900, tzinfo=datetime.UTC)
NEAR = {"interfaceSelector": {"interfaces": ["eth0"]}, "priority": 5}
IN_POD = {"interfaceSelector": {"interfaces": ["eth0"]}, "networkNamespaces": {"pods": {}}}
SHAPES = {
    kind.name: kind.status for kind in kinds.KINDS if kind.name in ("ClusterBpfApplicationState", "BpfApplicationState")
}


def told(came: Outcome, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The status, which has to fit the CRD of its kind."""
    made = status.status(came, node="n1", uid=world.STATE, generation=3, before=before or {}, now=NOW)
    assert made is not None
    kind = "BpfApplicationState" if came.application and came.application.namespace else "ClusterBpfApplicationState"
    shape.read(SHAPES[kind], made, "status")
    return made


def brief(made: Mapping[str, Any]) -> tuple[str, str, str]:
    (condition,) = made["conditions"]
    assert (condition["status"], condition["reason"]) == ("True", condition["type"])
    return made["appLoadStatus"], condition["type"], condition["message"]


def running(wanted: resources.Application, *, link: bool = True, **more: Any) -> Outcome:
    """An application that is loaded, and attached at its one place."""
    expansion = expanded(wanted, pod(1), seen=view(found(1, POD1)))
    program = loaded(wanted)
    links = tuple(attached(program, spot) for each in expansion.programs for spot in each.spots) if link else ()
    return Outcome(aim=Aim.RUN, application=wanted, expansion=expansion, seen=seen((program,), links), **more)


def failed(
    wanted: resources.Application, operation: model.Operation, error: errors.SkepError, *, noun: str = "program"
) -> act.Row:
    names = ("count",) if isinstance(operation, model.Load) else ()
    action = reconcile.Action(
        verb=reconcile.Verb.CREATED, noun=noun, program="count", hook="xdp", operation=operation, names=names
    )
    return act.Row(application=wanted.key, action=action, result=act.Result.FAILED, id=None, detail="", error=error)


LOG = "\n".join(["0: R1=ctx()", *(f"{n}: (b7) r{n % 10} = {n}" for n in range(40)), "R0 !read_ok", "processed 3 insns"])
REFUSED = errors.Rejected("the kernel refused count", why="permission denied", log=LOG)
LOAD = model.Load(object=b"", source=model.FileSource(path="/a.o"), programs=())
REPLACE = model.ReplaceProgram(program=model.ProgramId(7), object=b"", source=model.FileSource(path="/a.o"))


def test_what_is_attached() -> None:
    made = told(running(application(NEAR)))
    assert brief(made) == ("LoadSuccess", "Success", "1 program loaded, 1 link attached")
    assert (made["updateCount"], made["node"], made["observedGeneration"]) == (1, "n1", 3)
    assert made["conditions"][0]["lastTransitionTime"] == "2026-05-04T03:02:01Z"
    (program,) = made["programs"]
    (link,) = program["xdp"]["links"]
    assert (program["name"], program["type"], program["programId"], program["programLinkStatus"]) == (
        "count", "XDP", 7, "Success",
    )  # fmt: skip
    assert program["maps"] == {"counts": "/pins/sets/1/counts"}
    assert (link.pop("uuid")[14], link) == (
        "5",
        {
            "interfaceName": "eth0", "priority": 5, "proceedOn": ["Pass", "DispatcherReturn"],
            "shouldAttach": True, "linkId": 41, "linkStatus": "Attached",
        },
    )  # fmt: skip


def test_only_pins_are_told_that_somebody_else_may_open() -> None:
    """Those of the compiler's own sections are in a private directory."""
    wanted = application(NEAR)
    pin = model.MapPin("/pins/private/.rodata")
    program = loaded(wanted, maps=(model.MapRef(name=".rodata", pin=pin, internal=True),))
    came = Outcome(aim=Aim.RUN, application=wanted, expansion=expanded(wanted), seen=seen((program,)))
    assert "maps" not in told(came)["programs"][0]


def test_a_namespaced_one_says_the_namespace_of_the_network() -> None:
    made = told(running(application(IN_POD, kind="BpfApplication")))
    (link,) = made["programs"][0]["xdp"]["links"]
    assert link["netnsPath"] == "/run/netns/cni-1"


def test_nothing_is_written_when_nothing_is_new() -> None:
    came = running(application(NEAR))
    made = told(came)
    later = NOW + datetime.timedelta(hours=1)
    assert status.status(came, node="n1", uid=world.STATE, generation=3, before=made, now=later) is None
    again = status.status(came, node="n1", uid=world.STATE, generation=4, before=made, now=later)
    assert again is not None
    assert (again["updateCount"], again["observedGeneration"]) == (2, 4)
    assert again["conditions"][0]["lastTransitionTime"] == made["conditions"][0]["lastTransitionTime"]


def test_a_load_that_is_refused_tells_the_verifiers_last_words() -> None:
    wanted = application(NEAR)
    expansion = expanded(wanted)
    came = Outcome(aim=Aim.RUN, application=wanted, expansion=expansion, rows=(failed(wanted, LOAD, REFUSED),))
    made = told(came)
    load, condition, message = brief(made)
    assert (load, condition) == ("LoadError", "Error")
    assert message.endswith("39: (b7) r9 = 39\nR0 !read_ok")
    assert "processed" not in message
    assert "0: R1=ctx()" not in message
    (program,) = made["programs"]
    assert (program["programLinkStatus"], program.get("programId")) == ("Error", None)
    (link,) = program["xdp"]["links"]
    assert link["linkStatus"] == "AttachError"
    assert link["error"].endswith("R0 !read_ok")


def test_a_refused_update_says_that_the_old_version_runs_on() -> None:
    wanted = application(NEAR)
    made = told(running(wanted, rows=(failed(wanted, REPLACE, REFUSED),)))
    assert brief(made)[:2] == ("LoadError", "Error")
    assert brief(made)[2].endswith("; what was applied before runs on")
    (link,) = made["programs"][0]["xdp"]["links"]
    assert (link["linkStatus"], link["linkId"], "error" in link) == ("Attached", 41, False)


def test_a_link_that_fails_has_its_error() -> None:
    wanted = application(NEAR)
    (placed,) = expanded(wanted).programs
    (spot,) = placed.spots
    attach = model.Attach(
        program=model.ProgramId(7), attachment=spot.attachment, metadata={reconcile.PLACE: spot.place}
    )
    no = errors.NotFound("no interface eth0", why="there are lo")
    made = told(running(wanted, link=False, rows=(failed(wanted, attach, no, noun="link"),)))
    assert brief(made) == ("LoadSuccess", "Error", "no interface eth0: there are lo")
    (program,) = made["programs"]
    (link,) = program["xdp"]["links"]
    assert (link["linkStatus"], link["error"]) == ("AttachError", "no interface eth0: there are lo")
    assert program["programLinkStatus"] == "Error"


def test_a_link_that_cannot_be_detached_is_told() -> None:
    wanted = application(NEAR)
    came = running(wanted)
    nowhere = dataclasses.replace(came.expansion, programs=tuple(
        dataclasses.replace(each, spots=()) for each in came.expansion.programs  # type: ignore[union-attr]
    ))  # type: ignore[type-var]  # fmt: skip
    no = errors.Broken("the pin is not there")
    row = failed(wanted, model.Detach(link=model.LinkId(41)), no, noun="link")
    made = told(dataclasses.replace(came, expansion=nowhere, rows=(row,)))
    (link,) = made["programs"][0]["xdp"]["links"]
    assert (link["shouldAttach"], link["linkStatus"], link["error"]) == (False, "DetachError", "the pin is not there")
    assert link["uuid"] == came.seen.links[0].record.metadata[expand.UUID]


def test_a_link_that_ended_is_not_attached() -> None:
    came = running(application(NEAR))
    (link,) = came.seen.links
    ended = model.LinkStatus(state=model.LinkState.DEFUNCT, reason="its interface is gone")
    came = dataclasses.replace(came, seen=seen(came.seen.programs, (dataclasses.replace(link, status=ended),)))
    made = told(came)
    assert brief(made) == ("LoadSuccess", "Error", "1 link not whole: link 41 (its interface is gone)")
    assert made["programs"][0]["xdp"]["links"][0]["linkStatus"] == "NotAttached"


def test_what_selectors_do_not_find_is_in_the_message() -> None:
    wanted = application({**IN_POD, "networkNamespaces": {"pods": {}, "namespace": "nobody"}})
    made = told(running(wanted))
    assert brief(made)[:2] == ("LoadSuccess", "Success")
    assert "networkNamespaces selects no pod on this node" in brief(made)[2]


@pytest.mark.parametrize(
    ("came", "expected"),
    [
        (
            Outcome(aim=Aim.NOT_SELECTED),
            ("NotSelected", "Unloaded", "the node has not the labels that spec.nodeSelector wants"),
        ),
        (Outcome(aim=Aim.DELETED), ("UnloadSuccess", "Unloaded", "unloaded")),
        (
            Outcome(aim=Aim.DELETED, rows=(failed(application(), model.Unload(program=model.ProgramId(7)), REFUSED),)),
            ("UnloadError", "UnloadError", outcome.words(REFUSED)),
        ),
        (
            Outcome(aim=Aim.RUN, application=application(NEAR), waiting="waiting for maps"),
            ("NotLoaded", "Pending", "waiting for maps"),
        ),
        (
            Outcome(aim=Aim.RUN, error=errors.InvalidRequest("spec.programs[0] is wrong")),
            ("LoadError", "Error", "spec.programs[0] is wrong"),
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_states(came: Outcome, expected: tuple[str, str, str]) -> None:
    assert brief(told(came)) == expected


def test_an_image_that_is_not_there_leaves_what_runs() -> None:
    came = running(application(NEAR), error=errors.NotFound("no image v2"))
    assert brief(told(came)) == ("LoadError", "Error", "no image v2; what was applied before runs on")


def test_every_type_fits_its_crd() -> None:
    """A program of each type, attached or loaded only, in the words of its kind."""
    import json
    from pathlib import Path

    import yaml

    samples = sorted(Path("deploy/samples").glob("*application-*.yaml"))
    assert len(samples) > 40
    for path in samples:
        for document in yaml.safe_load_all(path.read_text()):
            wanted = resources.read(document)
            expansion = expanded(wanted, pod(1, labels={"app": "web"}), seen=view(found(1, POD1, ("main", 51))))
            assert json.dumps(told(Outcome(aim=Aim.RUN, application=wanted, expansion=expansion)))


def what(came: Outcome, before: Mapping[str, Any], after: Mapping[str, Any] | None) -> list[tuple[str, bool]]:
    pods = (pod(1, volumes={"maps": "counter"}), pod(2, volumes={"maps": "other"}))
    return [(each.reason, each.warning) for each in news.news(came, before, after, node="n1", pods=pods)]


def test_transitions_are_events() -> None:
    wanted = application(NEAR)
    came = running(wanted)
    good = told(came)
    assert what(came, {}, good) == [("Attached", False)]
    assert what(came, good, None) == []
    bad = told(running(wanted, rows=(failed(wanted, REPLACE, REFUSED),)), good)
    assert what(came, good, bad) == [("LoadFailed", True)]
    assert what(came, bad, good) == [("Attached", False)]
    more = told(dataclasses.replace(came, seen=seen(came.seen.programs, ())), good)
    assert what(came, good, more) == [], "links come and go with pods"
    other = told(running(wanted, rows=(failed(wanted, REPLACE, errors.NotFound("no image")),)), bad)
    assert what(came, bad, other) == [("LoadFailed", True)]
    off = told(Outcome(aim=Aim.NOT_SELECTED), good)
    assert what(came, good, off) == [("NotSelected", False)]


def test_recreated_maps_name_the_volumes_that_keep_the_old_ones() -> None:
    wanted = application(NEAR)
    action = reconcile.Action(verb=reconcile.Verb.CREATED, noun="program", program="count", hook="xdp")
    row = act.Row(application=wanted.key, action=action, result=act.Result.CREATED, id=7, detail="", renewed=True)
    came = running(wanted, rows=(row,))
    pods = (pod(1, volumes={"maps": "counter"}), pod(2, volumes={"maps": "other"}))
    (told_,) = news.news(came, {}, None, node="n1", pods=pods)
    assert (told_.reason, told_.warning) == ("MapsRecreated", True)
    assert told_.note.endswith("green/web-1 (volume maps)")
