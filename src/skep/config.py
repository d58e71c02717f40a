"""One table of settings: key in the file, flag, environment, default, help; and the files they are read from.

A value is looked for in this order: flag, environment, configuration file, default. ``/etc/bpfman/bpfman.toml`` is read
when ``/etc/skep/skep.toml`` is absent; its keys that mean nothing here are accepted with a note. Nothing is printed
here: notes are handed to the caller. ``parse`` is pure; only ``load`` opens a file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from skep import errors, model

DEFAULT_FILE = "/etc/skep/skep.toml"
BPFMAN_FILE = "/etc/bpfman/bpfman.toml"
FILE_ENVIRONMENT = ("SKEP_CONFIG", "BPFMAN_CONFIG")
LEVELS = ("error", "warning", "info", "debug")
MAX_FILE_BYTES = 1024 * 1024
_LEVEL_NAMES = {"warn": "warning", "trace": "debug", "err": "error", "critical": "error", "off": "error"}
_MILLISECONDS = {"ms": 1.0, "s": 1000.0, "m": 60_000.0, "h": 3_600_000.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one instance of skep is told. Paths are absolute, or None to follow from ``runtime_dir``."""

    runtime_dir: str | None = None
    state_dir: str | None = None
    bpffs_dir: str | None = None
    image_cache_dir: str | None = None
    socket_path: str | None = None
    socket_mode: int = 0o660
    socket_group: str = ""
    lock_timeout: float = 30.0
    """Seconds; 0 waits for ever."""
    log_level: str = "info"
    log_format: str = "text"
    log_components: Mapping[str, str] = field(default_factory=dict)
    """Logger below ``skep`` -> level."""
    xdp_mode: model.XdpMode = model.XdpMode.DRV
    xdp_fallback: bool = True
    interfaces: Mapping[str, model.XdpMode] = field(default_factory=dict)
    """Interface name -> XDP mode, where it differs from ``xdp_mode``."""

    def xdp_modes(self, interface: str) -> tuple[model.XdpMode, ...]:
        """The modes to try for an interface, in order; the generic path is the fallback of the driver's."""
        first = self.interfaces.get(interface, self.xdp_mode)
        if first is model.XdpMode.DRV and self.xdp_fallback:
            return (first, model.XdpMode.SKB)
        return (first,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of the table. ``parse`` turns a TOML value, or the text of a flag or variable, into the field's value.

    ``flag`` "" means that only the file and the environment set it. ``parse`` raises ``ValueError`` with what it wants.
    """

    name: str
    key: str
    flag: str = ""
    environment: tuple[str, ...] = ()
    parse: Callable[[object], object]
    default: str
    """As a person reads it; the value itself is the field's default in ``Settings``."""
    path: bool = False
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The settings in force, the file they came from ("" when none was read), and what to tell the administrator."""

    settings: Settings
    file: str = ""
    notes: tuple[str, ...] = ()


def _directory(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError("wants an absolute path")
    if "\0" in value or "\n" in value:
        raise ValueError("wants a path without control characters")
    return os.path.normpath(value)


def _octal(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError('wants permission bits as text, such as "0660"')
    try:
        mode = int(value, 8)
    except ValueError:
        raise ValueError('wants permission bits in octal, such as "0660"') from None
    if not 0 < mode <= 0o777:
        raise ValueError("wants permission bits between 0001 and 0777")
    return mode


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("wants text")
    return value


def _boolean(value: object) -> bool:
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


def _level(value: object) -> str:
    name = value.lower() if isinstance(value, str) else ""
    name = _LEVEL_NAMES.get(name, name)
    if name not in LEVELS:
        raise ValueError(f"wants one of {', '.join(LEVELS)}")
    return name


def _format(value: object) -> str:
    if value not in ("text", "json"):
        raise ValueError("wants text or json")
    return str(value)


def _components(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise ValueError('wants a table such as { manager = "debug" }')
    return {str(name): _level(level) for name, level in value.items()}


def _mode(value: object) -> model.XdpMode:
    try:
        return model.XdpMode(str(value))
    except ValueError:
        raise ValueError(f"wants one of {', '.join(model.XdpMode)}") from None


SETTINGS: tuple[Setting, ...] = (
    Setting(
        name="runtime_dir", key="runtime_dir", flag="--runtime-dir", path=True, parse=_directory, default="/run/skep",
        environment=("SKEP_RUNTIME_DIR", "BPFMAN_RUNTIME_DIR"),
        help="Directory of the lock and of the daemon's address; other directories follow from it.",
    ),
    Setting(
        name="state_dir", key="state_dir", flag="--state-dir", path=True, parse=_directory, default="/var/lib/skep",
        environment=("SKEP_STATE_DIR",), help="Directory of the store.",
    ),
    Setting(
        name="bpffs_dir", key="bpffs_dir", flag="--bpffs-dir", path=True, parse=_directory, default="/sys/fs/bpf/skep",
        environment=("SKEP_BPFFS_DIR",), help="Directory of the pins, in the host's bpffs.",
    ),
    Setting(
        name="image_cache_dir", key="image_cache_dir", flag="--image-cache-dir", path=True, parse=_directory,
        default="/var/cache/skep", environment=("SKEP_IMAGE_CACHE_DIR",), help="Directory of fetched bytecode images.",
    ),
    Setting(
        name="socket_path", key="socket_path", flag="--socket-path", path=True, parse=_directory,
        default="/run/bpfman-sock/bpfman.sock", environment=("SKEP_SOCKET", "BPFMAN_SOCKET_PATH"),
        help="Unix socket on which the daemon listens.",
    ),
    Setting(
        name="socket_mode", key="socket_mode", parse=_octal, default="0660", help="Permission bits of the socket.",
    ),
    Setting(
        name="socket_group", key="socket_group", parse=_text, default='""',
        help="Group that owns the socket; empty leaves the daemon's own.",
    ),
    Setting(
        name="lock_timeout", key="lock_timeout", flag="--lock-timeout", parse=seconds, default="30s",
        environment=("SKEP_LOCK_TIMEOUT", "BPFMAN_LOCK_TIMEOUT"),
        help="How long to wait for another writer; 0 waits for ever.",
    ),
    Setting(
        name="log_level", key="logging.level", flag="--log", parse=_level, default="info",
        environment=("SKEP_LOG", "BPFMAN_LOG", "RUST_LOG"),
        help='Least important message to log, and exceptions for parts: "info,manager=debug".',
    ),
    Setting(
        name="log_format", key="logging.format", parse=_format, default="text", environment=("SKEP_LOG_FORMAT",),
        help="text or json, one line per operation.",
    ),
    Setting(
        name="log_components", key="logging.components", parse=_components, default="{}",
        help="Levels of single parts.",
    ),
    Setting(
        name="xdp_mode", key="xdp.mode", parse=_mode, default="drv",
        help="How XDP chains are attached: in the driver, in the generic path, or on the card.",
    ),
    Setting(
        name="xdp_fallback", key="xdp.fallback", parse=_boolean, default="true",
        help="Take the generic path where the driver refuses; the link says so.",
    ),
)
"""Every setting but the tables ``[interfaces.<name>]`` (``xdp_mode`` of one interface)."""

INERT: Mapping[str, str] = {
    "signing.allow_unsigned": "images are not verified yet",
    "signing.verify_enabled": "images are not verified yet",
    "signing.trusted_identities": "images are not verified yet",
    "database.max_retries": "writers wait for the lock, see lock_timeout",
    "database.millisec_delay": "writers wait for the lock, see lock_timeout",
}
"""bpfman's keys that are accepted and mean nothing here, with the reason."""


def load(
    flags: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    file: str | None = None,
    default_file: str = DEFAULT_FILE,
    bpfman_file: str = BPFMAN_FILE,
) -> Loaded:
    """The settings in force. ``flags`` maps field names to the text given; None values count as not given.

    ``file`` is ``--config``. Raises ``NotFound`` for a named file that is missing, ``InvalidRequest`` for a bad value
    or an unknown key, ``Denied`` for a file that may not be read.
    """
    environment = os.environ if environment is None else environment
    named = file or next((environment[name] for name in FILE_ENVIRONMENT if environment.get(name)), None)
    path, text = _read(named, (default_file, bpfman_file))
    values, notes = parse(text, path) if path else ({}, ())
    for source, row, given in _given(flags or {}, environment):
        value: object = os.path.abspath(given) if row.path and isinstance(given, str) and given else given
        if row.name == "log_level":
            values |= _log(source, str(value), _strings(values.get("log_components")))
        else:
            values[row.name] = _value(source, row.parse, value)
    # The table's parsers made every value; a test holds the table to the fields.
    return Loaded(settings=Settings(**values), file=path, notes=notes)  # type: ignore[arg-type]


def parse(text: str, file: str = DEFAULT_FILE) -> tuple[dict[str, object], tuple[str, ...]]:
    """The values that a configuration file's text sets, by field name, and notes on keys without a meaning here."""
    import tomllib

    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise errors.InvalidRequest(f"cannot read {file}", why=f"not TOML: {error}", do="correct the file") from None
    values: dict[str, object] = {}
    notes: list[str] = []
    interfaces = document.pop("interfaces", {})
    values["interfaces"] = _interfaces(interfaces, file)
    rows = {row.key: row for row in SETTINGS}
    for key, value in _flatten(document, frozenset(rows) | frozenset(INERT)):
        if key in rows:
            values[rows[key].name] = _value(f"{key} in {file}", rows[key].parse, value)
        elif key in INERT:
            notes.append(f"{file}: {key} has no effect: {INERT[key]}")
        else:
            raise _unknown(key, (*rows, *INERT, "interfaces.<name>.xdp_mode"), file)
    return values, tuple(notes)


def _read(named: str | None, candidates: tuple[str, ...]) -> tuple[str, str]:
    """The path and text of the file to read; ("", "") when none was named and there is none."""
    for path in (named,) if named else candidates:
        try:
            with open(path, "rb") as stream:
                data = stream.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            continue
        except OSError as error:
            kind = errors.Denied if isinstance(error, PermissionError) else errors.InvalidRequest
            raise kind(f"cannot read {path}", why=error.strerror or str(error), errno=error.errno or 0) from error
        except ValueError as error:  # a NUL in the path
            raise errors.InvalidRequest(f"cannot read {path!r}", why=str(error)) from None
        if len(data) > MAX_FILE_BYTES:
            raise errors.Exhausted(f"cannot read {path}", why=f"larger than {MAX_FILE_BYTES} bytes")
        try:
            return path, data.decode()
        except UnicodeDecodeError as error:
            raise errors.InvalidRequest(f"cannot read {path}", why=f"not UTF-8: {error}") from None
    if named:
        raise errors.NotFound(f"no configuration file {named}", do="name a file that exists, or leave the flag away")
    return "", ""


def _given(flags: Mapping[str, object], environment: Mapping[str, str]) -> list[tuple[str, Setting, object]]:
    """What flags and environment set, the flag in the place of the variable: (source, row, value)."""
    found: list[tuple[str, Setting, object]] = []
    for row in SETTINGS:
        if flags.get(row.name) is not None:
            found.append((row.flag or row.name, row, flags[row.name]))
            continue
        name = next((name for name in row.environment if environment.get(name)), None)
        if name is not None:
            found.append((name, row, environment[name]))
    return found


def _value(source: str, convert: Callable[[object], object], value: object) -> object:
    try:
        return convert(value)
    except ValueError as error:
        raise errors.InvalidRequest(f"bad value {value!r} for {source}", why=f"it {error}") from None


def _strings(value: object) -> dict[str, str]:
    return {str(name): str(text) for name, text in value.items()} if isinstance(value, Mapping) else {}


def _log(source: str, spec: str, components: dict[str, str]) -> dict[str, object]:
    """Level and parts out of a log specification such as "info,manager=debug" (bpfman's and Rust's form)."""
    found: dict[str, object] = {}
    for clause in filter(None, (part.strip() for part in spec.split(","))):
        name, equals, level = clause.partition("=")
        if equals:
            components[name.strip()] = str(_value(source, _level, level.strip()))
        else:
            found["log_level"] = _value(source, _level, name)
    return found | {"log_components": components}


def _flatten(table: Mapping[str, object], known: frozenset[str], above: str = "") -> list[tuple[str, object]]:
    """Dotted keys and values; a key that is known is not looked into, nor is one that nothing known lies below."""
    found: list[tuple[str, object]] = []
    for name, value in table.items():
        key = f"{above}{name}"
        if isinstance(value, dict) and key not in known and any(other.startswith(f"{key}.") for other in known):
            found += _flatten(value, known, f"{key}.")
        else:
            found.append((key, value))
    return found


def _interfaces(tables: object, file: str) -> Mapping[str, model.XdpMode]:
    modes: dict[str, model.XdpMode] = {}
    if not isinstance(tables, dict):
        raise errors.InvalidRequest(f"bad value for interfaces in {file}", why="it wants tables [interfaces.<name>]")
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise errors.InvalidRequest(f"bad value for interfaces.{name} in {file}", why="it wants a table")
        for key, value in table.items():
            if key != "xdp_mode":
                raise _unknown(f"interfaces.{name}.{key}", (f"interfaces.{name}.xdp_mode",), file)
            modes[name] = model.XdpMode(str(_value(f"interfaces.{name}.{key} in {file}", _mode, value)))
    return modes


def _unknown(key: str, known: tuple[str, ...], file: str) -> errors.SkepError:
    near = errors.near_misses(key, known) or errors.near_misses(key.rpartition(".")[2], known)
    advice = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
    return errors.InvalidRequest(f"unknown key {key} in {file}", why="skep has no such setting", do=advice)
