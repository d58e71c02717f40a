"""The JSON that scripts written for bpfman read: every field, null against empty, names and types of values."""

from __future__ import annotations

import pytest

from skep.cli.document import kernel
from tests.unit.cli import fake

HOST = kernel.Host(booted_at=1_699_999_995.0, statistics=False)

KERNEL_PROGRAM = {
    "id", "name", "program_type", "tag", "loaded_at", "uid", "has_uid", "btf_id", "has_btf_id", "map_ids",
    "has_map_ids", "jited_size", "xlated_size", "verified_insns", "memlock", "has_memlock", "restricted",
}  # fmt: skip
PROGRAM_RECORD = {
    "program_id", "load", "license", "gpl_compatible", "has_xdp_frags", "handles", "meta", "created_at", "updated_at",
}  # fmt: skip
LOAD = {
    "object_path", "source_path", "program_name", "program_type", "global_data", "image_source", "attach_func",
    "map_owner_id",
}  # fmt: skip
STATUS = {"kernel", "stats", "prog_pin", "map_dir", "bytecode", "links", "maps", "map_used_by"}
MAP = {
    "id", "name", "map_type", "key_size", "value_size", "max_entries", "flags", "btf_id", "has_btf_id", "map_extra",
    "has_map_extra", "memlock", "has_memlock", "frozen", "pin_path", "present",
}  # fmt: skip
LINK_RECORD = {"id", "program_id", "kernel_link_id", "kind", "pin_path", "details", "created_at", "metadata"}
KERNEL_LINK = {
    "id", "program_id", "link_type", "attach_type", "ifindex", "target_obj_id", "target_btf_id", "cgroup_id",
    "netns_ino", "netfilter_pf", "netfilter_hooknum", "netfilter_priority", "netfilter_flags", "kprobe_multi_count",
    "kprobe_multi_flags", "kprobe_multi_missed", "kprobe_address", "kprobe_missed",
}  # fmt: skip


def has(document, fields) -> None:
    assert fields <= set(document), fields - set(document)


def test_program_get(run) -> None:
    found = run("program", "get", "101", "-o", "json").json
    assert set(found) == {"record", "status"}
    record, status = found["record"], found["status"]
    has(record, PROGRAM_RECORD)
    has(record["load"], LOAD)
    has(record["handles"], {"pin_path", "map_pin_path", "map_owner_id"})
    has(record["meta"], {"name", "owner", "description", "metadata"})
    has(status, STATUS)
    has(status["kernel"], KERNEL_PROGRAM)
    has(status["maps"][0], MAP)
    has(status["links"][0]["record"], LINK_RECORD)
    has(status["links"][0]["status"], {"kernel", "kernel_seen", "pin_present"})
    assert record["program_id"] == 101
    assert record["load"] | {"object_digest": "", "section": ""} == {
        "object_path": "/objects/a.o", "source_path": "/objects/a.o", "program_name": "pass", "program_type": "xdp",
        "global_data": {"limit": "AQA="}, "image_source": None, "attach_func": None, "map_owner_id": None,
        "object_digest": "", "section": "",
    }  # fmt: skip
    assert record["handles"]["pin_path"] == status["prog_pin"] == "/pins/prog_101"
    assert record["handles"]["map_pin_path"] == status["map_dir"] == "/pins/maps/101"
    assert record["handles"]["map_owner_id"] is None
    assert record["meta"] == {
        "name": "pass", "owner": "", "description": "",
        "metadata": {"bpfman.io/application": "fw", "tier": "front"},
    }  # fmt: skip
    assert record["created_at"] == "2023-11-14T22:13:20.500000Z"
    assert record["updated_at"] is None
    assert status["map_used_by"] == [101]
    assert status["maps"][0]["map_type"] == "percpuarray"
    assert status["maps"][0]["pin_path"] == "/pins/sets/1/counts"
    assert status["kernel"]["program_type"] == "xdp"


def test_a_program_that_is_gone_has_no_kernel(run, skep) -> None:
    import dataclasses

    from skep import model

    gone = dataclasses.replace(fake.IDLE, status=model.ProgramStatus(kernel=None, pin_present=False, stale="reboot"))
    skep.all = (gone,)
    status = run("program", "get", "104", "-o", "json").json["status"]
    assert (status["kernel"], status["stats"], status["links"], status["maps"]) == (None, None, [], [])


def test_program_list(run) -> None:
    found = run("program", "list", "--all", "-o", "json").json
    assert set(found) == {"programs"}
    for entry in found["programs"]:
        assert set(entry) == {
            "program_id", "managed", "application", "type", "function_name", "links", "record", "kernel",
        }  # fmt: skip
    foreign, managed = found["programs"][:2]
    assert (foreign["program_id"], foreign["managed"], foreign["record"], foreign["links"]) == (50, False, None, [])
    assert (foreign["type"], foreign["function_name"], foreign["application"]) == ("tracing", "theirs", "")
    assert (managed["program_id"], managed["application"], managed["type"], managed["links"]) == (101, "fw", "xdp", [1])
    has(managed["record"], PROGRAM_RECORD)
    has(managed["kernel"], KERNEL_PROGRAM)


def test_an_empty_list_is_an_empty_array(run, skep) -> None:
    skep.all = ()
    assert run("program", "list", "-o", "json").json == {"programs": []}
    assert run("program", "list").out == ""


def test_load_answers_programs(run, object_file) -> None:
    found = run("program", "load", "file", object_file, "--programs", "xdp:pass", "-o", "json").json
    assert set(found) == {"programs"}
    has(found["programs"][0], {"record", "status"})
    has(found["programs"][0]["status"], STATUS)


