"""What planners decide from: ``World`` (records and observations) and ``Fresh`` (new ids, time, who and where).

A planner reads only what its verb needs, so ``World`` need only hold that; ``plan/need.py`` says what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skep import model, paths
from skep.bytecode import relocated
from skep.hooks import request


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Records and observations at one moment, under the writer's lock.

    ``programs``, ``links``, ``chains``: all records, or at least those the verb touches. ``members``: kept code of the
    programs in the touched chains. ``links_at`` and ``programs_at``: what the kernel has at pins that were looked at;
    None when the pin is not there; an absent key was not looked at.
    """

    programs: Mapping[model.ProgramKey, model.ProgramRecord] = field(default_factory=dict)
    members: Mapping[model.ProgramKey, relocated.Member] = field(default_factory=dict)
    objects: Mapping[model.Digest, bytes] = field(default_factory=dict)
    links: Mapping[model.LinkId, model.LinkRecord] = field(default_factory=dict)
    chains: Mapping[model.ChainKey, model.ChainRecord] = field(default_factory=dict)

    programs_at: Mapping[model.ProgramPin, model.KernelProgram | None] = field(default_factory=dict)
    links_at: Mapping[model.LinkPin, model.KernelLink | None] = field(default_factory=dict)
    found: Mapping[request.Target, tuple[request.Target, ...]] = field(default_factory=dict)
    """What a target that stands for several stands for now, of the targets that were looked at."""
    interface: model.Interface | None = None
    """The attachment's interface, for hooks that have one."""
    registrations: tuple[model.Registration, ...] = ()
    """struct_ops that are registered without a link."""
    xdp_on: tuple[model.ProgramId, ...] = ()
    """Programs that hold the interface's XDP hook, ours included."""
    tcx_on: tuple[model.HookEntry, ...] = ()
    """The TCX hook's list in running order, ours and foreign."""
    socket: model.Socket | None = None
    """The attachment's socket, for hooks that have one."""
    filters_on: tuple[model.Filter, ...] = ()
    """The interface's tc filters, ours and foreign, in the order in which they are asked."""
    shared: frozenset[model.MapPin] = frozenset()
    """LIBBPF_PIN_BY_NAME pins that exist."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """For adopt: what is noted below the pins, path -> text (``plan.notes``)."""
    xdp_mode: model.XdpMode = model.XdpMode.DRV
    """The mode configured for the interface, tried first."""
    xdp_fallback: bool = True
    """Whether generic XDP may stand in for it."""
    lost: Mapping[model.LinkId, str] = field(default_factory=dict)
    """Links of the program that is replaced whose target is gone for good, with what became of it."""
    features: frozenset[str] = frozenset()
    """What the kernel can, by the names of ``skep feature``; looked at for programs that load differently then."""
    foreign: Mapping[model.ProgramId, str] = field(default_factory=dict)
    """Names of programs that are not ours on the hook, to be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """What a plan may use that the world does not hold yet: ids from the store, the clock, the caller.

    ``programs``: one new key for each program that a load makes. ``set`` and ``link``: for load and attach.
    """

    operation: model.OperationId
    boot: model.Boot
    now: float
    """Seconds since the epoch (UTC)."""
    caller: model.Caller
    pins: paths.Pins
    programs: tuple[model.ProgramKey, ...] = ()
    set: model.SetKey = model.SetKey(0)
    link: model.LinkId = model.LinkId(0)
