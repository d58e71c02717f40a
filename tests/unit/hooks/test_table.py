"""The table of program types: inference from sections, names, and what every entry must have."""

from __future__ import annotations

import dataclasses
import json

import pytest

from skep import errors, hooks
from skep.hooks import codec, uprobe, uprobe_multi
from tests.unit import host

ONE_OF = {
    uprobe.UprobeAttachment: ["fn_name"],
    uprobe_multi.UprobeMultiAttachment: ["functions"],
}
"""Options that are needed unless another is given, so that the table cannot call them required."""

LOADED_FOR = {"iter": "task"}
"""What a program was loaded for decides which options an attachment may have."""

attached = pytest.mark.parametrize(
    "hook", [hook for hook in hooks.HOOKS if not hook.unattached], ids=lambda one: one.name
)
every_hook = pytest.mark.parametrize("hook", hooks.HOOKS, ids=lambda one: one.name)


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("xdp", "xdp"), ("?xdp", "xdp"), ("xdp/filter", "xdp"), ("xdp.frags", "xdp"), ("xdp.frags/x", "xdp"),
        ("xdp_filter", "xdp"), ("xdp/devmap", None), ("xdp.frags/cpumap", None),
        ("tc", "tc"), ("tc/ingress", "tc"), ("tcx/egress", "tcx"), ("classifier", "tc"), ("classifier/x", "tc"),
        ("classifier_1", "tc"), ("action", "tc"), ("?tcx", "tcx"),
        ("tracepoint/sched/sched_switch", "tracepoint"), ("tp/syscalls/x", "tracepoint"), ("tp_btf/x", "tp_btf"),
        ("uprobe", "uprobe"), ("uprobe/libc:malloc", "uprobe"), ("uprobe.s/x", "uprobe"),
        ("uprobe.multi/x", "uprobe_multi"), ("kprobe.multi/x", "kprobe_multi"),
        ("kprobe.session/x", "kprobe_session"), ("uprobe.session", "uprobe_session"),
        ("netkit/peer", "netkit"), ("struct_ops.s/init", "struct_ops"), ("freplace", "freplace"),
        ("uretprobe", "uretprobe"), ("uretprobe.s//bin/x:y", "uretprobe"),
        ("kprobe/x", "kprobe"), ("socket", "socket_filter"), ("sk_reuseport/migrate", "sk_reuseport"),
        ("syscall", "syscall"), ("lwt_xmit/x", "lwt_xmit"), ("prog", None), ("", None), ("xdpx", None), (".text", None),
    ],
)  # fmt: skip
def test_a_section_tells_the_type(section: str, name: str | None) -> None:
    found = hooks.from_section(section)
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("section", "foreign"),
    [("lirc_mode2", True), ("ksyscall/x", True), ("raw_tp.w/x", True), ("struct_ops/x", False), ("xdp/devmap", True),
     ("prog", False), ("my_section", False), ("xdp", False)],
)  # fmt: skip
def test_sections_of_other_types_are_known_from_those_that_say_nothing(section: str, foreign: bool) -> None:
    assert hooks.is_foreign(section) is foreign


@pytest.mark.parametrize(
    ("section", "frags"), [("xdp", False), ("xdp.frags", True), ("?xdp.frags/name", True), ("xdp/a.frags", False)]
)
def test_frags_is_told_by_the_section(section: str, frags: bool) -> None:
    assert hooks.has_frags(section) is frags


def test_names_are_found_and_near_misses_told() -> None:
    assert hooks.by_name("tc").name == "tc"
    assert hooks.by_name("uretprobe").name == "uretprobe"
    with pytest.raises(errors.NotFound) as told:
        hooks.by_name("tracepont")
    assert told.value.near[0] == "tracepoint"


@attached
def test_every_option_reaches_the_attachment(hook: hooks.Hook[object]) -> None:
    """What a CLI makes of the table builds the attachment, with nothing but the required options and with all."""
    parsed = {one.field: one.parse(one.example) for one in hook.options if one.example}
    assert isinstance(hook.build(parsed), hook.attachment)
    required = {one.field: parsed[one.field] for one in hook.options if one.required}
    required.update({name: parsed[name] for name in ONE_OF.get(hook.attachment, ())})
    whole, least = hook.build(parsed), hook.build(required)
    assert whole != least or len(hook.options) == len(required)
    placing = hooks.Placing(
        section=next(iter(hook.points or hook.sections)),
        function=LOADED_FOR.get(hook.name, "vfs_mkdir"),
        attach_type=hook.better[1] if hook.better is not None else 0,
    )
    if hook.complete is not None:
        whole = hook.complete(whole, placing)
    assert hook.summary(whole)
    candidates = host.candidates(hook.requests(whole, placing))
    assert candidates
    assert all(one.label and str(one.target) for one in candidates)


@attached
def test_every_type_survives_json_with_all_options(hook: hooks.Hook[object]) -> None:
    attachment = hook.build({one.field: one.parse(one.example) for one in hook.options if one.example})
    assert codec.decode(hook.name, json.loads(json.dumps(codec.encode(attachment)))) == attachment


@pytest.mark.parametrize(
    ("section", "sleeps"), [("lsm.s/file_open", True), ("uprobe.multi.s", True), ("lsm/x.s", False)]
)
def test_sleeping_is_told_by_the_section(section: str, sleeps: bool) -> None:
    assert hooks.is_sleepable(section) is sleeps


@every_hook
def test_every_type_says_what_it_is(hook: hooks.Hook[object]) -> None:
    assert hook.doc.endswith(".")
    assert hook.accepts(hook.name)
    assert dataclasses.is_dataclass(hook.attachment)
    assert all(one.help.endswith((".", ").")) for one in hook.options)
    assert all(hooks.from_section(section.rstrip("_")) is hook for section in hook.sections)


def test_a_type_is_attached_or_says_why_not() -> None:
    for hook in hooks.HOOKS:
        if not hook.unattached:
            continue
        for refuse in (lambda one=hook: one.build({}), lambda one=hook: one.requests(None, hooks.Placing())):
            with pytest.raises(errors.InvalidRequest, match="skep attaches no"):
                refuse()
        assert not hook.options


def test_a_run_on_request_names_its_answers() -> None:
    """Answers are signed: the kernel's -1 comes as 2**32 - 1."""
    tcx = hooks.by_name("tcx").runs
    assert tcx is not None
    assert [tcx.verdict(code) for code in (-1, 2, 99)] == ["TC_ACT_UNSPEC", "TC_ACT_SHOT", ""]
    assert hooks.by_name("kprobe").runs is None
