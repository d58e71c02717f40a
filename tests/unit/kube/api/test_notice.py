"""Events as values: names that count, shapes that kubectl shows, and no more than an object's share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.kube.api import notice
from skep.kube.api.key import Key
from skep.kube.api.notice import About, Budget, Notice, Times

NOW = datetime(2026, 11, 21, 20, 5, 7, 89, tzinfo=UTC)
APP = About(api_version="bpfman.io/v1alpha1", kind="BpfApplication", key=Key(namespace="n", name="app"), uid="1-2")
NODE = About(api_version="v1", kind="Node", key=Key(name="node-1"), uid="3-4")
TOLD = Notice(about=APP, reason="Attached", message="to eth0")


def test_an_event_is_what_kubectl_describe_shows() -> None:
    times = Times(count=1, first=NOW, last=NOW).again(NOW + timedelta(seconds=2))
    assert notice.event(TOLD, times, component="skep-agent", host="node-1") == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": notice.key(TOLD).name, "namespace": "n"},
        "involvedObject": {
            "apiVersion": "bpfman.io/v1alpha1", "kind": "BpfApplication", "name": "app", "namespace": "n", "uid": "1-2",
        },
        "reason": "Attached",
        "message": "to eth0",
        "type": "Normal",
        "source": {"component": "skep-agent", "host": "node-1"},
        "reportingComponent": "skep-agent",
        "reportingInstance": "node-1",
        "count": 2,
        "firstTimestamp": "2026-11-21T20:05:07Z",
        "lastTimestamp": "2026-11-21T20:05:09Z",
    }  # fmt: skip


def test_an_event_about_a_cluster_scoped_object_is_in_the_default_namespace() -> None:
    told = Notice(about=NODE, reason="Seen", message="m", warning=True)
    made = notice.event(told, Times(count=1, first=NOW, last=NOW), component="c", host="h")
    assert made["metadata"]["namespace"] == "default"
    assert "namespace" not in made["involvedObject"] and made["type"] == "Warning"


def test_the_same_thing_has_the_same_name_and_another_another() -> None:
    same = Notice(about=APP, reason="Attached", message="to eth0")
    others = [
        Notice(about=APP, reason="Attached", message="to eth1"),
        Notice(about=APP, reason="Detached", message="to eth0"),
        Notice(about=APP, reason="Attached", message="to eth0", warning=True),
        Notice(about=NODE, reason="Attached", message="to eth0"),
    ]
    assert notice.key(same) == notice.key(TOLD)
    assert len({notice.key(each).name for each in (TOLD, *others)}) == 5


def test_it_is_counted_on_what_is_there() -> None:
    event = {"count": 3, "firstTimestamp": "then", "lastTimestamp": "then"}
    counted = notice.counted(event, Times(count=2, first=NOW, last=NOW))
    assert counted == {"count": 5, "firstTimestamp": "then", "lastTimestamp": "2026-11-21T20:05:07Z"}


@pytest.mark.parametrize("name", ["a" * 253, "a" * 238 + ".b", "a." * 126 + "a"])
def test_a_long_name_fits(name: str) -> None:
    about = About(api_version="v1", kind="Node", key=Key(name=name), uid="")
    made = notice.key(Notice(about=about, reason="R", message="m")).name
    assert len(made) <= 253 and ".." not in made and "-." not in made


@given(st.text(max_size=3000))
def test_a_message_is_cut_to_what_the_api_server_takes(message: str) -> None:
    try:
        message.encode()
    except UnicodeEncodeError:
        return
    cut = notice.cut(message)
    assert len(cut.encode()) <= notice.LONGEST
    assert cut == message or (cut.endswith("…") and message.startswith(cut[:-1]))


def test_each_object_has_a_budget_of_its_own_that_fills_again() -> None:
    budget = Budget(burst=2, seconds=10)
    assert [budget.take(APP, 0), budget.take(APP, 0), budget.take(APP, 0)] == [True, True, False]
    assert budget.take(NODE, 0)
    assert [budget.take(APP, 9.9), budget.take(APP, 10), budget.take(APP, 10)] == [False, True, False]
    assert [budget.take(APP, 100) for _ in range(3)] == [True, True, False]


def test_a_budget_forgets_whoever_is_full_again() -> None:
    budget = Budget(burst=2, seconds=10)
    for number in range(5000):
        about = About(api_version="v1", kind="Node", key=Key(name=str(number)), uid="")
        assert budget.take(about, number)
    assert len(budget._free_at) <= 1024
