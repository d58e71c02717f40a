"""What a bpfman client says and hears."""

from __future__ import annotations

import dataclasses

import pytest

from skep import errors, model
from skep.hooks import aimed, kprobe, tc, tcx, tracepoint, uprobe, xdp
from skep.pb import bpfman_pb2 as pb
from skep.rpc.convert import bpfman
from tests.unit.rpc.filled import filled

KERNEL = filled(model.KernelProgram)


def load(*infos: pb.LoadInfo, **location: object) -> pb.LoadRequest:
    return pb.LoadRequest(bytecode=pb.BytecodeLocation(**location), info=infos)  # type: ignore[arg-type]  # table


@pytest.mark.parametrize(
    "declared, hook",
    [
        (pb.XDP, "xdp"),
        (pb.TRACEPOINT, "tracepoint"),
        (pb.UPROBE, "uprobe"),
        (pb.TC, "tc"),
        (pb.TCX, "tcx"),
        (pb.KPROBE, "kprobe"),
        (pb.FENTRY, "fentry"),
        (pb.FEXIT, "fexit"),
        (pb.LSM, "lsm"),
    ],
)
def test_declared_types_become_hooks(declared, hook):
    (spec,) = bpfman.load_specs(load(pb.LoadInfo(name="f", program_type=declared)))

    assert spec == model.ProgramSpec(name="f", hook=model.HookName(hook))


def test_every_type_of_bpfman_is_known():
    assert set(bpfman.HOOKS) == set(pb.BpfmanProgramType.values())


INFO = {
    "fentry": (pb.FENTRY, pb.ProgSpecificInfo(fentry_load_info=pb.FentryLoadInfo(fn_name="vfs_mkdir"))),
    "fexit": (pb.FEXIT, pb.ProgSpecificInfo(fexit_load_info=pb.FexitLoadInfo(fn_name="vfs_mkdir"))),
    "lsm": (pb.LSM, pb.ProgSpecificInfo(lsm_load_info=pb.LsmLoadInfo(hook_name="vfs_mkdir"))),
}


@pytest.mark.parametrize("name", INFO)
def test_what_a_program_is_loaded_for_is_kept(name):
    kind, info = INFO[name]
    (spec,) = bpfman.load_specs(load(pb.LoadInfo(name="f", program_type=kind, info=info)))

    assert spec == model.ProgramSpec(name="f", hook=model.HookName(name), attach_func="vfs_mkdir")


def test_a_target_of_another_type_is_refused():
    info = pb.LoadInfo(name="f", program_type=pb.LSM, info=INFO["fentry"][1])

    with pytest.raises(errors.InvalidRequest, match="fentry_load_info"):
        bpfman.load_specs(load(info))


def test_a_kprobe_has_no_container():
    with pytest.raises(errors.Unsupported, match="container"):
        bpfman.attach(on(kprobe_attach_info=pb.KprobeAttachInfo(fn_name="f", container_pid=1)))


INVALID = {
    "no program": lambda: bpfman.load_specs(load()),
    "empty name": lambda: bpfman.load_specs(load(pb.LoadInfo(program_type=pb.XDP))),
    "unknown type": lambda: bpfman.load_specs(load(pb.LoadInfo(name="f", program_type=9))),  # type: ignore[arg-type]
    "no location": lambda: bpfman.load_source(load().bytecode),
    "relative path": lambda: bpfman.load_source(load(file="a.o").bytecode),
    "image without reference": lambda: bpfman.image(pb.BytecodeImage()),
    "unknown pull policy": lambda: bpfman.image(pb.BytecodeImage(url="a", image_pull_policy=3)),
    "no attachment": lambda: bpfman.attach(pb.AttachRequest(id=1)),
    "empty attachment": lambda: bpfman.attach(pb.AttachRequest(id=1, attach=pb.AttachInfo())),
    "no interface": lambda: bpfman.attach(on(xdp_attach_info=pb.XDPAttachInfo())),
    "negative priority": lambda: bpfman.attach(on(xdp_attach_info=pb.XDPAttachInfo(iface="a", priority=-1))),
    "unknown verdict": lambda: bpfman.attach(on(xdp_attach_info=pb.XDPAttachInfo(iface="a", proceed_on=[9]))),
    "unknown direction": lambda: bpfman.attach(on(tcx_attach_info=pb.TCXAttachInfo(iface="a", direction="in"))),
    "no group": lambda: bpfman.attach(on(tracepoint_attach_info=pb.TracepointAttachInfo(tracepoint="sched_switch"))),
    "no target": lambda: bpfman.attach(on(uprobe_attach_info=pb.UprobeAttachInfo(fn_name="f"))),
    "unknown kernel type": lambda: bpfman.list_filter(pb.ListRequest(program_type=33)),
}


@pytest.mark.parametrize("name", INVALID)
def test_a_request_with_this_is_invalid(name):
    with pytest.raises(errors.InvalidRequest):
        INVALID[name]()


@pytest.mark.parametrize(
    ("number", "policy"), [(0, "Always"), (1, "IfNotPresent"), (2, "Never")], ids=["by default", "1", "2"]
)
def test_an_image_keeps_its_policy_and_its_login(number, policy):
    asked = bpfman.image(pb.BytecodeImage(url="a/b:1", image_pull_policy=number, username="u", password="p"))

    assert asked == model.ImageRequest(
        url="a/b:1", policy=model.PullPolicy(policy), login=model.Login(username="u", password="p")
    )


def test_a_name_without_a_password_is_no_login():
    assert bpfman.image(pb.BytecodeImage(url="a", username="u")).login is None


