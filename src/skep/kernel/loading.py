"""Loading an object: the loader does the libbpf part, here its result is checked, pinned and kept as members."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from skep import errors, model, steps
from skep.bytecode import btf, elf, relocated, struct_ops
from skep.kernel import abi, aims, bpffs, features, functions, observe, refused, sys, verifier, worker_client
from skep.values import kinds

_TAIL: Final = 1000  # characters


def load(
    loader: worker_client.Loader, pins: bpffs.Bpffs, wanted: steps.ObjectLoad
) -> dict[model.ProgramPin, steps.LoadedProgram]:
    """Open, patch, relocate, load and pin one object's programs and maps; everything or nothing."""
    with contextlib.ExitStack() as stack:
        reused = _open_reused(stack, pins, wanted.maps)
        targets = _open_targets(stack, wanted.programs)
        _refuse_patched(wanted.patches, reused)
        request, blobs, fds = _request(wanted, reused, targets)
        with loader.ask(request, blobs, fds) as answer:
            if "error" in answer.head:
                raise _explain(answer.head, wanted, reused)
            made = _Made(answer, wanted)
            undo = stack.enter_context(contextlib.ExitStack())
            result = made.pin(pins, reused, undo)
            undo.pop_all()
            return result


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Reused:
    """An existing map that takes the place of one of the object's."""

    pin: model.MapPin
    fd: int
    kernel: model.KernelMap


def _open_reused(stack: contextlib.ExitStack, pins: bpffs.Bpffs, maps: Sequence[steps.MapLoad]) -> dict[str, _Reused]:
    found: dict[str, _Reused] = {}
    for one in maps:
        if one.reuse is None:
            continue
        fd = pins.get(one.reuse) if one.reuse_if_present else pins.need(one.reuse)
        if fd is None:
            continue
        stack.callback(os.close, fd)
        try:
            found[one.name] = _Reused(pin=one.reuse, fd=fd, kernel=observe.Maps().read(fd))
        except OSError as refusal:
            raise errors.Conflict(
                f"map {one.name!r} cannot be shared",
                why=f"{one.reuse} is not a map",
                errno=refusal.errno or 0,
                do="see 'skep doctor'",
            ) from refusal
    return found


def _open_targets(stack: contextlib.ExitStack, programs: Sequence[steps.ProgramLoad]) -> dict[model.ProgramId, int]:
    """Programs whose functions are replaced, by id."""
    found: dict[model.ProgramId, int] = {}
    for id_ in {one.attach_program for one in programs if one.attach_program is not None}:
        try:
            found[id_] = sys.fd_by_id(abi.PROG_GET_FD_BY_ID, id_)
        except OSError as refusal:
            if refusal.errno == errno.ENOENT:
                raise errors.NotFound(
                    f"no program {id_} whose function could be replaced",
                    why="the kernel has none with this id",
                    do="see 'skep program list --all'",
                    errno=errno.ENOENT,
                ) from refusal
            raise refused.listing("programs", refusal) from refusal
        stack.callback(os.close, found[id_])
    return found


def _refuse_patched(patches: Sequence[steps.Patch], reused: Mapping[str, _Reused]) -> None:
    for patch in patches:
        if patch.section in reused:
            raise errors.Conflict(
                f"global data in {patch.section} cannot be set",
                why="the section is shared with programs that run already",
                do="load without global data, or without sharing maps",
            )


def _request(
    wanted: steps.ObjectLoad, reused: Mapping[str, _Reused], targets: Mapping[model.ProgramId, int]
) -> tuple[dict[str, Any], tuple[bytes, ...], list[int]]:
    flags = {one.name: one.flags for one in wanted.maps if one.flags}
    linked = any(more & struct_ops.BPF_F_LINK for more in flags.values())
    blobs = [struct_ops.unlinked(wanted.object) if linked else wanted.object]
    patches: list[dict[str, object]] = []
    for patch in wanted.patches:
        patches.append({"section": patch.section, "offset": patch.offset, "blob": len(blobs)})
        blobs.append(patch.data)
    programs = [
        {
            "name": program.name,
            "type": program.prog_type,
            "attach_type": program.expected_attach_type,
            "flags": program.prog_flags,
            "attach_func": program.attach_func,
            "attach_program": None if program.attach_program is None else list(targets).index(program.attach_program),
        }
        for program in wanted.programs
    ]
    reuse: list[dict[str, object]] = []
    fds = list(targets.values())
    for name, one in reused.items():
        kernel = one.kernel
        definition = {
            "type": kernel.type,
            "key_size": kernel.key_size,
            "value_size": kernel.value_size,
            "max_entries": kernel.max_entries,
            "flags": kernel.flags,
        }
        reuse.append({"name": name, "fd": len(fds), "definition": definition})
        fds.append(one.fd)
    return {"programs": programs, "patches": patches, "reuse": reuse, "flags": flags}, tuple(blobs), fds


