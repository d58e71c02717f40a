"""Which node gets which revision: every turn of a rollout, told as a story of what is assigned and what is said."""

from __future__ import annotations

import dataclasses
import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skep.kube import naming
from skep.kube.operator.rollout import asked
from skep.kube.operator.rollout.asked import Asked, OnFailure
from skep.kube.operator.rollout.told import Phase
from tests.unit.kube.operator.rollout.played import Cluster, running

RETURN = OnFailure.RETURN


def test_one_after_another_by_name() -> None:
    cluster = running("v1", "b", "a", "c")
    cluster.spec = "v2"
    seen = []
    for _ in range(4):
        told = cluster.decide().told
        seen.append((cluster.brief(), told.phase.value, told.updated, told.ready))
        cluster.run()
    assert seen == [
        ("a=v2 b=v1 c=v1", "Progressing", 0, 0),
        ("a=v2 b=v2 c=v1", "Progressing", 1, 1),
        ("a=v2 b=v2 c=v2", "Progressing", 2, 2),
        ("a=v2 b=v2 c=v2", "Complete", 3, 3),
    ]


def test_a_first_version_too_goes_from_node_to_node() -> None:
    cluster = Cluster()
    cluster.join("a", "b")
    cluster.run()
    cluster.decide()
    assert cluster.brief() == "a=v1 b=-"
    told = cluster.settle()
    assert (told.phase, told.previous, cluster.most_under_way) == (Phase.COMPLETE, "", 1)


def test_groups_come_one_after_another_also_where_there_is_room() -> None:
    cluster = running("v1", "a", "b", unavailable=3)
    cluster.join("canary")
    cluster.settle()
    for name in ("a", "b"):
        cluster.change(name, group=1)
    cluster.spec = "v2"
    cluster.decide()
    assert cluster.brief() == "a=v1 b=v1 canary=v2"
    cluster.run("a", "b")
    cluster.decide()
    assert cluster.brief() == "a=v1 b=v1 canary=v2"
    cluster.run()
    cluster.decide()
    assert cluster.brief() == "a=v2 b=v2 canary=v2"


def test_a_node_that_does_well_is_watched_for_a_while() -> None:
    cluster = running("v1", "a", "b", settle=datetime.timedelta(seconds=30))
    cluster.spec = "v2"
    cluster.decide()
    cluster.run()
    made = cluster.decide()
    assert made.again == datetime.timedelta(seconds=30) and "watching a for 30 s" in made.told.message
    assert (made.told.updated, made.told.ready) == (1, 0)
    cluster.now += datetime.timedelta(seconds=29)
    cluster.decide()
    assert cluster.brief() == "a=v2 b=v1"
    cluster.now += datetime.timedelta(seconds=1)
    cluster.decide()
    assert cluster.brief() == "a=v2 b=v2"


@pytest.mark.parametrize(
    ("value", "total", "most"), [(1, 30, 1), (7, 3, 7), ("10%", 30, 3), ("10%", 31, 4), ("1%", 3, 1), ("100%", 5, 5)]
)
def test_how_many_at_once(value: int | str, total: int, most: int) -> None:
    assert asked.read({"maxUnavailable": value}).most(total) == most


def test_a_refusal_pauses_and_goes_on_by_itself() -> None:
    cluster = running("v1", "a", "b", "c")
    cluster.spec, cluster.refuses = "v2", {"b": {"v2"}}
    told = cluster.settle()
    assert (told.phase, told.failed, told.updated) == (Phase.PAUSED, ("b",), 1)
    assert cluster.brief() == "a=v2 b=v2 c=v1"
    assert told.message.startswith(
        "1 of 3 nodes have revision v2; refused by b: v2 is no good; no other node is changed"
    )
    cluster.refuses = {}
    assert cluster.settle().phase is Phase.COMPLETE


def test_a_refusal_returns_all_nodes_and_is_remembered() -> None:
    cluster = running("v1", "a", "b", "c", on_failure=RETURN)
    cluster.spec, cluster.refuses = "v2", {"b": {"v2"}}
    told = cluster.settle()
    assert (told.phase, told.revision, told.previous, told.failed) == (Phase.RETURNED, "v2", "v1", ("b",))
    assert cluster.brief() == "a=v1 b=v1 c=v1"
    assert "v2 was refused by b: b: v2" not in told.message and "v2 was refused by b: v2 is no good" in told.message
    cluster.refuses = {}
    assert cluster.settle().phase is Phase.RETURNED, "it is not tried again, although it would be taken now"
    cluster.join("new")
    assert cluster.settle().phase is Phase.RETURNED
    assert cluster.brief() == "a=v1 b=v1 c=v1 new=v1"
    cluster.spec = "v3"
    told = cluster.settle()
    assert (told.phase, told.previous, told.failed) == (Phase.COMPLETE, "v1", ())


