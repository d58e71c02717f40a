"""Values of settings out of TOML, of a flag's text or of a variable's. Pure.

Each function returns the value or raises ``ValueError`` with what it wants, "wants an absolute path".
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from skep import model

_HOST = re.compile(r"(?:[a-z0-9-]+(?:\.[a-z0-9-]+)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?\Z")
LEVELS = ("error", "warning", "info", "debug")
_LEVEL_NAMES = {"warn": "warning", "trace": "debug", "err": "error", "critical": "error", "off": "error"}
_MILLISECONDS = {"ms": 1.0, "s": 1000.0, "m": 60_000.0, "h": 3_600_000.0}


def directory(value: object) -> str:
    """An absolute path, normalised."""
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError("wants an absolute path")
    if "\0" in value or "\n" in value:
        raise ValueError("wants a path without control characters")
    return os.path.normpath(value)


def socket(value: object) -> str:
    """The absolute path of a Unix socket, also as "unix:///path"; "" for none."""
    return "" if value == "" else directory(value.removeprefix("unix://") if isinstance(value, str) else value)


def address(value: object) -> str:
    """Where to listen: "host:port", or the absolute path of a Unix socket; "" for nowhere."""
    if not isinstance(value, str):
        raise ValueError('wants an address such as "127.0.0.1:9090"')
    if value == "" or value.startswith("/"):
        return value and directory(value)
    host, colon, port = value.rpartition(":")
    bare = host.startswith("[") and host.endswith("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in host and not bare):
        raise ValueError('wants an address such as "127.0.0.1:9090" or "[::1]:9090", or a path')
    return value


def octal(value: object) -> int:
    """Permission bits as text in octal, "0660"."""
    if not isinstance(value, str):
        raise ValueError('wants permission bits as text, such as "0660"')
    try:
        mode = int(value, 8)
    except ValueError:
        raise ValueError('wants permission bits in octal, such as "0660"') from None
    if not 0 < mode <= 0o777:
        raise ValueError("wants permission bits between 0001 and 0777")
    return mode


def text(value: object) -> str:
    """Any text."""
    if not isinstance(value, str):
        raise ValueError("wants text")
    return value


def ids(value: object) -> tuple[int, ...]:
    """Numbers of users or groups, each once and ascending: a list of whole numbers from 0 to 2**32 - 2."""
    if not isinstance(value, list) or not all(type(one) is int and 0 <= one < 2**32 - 1 for one in value):
        raise ValueError("wants a list of numeric ids such as [1000, 1001]")
    return tuple(sorted(set(value)))


def registries(value: object) -> tuple[str, ...]:
    """Hosts of registries, each with a port or without, in lower case."""
    if not isinstance(value, list) or not all(isinstance(one, str) and _HOST.match(one.lower()) for one in value):
        raise ValueError('wants a list of hosts such as ["registry.example:5000"]')
    return tuple(one.lower() for one in value)


def mirrors(value: object) -> Mapping[str, tuple[str, ...]]:
    """Registry -> mirrors, each a host and perhaps the beginning of a name."""
    if not isinstance(value, dict):
        raise ValueError('wants a table such as { "docker.io" = ["mirror.example:5000"] }')
    found = {}
    for name, places in value.items():
        hosts = registries([name])
        if not isinstance(places, list) or not all(isinstance(one, str) for one in places):
            raise ValueError(f"wants a list of mirrors for {name}")
        registries([one.partition("/")[0] for one in places])
        found[hosts[0]] = tuple(places)
    return found


def sanctioned(value: object) -> tuple[model.Sanctioned, ...]:
    """Patterns for programs of others: a list of tables, each with name, type, tag and process or some of them."""
    fields = ("name", "type", "tag", "process")
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ValueError('wants a list of tables such as [{ name = "sd_*", process = "systemd" }]')
    for one in value:
        if unknown := sorted(set(one) - set(fields)):
            raise ValueError(f"knows {', '.join(fields)}, and not {', '.join(unknown)}")
        if not all(isinstance(text, str) for text in one.values()):
            raise ValueError("wants patterns as text; leave away what may be anything")
    return tuple(model.Sanctioned(**one) for one in value)


def boolean(value: object) -> bool:
    """true or false; as text also yes, no, 1, 0."""
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ValueError("wants true or false")


def seconds(value: object) -> float:
    """A duration in seconds from a number of seconds or text such as "30s", "500ms" or "1m30s"; not negative."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        amount = float(value)
    elif isinstance(value, str):
        amount = _duration(value.strip())
    else:
        raise ValueError('wants a duration such as "30s" or "500ms"')
    if not 0 <= amount <= 366 * 86400:
        raise ValueError("wants a duration between 0 and one year")
    return amount


def _duration(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    total, rest = 0.0, text
    while rest:
        digits = len(rest) - len(rest.lstrip("0123456789."))
        unit = rest[digits : digits + 2] if rest[digits : digits + 2] == "ms" else rest[digits : digits + 1]
        if not digits or unit not in _MILLISECONDS or rest.count(".", 0, digits) > 1 or rest[:digits] == ".":
            raise ValueError('wants a duration such as "30s" or "500ms"')
        total += float(rest[:digits]) * _MILLISECONDS[unit] / 1000.0
        rest = rest[digits + len(unit) :]
    if not text:
        raise ValueError('wants a duration such as "30s" or "500ms"')
    return total


def level(value: object) -> str:
    """A level's name; warn and trace are read too."""
    name = value.lower() if isinstance(value, str) else ""
    name = _LEVEL_NAMES.get(name, name)
    if name not in LEVELS:
        raise ValueError(f"wants one of {', '.join(LEVELS)}")
    return name


def format(value: object) -> str:
    """ "text" or "json"."""
    if value not in ("text", "json"):
        raise ValueError("wants text or json")
    return str(value)


def components(value: object) -> Mapping[str, str]:
    """Part of skep -> level."""
    if not isinstance(value, dict):
        raise ValueError('wants a table such as { manager = "debug" }')
    return {str(name): level(text) for name, text in value.items()}


def mode(value: object) -> model.XdpMode:
    """An XDP mode."""
    try:
        return model.XdpMode(str(value))
    except ValueError:
        raise ValueError(f"wants one of {', '.join(model.XdpMode)}") from None
