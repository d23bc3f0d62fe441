"""Where charts put things: inside the drawing, in proportion, and nothing where there is nothing."""

import itertools
from typing import Any

import pytest

from chalicelib.web import charts


def inside(chart: dict[str, Any]) -> None:
    """Assert that everything is drawn inside the view box."""
    lines = chart["lines"]
    assert (lines[0], lines[-1]) == (chart["height"], 0)
    assert len(lines) == len(chart["labels"]) <= 6
    # The labels lie evenly beside the drawing.
    gaps = [before - after for before, after in itertools.pairwise(lines)]
    assert max(gaps) == pytest.approx(min(gaps), abs=0.21)


def test_without_counts_there_is_no_chart() -> None:
    assert charts.bars([]) is None
    assert charts.bars([("2026-02", {"absent": 0})]) is None
    assert charts.line([]) is None


@pytest.mark.parametrize("most", [1, 3, 4, 5, 17, 60, 399, 5000])
def test_bars_are_stacked_in_proportion_and_stay_inside(most: int) -> None:
    columns = [("2026-01", {"absent": 2 * most, "tardy": 0}), ("2026-02", {"absent": most})]
    chart: Any = charts.bars(columns)
    inside(chart)
    full, half = chart["parts"]
    assert full["height"] == pytest.approx(2 * half["height"], abs=0.2)
    assert full["y"] >= 0
    assert full["y"] + full["height"] == pytest.approx(half["y"] + half["height"], abs=0.2)


def test_parts_of_a_bar_lie_on_each_other() -> None:
    chart: Any = charts.bars([("2026-01", {"absent": 2, "tardy": 1})])
    absent, tardy = chart["parts"]
    assert absent["y"] == pytest.approx(tardy["y"] + tardy["height"], abs=0.2)
    assert absent["height"] == pytest.approx(2 * tardy["height"], abs=0.2)


@pytest.mark.parametrize(
    "values", [[0.0], [100.0], [110.4], [33.3, 99.9], [0.0, 230.0], [71.0], [4000.0]]
)
def test_a_line_stays_inside_and_higher_is_better(values: list[float]) -> None:
    points = [(f"2026-{number:02}", value) for number, value in enumerate(values, 1)]
    chart: Any = charts.line(points)
    inside(chart)
    heights = [point["y"] for point in chart["points"]]
    assert all(0 <= y <= chart["height"] for y in heights)
    assert heights == sorted(heights, reverse=True)


def test_many_months_are_named_every_second_one_and_the_last_always() -> None:
    months = [f"2026-{number:02}" for number in range(1, 9)]
    chart: Any = charts.line([(month, 80.0) for month in months])
    assert chart["months"] == [
        None,
        *months[1:2],
        None,
        months[3],
        None,
        months[5],
        None,
        months[7],
    ]
    few: Any = charts.line([(month, 80.0) for month in months[:3]])
    assert few["months"] == months[:3]
