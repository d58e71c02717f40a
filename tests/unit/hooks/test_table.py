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

every_hook = pytest.mark.parametrize("hook", hooks.HOOKS, ids=lambda one: one.name)


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("xdp", "xdp"), ("?xdp", "xdp"), ("xdp/filter", "xdp"), ("xdp.frags", "xdp"), ("xdp.frags/x", "xdp"),
        ("xdp_filter", "xdp"), ("xdp/devmap", None), ("xdp.frags/cpumap", None),
        ("tc", "tcx"), ("tc/ingress", "tcx"), ("tcx/egress", "tcx"), ("classifier", "tcx"), ("classifier/x", "tcx"),
        ("classifier_1", "tcx"), ("action", "tcx"), ("?tcx", "tcx"),
        ("tracepoint/sched/sched_switch", "tracepoint"), ("tp/syscalls/x", "tracepoint"), ("tp_btf/x", "tp_btf"),
        ("uprobe", "uprobe"), ("uprobe/libc:malloc", "uprobe"), ("uprobe.s/x", "uprobe"),
        ("uprobe.multi/x", "uprobe_multi"), ("kprobe.multi/x", "kprobe_multi"),
        ("uretprobe", "uretprobe"), ("uretprobe.s//bin/x:y", "uretprobe"),
        ("kprobe/x", "kprobe"), ("prog", None), ("", None), ("xdpx", None), (".text", None),
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
    assert hooks.by_name("tc") is hooks.by_name("tcx")
    assert hooks.by_name("uretprobe").name == "uretprobe"
    with pytest.raises(errors.NotFound) as told:
        hooks.by_name("tracepont")
    assert told.value.near[0] == "tracepoint"


@every_hook
def test_every_option_reaches_the_attachment(hook: hooks.Hook[object]) -> None:
    """What a CLI makes of the table builds the attachment, with nothing but the required options and with all."""
    parsed = {one.field: one.parse(one.example) for one in hook.options if one.example}
    assert isinstance(hook.build(parsed), hook.attachment)
    required = {one.field: parsed[one.field] for one in hook.options if one.required}
    required.update({name: parsed[name] for name in ONE_OF.get(hook.attachment, ())})
    whole, least = hook.build(parsed), hook.build(required)
    assert whole != least or len(hook.options) == len(required)
    placing = hooks.Placing(section=next(iter(hook.points or hook.sections)), function="vfs_mkdir")
    if hook.complete is not None:
        whole = hook.complete(whole, placing)
    assert hook.summary(whole)
    candidates = host.candidates(hook.requests(whole, placing))
    assert candidates
    assert all(one.label and str(one.target) for one in candidates)


@every_hook
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
