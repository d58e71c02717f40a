"""One record is one line, whatever is in it."""

from __future__ import annotations

import io
import json
import logging
import os
import sys

import pytest

from skep import log


def record(message: str, level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("skep.manager", level, __file__, 1, message, (), None)
    made.created = 1_700_000_000.25
    vars(made).update(extra)
    return made


def line(made: logging.LogRecord, *, as_json: bool = False, journal: bool = False) -> str:
    return log.Lines(as_json=as_json, journal=journal).format(made)


def test_text():
    made = record("attach link 7: ok", operation=3, uid=0, subject="link 7", detail="")

    assert line(made) == (
        '2023-11-14T22:13:20.250Z info skep.manager attach link 7: ok operation=3 uid=0 subject="link 7" detail=""'
    )


def test_json():
    assert json.loads(line(record("loaded", operation=3), as_json=True)) == {
        "time": "2023-11-14T22:13:20.250Z", "level": "info", "logger": "skep.manager", "message": "loaded",
        "operation": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    "level, priority", [(logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7)]
)
def test_the_journal_gets_priorities_and_no_time(level, priority):
    assert line(record("m", level), journal=True).startswith(f"<{priority}>{logging.getLevelName(level).lower()} skep")


EVIL = "a\nb\r\x1b[31m\x00\u2028c\x85"


@pytest.mark.parametrize("as_json", [False, True])
def test_nobody_can_forge_a_line(as_json):
    text = line(record(f"load {EVIL}", subject=EVIL), as_json=as_json)

    assert len(text.splitlines()) == 1
    assert "\x1b" not in text
    assert "\x00" not in text


def test_a_traceback_is_one_field():
    try:
        raise KeyError("reason")
    except KeyError:
        made = record("a bug")
        made.exc_info = sys.exc_info()

    text = line(made)

    assert len(text.splitlines()) == 1
    assert "KeyError" in text


def test_levels_of_parts(tmp_path):
    stream = io.StringIO()
    before = (logging.getLogger().handlers[:], logging.getLogger().level)
    try:
        log.configure("warning", format="text", components={"manager": "debug"}, stream=stream)
        logging.getLogger("skep.rpc").info("too quiet")
        logging.getLogger("skep.manager").debug("heard")
        logging.getLogger("grpc").info("not ours")
    finally:
        logging.getLogger().handlers[:], level = before
        logging.getLogger().setLevel(level)
        logging.getLogger("skep").setLevel(logging.NOTSET)
        logging.getLogger("skep.manager").setLevel(logging.NOTSET)

    assert [text.split(" ", 2)[2] for text in stream.getvalue().splitlines()] == ["skep.manager heard"]


def test_the_journal_is_known_by_device_and_inode(tmp_path):
    with open(tmp_path / "log", "w", encoding="utf-8") as stream:
        found = os.fstat(stream.fileno())

        assert log.is_journal(stream, {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
        assert not log.is_journal(stream, {"JOURNAL_STREAM": "1:2"})
        assert not log.is_journal(stream, {})
    assert not log.is_journal(io.StringIO(), {"JOURNAL_STREAM": "1:2"})
