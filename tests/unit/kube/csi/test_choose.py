"""Whose maps a pod gets."""

from __future__ import annotations

import pytest

from skep import errors, model
from skep.kube.csi import choose


def program(
    id: int, application: str, *maps: str, applied: str = "", key: str = "bpfman.io/ProgramName", lives: bool = True,
    internal: tuple[str, ...] = (),
) -> model.Program:  # fmt: skip
    kernel = model.KernelProgram(id=model.ProgramId(id), type=6, name="p", tag="0" * 16, loaded_at_ns=0)
    return model.Program(
        record=model.ProgramRecord(
            key=model.ProgramKey(id), generation=1, id=model.ProgramId(id), tag="0" * 16, loaded_at_ns=0, boot_id="b",
            name="p", hook=model.HookName("xdp"), section="xdp", prog_type=6, object=model.Digest("0" * 64),
            source=model.FileSource(path="x"), pin=model.ProgramPin("/p"), set=model.SetKey(id),
            maps=tuple(
                model.MapRef(name=name, pin=model.MapPin(f"/{id}/{name}"), internal=name in internal)
                for name in (*maps, *internal)
            ),
            metadata={key: application, **({"skep/applied": applied} if applied else {})},
            loaded_by=model.Caller(uid=0, gid=0, pid=1), created_at=0.0,
        ),
        status=model.ProgramStatus(kernel=kernel if lives else None, pin_present=lives),
    )  # fmt: skip


FOREIGN = model.ForeignProgram(
    kernel=model.KernelProgram(id=model.ProgramId(1), type=6, name="counter", tag="0" * 16, loaded_at_ns=0)
)
BLUE = program(7, "counter", "hits", "own", applied="BpfApplication/blue/counter")
RED = program(3, "counter", "hits", applied="BpfApplication/red/counter")
CLUSTER = program(5, "counter", "hits", "wide", applied="ClusterBpfApplication/counter")
LOOSE = program(2, "counter", "hits", "loose")
ALL = (FOREIGN, LOOSE, RED, CLUSTER, BLUE)

CHOICES = {  # loaded, the pod's namespace, whose maps
    "its own namespace's first": (ALL, "blue", 7),
    "another namespace's own": (ALL, "red", 3),
    "the cluster's where the namespace has none": (ALL, "green", 5),
    "the cluster's where the namespace is unknown": (ALL, None, 5),
    "what no object stands for, last": ((LOOSE, RED), "green", 2),
    "the lowest id of its kind": ((program(9, "counter", "hits"), LOOSE), "green", 2),
    "by the name that skep gives": ((program(4, "counter", "hits", key="bpfman.io/application"),), "green", 4),
    "no dead ones": ((program(1, "counter", "hits", lives=False), LOOSE), "green", 2),
}


@pytest.mark.parametrize("label", CHOICES)
def test_one_application_is_chosen(label: str) -> None:
    loaded, namespace, id = CHOICES[label]
    assert choose.maps(("hits",), "counter", namespace, loaded) == {"hits": f"/{id}/hits"}


def test_all_programs_of_an_application_count_and_no_others() -> None:
    second = program(8, "counter", "other", applied="BpfApplication/blue/counter")
    found = choose.maps(("other", "own"), "counter", "blue", (*ALL, second))
    assert found == {"other": "/8/other", "own": "/7/own"}
    with pytest.raises(errors.NotFound, match="no map 'wide'"):  # the cluster's of the same name has it
        choose.maps(("wide",), "counter", "blue", (*ALL, second))


REFUSED = {
    "another namespace's": ((RED,), "blue", "counter", "hits", "another namespace; the pod's is blue"),
    "a namespace's for a pod of nowhere": ((RED,), None, "counter", "hits", "no podInfoOnMount"),
    "none": ((), "blue", "counter", "hits", "nothing of that name is loaded"),
    "nearly": ((LOOSE,), "blue", "countre", "hits", "did you mean counter?"),
    "no such map": ((LOOSE,), "blue", "counter", "hitz", "did you mean hits?"),
    "a data section": ((program(1, "counter", internal=("bss",)),), "blue", "counter", "bss", "it has none"),
}


@pytest.mark.parametrize("label", REFUSED)
def test_what_is_not_there_is_named(label: str) -> None:
    loaded, namespace, name, map, words = REFUSED[label]
    with pytest.raises(errors.NotFound) as refused:
        choose.maps((map,), name, namespace, loaded)
    assert words in str(refused.value)


def test_a_near_name_of_another_namespace_is_not_told() -> None:
    with pytest.raises(errors.NotFound) as refused:
        choose.maps(("hits",), "counte", "blue", (RED,))
    assert refused.value.near == ()
