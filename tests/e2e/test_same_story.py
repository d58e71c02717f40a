"""bpftool and ip tell of programs, maps, links and interfaces what skep tells of them, field by field."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests import bpf_build, instance

PROGRAMS = ("xdp:on_xdp", "tcx:on_tcx", "tracepoint:on_tracepoint", "uprobe:on_uprobe", "uretprobe:on_uretprobe")
CILIUM = {"schedcls": "sched_cls"}
"""bpfman's name of a type (the Go library's, and skep's), in bpftool's words."""
BPF_LINK_TYPE_TCX = 11
"""linux/bpf.h; bpftool 7.1 prints types that it does not know as numbers."""


@pytest.fixture(scope="module")
def network() -> Iterator[instance.Network]:
    with instance.network("story") as made:
        yield made


@pytest.fixture(scope="module")
def skep(network: instance.Network) -> Iterator[instance.Instance]:
    """One daemon with every type loaded and attached, and two programs in the XDP chain."""
    with instance.instance("story") as running:
        object = str(bpf_build.build("every_type"))
        near = (network.near, "-n", network.path)
        for word in (*PROGRAMS, PROGRAMS[0]):
            kind = word.partition(":")[0]
            loaded = told(running, "program", "load", "file", object, "--programs", word, "-g", "verdict=02000000")
            id = str(loaded["programs"][0]["record"]["program_id"])
            match kind:
                case "xdp":
                    words = ["xdp", id, *near[:1], "-p", "50", *near[1:]]
                case "tcx":
                    words = ["tcx", id, near[0], "ingress", "-p", "50", *near[1:]]
                case "tracepoint":
                    words = ["tracepoint", id, "syscalls/sys_enter_getppid"]
                case _:
                    words = ["uprobe", id, "libc", "--fn-name", "getppid", "--pid", str(os.getpid())]
            told(running, "link", "attach", *words)
        yield running


def told(skep: instance.Instance, *words: str) -> Any:
    return json.loads(skep.cli(*words, "-o", "json").stdout)


def ran(*words: str) -> Any:
    return json.loads(subprocess.run(words, capture_output=True, check=True).stdout)


def second(text: str) -> int:
    return int(datetime.datetime.fromisoformat(text).timestamp())


def programs(skep: instance.Instance) -> list[dict[str, Any]]:
    ids = [one["program_id"] for one in told(skep, "program", "list")["programs"]]
    assert len(ids) == len(PROGRAMS) + 1
    return [told(skep, "program", "get", str(id)) for id in ids]


def bpftool_program(seen: dict[str, Any]) -> dict[str, Any]:
    """A program of skep's in bpftool's words."""
    return {
        "id": seen["id"],
        "type": CILIUM.get(seen["program_type"], seen["program_type"]),
        "name": seen["name"],
        "tag": seen["tag"],
        "gpl_compatible": seen["gpl_compatible"],
        "uid": seen["uid"],
        "bytes_xlated": seen["xlated_size"],
        "jited": seen["jited_size"] > 0,
        "bytes_jited": seen["jited_size"],
        "bytes_memlock": seen["memlock"],
        "map_ids": seen["map_ids"],
        "btf_id": seen["btf_id"],
    }


def test_programs(skep: instance.Instance) -> None:
    for document in programs(skep):
        seen = document["status"]["kernel"]
        shown = ran("bpftool", "-j", "prog", "show", "id", str(seen["id"]))
        loaded_at = shown.pop("loaded_at")
        for field, value in bpftool_program(seen).items():
            assert (field, shown[field]) == (field, value), seen["name"]
        assert set(shown) == set(bpftool_program(seen)), "nothing that bpftool tells was left out"
        assert abs(second(seen["loaded_at"]) - loaded_at) <= 1  # each adds the boot's time and rounds by itself
        pinned = ran("bpftool", "-j", "prog", "show", "pinned", document["record"]["handles"]["pin"])
        assert (pinned["id"], pinned["tag"]) == (document["record"]["program_id"], seen["tag"])


def test_maps(skep: instance.Instance) -> None:
    listed = {one["id"]: one for one in told(skep, "map", "list")["maps"]}
    frozen = 0
    for document in programs(skep):
        for seen in document["status"]["maps"]:
            shown = ran("bpftool", "-j", "map", "show", "id", str(seen["id"]))
            mine = {
                "id": seen["id"],
                "type": seen["map_type"],
                "name": seen["name"],
                "flags": seen["flags"],
                "bytes_key": seen["key_size"],
                "bytes_value": seen["value_size"],
                "max_entries": seen["max_entries"],
                "bytes_memlock": seen["memlock"],
                "frozen": int(seen["frozen"]),
                "btf_id": seen["btf_id"],
            }
            assert {field: shown.get(field) for field in mine} == mine
            frozen += shown["frozen"]
            assert ran("bpftool", "-j", "map", "show", "pinned", seen["pin_path"])["id"] == seen["id"]
            whole = told(skep, "map", "get", str(seen["id"]))  # which also tells of types
            assert seen == listed[seen["id"]] == {field: whole[field] for field in seen}, "told alike everywhere"
    assert frozen >= len(PROGRAMS), "constants are frozen"


def test_links(skep: instance.Instance, network: instance.Network) -> None:
    shown = {one["id"]: one for one in ran(*network.enter, "bpftool", "-j", "link", "show")}
    links = told(skep, "link", "list")["links"]
    assert len(links) == len(PROGRAMS) + 1
    for link in links:
        seen = told(skep, "link", "get", str(link["id"]))["status"]["kernel"]
        theirs = shown[link["kernel_link_id"]]
        kind = BPF_LINK_TYPE_TCX if seen["link_type"] == "tcx" else seen["link_type"]
        assert (theirs["id"], theirs["type"], theirs["prog_id"]) == (seen["id"], kind, seen["program_id"])
        expected = link["details"]["dispatcher_id"] if link["kind"] == "xdp" else link["program_id"]
        assert seen["program_id"] == expected
        assert ran("bpftool", "-j", "link", "show", "pinned", link["pin_path"])["id"] == link["kernel_link_id"]


def test_the_interface(skep: instance.Instance, network: instance.Network) -> None:
    chain = told(skep, "chain", "get", network.near, "-n", network.path)
    (shown,) = ran(*network.enter, "ip", "-d", "-j", "link", "show", network.near)
    program = ran("bpftool", "-j", "prog", "show", "id", str(shown["xdp"]["prog"]["id"]))
    links = [one for one in told(skep, "link", "list")["links"] if one["kind"] == "xdp"]
    assert shown["ifindex"] == chain["key"]["ifindex"]
    assert {"drv": 1, "skb": 2}[chain["mode"]] == shown["xdp"]["mode"]  # IFLA_XDP_ATTACHED, linux/if_link.h
    assert shown["xdp"]["prog"]["id"] == chain["runtime"]["program_id"] == links[0]["details"]["dispatcher_id"]
    assert (program["name"], program["tag"]) == (shown["xdp"]["prog"]["name"], shown["xdp"]["prog"]["tag"])
    assert [one["mode"] for one in links] == [chain["mode"]] * 2

    # The chain uses its members' own maps, and one of its own that counts.
    members = [told(skep, "program", "get", str(one["program_id"])) for one in chain["members"]]
    used = {id for member in members for id in member["status"]["kernel"]["map_ids"]}
    (counter,) = set(program["map_ids"]) - used
    assert set(program["map_ids"]) >= {
        one["id"] for member in members for one in member["status"]["maps"] if one["name"] == "runs"
    }
    assert ran("bpftool", "-j", "map", "show", "id", str(counter))["type"] == "percpu_array"


def test_the_tcx_hook(skep: instance.Instance, network: instance.Network) -> None:
    """bpftool 7.1 does not list TCX; the kernel's own query does, through skep."""
    chain = told(skep, "chain", "get", network.near, "-n", network.path, "--type", "tcx-ingress")
    (link,) = (one for one in told(skep, "link", "list")["links"] if one["kind"] == "tcx")
    (member,) = chain["members"]
    assert (member["link_id"], member["program_id"]) == (link["id"], link["program_id"])
    assert member["form"] is None, "the kernel runs it itself; nothing is linked"
    assert (member["kernel_link_id"], member["link_pin_path"]) == (link["kernel_link_id"], link["pin_path"])
