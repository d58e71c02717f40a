"""``bpfman.v1`` messages to domain values and back, with the semantics that bpfman's operator relies on.

Kernel numbering of types, RFC 3339 times, decimal strings in ``map_used_by``; credentials are never told back.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import assert_never

from skep import errors, hooks, model
from skep.hooks import aimed, kprobe, tc, tcx, tracepoint, uprobe, xdp
from skep.pb import bpfman_pb2

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
"""By ``BytecodeImage.image_pull_policy``."""
MAX_PROG_TYPE = 32
"""``BPF_PROG_TYPE_NETFILTER``, the last of ``enum bpf_prog_type`` (linux/bpf.h, Linux 6.18)."""

HOOKS: Mapping[int, str] = {hook.bpfman: hook.name for hook in reversed(hooks.HOOKS) if hook.bpfman is not None}
"""``BpfmanProgramType`` -> the type that is declared; the section makes a uprobe a uretprobe."""


def load_specs(message: bpfman_pb2.LoadRequest) -> tuple[model.ProgramSpec, ...]:
    """The programs that a request names. InvalidRequest for none, an empty name or an unknown type."""
    if not message.info:
        raise errors.InvalidRequest("the request names no program", do="add at least one entry to info")
    return tuple(_spec(info) for info in message.info)


def load_source(message: bpfman_pb2.BytecodeLocation) -> str | model.ImageRequest:
    """The path of the object, or the image that holds it. InvalidRequest when the request names neither."""
    match message.WhichOneof("location"):
        case "file":
            if not message.file.startswith("/"):
                raise errors.InvalidRequest(
                    f"the object's path is not absolute: {message.file!r}",
                    why="the daemon has another working directory than you",
                    do="name the file by its absolute path",
                )
            return message.file
        case "image":
            return image(message.image)
    raise errors.InvalidRequest("the request does not say where the object is", do="fill in bytecode")


def image(message: bpfman_pb2.BytecodeImage) -> model.ImageRequest:
    """An image to pull. InvalidRequest for one without a reference or with an unknown pull policy.

    A name without a password, or the reverse, is no login: so bpfman's operator leaves them empty.
    """
    if not message.url:
        raise errors.InvalidRequest("the image has no reference", do="fill in url")
    if not 0 <= message.image_pull_policy < len(PULL_POLICIES):
        known = ", ".join(f"{number} {name}" for number, name in enumerate(PULL_POLICIES))
        raise errors.InvalidRequest(
            f"unknown pull policy {message.image_pull_policy}",
            why=f"policies are {known}",
            do="fill in image.image_pull_policy",
        )
    login = None
    if message.username and message.password:
        login = model.Login(username=message.username, password=message.password)
    policy = model.PullPolicy(PULL_POLICIES[message.image_pull_policy])
    return model.ImageRequest(url=message.url, policy=policy, login=login)


def attach(message: bpfman_pb2.AttachRequest) -> model.Attach:
    """What a client asks to attach. InvalidRequest for values out of range or no attachment, Unsupported for a kprobe
    in a container."""
    attachment, metadata = _attachment(message.attach)
    return model.Attach(program=model.ProgramId(message.id), attachment=attachment, metadata=metadata, literal=True)


def list_filter(message: bpfman_pb2.ListRequest) -> model.ProgramFilter:
    """Which programs a client wants to see. InvalidRequest for an unknown type."""
    if message.HasField("program_type") and message.program_type > MAX_PROG_TYPE:
        raise errors.InvalidRequest(
            f"unknown program type {message.program_type}",
            why=f"types are numbered as in enum bpf_prog_type, 0 to {MAX_PROG_TYPE}",
            do="leave it out to see all",
        )
    return model.ProgramFilter(
        managed_only=message.bpfman_programs_only,
        prog_type=message.program_type if message.HasField("program_type") else None,
        metadata=dict(message.match_metadata),
    )


def program_info(program: model.Program) -> bpfman_pb2.ProgramInfo:
    """What is known of a managed program."""
    record = program.record
    return bpfman_pb2.ProgramInfo(
        name=record.name,
        bytecode=_bytecode(record.source),
        links=program.links,
        global_data=record.global_data,
        map_owner_id=record.owner_id,
        map_pin_path=program.map_dir,
        map_used_by=[str(id) for id in program.used_by],
        metadata=record.metadata,
    )


def kernel_info(seen: model.KernelProgram, boot_time: float) -> bpfman_pb2.KernelProgramInfo:
    """What the kernel says; ``boot_time`` is when CLOCK_BOOTTIME was 0, in seconds since the epoch."""
    return bpfman_pb2.KernelProgramInfo(
        id=seen.id,
        name=seen.name,
        program_type=seen.type,
        loaded_at=_rfc3339(boot_time + seen.loaded_at_ns / 1e9),
        tag=seen.tag,
        gpl_compatible=seen.gpl_compatible,
        map_ids=seen.map_ids,
        btf_id=seen.btf_id,
        bytes_xlated=seen.xlated_bytes,
        jited=seen.jited_bytes > 0,
        bytes_jited=seen.jited_bytes,
        bytes_memlock=min(seen.memlock_bytes, 2**32 - 1),
        verified_insns=seen.verified_insns,
    )


def _spec(info: bpfman_pb2.LoadInfo) -> model.ProgramSpec:
    if not info.name:
        raise errors.InvalidRequest("a program in the request has no name", do="fill in info.name")
    hook = HOOKS.get(info.program_type)
    if hook is None:
        raise errors.InvalidRequest(
            f"unknown program type {info.program_type} for {info.name}",
            why="bpfman.v1 numbers types from 0 (XDP) to 8 (LSM)",
            do="fill in info.program_type",
        )
    return model.ProgramSpec(name=info.name, hook=model.HookName(hook), attach_func=_target(info, hook))


def _target(info: bpfman_pb2.LoadInfo, hook: str) -> str | None:
    """The function or LSM hook that a program is loaded for; None leaves it to the section."""
    match info.info.WhichOneof("info"):
        case None:
            return None
        case "fentry_load_info" if hook == "fentry":
            return info.info.fentry_load_info.fn_name or None
        case "fexit_load_info" if hook == "fexit":
            return info.info.fexit_load_info.fn_name or None
        case "lsm_load_info" if hook == "lsm":
            return info.info.lsm_load_info.hook_name or None
        case field:
            raise errors.InvalidRequest(
                f"{info.name} is a {hook} program",
                why=f"yet the request fills in {field}",
                do="fill in what belongs to its type",
            )


def _attachment(message: bpfman_pb2.AttachInfo) -> tuple[object, Mapping[str, str]]:
    match message.WhichOneof("info"):
        case "xdp_attach_info":
            on_xdp = message.xdp_attach_info
            return xdp.XdpAttachment(
                interface=_interface(on_xdp), priority=on_xdp.priority, proceed_on=tuple(on_xdp.proceed_on)
            ), dict(on_xdp.metadata)
        case "tc_attach_info":
            on_tc = message.tc_attach_info
            return tc.TcAttachment(
                interface=_interface(on_tc),
                direction=tcx.parse_direction(on_tc.direction),
                priority=on_tc.priority,
                proceed_on=tuple(on_tc.proceed_on),
            ), dict(on_tc.metadata)
        case "tcx_attach_info":
            on_tcx = message.tcx_attach_info
            return tcx.TcxAttachment(
                interface=_interface(on_tcx),
                direction=tcx.parse_direction(on_tcx.direction),
                priority=on_tcx.priority,
            ), dict(on_tcx.metadata)
        case "tracepoint_attach_info":
            group, name = tracepoint.parse_tracepoint(message.tracepoint_attach_info.tracepoint)
            metadata = dict(message.tracepoint_attach_info.metadata)
            return tracepoint.TracepointAttachment(group=group, name=name), metadata
        case "uprobe_attach_info":
            probe = message.uprobe_attach_info
            return uprobe.UprobeAttachment(
                target=probe.target,
                fn_name=probe.fn_name or None,
                offset=probe.offset,
                pid=probe.pid if probe.HasField("pid") else None,
                container_pid=probe.container_pid if probe.HasField("container_pid") else None,
            ), dict(probe.metadata)
        case "kprobe_attach_info":
            function = message.kprobe_attach_info
            if function.HasField("container_pid"):
                raise errors.Unsupported(
                    "a kprobe in a container is not supported",
                    feature="kprobes by container",
                    why="kernel functions are the same in every container",
                    do="leave container_pid out",
                )
            metadata = dict(function.metadata)
            return kprobe.KprobeAttachment(fn_name=function.fn_name, offset=function.offset), metadata
        case "fentry_attach_info":
            return aimed.AimedAttachment(), dict(message.fentry_attach_info.metadata)
        case "fexit_attach_info":
            return aimed.AimedAttachment(), dict(message.fexit_attach_info.metadata)
        case "lsm_attach_info":
            return aimed.AimedAttachment(), dict(message.lsm_attach_info.metadata)
        case _:
            raise errors.InvalidRequest("the request names no place to attach to", do="fill in attach.info")


def _interface(
    message: bpfman_pb2.XDPAttachInfo | bpfman_pb2.TCAttachInfo | bpfman_pb2.TCXAttachInfo,
) -> model.InterfaceRef:
    # Some clients send "" for "none".
    return model.InterfaceRef(name=message.iface, netns=message.netns or None)


def _bytecode(source: model.Source) -> bpfman_pb2.BytecodeLocation:
    match source:
        case model.FileSource():
            return bpfman_pb2.BytecodeLocation(file=source.path)
        case model.ImageSource():
            policy = PULL_POLICIES.index(source.pull_policy) if source.pull_policy in PULL_POLICIES else 0
            return bpfman_pb2.BytecodeLocation(image=bpfman_pb2.BytecodeImage(url=source.url, image_pull_policy=policy))
    assert_never(source)


def _rfc3339(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(round(seconds), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
