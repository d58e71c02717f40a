"""The command line as a user has it, on the real kernel: through the daemon, and directly without one."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from skep import hooks, paths
from tests import bpf_build, instance

XDP_DROP, XDP_PASS = 1, 2
SEND = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
    out.bind((sys.argv[1], 0))
    for _ in range(int(sys.argv[2])):
        out.send(b"\\xff" * 6 + b"\\x02" + b"\\0" * 5 + b"\\x88\\xb5" + b"\\0" * 50)
"""
"""Frames of an experimental EtherType (IEEE 802, 0x88b5), which nothing in the namespace answers."""


@dataclass(frozen=True)
class Shell:
    """Runs skep on directories of its own; ``mode`` is "daemon" or "direct"."""

    mode: str
    layout: paths.Layout
    network: instance.Network

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*instance.command(), *words],
            env={**instance.environment(), "SKEP_RUNTIME_DIR": self.layout.runtime, **more},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def ok(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words, "-o", "json"))

    def load(self, *more: str) -> int:
        """Load the packet counter; its id."""
        (loaded,) = self.json("program", "load", "file", counter(), "--programs", "xdp:count", *more)["programs"]
        return int(loaded["record"]["program_id"])

    def send(self, packets: int) -> None:
        """Send frames from the far end to the near one."""
        words = [*self.network.enter, sys.executable, "-c", SEND, self.network.far, str(packets)]
        subprocess.run(words, check=True)

    def attach(self, program: int, priority: int, *more: str) -> Any:
        return self.json(
            "link",
            "attach",
            "xdp",
            str(program),
            self.network.near,
            "-n",
            self.network.path,
            "-p",
            str(priority),
            *more,
        )


def counter() -> str:
    return str(bpf_build.build("count"))


@pytest.fixture(scope="module", params=["daemon", "direct"])
def shell(request: pytest.FixtureRequest) -> Iterator[Shell]:
    with instance.network("cli") as network:
        if request.param == "daemon":
            with instance.instance("cli") as daemon:
                yield Shell("daemon", daemon.layout, network)
            return
        home = Path(os.environ.get("TMPDIR", "/tmp")) / f"cli-direct-{os.getpid()}"
        home.mkdir()
        layout = paths.layout(runtime=str(home))
        try:
            yield Shell("direct", layout, network)
        finally:
            instance.remove_pins(layout.pins)
            subprocess.run(["rm", "-r", str(home)], check=True)


@pytest.fixture(autouse=True)
def empty(shell: Shell) -> Iterator[None]:
    """Every test ends with nothing loaded."""
    yield
    ids = shell.ok("program", "list", "-q").split()
    if ids:
        shell.ok("program", "unload", *ids)
    assert shell.json("link", "list") == {"links": []}


def test_load_attach_count_detach_unload(shell: Shell) -> None:
    program = shell.load("-a", "e2e", "-m", "who=me")
    link = shell.attach(program, 50)["record"]["id"]
    shell.send(20)
    (member,) = shell.json("chain", "get", shell.network.near, "-n", shell.network.path)["members"]
    assert member["counts"] == {"runs": 20, "proceeded": 20, "stopped": {}}
    assert (member["link_id"], member["program_id"], member["priority"]) == (link, program, 50)
    assert shell.ok("program", "list", "-q", "--application", "e2e", "-l", "who in (me,you)") == f"{program}\n"
    seen = json.loads(
        subprocess.run(["bpftool", "-j", "prog", "show", "id", str(program)], capture_output=True, check=True).stdout
    )
    shown = shell.json("program", "get", str(program))
    assert (seen["name"], seen["tag"]) == (shown["status"]["kernel"]["name"], shown["status"]["kernel"]["tag"])
    assert os.path.exists(shown["status"]["prog_pin"])
    assert all(os.path.exists(each["pin_path"]) for each in shown["status"]["maps"])
    assert shell.ok("link", "detach", str(link)) == ""
    assert shell.ok("program", "unload", str(program)) == ""
    assert shell.run("program", "get", str(program)).returncode == 3


