import re

import pytest

from skep.kube import naming


@pytest.mark.parametrize(
    "application", ["a", "x" * 63, "x" * 64, "x" * 253, "a." * 126 + "b"], ids=lambda value: str(len(value))
)
def test_names_and_labels_are_legal_whatever_the_length(application: str) -> None:
    name = naming.state_name(application, "node-1")
    assert len(name) <= 253 and re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", name)
    for value in naming.state_labels(application, "n" * 200).values():
        assert len(value) <= 63 and re.fullmatch(r"[a-z0-9]([-a-z0-9._]*[a-z0-9])?", value)


def test_short_values_stay_as_they_are() -> None:
    assert naming.state_labels("counter", "node-1") == {
        "bpfman.io/ownedByProgram": "counter",
        "kubernetes.io/hostname": "node-1",
    }


def test_two_nodes_have_two_states_and_two_long_names_two_labels() -> None:
    assert naming.state_name("app", "a") != naming.state_name("app", "b")
    assert naming.state_name("app", "a") == naming.state_name("app", "a")
    assert naming.label("x" * 70) != naming.label("x" * 71)