@pytest.mark.parametrize(
    "id, kind, details",
    [
        (1, "xdp", {
            "interface": "eth0", "ifindex": 2, "priority": 50, "position": 0, "proceed_on": [2, 31], "netns": "",
            "nsid": 4026531840, "dispatcher_id": 800, "revision": 3,
        }),
        (3, "tracepoint", {"group": "sched", "name": "sched_switch"}),
        (4, "uretprobe", {
            "target": "libc", "fn_name": "malloc", "offset": 0, "pid": 12, "retprobe": True, "container_pid": 0,
        }),
        (5, "tcx", {
            "interface": "eth0", "ifindex": 2, "direction": "egress", "priority": 3, "position": 0, "netns": "",
            "nsid": 4026531840,
        }),
    ],
)  # fmt: skip
def test_link_get(run, id: int, kind: str, details: dict[str, object]) -> None:
    found = run("link", "get", str(id), "-o", "json").json
    assert set(found) == {"record", "status"}
    has(found["record"], LINK_RECORD)
    has(found["status"], {"kernel", "kernel_seen", "pin_present"})
    has(found["status"]["kernel"], KERNEL_LINK)
    assert (found["record"]["id"], found["record"]["kind"], found["record"]["details"]) == (id, kind, details)
    assert found["status"]["kernel_seen"] is True


def test_metadata_of_a_link_is_null_when_there_is_none(run) -> None:
    assert run("link", "get", "1", "-o", "json").json["record"]["metadata"] == {"who": "me"}
    assert run("link", "get", "3", "-o", "json").json["record"]["metadata"] is None


def test_a_chain_member_names_the_chains_kernel_link(run) -> None:
    record = run("link", "get", "2", "-o", "json").json["record"]
    assert (record["kernel_link_id"], record["pin_path"]) == (900, "/pins/chains/x/link")
    assert record["details"]["proceed_on"] == [1, 2]


def test_link_list(run) -> None:
    found = run("link", "list", "-o", "json").json
    assert set(found) == {"links"}
    assert [entry["id"] for entry in found["links"]] == [1, 2, 3, 4, 5]
    for entry in found["links"]:
        has(entry, LINK_RECORD)


def test_link_attach_answers_the_link(run) -> None:
    found = run("link", "attach", "xdp", "101", "eth0", "-p", "50", "-o", "json").json
    assert found == run("link", "get", "1", "-o", "json").json


def test_dispatcher_get(run) -> None:
    found = run("dispatcher", "get", "xdp", "4026531840", "2", "-o", "json").json
    assert set(found) == {"key", "revision", "runtime", "members"}
    assert found["key"] == {"type": "xdp", "nsid": 4026531840, "ifindex": 2}
    assert found["revision"] == 3
    assert found["runtime"] == {
        "program_id": 800, "kernel_link_id": 900, "filter_priority": None, "filter_handle": None, "netns_path": "",
    }  # fmt: skip
    fields = {
        "program_id", "program_name", "prog_pin_path", "link_id", "kernel_link_id", "link_pin_path", "position",
        "priority", "proceed_on", "ifname", "metadata",
    }  # fmt: skip
    for member in found["members"]:
        has(member, fields)
    first = found["members"][0]
    assert (first["program_id"], first["link_id"], first["position"], first["priority"]) == (101, 1, 0, 50)
    assert first["proceed_on"] == 2147483652  # bpfman's expected mask for pass and dispatcher_return
    assert found["members"][1]["proceed_on"] == 6
    assert (first["metadata"], found["members"][1]["metadata"]) == ({"who": "me"}, None)


@pytest.mark.parametrize("words", [(), ("list",), ("--type", "xdp"), ("list", "--ifindex", "2")])
def test_dispatcher_list(run, words: tuple[str, ...]) -> None:
    found = run("dispatcher", *words, "-o", "json").json
    assert found == {
        "dispatchers": [
            {
                "key": {"type": "xdp", "nsid": 4026531840, "ifindex": 2},
                "revision": 3,
                "runtime": run("dispatcher", "get", "xdp", "4026531840", "2", "-o", "json").json["runtime"],
                "member_count": 2,
            }
        ]
    }


def test_dispatcher_filters_leave_others_out(run) -> None:
    assert run("dispatcher", "list", "--type", "tc-ingress", "-o", "json").json == {"dispatchers": []}
    assert run("dispatcher", "list", "--ifindex", "9", "-o", "json").json == {"dispatchers": []}


def test_chain_get_adds_counters(run) -> None:
    found = run("chain", "get", "eth0", "-o", "json").json
    assert found["packets"] == 1000
    assert [member["counts"] for member in found["members"]] == [
        {"runs": 1000, "proceeded": 750, "stopped": {"drop": 250}},
        {"runs": 750, "proceeded": 0, "stopped": {"aborted": 50, "pass": 700}},
    ]
    assert [member["form"] for member in found["members"]] == ["inline", "call"]
    assert found["members"][0]["proceed_on_names"] == ["pass", "dispatcher_return"]


def test_times_are_wall_clock() -> None:
    seen = kernel.program(fake.kernel_program(1), HOST)
    assert seen["loaded_at"] == "2023-11-14T22:13:20Z"


def test_statistics_are_null_until_the_kernel_counts() -> None:
    assert kernel.statistics(fake.kernel_program(1), HOST) is None
    counted = fake.kernel_program(1, run_count=3, run_time_ns=40)
    assert kernel.statistics(counted, HOST) == {"runtime": 40, "run_count": 3, "recursion_misses": 0}
    enabled = kernel.Host(booted_at=0.0, statistics=True)
    assert kernel.statistics(fake.kernel_program(1), enabled) == {"runtime": 0, "run_count": 0, "recursion_misses": 0}
