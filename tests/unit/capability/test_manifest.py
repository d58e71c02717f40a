"""What is said of a program is what its code can do, in either byte order, and never less."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skep import errors, hooks
from skep.bytecode import elf
from skep.capability import calls, inherent, manifest
from skep.model.capability import Capability as C
from tests import bpf_build

XDP = {C.SEE_PACKETS, C.DECIDE_PACKETS, C.REDIRECT_PACKETS}
TC = {C.SEE_PACKETS, C.DECIDE_PACKETS}

EXPECTED = {
    "counts": XDP,
    "writes": XDP | {C.REWRITE_PACKETS},
    "writes_in_a_subprogram": XDP | {C.REWRITE_PACKETS},
    "writes_through_the_stack": XDP | {C.REWRITE_PACKETS},
    "writes_in_a_callback": XDP | {C.REWRITE_PACKETS},
    "stores_bytes": TC | {C.REWRITE_PACKETS},
    "redirects": TC | {C.REDIRECT_PACKETS},
    "overrides": {C.OVERRIDE_RETURN_VALUES},
    "spies": {C.READ_USER_MEMORY, C.READ_KERNEL_MEMORY, C.WRITE_USER_MEMORY, C.SEND_SIGNALS, C.TRACE_LOG},
    "calls_the_kernel": {C.READ_KERNEL_MEMORY, C.CALL_KERNEL_FUNCTIONS},
    "refuses": {C.READ_KERNEL_MEMORY, C.REFUSE_OPERATIONS},
    "harmless": set(),
    "of_no_known_type": set(inherent.UNKNOWN),
}


@pytest.fixture(scope="module")
def capable() -> bytes:
    return bpf_build.build("capable").read_bytes()


@pytest.fixture(scope="module")
def other_order(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The same source for machines of the other byte order."""
    target = "bpfeb" if elf.HOST is elf.ByteOrder.LITTLE else "bpfel"
    made = tmp_path_factory.mktemp("capable") / "capable.o"
    headers = f"-I/usr/include/{sysconfig.get_config_var('MULTIARCH')}"
    source = str(bpf_build.SOURCES / "capable.bpf.c")
    subprocess.run(["clang", "-O2", "-g", "-target", target, headers, "-c", source, "-o", str(made)], check=True)
    return made.read_bytes()


def test_each_program_shows_what_its_code_can_do(capable: bytes) -> None:
    got = {one.program: set(one.because) for one in manifest.read(capable)}

    assert got == EXPECTED


def test_the_other_byte_order_is_read_alike(capable: bytes, other_order: bytes) -> None:
    swapped = elf.ByteOrder.BIG if elf.HOST is elf.ByteOrder.LITTLE else elf.ByteOrder.LITTLE

    assert {(one.program, *one.because) for one in manifest.read(other_order, order=swapped)} == {
        (one.program, *one.because) for one in manifest.read(capable)
    }


def test_what_shows_it_is_named(capable: bytes) -> None:
    by_name = {one.program: one.because for one in manifest.read(capable)}

    assert by_name["writes"][C.REWRITE_PACKETS] == ("store into the packet",)
    assert by_name["stores_bytes"][C.REWRITE_PACKETS] == ("helper skb_store_bytes",)
    assert by_name["calls_the_kernel"][C.CALL_KERNEL_FUNCTIONS] == ("kfunc bpf_rcu_read_lock",)
    assert by_name["refuses"][C.REFUSE_OPERATIONS] == ("type lsm",)


def test_a_declared_type_counts_before_the_section(capable: bytes) -> None:
    (got,) = (one for one in manifest.read(capable, {"harmless": "lsm"}) if one.program == "harmless")

    assert (got.type, set(got.because)) == ("lsm", set(inherent.BY_TYPE["lsm"]))


def test_json_goes_from_harmless_to_harmful(capable: bytes) -> None:
    got = manifest.to_json(manifest.read(capable))

    assert json.loads(json.dumps(got)) == got
    (spies,) = (one["capabilities"] for one in got if one["program"] == "spies")
    order = [one.value for one in C]
    assert list(spies) == sorted(spies, key=order.index)


def test_together_is_the_union(capable: bytes) -> None:
    everything = manifest.together(manifest.read(capable))

    assert set(everything) == set().union(*EXPECTED.values())
    assert list(everything) == [one for one in C if one in everything]


def test_every_type_of_skep_has_a_row() -> None:
    """A type without one would be shown with the worst, and nobody would know why."""
    assert {hook.name for hook in hooks.HOOKS} - inherent.BY_TYPE.keys() == set()


def test_helpers_are_numbered_as_in_the_header() -> None:
    text = Path("/usr/include/linux/bpf.h").read_text()
    mapper = text[text.index("#define __BPF_FUNC_MAPPER") :]
    mapper = mapper[: mapper.index("\t/*")]
    names = re.findall(r"FN\((\w+)", mapper.split("\n", 1)[1])

    assert len(names) > 200
    assert tuple(names[: len(calls.NAMES)]) == calls.NAMES[: len(names)]


def test_every_named_helper_exists() -> None:
    """A misspelt name in the table would show nothing, silently."""
    written = {name for text in calls._SHOWN_BY.values() for name in text.split()}

    assert written - set(calls.NAMES) == set()


def test_a_helper_that_nobody_knows_is_called_a_kernel_function() -> None:
    assert calls.name(4711) == "number 4711"
    assert calls.name(-1) == "number -1"


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_objects_are_read_or_refused(capable: bytes, data: st.DataObject) -> None:
    broken = bytearray(capable)
    for _ in range(data.draw(st.integers(1, 8))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(errors.BadObject, errors.Exhausted):
        manifest.read(bytes(broken))
