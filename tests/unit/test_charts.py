"""Where charts put things: inside the drawing, in proportion, and nothing where there is nothing."""

from typing import Any

import pytest

from chalicelib.web import charts


def inside(chart: dict[str, Any]) -> None:
    """Assert that everything is drawn inside the view box."""
    for tick in chart["ticks"]:
        assert 0 <= tick["y"] <= chart["height"]


def test_without_counts_there_is_no_chart() -> None:
    assert charts.bars([]) is None
    assert charts.bars([("2026-02", {"absent": 0})]) is None
    assert charts.line([]) is None


@pytest.mark.parametrize("most", [1, 3, 4, 5, 17, 60, 399, 5000])
def test_bars_are_stacked_in_proportion_and_stay_inside(most: int) -> None:
    columns = [("2026-01", {"absent": 2 * most, "tardy": 0}), ("2026-02", {"absent": most})]
    chart: Any = charts.bars(columns)
    inside(chart)
    assert len(chart["ticks"]) <= 6
    (full,), (half,) = (column["parts"] for column in chart["columns"])
    assert full["height"] == pytest.approx(2 * half["height"], abs=0.2)
    assert full["y"] >= 0
    assert full["y"] + full["height"] == pytest.approx(half["y"] + half["height"], abs=0.2)


def test_parts_of_a_bar_lie_on_each_other() -> None:
    chart: Any = charts.bars([("2026-01", {"absent": 2, "tardy": 1})])
    absent, tardy = chart["columns"][0]["parts"]
    assert absent["y"] == pytest.approx(tardy["y"] + tardy["height"], abs=0.2)
    assert absent["height"] == pytest.approx(2 * tardy["height"], abs=0.2)


@pytest.mark.parametrize("values", [[0.0], [100.0], [110.4], [55.0, 99.9], [0.0, 230.0], [4000.0]])
def test_a_line_stays_inside_and_higher_is_better(values: list[float]) -> None:
    points = [(f"2026-{number:02}", value) for number, value in enumerate(values, 1)]
    chart: Any = charts.line(points)
    inside(chart)
    heights = [point["y"] for point in chart["points"]]
    assert all(0 <= y <= chart["height"] for y in heights)
    assert heights == sorted(heights, reverse=True)