class _Made:
    """The loader's answer to a load that worked, with its numbers checked."""

    def __init__(self, answer: worker_client.Answer, wanted: steps.ObjectLoad) -> None:
        self._wanted = wanted
        try:
            programs, maps = answer.head["programs"], answer.head["maps"]
            count = len(wanted.programs)
            if len(programs) != count or len(answer.blobs) != count or len(answer.fds) != count + len(maps):
                raise ValueError("wrong number of programs or maps")
            self._programs = [(int(one["flags"]), int(one["attach_type"])) for one in programs]
            self._maps = {str(one["name"]): (int(one["number"]), fd) for one, fd in zip(maps, answer.fds[count:],
                          strict=True)}  # fmt: skip
        except (KeyError, TypeError, ValueError) as damaged:
            raise errors.Unavailable(
                "the object was not loaded", why=f"the loader's answer is damaged: {damaged}", do="try again"
            ) from damaged
        self._fds = answer.fds[:count]
        self._object = elf.parse(wanted.object)
        self._insns = answer.blobs

    def pin(
        self, pins: bpffs.Bpffs, reused: Mapping[str, _Reused], undo: contextlib.ExitStack
    ) -> dict[model.ProgramPin, steps.LoadedProgram]:
        """Pin maps, then programs; ``undo`` gets the removal of every pin made here."""
        paths: dict[int, str] = {}
        for one in self._wanted.maps:
            if one.name not in self._maps:
                raise errors.NotFound(
                    f"the object has no map {one.name!r}", near=errors.near_misses(one.name, self._maps)
                )
            number, fd = self._maps[one.name]
            taken = reused.get(one.name)
            places = [place for place in one.pins if taken is None or place != taken.pin]
            if taken is None and one.reuse is not None and one.reuse not in places:
                places.append(one.reuse)
            for place in places:
                pins.pin(fd, place)
                undo.callback(pins.release, place)
            if path := next(iter(one.pins), one.reuse):
                paths[number] = path
        result: dict[model.ProgramPin, steps.LoadedProgram] = {}
        for at, program in enumerate(self._wanted.programs):
            result[program.pin] = self._one(at, program, paths)
            pins.pin(self._fds[at], program.pin)
            undo.callback(pins.release, program.pin)
        return result

    def _one(self, at: int, program: steps.ProgramLoad, paths: Mapping[int, str]) -> steps.LoadedProgram:
        fd, code = self._fds[at], self._insns[at]
        try:
            kernel = observe.program(fd)
            types = functions.table(code, observe.functions(fd), self._object)
            blob = observe.btf(kernel.btf_id) if types else b""
        except OSError as refusal:
            raise refused.general(f"the loaded program {program.name!r} cannot be read back", refusal) from refusal
        flags, attach_type = self._programs[at]
        member = relocated.keep(
            code,
            paths,
            name=program.name,
            prog_type=kernel.type,
            expected_attach_type=attach_type,
            prog_flags=flags,
            licence=_licence(self._object),
            btf_blob=blob,
            func_info=types,
            verified_insns=kernel.verified_insns,
        )
        return steps.LoadedProgram(kernel=kernel, member=member)


def _licence(whole: elf.Object) -> str:
    """The text of an object's licence section, which the kernel does not give back."""
    section = whole.section("license")
    return "" if section is None else section.data.partition(b"\0")[0].decode(errors="replace")


def _explain(head: Mapping[str, Any], wanted: steps.ObjectLoad, reused: Mapping[str, _Reused]) -> errors.SkepError:
    """The error for what the loader says it failed at."""
    error = head["error"]
    code = int(error.get("errno", 0))
    messages = "".join(str(one) for one in head.get("messages", ()))
    match str(error.get("stage")):
        case "open":
            return errors.BadObject(
                "this is not a BPF object that can be loaded",
                why=_complaint(messages) or refused.explain(code),
                do="compile it with clang -g -O2 -target bpf",
                errno=code,
            )
        case "program":
            name, known = str(error.get("name")), [str(one) for one in error.get("known", ())]
            near = errors.near_misses(name, known)
            return errors.NotFound(
                f"the object has no program {name!r}",
                near=near,
                do="" if near else "it has " + (", ".join(known) or "none"),
            )
        case "target":
            program = next(one for one in wanted.programs if one.name == str(error.get("name")))
            if program.attach_program is not None:
                return _no_target(str(error.get("target")), program.name, program.attach_program, code)
            return _no_function(program, str(error.get("target")), code)
        case "patch":
            return errors.InvalidRequest(
                f"global data cannot be set in section {error.get('section')}",
                why="the object has no such section" if code == errno.ENOENT else "it is not of that size",
                errno=code,
                do="name a variable of .rodata, .data or .bss",
            )
        case "map":
            name, known = str(error.get("name")), [str(one) for one in error.get("known", ())]
            return errors.NotFound(f"the object has no map {name!r}", near=errors.near_misses(name, known))
        case "reuse":
            return _differs(str(error.get("name")), error.get("definition"), reused, code)
        case _:
            return _refused_load(wanted, code, messages, str(head.get("log", "")))


