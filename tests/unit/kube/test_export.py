"""Objects made of what runs mean what runs."""

from __future__ import annotations

from typing import Any

import pytest

from skep import errors, hooks, model
from skep.hooks import uprobe, xdp
from skep.kube import export, host, members, reconcile, resources
from tests.unit.cli import fake

NOWHERE = host.Host(labels={}, interfaces=(), primary=())
ATTACHED = [hook for hook in hooks.HOOKS if not hook.unattached]


def example(hook: hooks.Hook[Any]) -> object:
    """An attachment of the examples in a hook's options."""
    return hook.build({option.field: option.parse(option.example) for option in hook.options if option.example})


def reachable(hook: hooks.Hook[Any], attachment: object) -> object:
    """The same without a container, which only a cluster can name."""
    if any(option.field == "container_pid" for option in hook.options):
        values = {option.field: option.parse(option.example) for option in hook.options if option.example}
        return hook.build(values | {"container_pid": None})
    return attachment


@pytest.mark.parametrize("hook", ATTACHED, ids=lambda hook: hook.name)
def test_there_and_back(hook: hooks.Hook[Any]) -> None:
    """For every type: a link as stored -> object -> the same attachment."""
    attachment = reachable(hook, example(hook))
    function = "42/check" if hook.name == "freplace" else "file_open" if hook.aimed else None
    program = fake.program(
        1, name="count", hook=hook.name, attach_func=function, metadata={"bpfman.io/application": "a", "team": "net"}
    )
    document = export.application("a", (program,), (fake.link(7, program, attachment),))
    read = resources.read(document)
    assert (read.name, read.labels, read.global_data) == ("a", {"team": "net"}, {"limit": b"\x01\x00"})
    (made,) = host.programs(read, NOWHERE)
    assert made.spec == model.ProgramSpec(name="count", hook=hook.name, attach_func=function)
    assert made.links == {reconcile.place(hook, attachment): attachment}


def test_a_type_that_is_not_attached() -> None:
    program = fake.program(1, name="count", hook="syscall")
    assert export.application("a", (program,), ())["spec"]["programs"] == [
        {"name": "count", "type": "Syscall", "syscall": {}}
    ]


def test_an_image() -> None:
    source = model.ImageSource(url="r/i:v1", pull_policy="Always", digest="sha256:1")
    document = export.application("a", (fake.program(1, source=source),), ())
    assert document["spec"]["byteCode"] == {"image": {"url": "r/i:v1", "imagePullPolicy": "Always"}}


@pytest.mark.parametrize(
    "more", [{"source": model.FileSource(path="/b.o")}, {"global_data": {"limit": b"\x02\x00"}}], ids=str
)
def test_what_is_not_one_object(more: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        export.application("a", (fake.program(1), fake.program(2, **more)), ())
    assert caught.value.what == "application a cannot be one object"


@pytest.mark.parametrize(
    ("hook", "attachment", "what"),
    [
        (
            "xdp",
            xdp.XdpAttachment(interface=fake.ETH0, priority=1001),
            "spec.programs[0].xdp.links[0].priority is 1001",
        ),
        (
            "uprobe",
            uprobe.UprobeAttachment(target="libc", fn_name="malloc", container_pid=4),
            "link 7 (libc malloc container pid 4) cannot be written into an object",
        ),
    ],
)
def test_what_no_field_says(hook: str, attachment: object, what: str) -> None:
    program = fake.program(1, name="count", hook=hook)
    with pytest.raises(errors.InvalidRequest) as caught:
        export.application("a", (program,), (fake.link(7, program, attachment),))
    assert caught.value.what == what


def test_every_verdict_has_a_word() -> None:
    for kind, words in members.VERDICTS.items():
        verdicts = hooks.by_name(kind).verdicts
        assert [export._spelled(hooks.by_name(kind), code) for code in verdicts.values()] == list(words)
