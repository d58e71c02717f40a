"""A kernel that refuses: every type is told as one that is not supported here, with what would be needed."""

from __future__ import annotations

import errno
import json
import re

import pytest

from skep import errors, hooks, model, steps
from skep.kernel import abi, loading, needs, refused, verifier

every = pytest.mark.parametrize("hook", hooks.HOOKS, ids=lambda one: one.name)


@every
@pytest.mark.parametrize("code", [errno.EPERM, errno.EACCES, errno.EINVAL])
def test_a_type_that_is_refused_at_load(hook: hooks.Hook[object], code: int) -> None:
    attach_type = next(iter(hook.points.values()), hook.expected_attach_type)
    told = refused.program_type("mine", hook.prog_type, attach_type, code)
    assert isinstance(told, errors.Unsupported)
    assert hook.name in told.feature
    assert re.fullmatch(r"\d+\.\d+", told.first)
    assert tuple(map(int, told.first.split("."))) <= tuple(map(int, hook.first.split(".")))
    assert told.errno == code
    for word in ("not supported here", refused.number(code), hook.name, f"since {told.first}"):
        assert word in told.why, word
    assert told.do
    assert "ulimit" not in str(told)


@every
def test_libbpf_s_hint_is_never_shown(hook: hooks.Hook[object]) -> None:
    """What libbpf 1.1 says of EPERM, word for word."""
    messages = [
        "libbpf: prog 'mine': BPF program load failed: Operation not permitted\n",
        "libbpf: permission error while running as root; try raising 'ulimit -l'? current value: 8.0 MiB\n",
        "libbpf: prog 'mine': failed to load: -1\n",
        "libbpf: failed to load object 'x.bpf.o'\n",
    ]
    program = steps.ProgramLoad(
        name="mine",
        pin=model.ProgramPin("/sys/fs/bpf/x"),
        prog_type=hook.prog_type,
        expected_attach_type=next(iter(hook.points.values()), hook.expected_attach_type),
    )
    head = json.loads(json.dumps({"error": {"stage": "load", "errno": errno.EPERM}, "messages": messages, "log": ""}))
    told = loading._explain(head, steps.ObjectLoad(object=b"", programs=(program,), maps=()), {})
    assert isinstance(told, errors.Unsupported)
    assert told.errno == errno.EPERM
    assert "ulimit" not in "".join((told.what, told.why, told.do, told.log))


def test_a_log_means_that_the_verifier_looked() -> None:
    told = verifier.refusal("mine", abi.PROG_TYPE_XDP, abi.XDP, errno.EPERM, "0: R1=ctx()\nlocked down")
    assert isinstance(told, errors.Rejected)


def test_a_type_that_nobody_knows_is_named_by_its_number() -> None:
    told = refused.program_type("mine", 99, 0, errno.EINVAL)
    assert isinstance(told, errors.Unsupported)
    assert (told.feature, told.first) == ("type 99 programs", "")


@pytest.mark.parametrize(
    ("code", "text", "kind", "do"),
    [
        (errno.ENOENT, "Specified qdisc kind is unknown", errors.Unsupported, "sch_ingress and cls_bpf"),
        (errno.ENOENT, "TC classifier not found", errors.Unsupported, "sch_ingress and cls_bpf"),
        (errno.ENOENT, "Cannot find specified filter chain", errors.NotFound, ""),
        (errno.EPERM, "", errors.Denied, "CAP_NET_ADMIN"),
        (errno.EEXIST, "Filter already exists", errors.AlreadyExists, ""),
        (errno.EINVAL, "", errors.Rejected, ""),
    ],
)
def test_traffic_control_refuses_in_the_kernels_words(code: int, text: str, kind: type[errors.SkepError], do: str):
    told = refused.traffic_control("cannot attach", OSError(code, ""), text)
    assert type(told) is kind
    assert told.why.endswith(text)
    assert told.errno == code
    assert do in told.do


CONFIG = ["CONFIG_BPF_SYSCALL=y\n", "# CONFIG_KPROBES is not set\n", "CONFIG_NETKIT=m\n", 'CONFIG_CC="gcc"\n']


def test_build_options_that_are_not_set() -> None:
    config = needs.parsed(CONFIG)
    assert config == {"BPF_SYSCALL": "y", "NETKIT": "m", "CC": '"gcc"'}
    assert needs.unset(("BPF_SYSCALL", "KPROBES", "NETKIT"), config) == ("CONFIG_KPROBES",)
    assert needs.unset(("KPROBES",), None) == ()


@every
def test_every_type_s_options_are_names(hook: hooks.Hook[object]) -> None:
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]+", one) and not one.startswith("CONFIG") for one in hook.config)


@every
def test_what_is_needed_is_always_said(hook: hooks.Hook[object]) -> None:
    for code in (errno.EPERM, errno.EINVAL, errno.ENOENT, abi.ENOTSUPP):
        assert needs.told(code, hook.config, hook.first)