def test_a_return_begins_at_once_and_lasts_until_nodes_have_answered() -> None:
    cluster = running("v1", "a", "b", on_failure=RETURN, unavailable=2)
    cluster.spec, cluster.refuses = "v2", {"b": {"v2"}}
    cluster.decide()
    cluster.run()
    told = cluster.decide().told
    assert (told.phase, cluster.brief()) == (Phase.RETURNING, "a=v1 b=v1")
    cluster.run("b")
    assert cluster.decide().told.phase is Phase.RETURNING
    assert "returning to v1: a" in cluster.decide().told.message
    cluster.run("a")
    assert cluster.decide().told.phase is Phase.RETURNED


def test_a_first_version_cannot_return() -> None:
    cluster = Cluster(asked=Asked(on_failure=RETURN), refuses={"a": {"v1"}})
    cluster.join("a", "b")
    told = cluster.settle()
    assert told.phase is Phase.PAUSED and "there is no version to return to" in told.message


def test_a_version_that_is_stored_no_longer_is_not_returned_to() -> None:
    cluster = running("v1", "a", "b", on_failure=RETURN)
    cluster.stored.clear()
    cluster.spec, cluster.refuses = "v2", {"a": {"v2"}}
    assert cluster.settle().phase is Phase.PAUSED
    assert cluster.brief() == "a=v2 b=v1"


def test_what_was_refused_is_not_tried_again_because_the_good_one_is_lost() -> None:
    cluster = running("v1", "a", "b", on_failure=RETURN)
    cluster.spec, cluster.refuses = "v2", {"a": {"v2"}}
    cluster.settle()
    cluster.stored.discard("v1")
    cluster.refuses = {}
    cluster.join("new")
    assert (cluster.settle().phase, cluster.brief()) == (Phase.RETURNED, "a=v1 b=v1 new=-")


def test_paused_by_its_author() -> None:
    cluster = running("v1", "a", "b", "c")
    cluster.spec = "v2"
    cluster.decide()
    cluster.asked = dataclasses.replace(cluster.asked, paused=True)
    told = cluster.settle()
    assert (told.phase, cluster.brief()) == (Phase.PAUSED, "a=v2 b=v1 c=v1")
    cluster.join("new")
    cluster.settle()
    assert cluster.nodes["new"].running == "v1", "the newest good one, while it is paused"
    cluster.asked = Asked()
    assert cluster.settle().phase is Phase.COMPLETE


def test_edited_in_the_middle_what_was_good_stays_good() -> None:
    cluster = running("v1", "a", "b", on_failure=RETURN)
    cluster.spec = "v2"
    cluster.decide()
    cluster.run()
    cluster.spec, cluster.refuses = "v3", {"b": {"v3"}}
    told = cluster.settle()
    assert (told.phase, told.previous, cluster.brief()) == (Phase.RETURNED, "v1", "a=v1 b=v1")


def test_edited_back_in_the_middle() -> None:
    cluster = running("v1", "a", "b", "c")
    cluster.spec = "v2"
    cluster.decide()
    cluster.run()
    cluster.spec = "v1"
    told = cluster.settle()
    assert (told.phase, told.previous, cluster.brief()) == (Phase.COMPLETE, "v1", "a=v1 b=v1 c=v1")
    cluster.spec = "v2"
    cluster.refuses = {"a": {"v2"}}
    cluster.asked = Asked(on_failure=RETURN)
    assert (cluster.settle().phase, cluster.brief()) == (Phase.RETURNED, "a=v1 b=v1 c=v1")


def test_who_failed_before_and_who_is_not_ready_count() -> None:
    cluster = running("v1", "a", "b", "c")
    cluster.change("c", ready=False)
    cluster.spec = "v2"
    told = cluster.settle()
    assert (told.phase, cluster.brief()) == (Phase.PROGRESSING, "a=v1 b=v1 c=v1")
    assert "not ready: c" in told.message
    cluster.change("c", ready=True)
    assert cluster.settle().phase is Phase.COMPLETE


def test_a_version_that_works_nowhere_can_be_replaced() -> None:
    cluster = Cluster(refuses={name: {"v1"} for name in "abc"})
    cluster.join("a", "b", "c")
    assert cluster.settle().phase is Phase.PAUSED
    cluster.spec = "v2"
    assert cluster.settle().phase is Phase.COMPLETE
    assert cluster.most_under_way == 1


def test_who_fails_before_in_a_later_group_does_not_stop_it_for_ever() -> None:
    cluster = running("v1", "a", "b")
    cluster.change("b", group=1)
    cluster.refuses = {"b": {"v1"}}
    cluster.run()
    cluster.spec = "v2"
    cluster.decide()
    assert cluster.brief() == "a=v1 b=v2", "the one that is without it anyway"
    assert cluster.settle().phase is Phase.COMPLETE


