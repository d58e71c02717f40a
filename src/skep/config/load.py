"""Find the configuration: flag, environment, file, default, in this order. ``parse`` is pure; ``load`` opens files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from skep import errors, model
from skep.config import table
from skep.config import values as parsers

DEFAULT_FILE = "/etc/skep/skep.toml"
BPFMAN_FILE = "/etc/bpfman/bpfman.toml"
FILE_ENVIRONMENT = ("SKEP_CONFIG", "BPFMAN_CONFIG")
MAX_FILE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The settings in force, the file they came from ("" when none was read), and what to tell the administrator."""

    settings: table.Settings
    file: str = ""
    notes: tuple[str, ...] = ()


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
        if row.name != "log_level":
            values[row.name] = _value(source, row.parse, value)
            continue
        try:
            values |= _log(source, str(value), _strings(values.get("log_components")))
        except errors.InvalidRequest as error:
            if source != "RUST_LOG":
                raise
            # Rust's programs read it too, in a richer grammar; it must not keep skep from starting.
            notes = (*notes, f"RUST_LOG is not used: {error.why}")
    # The table's parsers made every value; a test holds the table to the fields.
    return Loaded(settings=table.Settings(**values), file=path, notes=notes)  # type: ignore[arg-type]


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
    rows = {row.key: row for row in table.SETTINGS}
    for key, value in _flatten(document, frozenset(rows) | frozenset(table.INERT)):
        if key in rows:
            values[rows[key].name] = _value(f"{key} in {file}", rows[key].parse, value)
        elif key in table.INERT:
            notes.append(f"{file}: {key} has no effect: {table.INERT[key]}")
        else:
            raise _unknown(key, (*rows, *table.INERT, "interfaces.<name>.xdp_mode"), file)
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
            raise errors.InvalidRequest(
                f"cannot read {path!r}", why=str(error), do="name a configuration file"
            ) from None
        if len(data) > MAX_FILE_BYTES:
            raise errors.Exhausted(
                f"cannot read {path}", why=f"larger than {MAX_FILE_BYTES} bytes", do="name a configuration file"
            )
        try:
            return path, data.decode()
        except UnicodeDecodeError as error:
            raise errors.InvalidRequest(
                f"cannot read {path}", why=f"not UTF-8: {error}", do="save it as UTF-8"
            ) from None
    if named:
        raise errors.NotFound(f"no configuration file {named}", do="name a file that exists, or leave the flag away")
    return "", ""


def _given(flags: Mapping[str, object], environment: Mapping[str, str]) -> list[tuple[str, table.Setting, object]]:
    """What flags and environment set, the flag in the place of the variable: (source, row, value)."""
    found: list[tuple[str, table.Setting, object]] = []
    for row in table.SETTINGS:
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
        raise errors.InvalidRequest(
            f"bad value {value!r} for {source}", why=f"it {error}", do="see 'skep help settings'"
        ) from None


def _strings(value: object) -> dict[str, str]:
    return {str(name): str(text) for name, text in value.items()} if isinstance(value, Mapping) else {}


def _log(source: str, spec: str, components: dict[str, str]) -> dict[str, object]:
    """Level and parts out of a log specification such as "info,manager=debug" (bpfman's and Rust's form)."""
    found: dict[str, object] = {}
    for clause in filter(None, (part.strip() for part in spec.split(","))):
        name, equals, level = clause.partition("=")
        if equals:
            components[name.strip()] = str(_value(source, parsers.level, level.strip()))
        else:
            found["log_level"] = _value(source, parsers.level, name)
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
        raise errors.InvalidRequest(
            f"bad value for interfaces in {file}",
            why="it wants tables [interfaces.<name>]",
            do="write a table [interfaces.eth0] for each interface",
        )
    for name, keys in tables.items():
        if not isinstance(keys, dict):
            raise errors.InvalidRequest(
                f"bad value for interfaces.{name} in {file}",
                why="it wants a table",
                do="write [interfaces.NAME] and its keys below it",
            )
        for key, value in keys.items():
            if key != "xdp_mode":
                raise _unknown(f"interfaces.{name}.{key}", (f"interfaces.{name}.xdp_mode",), file)
            modes[name] = model.XdpMode(str(_value(f"interfaces.{name}.{key} in {file}", parsers.mode, value)))
    return modes


def _unknown(key: str, known: tuple[str, ...], file: str) -> errors.SkepError:
    near = errors.near_misses(key, known) or errors.near_misses(key.rpartition(".")[2], known)
    advice = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
    return errors.InvalidRequest(f"unknown key {key} in {file}", why="skep has no such setting", do=advice)