def _differs(name: str, definition: Any, reused: Mapping[str, _Reused], code: int) -> errors.SkepError:
    there = reused[name]
    mine = dataclasses.replace(
        there.kernel,
        type=int(definition["type"]),
        key_size=int(definition["key_size"]),
        value_size=int(definition["value_size"]),
        max_entries=int(definition["max_entries"]),
        flags=int(definition["flags"]),
    )
    return errors.MapsDiffer(
        f"map {name!r} cannot be shared",
        why=", ".join(mine.difference(there.kernel, lambda type: kinds.kind(type).name)) or refused.explain(code),
        do=f"the first is the object's, the second that of {there.pin}; make them equal or do not share",
        errno=code,
    )


def _refused_load(wanted: steps.ObjectLoad, code: int, messages: str, log: str) -> errors.SkepError:
    program = next((one for one in wanted.programs if f"prog '{one.name}'" in messages), wanted.programs[0])
    if log:
        if code == errno.ENOSPC:  # the log was longer than its buffer, which hides the verifier's own answer
            code = errno.E2BIG if "too large" in log[-_TAIL:] else errno.EINVAL
        return verifier.refusal(program.name, program.prog_type, program.expected_attach_type, code, log)
    complaint = _complaint(messages)
    if program.attach_func is not None and code in (errno.ESRCH, errno.ENOENT):
        return _no_function(program, program.attach_func, code)
    if "map '" in complaint and "failed to create" in complaint:
        return refused.general(complaint, OSError(code, ""), do="check its type, sizes and flags")
    failed = f"prog '{program.name}': BPF program load failed" in messages
    if failed and code == errno.EINVAL and not features.loads(program.prog_type, program.expected_attach_type):
        return refused.program_type(program.name, program.prog_type, program.expected_attach_type, code)
    if failed or code == errno.EPERM:
        return verifier.refusal(program.name, program.prog_type, program.expected_attach_type, code, "")
    return errors.Rejected(
        "the object cannot be loaded",
        why=complaint or refused.explain(code),
        errno=code,
        log=messages,
        do="compile it with -g against the headers of this kernel",
    )


def _no_function(program: steps.ProgramLoad, target: str, code: int) -> errors.SkepError:
    near = aims.near(program, target)
    return errors.NotFound(
        f"program {program.name!r} cannot be attached to {target!r}",
        why="neither the kernel's BTF nor that of a module that is loaded now has it",
        near=near,
        do="" if near else "check the name; if it belongs to a module, load that first (modprobe)",
        errno=code,
    )


def _no_target(target: str, program: str, id_: model.ProgramId, code: int) -> errors.SkepError:
    """Another program's function that is not there."""
    what = f"program {program!r} cannot replace {target!r} of program {id_}"
    names: list[str] = []
    with contextlib.suppress(OSError, errors.SkepError):
        there = observe.program_by_id(id_)
        types = btf.parse(observe.btf(there.btf_id)) if there is not None and there.btf_id else btf.Btf(())
        names = [one.name for one in types.types if one.kind is btf.Kind.FUNC]
    if not names:
        return errors.Conflict(
            what, why="it has no BTF, which tells its functions", do="compile it with clang -g and load it", errno=code
        )
    near = errors.near_misses(target, names)
    return errors.NotFound(
        what, why=f"its functions are {', '.join(names)}", near=near, do="" if near else "name one of those", errno=code
    )


def _complaint(messages: str) -> str:
    """libbpf's first complaint, without its name and without its outdated hint about RLIMIT_MEMLOCK."""
    for line in messages.splitlines():
        text = line.removeprefix("libbpf: ").strip()
        if text and "ulimit" not in text:
            return text
    return ""


def load_kept(
    pins: bpffs.Bpffs, image: verifier.Image, maps: Sequence[str], pin: model.ProgramPin
) -> model.KernelProgram:
    """Give an image's map references real descriptors, load and pin it."""
    with contextlib.ExitStack() as stack:
        fds = [stack.enter_context(sys.held(pins.need(path))) for path in maps]
        patched = dataclasses.replace(image, insns=relocated.patch(image.insns, fds))
        with sys.held(verifier.load(patched)) as fd:
            kernel = observe.program(fd)
            pins.pin(fd, pin)
            return kernel