def test_half_of_thirty_refuse() -> None:
    names = [f"n{number:02}" for number in range(30)]
    for policy, phase in ((OnFailure.PAUSE, Phase.PAUSED), (RETURN, Phase.RETURNED)):
        cluster = running("v1", *names, unavailable=10, percent=True, on_failure=policy)
        cluster.spec, cluster.refuses = "v2", {name: {"v2"} for name in names[1::2]}
        told = cluster.settle()
        assert told.phase is phase and cluster.most_under_way <= 3
        assert set(told.failed) <= set(names[1::2]) and len(told.failed) <= 3
        assert sum(each.running == "v2" for each in cluster.nodes.values()) <= 3


def test_a_node_vanishes_with_the_change_that_it_refused() -> None:
    cluster = running("v1", "a", "b")
    cluster.spec, cluster.refuses = "v2", {"a": {"v2"}}
    assert cluster.settle().phase is Phase.PAUSED
    del cluster.nodes["a"]
    assert cluster.settle().phase is Phase.COMPLETE


def test_nodes_that_join_later_get_it_at_once() -> None:
    cluster = running("v1", "a")
    cluster.join("b", "c", "d")
    cluster.decide()
    assert cluster.brief() == "a=v1 b=v1 c=v1 d=v1"


def test_a_rollout_that_is_added_takes_over_what_runs() -> None:
    cluster = Cluster()
    cluster.join("a", "b")
    for name in ("a", "b"):
        cluster.change(name, running="v1", observed="v1", type=naming.SUCCESS)
    assert cluster.settle().phase is Phase.COMPLETE
    assert cluster.most_under_way == 0


def test_a_rollout_that_is_added_with_a_change_leaves_nodes_as_they_are_until_their_turn() -> None:
    cluster = Cluster(spec="v2")
    cluster.join("a", "b", "c")
    for name in ("a", "b", "c"):
        cluster.change(name, running="v1", observed="v1", type=naming.PENDING)
    cluster.decide()
    assert cluster.brief() == "a=v2 b=- c=-"
    assert cluster.settle().phase is Phase.COMPLETE
    assert cluster.most_under_way == 1


def test_nobody_is_assigned_what_it_has_no_state_for() -> None:
    cluster = running("v1", "a")
    cluster.join("b")
    cluster.change("b", there=False)
    cluster.spec = "v2"
    made = cluster.decide()
    assert made.assign == () and "no agent reports from b" in made.told.message


def test_without_nodes_nothing_is_complete() -> None:
    cluster = Cluster()
    assert cluster.settle().phase is Phase.PROGRESSING


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_happens_it_keeps_its_promise_and_ends(data: st.DataObject) -> None:
    names = [f"n{number}" for number in range(data.draw(st.integers(1, 6), "nodes"))]
    cluster = Cluster(
        asked=Asked(
            unavailable=data.draw(st.integers(1, 3), "most"),
            on_failure=data.draw(st.sampled_from(OnFailure), "on failure"),
            settle=datetime.timedelta(seconds=data.draw(st.sampled_from([0, 5]), "settle")),
        )
    )
    for name in names:
        cluster.join(name, group=data.draw(st.integers(0, 2), "group"))
    for _ in range(data.draw(st.integers(0, 25), "steps")):
        what = data.draw(
            st.sampled_from(
                ["run", "run", "decide", "decide", "spec", "ready", "vanish", "join", "refuse", "pause", "later"]
            )
        )
        some = data.draw(st.sampled_from([*sorted(cluster.nodes)] or ["none"]))
        match what:
            case "run":
                cluster.run(some)
            case "decide":
                cluster.decide()
            case "spec":
                cluster.spec = data.draw(st.sampled_from(["v1", "v2", "v3"]))
            case "ready" if some in cluster.nodes:
                cluster.change(some, ready=not cluster.nodes[some].ready)
            case "vanish":
                cluster.nodes.pop(some, None)
            case "join":
                cluster.join(f"j{len(cluster.nodes)}")
            case "refuse":
                cluster.refuses.setdefault(some, set()).symmetric_difference_update({cluster.spec})
            case "pause":
                cluster.asked = dataclasses.replace(cluster.asked, paused=not cluster.asked.paused)
            case "later":
                cluster.now += datetime.timedelta(seconds=3)
    for name in list(cluster.nodes):
        cluster.change(name, ready=True)
    cluster.asked = dataclasses.replace(cluster.asked, paused=False)
    told = cluster.settle(steps=400)
    if not cluster.nodes:
        return
    refused = [name for name in cluster.nodes if cluster.spec in cluster.refuses.get(name, ())]
    if told.phase is Phase.COMPLETE:
        assert {each.assigned for each in cluster.nodes.values()} == {cluster.spec}
    elif told.phase is Phase.RETURNED:
        assert cluster.spec not in {each.assigned for each in cluster.nodes.values()}
        assert cluster.asked.on_failure is RETURN
    else:
        assert told.phase is Phase.PAUSED and refused, (told, cluster.nodes)
