"""A tc chain's life as a user and a client of bpfman have it: one daemon, two ways in, real packets, `tc` beside it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from skep.pb import bpfman_pb2 as pb
from skep.pb import bpfman_pb2_grpc
from tests import bpf_build, instance
from tests.kernel import kernel_rig

SECONDS = 30.0
OK, SHOT, PIPE = 0, 2, 3


@pytest.fixture
def network() -> Iterator[instance.Network]:
    with instance.network("tcstory") as made:
        yield made


@pytest.fixture
def skep(network: instance.Network) -> Iterator[instance.Instance]:
    """A daemon whose own network namespace is the test's."""
    with instance.instance("skep-tc", enter=network.enter) as running:
        yield running


def load(stub: bpfman_pb2_grpc.BpfmanStub, verdict: int) -> int:
    request = pb.LoadRequest(
        bytecode=pb.BytecodeLocation(file=str(bpf_build.build("tc_count"))),
        info=[pb.LoadInfo(name="count", program_type=pb.TC)],
        global_data={"verdict": verdict.to_bytes(4, "little", signed=True)},
    )
    return int(stub.Load(request, timeout=SECONDS).programs[0].kernel_info.id)


def answer(skep: instance.Instance, *words: str) -> Any:  # Any: JSON
    return json.loads(skep.cli(*words, "-o", "json").stdout)


def shown(network: instance.Network) -> list[str]:
    words = ["tc", "-n", network.name, "filter", "show", "dev", network.near, "ingress"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if "handle" in line]


def test_a_chain_from_both_ways_in(skep: instance.Instance, network: instance.Network) -> None:
    with grpc.insecure_channel(f"unix:{skep.layout.socket}") as channel:
        stub = bpfman_pb2_grpc.BpfmanStub(channel)
        shooting, counting = load(stub, SHOT), load(stub, PIPE)
        info = pb.TCAttachInfo(iface=network.near, direction="ingress", priority=50, proceed_on=[OK, PIPE])
        first = stub.Attach(pb.AttachRequest(id=shooting, attach=pb.AttachInfo(tc_attach_info=info)), timeout=SECONDS)
        attaching = ("link", "attach", "tc", str(counting), network.near, "ingress", "--priority", "10")
        assert skep.cli(*attaching, "-o", "name").stdout.split() == [f"link/{first.link_id + 1}"]
        info = pb.TCAttachInfo(iface=network.near, direction="sideways", priority=50)
        with pytest.raises(grpc.RpcError) as refused:
            stub.Attach(pb.AttachRequest(id=counting, attach=pb.AttachInfo(tc_attach_info=info)), timeout=SECONDS)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    kernel_rig.send(network, 7)

    chain = answer(skep, "chain", "get", network.near, "--type", "tc-ingress")
    assert [(one["priority"], one["counts"]["runs"], one["counts"]["stopped"]) for one in chain["members"]] == [
        (10, 7, {}),
        (50, 7, {"shot": 7}),
    ]
    assert [one["proceed_on_names"] for one in chain["members"]] == [["pipe", "dispatcher_return"], ["ok", "pipe"]]
    assert (chain["runtime"]["filter_priority"], chain["runtime"]["filter_handle"]) == (50, 1)
    (line,) = shown(network)
    assert f"id {chain['runtime']['program_id']} " in line
    assert skep.layout.pins in line
    (dispatcher,) = answer(skep, "dispatcher", "list")["dispatchers"]
    assert (dispatcher["key"]["type"], dispatcher["member_count"]) == ("tc-ingress", 2)
    link = answer(skep, "link", "get", str(first.link_id))
    assert (link["record"]["kind"], link["record"]["details"]["proceed_on"]) == ("tc", [OK, PIPE])
    assert (link["status"]["state"], link["status"]["counts"]["stopped"]) == ("attached", {"shot": 7})

    skep.cli("link", "update", str(first.link_id), "--proceed-on", "shot")
    kernel_rig.send(network, 3)
    counts = answer(skep, "link", "get", str(first.link_id))["status"]["counts"]
    assert (counts["runs"], counts["proceeded"], counts["stopped"]) == (10, 3, {"shot": 7})
    (line,) = shown(network)
    assert f"id {chain['runtime']['program_id']} " not in line

    assert "agree" in skep.cli("doctor").stdout
    skep.cli("link", "detach", str(first.link_id), str(first.link_id + 1))
    assert shown(network) == []
    assert skep.cli("chain", "get", network.near, "--type", "tc-ingress", check=False).returncode == 3
    skep.cli("program", "unload", str(shooting), str(counting))
    assert "agree" in skep.cli("doctor").stdout


def test_a_wrong_word_is_refused_in_words(skep: instance.Instance, network: instance.Network) -> None:
    skep.cli("program", "load", "file", str(bpf_build.build("tc_count")), "--programs", "tc:count")
    (program,) = skep.cli("program", "list", "-o", "name").stdout.split()
    before = skep.pins()
    attach = ("link", "attach", "tc", program.removeprefix("program/"), network.near)
    for words, code, told in (
        (("inward", "-p", "1"), 10, "ingress, egress"),
        (("ingress", "-p", "-1"), 10, "out of range"),
        (("ingress", "-p", "1", "--proceed-on", "pass"), 10, "unspec, ok, reclassify"),
        (("ingress", "-p", "1", "--mode", "skb"), 2, "--mode"),
        (("ingress", "-p", "1", "--netns", "/run/netns/no-such"), 3, "no network namespace"),
    ):
        done = skep.cli(*attach, *words, check=False)
        assert (done.returncode, told in done.stderr) == (code, True), done.stderr
    assert skep.pins() == before
    assert shown(network) == []