def test_a_chain_shows_who_stopped_what_and_changes_in_place(shell: Shell) -> None:
    first, second = shell.load("-g", f"verdict:u32={XDP_DROP}"), shell.load()
    drop = shell.attach(first, 10, "--proceed-on", "drop")["record"]["id"]
    last = shell.attach(second, 20, "--proceed-on", "tx")["record"]["id"]
    shell.send(10)
    document = shell.json("chain", "get", shell.network.near, "-n", shell.network.path)
    assert [member["counts"] for member in document["members"]] == [
        {"runs": 10, "proceeded": 10, "stopped": {}},
        {"runs": 10, "proceeded": 0, "stopped": {"pass": 10}},
    ]
    shell.ok("link", "update", str(last), "--priority", "5")
    shell.ok("link", "update", str(drop), "--proceed-on", "pass")
    shell.send(5)
    changed = shell.json("chain", "get", shell.network.near, "-n", shell.network.path)
    assert [member["link_id"] for member in changed["members"]] == [last, drop]
    assert changed["members"][0]["counts"] == {"runs": 15, "proceeded": 0, "stopped": {"pass": 15}}
    dispatchers = shell.json("dispatcher", "list")["dispatchers"]
    assert [(each["key"]["type"], each["member_count"]) for each in dispatchers] == [("xdp", 2)]
    key = dispatchers[0]["key"]
    got = shell.json("dispatcher", "get", key["type"], str(key["nsid"]), str(key["ifindex"]))
    assert [member["proceed_on"] for member in got["members"]] == [8, 4]


def test_replace_keeps_the_map_and_gives_a_new_id(shell: Shell) -> None:
    program = shell.load()
    shell.attach(program, 1)
    shell.send(3)
    (replaced,) = shell.json("program", "replace", str(program), counter(), "-g", f"verdict:u32={XDP_DROP}")["programs"]
    new = replaced["record"]["program_id"]
    assert (new != program, replaced["record"]["generation"]) == (True, 2)
    shell.send(4)
    (member,) = shell.json("chain", "get", shell.network.near, "-n", shell.network.path)["members"]
    assert (member["program_id"], member["counts"]["runs"], member["counts"]["stopped"]) == (new, 7, {"drop": 4})


def test_dry_run_changes_nothing(shell: Shell) -> None:
    program = shell.load()
    before = shell.ok("program", "list", "-o", "json")
    words = ("xdp", str(program), shell.network.near, "-n", shell.network.path, "-p", "1")
    assert "1. " in shell.ok("link", "attach", *words, "--dry-run")
    assert "1. " in shell.ok("program", "load", "file", counter(), "--programs", "xdp:count", "--dry-run")
    assert "1. " in shell.ok("program", "unload", str(program), "--dry-run")
    assert shell.ok("program", "list", "-o", "json") == before
    assert shell.json("link", "list") == {"links": []}


BAD = (
    (("program", "get", "4000000000"), 3, "4000000000"),
    (("program", "unload", "4000000000"), 3, "4000000000"),
    (("link", "get", "4000000000"), 3, "4000000000"),
    (("link", "detach", "4000000000"), 3, "4000000000"),
    (("program", "load", "file", "/etc/passwd", "--programs", "xdp:count"), 10, "ELF"),
    (("program", "load", "file", "OBJECT", "--programs", "xdp:cuont"), 3, "count"),
    (("program", "load", "file", "OBJECT", "--programs", "tracepoint:count"), 11, "program type mismatch"),
    (("program", "load", "file", "OBJECT", "--programs", "xdp:count", "-g", "verdcit=01"), 10, "verdict"),
    (("program", "load", "file", "OBJECT", "--programs", "xdp:count", "-g", "verdict=01"), 10, "4"),
    (
        ("program", "load", "file", "OBJECT", "--programs", "xdp:count", "--map-owner-id", "4000000000"),
        3,
        "4000000000",
    ),
    (("link", "attach", "xdp", "PROGRAM", "nosuch0", "-p", "1"), 3, "nosuch0"),
    (("link", "attach", "xdp", "PROGRAM", "near", "-n", "/run/netns/nosuch", "-p", "1"), 3, "/run/netns/nosuch"),
    (("link", "attach", "tracepoint", "PROGRAM", "sched/sched_switch"), 11, "is a xdp program"),
)
"""Words, exit code, and what the message must say."""


def test_bad_input_is_told_and_changes_nothing(shell: Shell) -> None:
    program = shell.load()
    before = shell.ok("program", "list", "-o", "json")
    stand_ins = {"OBJECT": counter(), "PROGRAM": str(program)}
    for words, code, text in BAD:
        done = shell.run(*(stand_ins.get(word, word) for word in words))
        assert done.stderr.startswith("skep: error: "), (words, done.stderr)
        assert (done.returncode, text in done.stderr) == (code, True), (words, done.stderr)
        assert "Traceback" not in done.stderr
    assert shell.ok("program", "list", "-o", "json") == before


