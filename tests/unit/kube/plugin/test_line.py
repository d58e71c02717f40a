"""Which lines of logs are about an application."""

from __future__ import annotations

import pytest

from skep.kube.plugin import line

OWN, CLUSTER = "BpfApplication/web/counter", "ClusterBpfApplication/counter"


@pytest.mark.parametrize(
    ("key", "text", "wanted"),
    [
        (OWN, "info skep.kube.agent BpfApplication/web/counter: Attached: 1 link", True),
        (OWN, "info skep.kube.operator web/counter: applied on 1 node", True),
        (OWN, "owner=BpfApplication/web/counter@worker-1", True),
        (OWN, "BpfApplication/web/counter-2: Attached", False),
        (OWN, "BpfApplication/web/counter.v2: Attached", False),
        (OWN, "BpfApplication/other/counter: Attached", False),
        (OWN, "ClusterBpfApplication/counter: Attached", False),
        (OWN, "counter", False),
        (CLUSTER, "warning ClusterBpfApplication/counter: no.", True),
        (CLUSTER, "info skep.kube.operator counter: applied on 1 node", True),
        (CLUSTER, "the map counter.rodata", False),
        (CLUSTER, "my-counter: x", False),
        (CLUSTER, "BpfApplication/web/counter: Attached", False),
    ],
)
def test_lines(key: str, text: str, wanted: bool) -> None:
    assert line.about(key)(text) is wanted
