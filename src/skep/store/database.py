"""Opening the SQLite file: its pragmas, its migrations, and what is done about a file that cannot be used.

A file from a newer skep is never touched. A corrupt one is renamed to ``skep.db.corrupt-<n>``, never deleted, and an
empty one is begun: pins are still there and can be adopted (``skep doctor``).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from skep import errors

MIGRATIONS: Final = ("0001_initial.sql", "0002_verified_images.sql")
"""Number n brings a store from schema n - 1 to n. Only ever appended to."""
SCHEMA: Final = len(MIGRATIONS)
APPLICATION_ID: Final = 0x736B6570
"""``PRAGMA application_id`` ("skep"), so that file(1) and we know whose database it is."""
BUSY_TIMEOUT_MS: Final = 5000
_MAGIC: Final = b"SQLite format 3\0"
_SCHEMA_DIR: Final = Path(__file__).parent / "schema"
_PARTS: Final = ("", "-wal", "-shm")


def prepare(path: Path) -> Path | None:
    """Bring the file at ``path`` to this schema, making it (mode 0600) when it is missing.

    Returns where a corrupt file was moved to, None when there was none. Conflict: a newer skep's file, or not ours.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as no:
        raise _cannot_open(path, str(no), no.errno or 0) from no
    aside = None
    try:
        _prepare(path)
    except sqlite3.DatabaseError as broken:
        if not _is_corruption(broken):
            raise translate(broken, path) from broken
        aside = _move_aside(path)
        with translated(path):
            _prepare(path)
    return aside


def connect(path: Path, *, cache_kib: int = 512) -> sqlite3.Connection:
    """A connection with our pragmas; any thread may use it, one at a time. ``cache_kib`` bounds its page cache."""
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False, cached_statements=64
    )
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        # NORMAL: after a power cut the last commits may be missing, but then the pins are gone as well.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = {-cache_kib}")
        connection.execute("PRAGMA journal_size_limit = 4194304")
    except BaseException:
        connection.close()
        raise
    return connection


def set_aside(path: Path) -> tuple[Path, ...]:
    """Corrupt files that were moved out of the way earlier, oldest first."""
    found = [one for one in path.parent.glob(f"{path.name}.corrupt-*") if one.name.rpartition("-")[2].isdigit()]
    return tuple(sorted(found, key=lambda one: int(one.name.rpartition("-")[2])))


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise ``skep.errors`` instead of SQLite's."""
    try:
        yield
    except sqlite3.Error as failed:
        raise translate(failed, path) from failed


def translate(failed: sqlite3.Error, path: Path) -> errors.SkepError:
    """The error of ours that tells what SQLite told (https://www.sqlite.org/rescode.html)."""
    name = getattr(failed, "sqlite_errorname", "") or ""
    why = f"{failed} [{name}]" if name else str(failed)
    if name == "SQLITE_FULL" or name == "SQLITE_IOERR_SHMSIZE":
        return errors.Exhausted(
            "the store cannot grow", why=f"the file system of {path.parent} is full", do="free some space there"
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return errors.Busy("the store is in use by another process", why=why, do=f"see who has {path} open")
    if _is_corruption(failed):
        return errors.Broken(
            f"the store {path} is damaged",
            why=why,
            do="restart skep: it keeps the file aside and lists what is pinned as adoptable",
        )
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
        return _cannot_open(path, why, 0)
    return errors.Broken(f"the store {path} failed", why=why, do="look at the disk and the kernel log")


def _prepare(path: Path) -> None:
    version = _header_version(path)
    if version > SCHEMA:
        raise _newer(path, version)
    if version == 0 and not path.exists():
        # SQLite would make the file by the umask; what it holds (global data, objects) is nobody else's business.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    connection = connect(path)
    try:
        version = _checked_version(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        if version:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != ("ok",):
                raise _Corrupt(str(found[0]))
        for number in range(version + 1, SCHEMA + 1):
            _migrate(connection, number)
    finally:
        connection.close()


class _Corrupt(sqlite3.DatabaseError):
    """What ``PRAGMA quick_check`` said."""


def _header_version(path: Path) -> int:
    """``user_version`` out of the file's first page (https://www.sqlite.org/fileformat.html), without opening it as a
    database: a newer skep's file is not to be touched at all. 0 for an empty or missing file."""
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        return 0
    except OSError as no:
        raise _cannot_open(path, str(no), no.errno or 0) from no
    if not header:
        return 0
    if len(header) < 100 or not header.startswith(_MAGIC):
        raise _Corrupt("file is not a database")
    return int.from_bytes(header[60:64], "big") if header[68:72] == APPLICATION_ID.to_bytes(4, "big") else 0


def _checked_version(connection: sqlite3.Connection, path: Path) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and tables:
        raise errors.Conflict(
            f"{path} is not a store of skep",
            why="it is an SQLite database of another program",
            do="choose another state directory",
        )
    if version > SCHEMA:
        raise _newer(path, version)
    return int(version)


def _migrate(connection: sqlite3.Connection, number: int) -> None:
    script = (_SCHEMA_DIR / MIGRATIONS[number - 1]).read_text(encoding="utf-8")
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done it while this one waited for the lock.
        if connection.execute("PRAGMA user_version").fetchone()[0] < number:
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    """The script's statements one by one: ``executescript`` would commit the transaction that guards them."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _is_corruption(failed: sqlite3.Error) -> bool:
    name = getattr(failed, "sqlite_errorname", "") or ""
    return isinstance(failed, _Corrupt) or name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _move_aside(path: Path) -> Path:
    taken = set_aside(path)
    number = int(taken[-1].name.rpartition("-")[2]) + 1 if taken else 1
    aside = path.with_name(f"{path.name}.corrupt-{number}")
    for part in _PARTS:
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{path}{part}", f"{aside}{part}")
    return aside


def _newer(path: Path, version: int) -> errors.Conflict:
    return errors.Conflict(
        f"the store {path} is newer than this skep",
        why=f"its schema is {version}, this skep knows {SCHEMA}",
        do="upgrade skep, or give it another state directory",
    )


def _cannot_open(path: Path, why: str, errno: int) -> errors.Denied:
    return errors.Denied(
        f"cannot open the store {path}",
        why=why,
        do="run as root, or choose a state directory you can write",
        errno=errno,
    )