def test_version_says_how_commands_work(shell: Shell) -> None:
    document = shell.json("version")
    assert document["mode"] == shell.mode
    if shell.mode == "daemon":
        assert document["daemon"] == document["client"]


def test_a_probe_fails_without_a_daemon(shell: Shell) -> None:
    done = shell.run("version", "--daemon")
    if shell.mode == "daemon":
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 5 and "no daemon answers" in done.stderr


def test_direct_is_refused_while_a_daemon_owns_the_directory(shell: Shell) -> None:
    done = shell.run("--direct", "--lock-timeout", "100ms", "program", "list")
    if shell.mode == "direct":
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 8, done.stderr
    assert "skep: error: " in done.stderr


def test_history_names_caller_verb_and_outcome(shell: Shell) -> None:
    last = (shell.json("events")["events"] or [{"id": 0}])[-1]["id"]
    program = shell.load()
    shell.run("link", "attach", "xdp", str(program), "nosuch0", "-p", "1")
    events = shell.json("events", "--after", str(last))["events"]
    assert [(event["verb"], event["outcome"]) for event in events] == [("load", "ok"), ("attach", "NotFound")]
    assert all(event["caller"]["uid"] == 0 for event in events)


def test_without_root_and_without_a_daemon_it_says_how_to_start_one() -> None:
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *instance.command(), "program", "list"],
        env={**instance.environment(), "SKEP_RUNTIME_DIR": "/nonexistent"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    assert "sudo systemctl start skep" in done.stderr


def test_a_reader_that_goes_away_ends_it_quietly(shell: Shell) -> None:
    done = subprocess.run(
        ["bash", "-c", '"$@" | head -c 1; echo "${PIPESTATUS[0]}" >&2', "sh", *instance.command(), "help", "settings"],
        env=instance.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr.strip() in ("141", "0")


COMPLETE = """
mkdir -p "$1" && printf '#!/bin/sh\nexec %s "$@"\n' "$2" > "$1/skep" && chmod +x "$1/skep" && PATH=$1:$PATH
source <(skep completion bash)
shift 2
for typed; do
    read -ra COMP_WORDS <<< "$typed"
    [[ $typed == *" " ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
    _skep_completion skep "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "${COMPREPLY[@]}"
done
"""
"""What bash does when somebody presses Tab after each of the texts."""


def test_bash_completes_what_there_is(shell: Shell, tmp_path: Path) -> None:
    program = shell.load()
    link = shell.attach(program, 1)["record"]["id"]
    expected = {
        "skep ev": "events",
        "skep program ": "load list get replace run unload",
        "skep program get ": str(program),
        "skep link detach ": str(link),
        "skep link attach ": " ".join(hook.name for hook in hooks.HOOKS),
        "skep link attach tcx 1 lo ": "ingress egress",
        "skep link attach xdp 1 l": "lo",
        "skep program list --type xdp,trac": "xdp,tracepoint",
        "skep program list --un": "--unattached",
        "skep link list -o j": "json jsonl",
        "skep help exit": "exit-codes",
    }
    skep = " ".join(shlex.quote(word) for word in instance.command())
    done = subprocess.run(
        ["bash", "-c", COMPLETE, "bash", str(tmp_path / "bin"), skep, *expected],
        env={**instance.environment(), "SKEP_RUNTIME_DIR": shell.layout.runtime},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert dict(zip(expected, done.stdout.splitlines(), strict=True)) == expected, done.stderr
    assert done.stderr == ""


def test_the_rest_of_the_nouns_answer(shell: Shell) -> None:
    program = shell.load()
    maps = shell.json("map", "list", "--program-id", str(program))["maps"]
    assert {each["name"] for each in maps} >= {"packets"}
    assert shell.json("map", "get", str(maps[0]["id"]))["id"] == maps[0]["id"]
    assert any(each["available"] for each in shell.json("feature")["features"])
    doctor = shell.run("doctor", "-o", "json")
    assert json.loads(doctor.stdout)["findings"] == [], doctor.stdout


def test_older_forms(shell: Shell) -> None:
    loaded = shell.json("load", "file", "--path", counter(), "--programs", "xdp:count", "-g", "verdict=02000000")
    program = str(loaded["programs"][0]["record"]["program_id"])
    link = shell.json("attach", program, "xdp", "-i", shell.network.near, "-n", shell.network.path, "-p", "5")
    assert link["record"]["details"]["priority"] == 5
    shell.ok("get", "link", str(link["record"]["id"]))
    assert program in shell.ok("list", "programs")
    shell.ok("detach", str(link["record"]["id"]))
    shell.ok("unload", program)
