"""Which revision a node is to run, what of it is stored, and what is told while a node keeps what it has."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from skep.kube import naming, resources, revisions
from skep.kube.agent import news, records, revision, status
from skep.kube.agent.outcome import Aim, Outcome
from tests.unit.kube.agent import world
from tests.unit.kube.agent.test_status import NEAR, NOW, REFUSED, REPLACE, brief, failed, running, told


def staged(**spec: Any) -> dict[str, Any]:
    return world.document(NEAR, rollout={}, **spec)


def state(assigned: str = "") -> records.State:
    document = records.new_state(records.wish(staged()), "n1")
    document["metadata"] |= {"uid": world.STATE, "annotations": {naming.REVISION: assigned} if assigned else None}
    made = records.state(document)
    assert made is not None and made.assigned == assigned
    return made


SPEC = revisions.of(staged())


@pytest.mark.parametrize(
    ("document", "assigned", "before", "meant"),
    [
        (world.document(NEAR), "", {}, SPEC),
        (world.document(NEAR), "old", {"revision": "old"}, SPEC),
        (staged(), SPEC, {"revision": "old"}, SPEC),
        (staged(), "old", {"revision": SPEC}, "old"),
        (staged(), "", {"revision": "old"}, "old"),
        (staged(), "", {}, ""),
    ],
    ids=["not staged", "staged before", "its turn", "not its turn", "nothing said", "new here"],
)
def test_what_is_meant(document: dict[str, Any], assigned: str, before: dict[str, str], meant: str) -> None:
    assert revision.meant(records.wish(document), state(assigned), before) == meant


def test_a_revision_is_the_spec_without_where_and_how_fast() -> None:
    same = staged()
    same["spec"] |= {"nodeSelector": {"matchLabels": {"a": "b"}}, "rollout": {"paused": True}}
    same["metadata"]["generation"] = 9
    assert revisions.of(same) == SPEC
    assert revisions.of(staged(mapPolicy="Recreate")) != SPEC
    other = staged()
    other["metadata"]["uid"] = "another"
    assert revisions.of(other) != SPEC, "one that comes later under the same name has its own"


def test_what_is_stored_is_what_was_written() -> None:
    document = staged()
    made = revisions.controller_revision(document, 4, "bpfman")
    assert made["metadata"]["name"] == f"counter-{SPEC}" and made["metadata"]["namespace"] == "bpfman"
    kept = revisions.stored(made)
    assert (kept.of, kept.revision, kept.number, kept.secret) == (world.UID, SPEC, 4, None)
    nodes = {"matchLabels": {"zone": "b"}}
    spec = revisions.restored(made, world.UID, SPEC, nodes)
    assert spec == {
        **{key: value for key, value in document["spec"].items() if key != "rollout"},
        "nodeSelector": nodes,
    }
    assert (
        resources.read({**document, "metadata": {"name": "counter"}, "spec": spec}).key
        == "ClusterBpfApplication/counter"
    )


def test_what_somebody_has_changed_is_not_run() -> None:
    made = revisions.controller_revision(staged(), 1, "bpfman")
    forged = copy.deepcopy(made)
    forged["data"]["byteCode"] = {"path": "/tmp/mine.o"}
    assert revisions.restored(forged, world.UID, SPEC, {}) is None
    assert revisions.restored(made, "of another object", SPEC, {}) is None
    assert revisions.restored({**made, "data": None}, world.UID, SPEC, {}) is None


def test_who_waits_for_its_turn_says_so_and_keeps_what_it_has() -> None:
    wanted = world.application(NEAR)
    before = told(running(wanted)) | {"revision": "old", "observedRevision": "old"}
    kept = Outcome(aim=Aim.RUN, seen=running(wanted).seen, waiting="waits for its turn", kept=True)
    made = status.status(
        kept, node="n1", uid=world.STATE, generation=4, revision="old", staged=True, before=before, now=NOW
    )
    assert made is not None and brief(made) == ("LoadSuccess", "Pending", "waits for its turn")
    assert (made["revision"], made["observedRevision"], made["programs"]) == ("old", "old", before["programs"])
    assert list(news.news(kept, before, made, node="n1", pods=())) == [], "not an Event for each node"
    empty = Outcome(aim=Aim.RUN, waiting="waits for its turn", kept=True)
    made = told(empty)
    assert brief(made)[0] == "NotLoaded" and made["programs"] == [] and "revision" not in made


def test_a_revision_is_told_and_only_what_is_staged_is_corrected_for_it() -> None:
    came = running(world.application(NEAR))
    before = told(came)

    def again(**more: Any) -> dict[str, Any] | None:
        return status.status(came, node="n1", uid=world.STATE, generation=3, before=before, now=NOW, **more)

    assert again(revision="r1") is None, "an agent of before has told none; nothing else is new"
    made = again(revision="r1", staged=True)
    assert made is not None and (made["revision"], made["observedRevision"]) == ("r1", "r1")


def test_doing_well_begins_anew_with_each_revision() -> None:
    came = running(world.application(NEAR))
    before = told(came) | {"revision": "r1", "observedRevision": "r1"}
    before["conditions"][0]["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    for staged_, since in ((True, "2026-05-04T03:02:01Z"), (False, "2026-01-01T00:00:00Z")):
        made = status.status(
            came, node="n1", uid=world.STATE, generation=3, revision="r2", staged=staged_, before=before, now=NOW
        )
        assert made is not None and made["conditions"][0]["lastTransitionTime"] == since


def test_a_refused_revision_does_not_run() -> None:
    wanted = world.application(NEAR)
    before = told(running(wanted)) | {"revision": "r1", "observedRevision": "r1"}
    came = running(wanted, rows=(failed(wanted, REPLACE, REFUSED),))
    made = status.status(
        came, node="n1", uid=world.STATE, generation=4, revision="r2", staged=True, before=before, now=NOW
    )
    assert made is not None and (made["revision"], made["observedRevision"]) == ("r1", "r2")
    assert made["appLoadStatus"] == "LoadError"
