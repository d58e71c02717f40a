"""``skep map dump|lookup|update|delete|events``: what is asked, and what a person or a program reads."""

from __future__ import annotations

import json

import pytest

from skep import model
from skep.cli import contents
from tests.unit.cli import fake


@pytest.mark.parametrize(
    ("text", "datum"),
    [
        ("1", model.Datum(json="1")),
        ("-5", model.Datum(json="-5")),
        ("0x10", model.Datum(json='"0x10"')),
        ("10.0.0.1", model.Datum(json='"10.0.0.1"')),
        ("eth0", model.Datum(json='"eth0"')),
        ("true", model.Datum(json="true")),
        ('{"a": [1]}', model.Datum(json='{"a": [1]}')),
        ("hex:0a00", model.Datum(raw=b"\x0a\0")),
        ("hex:0a:00 ff", model.Datum(raw=b"\x0a\0\xff")),
    ],
)
def test_a_key_or_value_as_typed(text, datum) -> None:
    assert contents.datum(text) == datum


@pytest.mark.parametrize("words", [("{a: 1}",), ("hex:0",), ("hex:zz",)])
def test_what_is_neither_json_nor_bytes_is_refused(run, skep, words) -> None:
    result = run("map", "lookup", "90", *words)
    assert result.code == 10
    assert skep.asked == []


def test_a_dump_in_every_form(run) -> None:
    assert run("map", "dump", "counts").out == "KEY  VALUE\n1    [2, 3]\n2             map 7\nhex:03000000  hex:ff\n"
    first, second, third = run("map", "dump", "counts", "-o", "json").json["entries"]
    assert first == {"key": 1, "values": [2, 3], "key_hex": "01000000", "values_hex": ["0200", "0300"]}
    assert second == {"key": 2, "value": 7, "inner_map_id": 7, "key_hex": "02000000", "value_hex": "07000000"}
    assert third["key"] == "hex:03000000"
    lines = run("map", "dump", "counts", "-o", "jsonl").out.splitlines()
    assert [json.loads(line) for line in lines] == [first, second, third]
    assert run("map", "dump", "counts", "-o", "name").out == "1\n2\nhex:03000000\n"
    import yaml

    assert yaml.safe_load(run("map", "dump", "counts", "-o", "yaml").out) == [first, second, third]
    assert "0200 0300" in run("map", "dump", "counts", "-o", "wide").out


def test_a_limited_dump_says_how_to_go_on(run, skep) -> None:
    result = run("map", "dump", "counts", "--limit", "3", "-o", "name")
    assert "--after 0102" in result.err
    run("map", "dump", "counts", "--after", "0102")
    assert skep.asked == [model.MapDump(map="counts", limit=3), model.MapDump(map="counts", after=b"\1\2")]


def test_lookup_shows_an_element(run, skep) -> None:
    assert run("map", "lookup", "counts", "1").out == "KEY  VALUE\n1    [2, 3]\n"
    assert run("map", "lookup", "queue", "-o", "json").json["values"] == [2, 3]
    assert skep.asked == [("counts", model.Datum(json="1")), ("queue", None)]
    assert run("map", "lookup", "counts", "gone").code == 3


def test_update_says_everything(run, skep) -> None:
    skep.warnings = ("mind this",)
    result = run(
        "map", "update", "counts", "1", '{"left": 2}', "--merge", "--cpu", "1", "--existing", "--unsafe-foreign"
    )
    assert result.code == 0, result.err
    assert "warning: mind this" in result.err
    assert result.out == "KEY  VALUE\n1    [2, 3]\n"
    assert skep.asked == [
        model.MapWrite(
            map="counts",
            verb=model.MapVerb.UPDATE,
            key=model.Datum(json="1"),
            value=model.Datum(json='{"left": 2}'),
            cpu=1,
            mode=model.MapMode.EXISTING,
            merge=True,
            unsafe_foreign=True,
        )
    ]


def test_update_with_one_word_pushes(run, skep) -> None:
    run("map", "update", "queue", "--", "-5")
    assert skep.asked == [model.MapWrite(map="queue", verb=model.MapVerb.UPDATE, value=model.Datum(json="-5"))]
    assert run("map", "update", "queue", "1", "2", "3").code == 2


