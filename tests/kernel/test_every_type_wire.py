"""Every type through a daemon's API: what is wrong has its status code and its words, and the daemon keeps nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from skep import errors, hooks, model
from skep.pb import skep_pb2, skep_pb2_grpc
from skep.rpc import status
from skep.rpc.client import Client
from skep.rpc.convert import attachment as convert
from tests import bpf_build, instance
from tests.kernel import every_type, types_rig
from tests.kernel.types_rig import Rig
from tests.kernel.wrong_values import WRONG, Wrong

pytestmark = pytest.mark.slow
SECONDS = 60.0  # in the guest everything takes its time


@pytest.fixture(scope="module")
def daemon() -> Iterator[instance.Instance]:
    with instance.instance("skep-wire") as running:
        yield running


@pytest.fixture(scope="module")
def features() -> dict[str, model.Feature]:
    return types_rig.features()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Places of one's own; its manager only makes the maps that some are."""
    with types_rig.rig(tmp_path) as made:
        yield made


@pytest.mark.parametrize("name", every_type.NAMES)
def test_every_wrong_value_has_its_status(
    daemon: instance.Instance, rig: Rig, features: dict[str, model.Feature], name: str
) -> None:
    case = every_type.case(name)
    case.ready(rig)
    before = daemon.pins()
    with (
        Client(daemon.layout.socket, timeout=SECONDS) as client,
        grpc.insecure_channel(f"unix:{daemon.layout.socket}") as channel,
    ):
        stub: Any = skep_pb2_grpc.SkepStub(channel)  # Any: generated, and without types for its attributes
        wanted = model.Load(
            object=bpf_build.build(case.source).read_bytes(),
            source=model.FileSource(path=f"{case.source}.bpf.o"),
            programs=(model.ProgramSpec(name=case.program, attach_func=case.target),),
        )
        try:
            (program,) = client.run(wanted).programs
        except errors.Unsupported:
            assert not features[name].available  # test_every_type_refused has its words
            assert daemon.pins() == before
            return
        loaded = daemon.pins()
        try:
            if case.hook in ("sk_msg", "sk_skb"):
                rig.load(case.program)  # for its map's pin
            valid = case.attachment(rig)
            for field, rows in WRONG[type(valid)].items():
                for row in rows:
                    message = convert.pack(valid)
                    if not put(getattr(message, str(message.WhichOneof("attachment"))), field, row):
                        continue  # the message cannot even hold it
                    code, text = refused(stub, program.record.id, message)
                    expected = {status.CODES[row.error]}
                    if not features[name].available:
                        expected.add("UNIMPLEMENTED")
                    assert code in expected, (field, row, text)
                    assert code == "UNIMPLEMENTED" or row.says in text, (field, row, text)
            empty = skep_pb2.Attachment()
            assert refused(stub, program.record.id, empty)[0] == "INVALID_ARGUMENT"
            assert refused(stub, 2**32 - 1, convert.pack(valid))[0] == "NOT_FOUND"
            assert daemon.pins() == loaded
            assert not [one for one in every_type.descriptors(daemon.pid) if "bpf" in one]
        finally:
            client.run(model.Unload(program=program.record.id))
    assert daemon.pins() == before


def refused(stub: Any, program: int, message: skep_pb2.Attachment) -> tuple[str, str]:  # Any: see above
    """The status code of an attach, and the text for people."""
    with pytest.raises(grpc.RpcError) as raised:
        stub.Attach(skep_pb2.AttachRequest(program_id=program, attachment=message), timeout=SECONDS)
    return raised.value.code().name, raised.value.details() or ""


def put(message: Any, field: str, row: Wrong) -> bool:  # Any: one of the attachments' messages
    """Write a wrong value into a message; False where its type does not allow it."""
    for name, value in {field: row.made(getattr(message, field)), **row.also}.items():
        try:
            message.ClearField(name)
            if isinstance(value, (list, tuple)):
                getattr(message, name).extend(value)
            elif value is not None:
                setattr(message, name, value)
        except (ValueError, TypeError):
            return False
    return True


def test_every_attachment_has_a_message() -> None:
    for hook in hooks.HOOKS:
        if hook.unattached:
            continue
        attachment = hook.build({one.field: one.parse(one.example) for one in hook.options if one.example})
        assert convert.unpack(convert.pack(attachment)) == attachment, hook.name
