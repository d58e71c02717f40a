"""Inventories made up for tests."""

from __future__ import annotations

from skep import model

OURS = model.Managed(application="firewall", key="BpfApplication/web/firewall")
NOBODY = model.Foreign()
POD = model.Group(path="/kubepods/podu1/c1", pod="u1", container="c1")


def program(id: int, owner: model.Owner, *places: str, memory: int = 4096, name: str = "") -> model.OwnedProgram:
    seen = model.KernelProgram(
        id=model.ProgramId(id), type=6, name="x", tag="0011", loaded_at_ns=id, memlock_bytes=memory, run_count=id,
        run_time_ns=id,
    )  # fmt: skip
    return model.OwnedProgram(kernel=seen, name=name or f"p{id}", places=places, since=float(id), owner=owner)


def link(id: int, owner: model.Owner) -> model.OwnedLink:
    seen = model.KernelLink(id=model.KernelLinkId(id), type=6, program_id=model.ProgramId(1))
    return model.OwnedLink(kernel=seen, place="xdp eth0", owner=owner)


def map_(id: int, owner: model.Owner, *users: int, memory: int = 320) -> model.OwnedMap:
    seen = model.KernelMap(
        id=model.MapId(id), type=1, name=f"m{id}", key_size=4, value_size=8, max_entries=1, flags=0,
        memlock_bytes=memory,
    )  # fmt: skip
    return model.OwnedMap(kernel=seen, programs=tuple(map(model.ProgramId, users)), owner=owner)


def inventory(
    programs: tuple[model.OwnedProgram, ...] = (),
    links: tuple[model.OwnedLink, ...] = (),
    maps: tuple[model.OwnedMap, ...] = (),
    processes: tuple[model.Process, ...] = (),
) -> model.Inventory:
    return model.Inventory(
        fingerprint="f", release="6.12.1", programs=programs, links=links, maps=maps, processes=processes
    )