def on(**info: object) -> pb.AttachRequest:
    return pb.AttachRequest(id=7, attach=pb.AttachInfo(**info))  # type: ignore[arg-type]  # table


KEPT = {"a": "b"}
ATTACH = {
    "xdp": (
        on(xdp_attach_info=pb.XDPAttachInfo(iface="e", priority=5, proceed_on=[31, 2], netns="/n", metadata=KEPT)),
        xdp.XdpAttachment(interface=model.InterfaceRef(name="e", netns="/n"), priority=5, proceed_on=(2, 31)),
    ),
    "tc": (
        on(
            tc_attach_info=pb.TCAttachInfo(
                iface="e", direction="ingress", priority=5, proceed_on=[30, -1], netns="/n", metadata=KEPT
            )
        ),
        tc.TcAttachment(
            interface=model.InterfaceRef(name="e", netns="/n"),
            direction=tcx.Direction.INGRESS,
            priority=5,
            proceed_on=(-1, 30),
        ),
    ),
    "tcx": (
        on(tcx_attach_info=pb.TCXAttachInfo(iface="e", direction="egress", priority=5, netns="", metadata={"a": "b"})),
        tcx.TcxAttachment(interface=model.InterfaceRef(name="e"), direction=tcx.Direction.EGRESS, priority=5),
    ),
    "tracepoint": (
        on(tracepoint_attach_info=pb.TracepointAttachInfo(tracepoint="a/b", metadata={"a": "b"})),
        tracepoint.TracepointAttachment(group="a", name="b"),
    ),
    "uprobe": (
        on(uprobe_attach_info=pb.UprobeAttachInfo(fn_name="f", target="libc", pid=3, metadata={"a": "b"})),
        uprobe.UprobeAttachment(target="libc", fn_name="f", pid=3),
    ),
    "uprobe by offset": (
        on(uprobe_attach_info=pb.UprobeAttachInfo(fn_name="", offset=8, target="/t", metadata={"a": "b"})),
        uprobe.UprobeAttachment(target="/t", offset=8),
    ),
    "kprobe": (
        on(kprobe_attach_info=pb.KprobeAttachInfo(fn_name="vfs_mkdir", offset=4, metadata={"a": "b"})),
        kprobe.KprobeAttachment(fn_name="vfs_mkdir", offset=4),
    ),
    "fentry": (on(fentry_attach_info=pb.FentryAttachInfo(metadata={"a": "b"})), aimed.AimedAttachment()),
    "fexit": (on(fexit_attach_info=pb.FexitAttachInfo(metadata={"a": "b"})), aimed.AimedAttachment()),
    "lsm": (on(lsm_attach_info=pb.LsmAttachInfo(metadata={"a": "b"})), aimed.AimedAttachment()),
}


@pytest.mark.parametrize("name", ATTACH)
def test_attach_keeps_place_and_metadata(name):
    request, attachment = ATTACH[name]

    assert bpfman.attach(request) == model.Attach(
        program=model.ProgramId(7), attachment=attachment, metadata={"a": "b"}, literal=True
    )


def test_a_list_filter_counts_types_as_the_kernel_does():
    request = pb.ListRequest(program_type=0, bpfman_programs_only=True, match_metadata={"a": "b"})

    assert bpfman.list_filter(request) == model.ProgramFilter(managed_only=True, prog_type=0, metadata={"a": "b"})
    assert bpfman.list_filter(pb.ListRequest()) == model.ProgramFilter()


def test_what_is_told_of_a_program():
    program = dataclasses.replace(filled(model.Program), links=(3, 4), used_by=(41, 42), map_dir="/pins/maps/41")

    info = bpfman.program_info(program)

    assert info.name == program.record.name
    assert info.bytecode == pb.BytecodeLocation(file=program.record.source.path)
    assert (list(info.links), info.map_pin_path, list(info.map_used_by)) == ([3, 4], "/pins/maps/41", ["41", "42"])
    assert info.map_owner_id == program.record.owner_id
    assert dict(info.metadata) == program.record.metadata
    assert dict(info.global_data) == program.record.global_data


def test_an_unnamed_owner_is_absent():
    record = dataclasses.replace(filled(model.ProgramRecord), owner_id=None)

    info = bpfman.program_info(dataclasses.replace(filled(model.Program), record=record))

    assert not info.HasField("map_owner_id")


def test_an_image_is_told_back_without_credentials():
    source = model.ImageSource(url="registry/image", pull_policy="IfNotPresent")
    record = dataclasses.replace(filled(model.ProgramRecord), source=source)

    image = bpfman.program_info(dataclasses.replace(filled(model.Program), record=record)).bytecode.image

    assert image == pb.BytecodeImage(url="registry/image", image_pull_policy=1)
    assert not image.HasField("password")


def test_all_thirteen_kernel_fields_are_told():
    seen = dataclasses.replace(KERNEL, loaded_at_ns=5_400_000_000)

    info = bpfman.kernel_info(seen, 1_000_000_000.0)

    assert {field.name for field, _ in info.ListFields()} == {field.name for field in info.DESCRIPTOR.fields}
    assert info.loaded_at == "2001-09-09T01:46:45Z"
    assert (info.id, info.program_type, info.tag) == (seen.id, seen.type, seen.tag)
    assert (info.bytes_xlated, info.bytes_jited, info.bytes_memlock) == (
        seen.xlated_bytes, seen.jited_bytes, seen.memlock_bytes
    )  # fmt: skip
