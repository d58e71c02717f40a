"""Opening a store: a missing, foreign, newer, damaged or contested file."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys

import pytest

from skep import errors, store
from skep.store import database


def test_a_missing_store_is_made_for_its_owner_only(tmp_path):
    path = tmp_path / "state" / "skep.db"
    opened = store.Store(path)
    opened.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert opened.moved_aside is None
    with sqlite3.connect(path) as plain:
        assert plain.execute("PRAGMA user_version").fetchone() == (database.SCHEMA,)
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_every_table_is_strict(tmp_path):
    store.Store(tmp_path / "skep.db").close()
    with sqlite3.connect(tmp_path / "skep.db") as plain:
        tables = [row for row in plain.execute("PRAGMA table_list") if not row[1].startswith("sqlite_")]
    assert len(tables) >= 9
    assert [name for _, name, _, _, _, strict in tables if not strict] == []


def test_a_store_of_a_newer_skep_is_not_touched(tmp_path):
    path = tmp_path / "skep.db"
    store.Store(path).close()
    with sqlite3.connect(path) as plain:
        plain.execute(f"PRAGMA user_version = {database.SCHEMA + 1}")
    plain.close()
    before = path.read_bytes(), sorted(os.listdir(tmp_path))
    with pytest.raises(errors.Conflict, match="newer") as refused:
        store.Store(path)
    assert "upgrade skep" in refused.value.do
    assert (path.read_bytes(), sorted(os.listdir(tmp_path))) == before


def test_a_newer_version_that_is_only_in_the_log_is_seen(tmp_path):
    path = tmp_path / "skep.db"
    store.Store(path).close()
    script = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        f"c.execute('PRAGMA user_version = {database.SCHEMA + 1}'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    assert (tmp_path / "skep.db-wal").stat().st_size > 0
    with pytest.raises(errors.Conflict, match="newer"):
        store.Store(path)


def test_another_programs_database_is_refused(tmp_path):
    path = tmp_path / "skep.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(errors.Conflict, match="not a store of skep"):
        store.Store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"this is no database at all" * 100, id="not-a-database"),
        pytest.param(lambda data: data[:50], id="cut-short-in-the-header"),
        pytest.param(lambda data: data[: len(data) // 2], id="cut-in-half"),
        pytest.param(lambda data: data[:4096] + b"\xa5" * (len(data) - 4096), id="pages-overwritten"),
    ],
)
def test_a_damaged_store_is_kept_aside_and_an_empty_one_begun(tmp_path, damage):
    path = tmp_path / "skep.db"
    first = store.Store(path)
    first.take_ids(programs=3)
    first.close()
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    opened = store.Store(path)
    assert opened.moved_aside == tmp_path / "skep.db.corrupt-1"
    assert (tmp_path / "skep.db.corrupt-1").read_bytes() == damaged
    assert opened.set_aside() == (str(tmp_path / "skep.db.corrupt-1"),)
    assert opened.snapshot().programs == {}
    opened.close()


def test_damaged_stores_are_numbered(tmp_path):
    path = tmp_path / "skep.db"
    for _ in range(11):
        path.write_bytes(b"x" * 200)
        store.Store(path).close()
    assert [os.path.basename(one) for one in store.Store(path).set_aside()] == [
        f"skep.db.corrupt-{number}" for number in range(1, 12)
    ]


def test_a_state_directory_that_cannot_be_made_is_denied(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(errors.Denied, match="cannot open the store"):
        store.Store(tmp_path / "file" / "skep.db")


def test_two_processes_that_open_a_new_store_at_once_both_get_it(tmp_path):
    script = (
        "import sys; from skep import store; sys.stdin.read(1); one = store.Store(sys.argv[1]); "
        "print(one.take_ids(programs=5).programs)"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "skep.db")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        for _ in range(2)
    ]  # fmt: skip
    answers = sorted(one.communicate("x")[0].strip() for one in started)
    assert answers == ["(1, 2, 3, 4, 5)", "(6, 7, 8, 9, 10)"]