def test_delete_and_pop(run, skep) -> None:
    assert run("map", "delete", "counts", "1").out == ""
    assert run("map", "delete", "queue").out == "KEY  VALUE\n1    [2, 3]\n"
    assert run("map", "delete", "counts", "gone").code == 3
    assert run("map", "delete", "counts", "gone", "--ignore-missing").code == 0
    assert skep.asked[0] == model.MapWrite(map="counts", verb=model.MapVerb.DELETE, key=model.Datum(json="1"))


def test_events_are_lines_of_json(run, skep) -> None:
    result = run("map", "events", "ring", "--type", "struct event", "--limit", "4", "--seconds", "1.5")
    assert [json.loads(line) for line in result.out.splitlines()] == [
        {"event": {"number": 1}},
        {"cpu": 1, "event": "hex:0102"},
        {"cpu": 0, "lost": 3},
        {"event": "hex:01", "size": 70000, "truncated": True},
    ]
    assert skep.asked == [model.MapFollow(map="ring", type="struct event", limit=4, seconds=1.5)]


def test_get_shows_types(run) -> None:
    text = run("map", "get", "counts").out
    assert "Value: struct pair, 8 bytes" in text
    assert "low:  __u32:3 at 4.2" in text
    told = run("map", "get", "90", "-o", "json").json
    assert told["key_type"] == {"name": "__u32", "size": 4, "fields": []}
    assert (told["cpus"], told["types_from"], told["id"]) == (2, "the map", 90)
    assert run("map", "get", "nothing").code == 3


def test_completion_knows_our_maps(skep) -> None:
    from click.shell_completion import ShellComplete

    from skep.cli import door, root, session

    complete = ShellComplete(root.ROOT, {"obj": session.Session(opener=lambda: door.opened(skep))}, "skep", "_SKEP")
    assert [one.value for one in complete.get_completions(["map", "dump"], "c")] == [fake.MAP.kernel.name]


def test_update_from_a_file(run, skep, tmp_path) -> None:
    file = tmp_path / "elements.json"
    file.write_text(run("map", "dump", "counts", "-o", "json").out)
    skep.asked.clear()
    result = run("map", "update", "counts", "--from", str(file), "--new", "--unsafe-foreign")
    assert (result.code, result.out) == (0, "3 elements were written\n")
    (asked,) = skep.asked
    assert (asked.map, asked.mode, asked.merge, asked.unsafe_foreign) == ("counts", model.MapMode.NEW, False, True)
    assert [one.key for one in asked.elements] == [
        model.Datum(json="1", raw=b"\1\0\0\0"), model.Datum(json="2", raw=b"\2\0\0\0"),
        model.Datum(json='"hex:03000000"', raw=b"\3\0\0\0"),
    ]  # fmt: skip
    assert run("map", "update", "counts", "--from", str(file), "-o", "json").json == {"written": 3}


def test_a_file_goes_in_portions_and_tells_where_it_ended(run, skep, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(contents, "PORTION", 2)
    file = tmp_path / "elements"
    file.write_text("".join(f'{{"key": {key}, "value": 1}}\n' for key in (1, 2, 3, '"full"', 5)))
    result = run("map", "update", "counts", "--from", str(file))
    assert result.code == 9
    assert [len(one.elements) for one in skep.asked] == [2, 2]
    assert f'{file}, line 4, key "full": map 90 (counts) is full' in result.err
    assert "it holds 2 elements at most; 3 elements were written before it" in result.err
    monkeypatch.setattr(contents, "PORTION_BYTES", 1)
    skep.asked.clear()
    run("map", "update", "counts", "--from", str(file))
    assert [len(one.elements) for one in skep.asked] == [1, 1, 1, 1]


def test_a_wrong_file_writes_nothing(run, skep, tmp_path) -> None:
    file = tmp_path / "elements"
    file.write_text('{"key": 1, "value": 1}\n{"key": 2\n')
    result = run("map", "update", "counts", "--from", str(file))
    assert (result.code, skep.asked) == (10, [])
    assert "line 2" in result.err
    for words in (("1", "2", "--from", str(file)), ("--from", str(file), "--cpu", "1"), ()):
        assert run("map", "update", "counts", *words).code == 2
