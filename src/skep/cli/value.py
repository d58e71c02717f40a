"""Values of arguments that have a little grammar of their own. Pure; each raises ``InvalidRequest`` with an example."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from skep import errors, hooks, model

_SIZES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "i8": 1, "i16": 2, "i32": 4, "i64": 8}


def metadata(texts: Iterable[str]) -> dict[str, str]:
    """KEY=VALUE pairs; one text may hold several, separated by commas. A comma before no KEY= belongs to a value."""
    found: dict[str, str] = {}
    for text in texts:
        last = ""
        for part in text.split(","):
            name, equals, value = part.partition("=")
            if equals and name.strip():
                last = name.strip()
                found[last] = value
            elif last:
                found[last] += f",{part}"
            else:
                raise errors.InvalidRequest(
                    f"{text!r} is not metadata", why="it is written KEY=VALUE", do="for example -m owner=alice"
                )
    return found


def programs(texts: Iterable[str]) -> tuple[model.ProgramSpec, ...]:
    """TYPE:NAME[:ATTACH] of each program, separated by commas; NAME alone takes the type from the ELF section."""
    specs: list[model.ProgramSpec] = []
    for word in (part.strip() for text in texts for part in text.split(",")):
        if word:
            specs.append(_program(word))
    if not specs:
        raise errors.InvalidRequest(
            "no program is named", why="an object may hold several", do="for example --programs xdp:my_function"
        )
    names = [spec.name for spec in specs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise errors.InvalidRequest(f"program {twice[0]} is named twice", do="name each program once per load")
    return tuple(specs)


def _program(word: str) -> model.ProgramSpec:
    parts = word.split(":")
    if len(parts) == 1:
        return model.ProgramSpec(name=parts[0])
    if len(parts) > 3 or not all(parts):
        raise errors.InvalidRequest(
            f"{word!r} is not a program", why="it is written TYPE:NAME or TYPE:NAME:FUNCTION", do="for example xdp:pass"
        )
    hook = hook_name(parts[0])
    return model.ProgramSpec(name=parts[1], hook=hook, attach_func=parts[2] if len(parts) == 3 else None)


def target(program: int | None, function: str | None) -> str | None:
    """What an extension replaces: --target-program and --target-function as one word. ``InvalidRequest``."""
    if program is None:
        if function is not None:
            raise errors.InvalidRequest(
                "--target-function needs --target-program",
                why="it names a function of that program",
                do="for functions of the kernel write TYPE:NAME:FUNCTION",
            )
        return None
    return f"{program}/{function or ''}"


def aimed(specs: tuple[model.ProgramSpec, ...], target: str | None) -> tuple[model.ProgramSpec, ...]:
    """The programs, those of type freplace with ``target`` as what they replace. ``InvalidRequest``."""
    if target is None:
        return specs
    for spec in specs:
        if spec.hook not in (None, "freplace") or spec.attach_func is not None:
            raise errors.InvalidRequest(
                f"--target-program is not for {spec.name}",
                why="it has a target already" if spec.attach_func is not None else f"it is declared as {spec.hook}",
                do="load it by itself",
            )
    return tuple(model.ProgramSpec(name=one.name, hook=one.hook, attach_func=target) for one in specs)


def hook_name(text: str) -> model.HookName:
    """A program type that may be declared ("xdp", "tc", "uretprobe"), in any case. ``InvalidRequest``."""
    name = text.strip().lower()
    known = hooks.declarable()
    if name not in known:
        raise errors.InvalidRequest(
            f"{text!r} is not a program type",
            why=f"types are {', '.join(known)}",
            do=_did_you_mean(errors.near_misses(name, known)) or "choose one of those",
        )
    return model.HookName(name)


def hook_names(texts: Iterable[str]) -> tuple[model.HookName, ...]:
    """Program types separated by commas, each once."""
    words = [word for text in texts for word in text.split(",") if word.strip()]
    return tuple(dict.fromkeys(hook_name(word) for word in words))


def global_data(texts: Iterable[str]) -> dict[str, bytes]:
    """NAME=HEX (bytes in memory order, 0x allowed) or NAME:TYPE=NUMBER, TYPE being u8 … u64, i8 … i64, by variable."""
    found: dict[str, bytes] = {}
    for text in texts:
        # bpfman takes several pairs in one argument; a name never holds a comma.
        for pair in filter(None, text.split(",")):
            name, equals, value = pair.partition("=")
            name, colon, width = name.partition(":")
            if not equals or not name.strip():
                raise errors.InvalidRequest(
                    f"{pair!r} is not global data",
                    why="it is written NAME=HEX or NAME:TYPE=NUMBER",
                    do="for example -g limit=0a000000 or -g limit:u32=10",
                )
            found[name.strip()] = _number(pair, width, value) if colon else _hex(pair, value)
    return found


def _hex(pair: str, value: str) -> bytes:
    digits = value.strip().removeprefix("0x").removeprefix("0X")
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        data = b""
    if not data:
        raise errors.InvalidRequest(
            f"{pair!r} is not global data",
            why=f"{value!r} is not an even number of hexadecimal digits",
            do="write the bytes as they lie in memory, or NAME:u32=NUMBER",
        )
    return data


def _number(pair: str, width: str, value: str) -> bytes:
    size = _SIZES.get(width)
    if size is None:
        raise errors.InvalidRequest(
            f"{pair!r} is not global data",
            why=f"types are {', '.join(_SIZES)}, not {width!r}",
            do="write NAME:u32=NUMBER, for example",
        )
    try:
        number = int(value.strip(), 0)
        # The kernel's own byte order: BPF objects here are built for this machine.
        return number.to_bytes(size, _order(), signed=width.startswith("i"))
    except (ValueError, OverflowError) as error:
        raise errors.InvalidRequest(
            f"{pair!r} is not global data",
            why=f"{value!r} does not fit {width}",
            do="take a wider type, or a smaller number",
        ) from error


def _order() -> Literal["little", "big"]:
    import sys

    return sys.byteorder


def _did_you_mean(near: tuple[str, ...]) -> str:
    return f"did you mean {', '.join(near)}?" if near else ""


def interface(text: str) -> str:
    """An interface's name, or "ifindex:3".

    Names have 1 to 15 bytes, alternative ones up to 127 (ALTIFNAMSIZ), without '/', ':' and blanks (``dev_valid_name``
    in net/core/dev.c).
    """
    name = text.removeprefix("ifindex:")
    if not name or len(name.encode()) > 127 or name in (".", "..") or any(c in "/:" or c.isspace() for c in name):
        raise errors.InvalidRequest(
            f"{text!r} is not an interface's name",
            why="names have no '/', ':' or blank, alternative ones at most 127 characters",
            do="ip link shows the interfaces",
        )
    return text
