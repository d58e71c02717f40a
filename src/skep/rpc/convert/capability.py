"""What programs can do, between domain and ``skep.v1``."""

from __future__ import annotations

from collections.abc import Iterable

from skep import model
from skep.model.capability import Capability, ProgramCapabilities
from skep.pb import skep_pb2


def pack(programs: Iterable[ProgramCapabilities]) -> list[skep_pb2.ProgramCapabilities]:
    """As messages, from harmless to harmful."""
    return [
        skep_pb2.ProgramCapabilities(
            program=one.program,
            section=one.section,
            type=one.type,
            capabilities=[
                skep_pb2.Capability(name=kind.value, because=one.because[kind])
                for kind in Capability
                if kind in one.because
            ],
        )
        for one in programs
    ]


def unpack(messages: Iterable[skep_pb2.ProgramCapabilities]) -> tuple[ProgramCapabilities, ...]:
    """Messages as what programs can do; what a newer daemon knows and this code does not is left out."""
    known = {kind.value: kind for kind in Capability}
    return tuple(
        ProgramCapabilities(
            program=one.program,
            section=one.section,
            type=model.HookName(one.type),
            because={known[each.name]: tuple(each.because) for each in one.capabilities if each.name in known},
        )
        for one in messages
    )
