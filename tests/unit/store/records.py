"""Records that fill every field, for tests."""

from __future__ import annotations

import hashlib

from skep import model
from skep.bytecode import relocated
from skep.hooks import xdp

CALLER = model.Caller(uid=1000, gid=100, pid=77, groups=(4, 27), origin="direct")
OBJECT = b"\x7fELF and more"
DIGEST = model.Digest(hashlib.sha256(OBJECT).hexdigest())
CHAIN = model.ChainKey(type="xdp", netns=model.NetnsInode(4026531840), ifindex=model.IfIndex(7))
PINS = "/sys/fs/bpf/skep"


def program(key: int = 1, **changes: object) -> model.ProgramRecord:
    fields: dict[str, object] = {
        "key": model.ProgramKey(key),
        "generation": 2,
        "id": model.ProgramId(100 + key),
        "tag": "0123456789abcdef",
        "loaded_at_ns": 123456789012345,
        "boot_id": "a-boot",
        "name": "count",
        "hook": model.HookName("xdp"),
        "section": "xdp.frags",
        "prog_type": 6,
        "object": DIGEST,
        "source": model.ImageSource(url="registry.example/count:v1", pull_policy="Always", digest="sha256:12"),
        "pin": model.ProgramPin(f"{PINS}/progs/{key}-2"),
        "set": model.SetKey(3),
        "maps": (
            model.MapRef(name="counts", pin=model.MapPin(f"{PINS}/sets/3/counts"), shared=True),
            model.MapRef(name=".rodata", pin=model.MapPin(f"{PINS}/private/3/0_rodata"), internal=True),
        ),
        "owner": model.SetKey(2),
        "owner_id": model.ProgramId(99),
        "attach_func": "do_unlinkat",
        "license": "Dual BSD/GPL",
        "gpl_compatible": True,
        "metadata": {"bpfman.io/application": "demo", "ключ": "значение"},
        "global_data": {"sampling": b"\x00\xff\x10"},
        "loaded_by": CALLER,
        "created_at": 1700000000.25,
        "updated_at": 1700000001.5,
    }
    return model.ProgramRecord(**{**fields, **changes})  # type: ignore[arg-type]  # a table of fields


def link(id: int = 1, key: int = 1, **changes: object) -> model.LinkRecord:
    fields: dict[str, object] = {
        "id": model.LinkId(id),
        "program": model.ProgramKey(key),
        "hook": model.HookName("xdp"),
        "attachment": xdp.XdpAttachment(
            interface=model.InterfaceRef(name="eth0", netns="/run/netns/one"), priority=50, proceed_on=(2, 31)
        ),
        "pins": (model.LinkPin(f"{PINS}/links/{id}/0"), model.LinkPin(f"{PINS}/links/{id}/1")),
        "kernel_ids": (model.KernelLinkId(5), model.KernelLinkId(6)),
        "places": ("cpu 0", "cpu 1"),
        "netns": CHAIN.netns,
        "ifindex": CHAIN.ifindex,
        "chain": CHAIN,
        "priority": 50,
        "mode": model.XdpMode.SKB,
        "fallback": "drv: EOPNOTSUPP",
        "process_start": 123456,
        "metadata": {"a": "b"},
        "boot_id": "a-boot",
        "created_at": 1700000002.0,
    }
    return model.LinkRecord(**{**fields, **changes})  # type: ignore[arg-type]  # a table of fields


def chain(*links: int, **changes: object) -> model.ChainRecord:
    fields: dict[str, object] = {
        "key": CHAIN,
        "revision": 4,
        "interface": "eth0",
        "netns_path": "/run/netns/one",
        "members": tuple(
            model.ChainMember(
                link=model.LinkId(id), program=model.ProgramKey(1), name="count", priority=50, proceed_on=1 << 2,
                form=model.MemberForm.CALL,
            )
            for id in links
        ),
        "link_pin": model.LinkPin(f"{PINS}/chains/{CHAIN}/link"),
        "program_pin": model.ProgramPin(f"{PINS}/chains/{CHAIN}/4/prog"),
        "counts_pin": model.MapPin(f"{PINS}/chains/{CHAIN}/4/counts"),
        "program_id": model.ProgramId(200),
        "link_id": model.KernelLinkId(9),
        "mode": model.XdpMode.DRV,
        "boot_id": "a-boot",
        "filter_priority": 50,
        "filter_handle": 1,
    }  # fmt: skip
    return model.ChainRecord(**{**fields, **changes})  # type: ignore[arg-type]  # a table of fields


def member() -> relocated.Member:
    return relocated.Member(
        name="count",
        insns=b"\xb7\x00\x00\x00\x02\x00\x00\x00\x95\x00\x00\x00\x00\x00\x00\x00",
        maps=(f"{PINS}/sets/3/counts",),
        prog_type=6,
        expected_attach_type=37,
        prog_flags=32,
        licence="GPL",
        btf=b"btf",
        func_info=(relocated.FuncInfo(0, 5),),
        verified_insns=2,
    )
