"""What the benchmarks share: turns are fair, figures say whether a target was met, the table finds its place."""

from __future__ import annotations

import pytest

from bench import measure, run

MACHINE = {"date": "2026-11-21", "commit": "abc1234", "kernel": "6.18"}


def test_turns_alternate_who_is_first():
    order: list[str] = []

    def side(name: str) -> float:
        order.append(name)
        return float(len(order))

    first, second = measure.in_turns(3, lambda: side("a"), lambda: side("b"))
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert (first, second) == ([1.0, 4.0, 5.0], [2.0, 3.0, 6.0])


def test_ratio_is_the_median_of_pairs_not_the_quotient_of_sums():
    assert measure.ratio([2.0, 2.0, 90.0], [1.0, 1.0, 1.0]) == 2.0


def test_summary_is_in_milliseconds():
    assert measure.summary([0.001, 0.003, 0.002])["median_ms"] == 2.0


@pytest.mark.parametrize(("value", "met"), [(1.29, True), (1.3, True), (1.31, False)])
def test_target_is_an_inclusive_upper_limit(value, met):
    assert measure.figure("lifecycle", value, 1.3)["met"] is met


def test_table_has_one_line_for_each_figure_and_names_a_missed_target():
    figures = [measure.figure("list", 2.5, 3.0), measure.figure("start", 151.0, 150.0, unit="ms")]
    text = run.table([{"figures": figures, "command": "python -m bench.list", "machine": MACHINE}])
    assert "| list | 2.5 | ≤ 3 | yes | `python -m bench.list` |" in text
    assert "| start | 151 ms | ≤ 150 ms | **no** |  |" in text
    assert "- kernel: 6.18" in text


def test_table_is_put_between_its_markers_and_nowhere_else(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{run.BEGIN}\nold\n{run.END}\nafter\n")
    run.put(page, "new\n")
    assert page.read_text() == f"before\n{run.BEGIN}\nnew\n{run.END}\nafter\n"


def test_page_without_markers_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("nothing here\n")
    with pytest.raises(SystemExit, match="has no"):
        run.put(page, "new\n")


def test_what_runs_alone_has_a_table_of_its_own():
    assert run.marks([{"command": "python -m bench.fleet --nodes 100"}]) == (
        "<!-- bench:fleet -->",
        "<!-- /bench:fleet -->",
    )
    assert run.marks([{"command": "python -m bench.list"}, {"command": "python -m bench.fleet"}]) == (
        run.BEGIN,
        run.END,
    )
