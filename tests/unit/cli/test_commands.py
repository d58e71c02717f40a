"""What commands ask of the Manager, how they fail, and what a person reads."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

import skep as package
from skep import errors, model
from skep.cli import exit, output, table
from skep.hooks import tc, tcx, tracepoint, uprobe, xdp
from tests.unit.cli import fake

XDP = xdp.XdpAttachment(interface=fake.ETH0, priority=50)


# ---------------------------------------------------------------- what is asked


def test_load_says_everything(run, skep, object_file) -> None:
    result = run(
        "program", "load", "file", object_file, "--programs", "xdp:pass,uprobe:probe", "--programs", "plain",
        "-a", "fw", "-m", "a=1,b=2", "-m", "c=x,y", "-g", "limit=0x0100", "-g", "rate:u32=7", "--map-owner-id", "101",
    )  # fmt: skip
    assert result.code == 0, result.err
    (op,) = skep.ran
    assert op == model.Load(
        object=b"\x7fELF and so on",
        source=model.FileSource(path=object_file),
        programs=(
            model.ProgramSpec(name="pass", hook=model.HookName("xdp")),
            model.ProgramSpec(name="probe", hook=model.HookName("uprobe")),
            model.ProgramSpec(name="plain"),
        ),
        metadata={"a": "1", "b": "2", "c": "x,y", "bpfman.io/application": "fw"},
        global_data={"limit": b"\x01\x00", "rate": (7).to_bytes(4, "little")},
        map_owner=model.ProgramId(101),
    )
    assert skep.waits == [30.0]


def test_file_is_the_default_sub_command(run, skep, object_file) -> None:
    assert run("program", "load", object_file, "--programs", "xdp:pass").code == 0
    assert isinstance(skep.ran[0], model.Load)


def test_the_path_is_told_absolute(run, skep, object_file, monkeypatch) -> None:
    monkeypatch.chdir(Path(object_file).parent)
    assert run("program", "load", "file", "a.o", "--programs", "xdp:pass").code == 0
    assert skep.ran[0].source == model.FileSource(path=object_file)


@pytest.mark.parametrize(
    "words, attachment",
    [
        (("xdp", "101", "eth0", "-p", "50"), XDP),
        (
            ("xdp", "101", "eth0", "--priority", "0", "--proceed-on", "pass,drop", "-n", "/netns/x", "--mode", "skb"),
            xdp.XdpAttachment(
                interface=model.InterfaceRef(name="eth0", netns="/netns/x"), priority=0, proceed_on=(1, 2),
                mode=model.XdpMode.SKB,
            ),
        ),
        (
            ("tcx", "101", "eth0", "egress", "-p", "3"),
            tcx.TcxAttachment(interface=fake.ETH0, direction=tcx.Direction.EGRESS, priority=3),
        ),
        (
            ("tc", "101", "eth0", "ingress", "-p", "3"),
            tc.TcAttachment(interface=fake.ETH0, direction=tcx.Direction.INGRESS, priority=3),
        ),
        (
            ("tracepoint", "101", "sched/sched_switch"),
            tracepoint.TracepointAttachment(group="sched", name="sched_switch"),
        ),
        (
            ("uprobe", "101", "libc", "-f", "malloc", "--offset", "0x10", "--pid", "4", "--container-pid", "5"),
            uprobe.UprobeAttachment(target="libc", fn_name="malloc", offset=16, pid=4, container_pid=5),
        ),
        (("uretprobe", "101", "libc", "-f", "malloc"), uprobe.UprobeAttachment(target="libc", fn_name="malloc")),
    ],
    ids=lambda value: "-".join(value[:1]) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_attach(run, skep, words: tuple[str, ...], attachment: object) -> None:
    assert run("link", "attach", *words, "-m", "who=me").code == 0
    assert skep.ran == [model.Attach(program=model.ProgramId(101), attachment=attachment, metadata={"who": "me"})]


def test_update(run, skep) -> None:
    assert run("link", "update", "2", "--priority", "7", "--proceed-on", "drop").code == 0
    assert run("link", "update", "2", "--proceed-on", "pass").code == 0
    assert skep.ran == [
        model.UpdateLink(link=model.LinkId(2), priority=7, proceed_on=(1,)),
        model.UpdateLink(link=model.LinkId(2), priority=None, proceed_on=(2,)),
    ]


def test_replace(run, skep, object_file) -> None:
    assert run("program", "replace", "101", object_file).code == 0
    assert run("program", "replace", "101", object_file, "--name", "two", "-g", "a=01").code == 0
    first, second = skep.ran
    assert (first.program, first.name, first.global_data) == (101, None, None)
    assert (second.name, second.global_data, second.object) == ("two", {"a": b"\x01"}, b"\x7fELF and so on")


def test_ids_as_printed_by_name_are_accepted(run, skep) -> None:
    assert run("program", "list", "-o", "name").out.split()[0] == "program/101"
    assert run("program", "unload", "program/101").code == 0
    assert run("link", "detach", "link/1").code == 0
    assert skep.ran == [model.Unload(program=model.ProgramId(101)), model.Detach(link=model.LinkId(1))]


def test_every_id_is_tried_and_the_first_failure_is_the_exit_code(run, skep) -> None:
    result = run("program", "unload", "999", "101", "998")
    assert result.code == 3
    assert [op.program for op in skep.ran] == [999, 101, 998]
    assert "no program 999" in result.err
    assert "no program 998" in result.err


def test_ignore_missing(run) -> None:
    assert run("program", "unload", "999", "--ignore-missing").code == 0
    assert run("link", "detach", "999", "--ignore-missing").code == 0
    assert run("link", "detach", "999").code == 3


def test_delete_refuses_programs_with_links_unless_recursive(run, skep) -> None:
    refused = run("program", "delete", "101")
    assert (refused.code, skep.ran) == (11, [])
    assert "link 1" in refused.err
    assert run("program", "delete", "-r", "--all").code == 0
    assert [op.program for op in skep.ran] == [101, 102, 103, 104, 105]


@pytest.mark.parametrize(
    "words",
    [
        ("program", "load", "file", "OBJECT", "--programs", "xdp:pass"),
        ("program", "replace", "101", "OBJECT"),
        ("program", "unload", "101"),
        ("link", "attach", "xdp", "101", "eth0", "-p", "1"),
        ("link", "update", "1", "-p", "1"),
        ("link", "detach", "1"),
        ("adopt", "/pins/progs/9-1"),
        ("attach", "101", "xdp", "-i", "eth0", "-p", "1"),
    ],
    ids=" ".join,
)
def test_dry_run_previews_and_changes_nothing(run, skep, object_file, words: tuple[str, ...]) -> None:
    words = tuple(object_file if word == "OBJECT" else word for word in words)
    text = run(*words, "--dry-run")
    assert text.code == 0, text.err
    assert "  1. load program\n  2. pin it\n" in text.out
    assert "a warning" in text.err
    found = run(*words, "--dry-run", "-o", "json").json
    assert found == {"dry_run": True, "steps": ["load program", "pin it"], "warnings": ["a warning"]}
    assert (skep.ran, len(skep.previewed)) == ([], 2)


def test_global_options_are_taken_before_and_after_the_command(run, skep) -> None:
    assert run("--lock-timeout", "2s", "link", "detach", "1").code == 0
    assert run("link", "detach", "1", "--lock-timeout", "3s").code == 0
    assert run("link", "detach", "1", "--lock-timeout", "0").code == 0
    assert skep.waits == [2.0, 3.0, None]


@pytest.mark.parametrize("word", ["-V", "--version"])
def test_the_version_is_one_line(run, word: str) -> None:
    done = run(word)
    assert (done.code, done.out, done.err) == (0, f"skep {package.__version__}\n", "")


def test_warnings_of_an_operation_go_to_stderr(run, skep) -> None:
    skep.warnings = ("native XDP refused: EOPNOTSUPP",)
    result = run("link", "attach", "xdp", "101", "eth0", "-p", "1", "-o", "json")
    assert result.err == "skep: warning: native XDP refused: EOPNOTSUPP\n"
    assert json.loads(result.out)


# ---------------------------------------------------------------- choosing


@pytest.mark.parametrize(
    "words, ids",
    [
        ((), [101, 102, 103, 104, 105]),
        (("--all",), [50, 101, 102, 103, 104, 105]),
        (("--attached",), [101, 102, 103, 105]),
        (("--unattached",), [104]),
        (("--type", "xdp"), [101, 102]),
        (("--type", "xdp,tracepoint"), [101, 102, 103]),
        (("--type", "tcx"), [104]),
        (("--type", "tc"), []),
        (("-p", "XDP", "--type", "uretprobe"), [101, 102, 105]),
        (("--all", "--type", "xdp"), [101, 102]),
        (("--application", "fw"), [101]),
        (("--all", "--application", "fw"), [101]),
        (("-m", "tier=front"), [101]),
        (("-l", "tier"), [101, 102]),
        (("-l", "tier in (back,side)"), [102]),
        (("-l", "!tier"), [103, 104, 105]),
        (("-l", "tier!=front,bpfman.io/application!=x"), [102, 103, 104, 105]),
    ],
    ids=lambda value: " ".join(map(str, value)) or "none",
)
def test_program_list_chooses(run, words: tuple[str, ...], ids: list[int]) -> None:
    found = run("program", "list", "-q", *words)
    assert [int(line) for line in found.out.split()] == ids


def test_all_with_a_type_compares_the_kernels_types(run, skep) -> None:
    skep.all = (model.ForeignProgram(kernel=fake.kernel_program(60, type=3)), fake.IDLE)
    assert run("program", "list", "-q", "--all", "--type", "tcx").out == "60\n104\n"
    assert run("program", "list", "-q", "--all", "--type", "xdp").out == ""


@pytest.mark.parametrize(
    "words, ids",
    [
        ((), [1, 2, 3, 4, 5]),
        (("--program-id", "101"), [1]),
        (("--kind", "xdp"), [1, 2]),
        (("-p", "tracepoint"), [3]),
        (("--application", "fw"), [1]),
        (("-m", "tier=back"), [2]),
    ],
    ids=lambda value: " ".join(map(str, value)) or "none",
)
def test_link_list_chooses(run, words: tuple[str, ...], ids: list[int]) -> None:
    found = run("link", "list", "-q", *words)
    assert [int(line) for line in found.out.split()] == ids


# ---------------------------------------------------------------- older forms


@pytest.mark.parametrize(
    "older, newer",
    [
        (("unload", "101"), ("program", "unload", "101")),
        (("detach", "1"), ("link", "detach", "1")),
        (("get", "program", "101"), ("program", "get", "101")),
        (("get", "link", "1"), ("link", "get", "1")),
        (("list", "programs", "--all"), ("program", "list", "--all")),
        (("list", "program"), ("program", "list")),
        (("list", "links"), ("link", "list")),
        (("link", "delete", "1"), ("link", "detach", "1")),
        (
            ("attach", "101", "xdp", "-i", "eth0", "-p", "50", "--proceed-on", "pass", "-m", "a=1"),
            ("link", "attach", "xdp", "101", "eth0", "-p", "50", "--proceed-on", "pass", "-m", "a=1"),
        ),
        (
            ("attach", "101", "xdp", "-i", "eth0", "-p", "50", "--proceed-on", "pass", "drop", "-m", "a=1"),
            ("link", "attach", "xdp", "101", "eth0", "-p", "50", "--proceed-on", "pass,drop", "-m", "a=1"),
        ),
        (
            ("attach", "101", "xdp", "-i", "eth0", "-p", "50", "--proceed-on", "pass", "--proceed-on", "drop,tx"),
            ("link", "attach", "xdp", "101", "eth0", "-p", "50", "--proceed-on", "pass,drop,tx"),
        ),
        (
            ("link", "update", "1", "--proceed-on", "pass", "--proceed-on", "drop"),
            ("link", "update", "1", "--proceed-on", "pass,drop"),
        ),
        (
            ("attach", "101", "tcx", "-d", "ingress", "-i", "eth0", "-p", "5"),
            ("link", "attach", "tcx", "101", "eth0", "ingress", "-p", "5"),
        ),
        (
            ("attach", "101", "tracepoint", "-t", "sched/sched_switch"),
            ("link", "attach", "tracepoint", "101", "sched/sched_switch"),
        ),
        (
            ("attach", "101", "uprobe", "-f", "malloc", "-t", "libc", "-p", "9", "-c", "8"),
            ("link", "attach", "uprobe", "101", "libc", "-f", "malloc", "--pid", "9", "--container-pid", "8"),
        ),
        (
            (
                "load",
                "file",
                "--path",
                "OBJECT",
                "--programs",
                "xdp:pass",
                "xdp:drop",
                "-g",
                "a=01",
                "b=02",
                "-a",
                "fw",
            ),
            ("program", "load", "file", "OBJECT", "--programs", "xdp:pass,xdp:drop", "-g", "a=01,b=02", "-a", "fw"),
        ),
    ],
    ids=lambda words: " ".join(words[:3]),
)
def test_older_forms_mean_the_same(run, skep, object_file, older: tuple[str, ...], newer: tuple[str, ...]) -> None:
    outcomes = []
    for words in (older, newer):
        skep.ran.clear()
        result = run(*(object_file if word == "OBJECT" else word for word in words))
        assert result.code == 0, result.err
        outcomes.append((result.out, list(skep.ran)))
    assert outcomes[0] == outcomes[1]


# ---------------------------------------------------------------- failure


@pytest.mark.parametrize(
    "refusal, code",
    [
        (errors.Rejected("no"), 6), (errors.BadObject("no"), 10), (errors.InvalidRequest("no"), 10),
        (errors.NotFound("no"), 3), (errors.Denied("no"), 4), (errors.Unavailable("no"), 5),
        (errors.Unsupported("no", feature="tcx"), 7), (errors.Busy("no"), 8), (errors.Exhausted("no"), 9),
        (errors.AlreadyExists("no"), 11), (errors.Conflict("no"), 11), (errors.MapsDiffer("no"), 11),
        (errors.Broken("no"), 12),
        (errors.SkepError("no"), 1),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_each_error_has_its_exit_code(run, skep, refusal: errors.SkepError, code: int) -> None:
    skep.refusal = refusal
    result = run("link", "detach", "1")
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("skep: error: no")
    assert code in {entry.number for entry in exit.table()}


def test_every_class_of_the_error_tree_has_a_code() -> None:
    found: set[type[errors.SkepError]] = set()
    waiting: list[type[errors.SkepError]] = [errors.SkepError]
    while waiting:
        found.add(waiting[-1])
        waiting += waiting.pop().__subclasses__()
    assert {kind for kind, _ in exit.CODES} | {errors.BadObject} == {
        kind for kind in found if kind.__module__ == "skep.errors"
    }


def test_an_error_says_what_why_and_what_to_do(run, skep) -> None:
    skep.refusal = errors.Conflict("cannot attach", why="it is a uprobe program", do="use link attach uprobe")
    assert run("link", "detach", "1").err == (
        "skep: error: cannot attach: it is a uprobe program\n  use link attach uprobe\n"
    )


LOG = "\n".join([*(f"{number}: r0 = {number}" for number in range(40)), "R1 invalid mem access 'scalar'",
                 "processed 40 insns (limit 1000000)", ""])  # fmt: skip


def test_a_rejection_shows_the_logs_last_useful_lines(run, skep, object_file) -> None:
    skep.refusal = errors.Rejected("the verifier refused pass", why="EACCES", log=LOG)
    result = run("program", "load", "file", object_file, "--programs", "xdp:pass")
    lines = result.err.splitlines()
    assert result.code == 6
    assert lines[0] == "skep: error: the verifier refused pass: EACCES"
    assert lines[1] == "  verifier log, last 12 of 42 lines (--verifier-log shows all):"
    assert lines[-1] == "    R1 invalid mem access 'scalar'"
    assert len(lines) == 14


def test_verifier_log_shows_all_of_it(run, skep, object_file) -> None:
    skep.refusal = errors.Rejected("the verifier refused pass", log=LOG)
    result = run("program", "load", "file", object_file, "--programs", "xdp:pass", "--verifier-log")
    assert all(f"    {line}" in result.err.splitlines() for line in LOG.strip().splitlines())


@pytest.mark.parametrize(
    "words, code, text",
    [
        (("nosuch",), 2, "no such command 'nosuch'"),
        (("program", "lst"), 2, "Did you mean list?"),
        (("program", "get"), 2, "PROGRAM"),
        (("program", "get", "x"), 2, "not a program id"),
        (("program", "get", "0"), 2, "not a program id"),
        (("program", "get", "99999999999"), 2, "not a program id"),
        (("program", "get", "999"), 3, "did you mean 101, 102?"),
        (("program", "list", "-o", "xml"), 2, "not one of table, text"),
        (("program", "list", "--attached", "--unattached"), 2, "exclude each other"),
        (("program", "list", "--type", "xpd"), 10, "did you mean xdp?"),
        (("program", "list", "-l", "a in b"), 10, "not a label selector"),
        (("program", "list", "-m", "novalue"), 10, "KEY=VALUE"),
        (("program", "load", "file", "/nonexistent.o", "--programs", "xdp:a"), 3, "no file /nonexistent.o"),
        (("program", "load", "file", "/", "--programs", "xdp:a"), 10, "directory"),
        (("program", "load", "file", "/etc/passwd"), 2, "--programs"),
        (("program", "load", "file", "/etc/passwd", "--programs", "xdp:a:b:c"), 10, "TYPE:NAME"),
        (("program", "load", "file", "/etc/passwd", "--programs", "xdp:a,xdp:a"), 10, "named twice"),
        (("program", "load", "file", "/etc/passwd", "--programs", "xdq:a"), 10, "did you mean xdp?"),
        (("program", "load", "file", "/etc/passwd", "--programs", "xdp:a", "-g", "x=0"), 10, "hexadecimal"),
        (("program", "load", "file", "/etc/passwd", "--programs", "xdp:a", "-g", "x:u8=256"), 10, "does not fit u8"),
        (("program", "load", "file", "/etc/passwd", "--programs", "xdp:a", "-g", "x:u7=1"), 10, "types are u8"),
        (("link", "attach", "xdp", "101", "eth0"), 2, "--priority"),
        (("link", "attach", "xdp", "101", "eth0", "-p", "-1"), 10, "out of range"),
        (("link", "attach", "xdp", "101", "eth0", "-p", "2147483648"), 10, "out of range"),
        (("link", "attach", "xdp", "101", "eth0", "-p", "x"), 10, "not a whole number"),
        (("link", "attach", "xdp", "101", "eth0", "-p", "1", "--proceed-on", "pss"), 10, "not an XDP verdict"),
        (("link", "attach", "tcx", "101", "eth0", "up", "-p", "1"), 10, "ingress, egress"),
        (("link", "attach", "tracepoint", "101", "sched"), 10, "GROUP/NAME"),
        (("link", "attach", "uprobe", "101", "libc"), 10, "name a function"),
        (("link", "attach", "xdp", "999", "eth0", "-p", "1"), 3, "did you mean 101?"),
        (("link", "update", "1"), 2, "nothing to change"),
        (("link", "update", "1", "-p", "-3"), 10, "out of range"),
        (("chain", "get", "eth0", "--type", "tc"), 2, "not one of xdp"),
        (("chain", "get", "a/b"), 10, "not an interface's name"),
        (("chain", "get", "eth9"), 3, "no xdp chain"),
        (("dispatcher", "get", "xdp", "1", "2"), 3, "no dispatcher"),
        (("feature", "tcy"), 3, "did you mean tcx?"),
        (("help", "nothing"), 3, "no help"),
        (("--lock-timeout", "soon", "link", "detach", "1"), 10, "duration"),
        (("--config", "/nonexistent.toml", "link", "detach", "1"), 3, "no configuration file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_a_wrong_command_line(run, skep, words: tuple[str, ...], code: int, text: str) -> None:
    result = run(*words)
    assert result.code == code, result.err
    assert result.err.startswith("skep: error: ")
    assert text in result.err
    assert result.out == ""
    assert skep.ran == [] or code == 3


def test_an_object_over_16_mib_is_refused_before_anybody_sees_it(run, skep, tmp_path) -> None:
    path = tmp_path / "big.o"
    with path.open("wb") as stream:
        stream.truncate(model.MAX_OBJECT_BYTES + 1)
    result = run("program", "load", "file", str(path), "--programs", "xdp:a")
    assert (result.code, skep.ran) == (9, [])
    assert "16 MiB" in result.err


def test_a_missing_file_names_one_that_looks_like_it(run, object_file) -> None:
    result = run("program", "load", "file", object_file[:-1] + "oo", "--programs", "xdp:a")
    assert f"did you mean {object_file}?" in result.err


def test_a_bug_is_no_traceback(run, skep) -> None:
    skep.refusal = ZeroDivisionError("oops")
    result = run("link", "detach", "1")
    assert (result.code, "Traceback" in result.err) == (70, False)
    assert "internal error: ZeroDivisionError: oops" in result.err


def test_interruption(run, skep) -> None:
    skep.refusal = KeyboardInterrupt()
    result = run("link", "detach", "1")
    assert (result.code, result.out) == (130, "")


# ---------------------------------------------------------------- what a person reads


def test_program_table(run) -> None:
    lines = run("program", "list").out.splitlines()
    assert lines[0].split() == ["PROGRAM", "ID", "APPLICATION", "TYPE", "FUNCTION", "NAME", "LINK", "IDS", "AGE"]
    assert lines[1].split()[:5] == ["101", "fw", "xdp", "pass", "1"]
    wide = run("program", "list", "-o", "wide").out
    assert "/objects/a.o" in wide
    assert "tier=front" in wide


def test_the_application_column_is_left_out_when_nobody_has_one(run, skep) -> None:
    skep.all = (fake.DROP,)
    assert "APPLICATION" not in run("program", "list").out


def test_program_tree_has_bpfmans_headings(run) -> None:
    text = run("program", "get", "101").out
    assert text.startswith("Program ID: 101\n  Spec:\n")
    for line in ("  Status:", "  Stats: (not enabled", "Maps Used By:", "/pins/prog_101", "counts percpuarray"):
        assert line in text
    assert "xdp eth0 priority 50 (attached)" in text


def test_a_foreign_program_is_shown_as_such(run) -> None:
    assert "Managed: no" in run("program", "get", "50").out
    assert run("program", "get", "50", "-o", "json").json["managed"] is False


def test_link_table_and_tree(run) -> None:
    lines = run("link", "list").out.splitlines()
    assert lines[0].startswith("LINK ID  KERNEL LINK ID  KIND")
    assert "eth0 priority 50" in lines[1]
    tree = run("link", "get", "1").out
    for line in ("Link ID: 1", "Kernel Link ID: 900", "Runs:", "drop=3", "Mode:"):
        assert line in tree


def test_chain_view(run) -> None:
    text = run("chain", "get", "eth0").out
    lines = text.splitlines()
    assert lines[0] == (
        "xdp chain on eth0: ifindex 2, revision 3, mode drv, program 800, 1,000 packets in this revision"
    )
    assert lines[1].split() == [
        "POS", "PRIORITY", "LINK", "PROGRAM", "NAME", "PROCEED", "ON", "FORM", "RUNS", "PROCEEDED", "STOPPED",
    ]  # fmt: skip
    assert lines[2].split() == [
        "0", "50", "1", "101", "pass", "pass,dispatcher_return", "inline", "1,000", "750", "drop", "250", "██▌",
    ]  # fmt: skip
    assert "aborted 50 ▌, pass 700 ███████" in lines[3]
    assert lines[4] == "! the end of the chain turns drop into pass"


def test_watch_repeats_and_gives_rates(run) -> None:
    text = run("chain", "get", "eth0", "--watch", "--interval", "0.05", "--times", "2").out
    assert text.count("xdp chain on eth0") == 2
    assert ", 0/s" in text.split("xdp chain on eth0")[2]
    lines = run("chain", "get", "eth0", "--watch", "--interval", "0.05", "--times", "2", "-o", "json").out.splitlines()
    assert [json.loads(line)["packets"] for line in lines] == [1000, 1000]


@pytest.mark.parametrize("noun", ["program", "link", "chain", "map"])
@pytest.mark.parametrize("form", list(output.Format))
def test_every_list_has_every_form(run, noun: str, form: output.Format) -> None:
    result = run(noun, "list", "-o", form.value)
    assert result.code == 0
    assert result.out
    if form is output.Format.JSONL:
        assert [json.loads(line) for line in result.out.splitlines()]
    if form is output.Format.YAML:
        import yaml

        assert yaml.safe_load(result.out) == run(noun, "list", "-o", "json").json
    if form is output.Format.NAME:
        assert all(line.startswith(f"{noun}/") for line in result.out.splitlines())


def test_map_list_leaves_foreign_maps_out(run) -> None:
    assert run("map", "list", "-q").out == "90\n"
    assert run("map", "list", "-q", "--all").out == "90\n91\n"
    assert run("map", "list", "-q", "--program-id", "102").out == ""
    assert run("map", "get", "90", "-o", "json").json["pins"] == ["/pins/sets/1/counts"]
    assert "Pin:" in run("map", "get", "90").out


def test_events(run) -> None:
    lines = run("events").out.splitlines()
    assert len(lines) == 3
    assert "Rejected: too bad" in lines[1]
    assert [event["id"] for event in run("events", "--limit", "2", "-o", "json").json["events"]] == [2, 3]
    assert [event["id"] for event in run("events", "--after", "2", "-o", "json").json["events"]] == [3]


def test_follow_goes_on_where_the_history_ends(run) -> None:
    lines = run("events", "--follow", "--times", "1", "-o", "jsonl").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [1, 2, 3, 3]


def test_doctor_exits_1_when_there_is_something(run, skep) -> None:
    result = run("doctor")
    assert result.code == 1
    assert "unknown pin: /pins/progs/9-1" in result.out
    assert "to do: skep adopt" in result.out
    skep.findings = ()
    healthy = run("doctor")
    assert (healthy.code, healthy.out) == (0, "kernel, pins and store agree\n")


def test_adopt_all_takes_what_doctor_calls_adoptable(run, skep) -> None:
    skep.findings = (fake.FINDING, dataclasses.replace(fake.FINDING, subject="/x", adoptable=False))
    assert run("adopt", "--all", "-o", "name").out == "program/102\n"
    assert skep.ran == [model.Adopt(pin="/pins/progs/9-1")]
    assert run("adopt").code == 2


def test_features(run) -> None:
    assert run("feature").out.splitlines() == [
        "PROGRAM TYPE  HERE        SINCE  NEEDS                               NOTE",
        "tcx           yes         6.6    -                                   -",
        "kprobe        EOPNOTSUPP  4.1    a kernel built with CONFIG_KPROBES  ends with its socket; not built in",
        "",
        "LINKS AND ORDER  HERE  SINCE  NEEDS  NOTE",
        "link-update      yes   5.7    -      -",
    ]
    assert run("feature", "tcx", "-o", "json").json == {
        "features": [
            {
                "name": "tcx", "available": True, "errno": 0, "first": "6.6", "note": "", "group": "program type",
                "errno_name": "", "config": ["CONFIG_NET_XGRESS"], "needs": "", "lasting": "",
            }
        ]
    }  # fmt: skip
    assert run("feature", "--missing", "-o", "name").out == "feature/kprobe\n"
    assert run("feature", "*t*", "-o", "name").out == "feature/tcx\nfeature/link-update\n"


def test_an_answer_has_its_colour(run) -> None:
    from rich.console import Console

    columns = (table.Column(title="HERE", styles={"yes": "green", "": "red"}),)
    shown = table.renderable(table.Table(columns=columns, rows=(("yes",), ("EPERM",))), 40)
    console = Console(force_terminal=True, width=40, color_system="standard")
    with console.capture() as captured:
        console.print(shown)
    assert "\x1b[32myes" in captured.get()
    assert "\x1b[31mEPERM" in captured.get()


def test_no_colour_reaches_a_pipe(run) -> None:
    for words in (("program", "list"), ("program", "get", "101"), ("chain", "get", "eth0")):
        assert "\x1b" not in run(*words).out
