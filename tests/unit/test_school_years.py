"""Which school year a day belongs to, also where the roster no longer says."""

import itertools
from datetime import date, timedelta

import pytest

from chalicelib.domain.school_years import SchoolYear, year_of

Y2025 = SchoolYear("2025", "2024-08-05", "2025-05-24")
Y2026 = SchoolYear("2026", "2025-08-04", "2026-05-23")
LATER = SchoolYear("2029", "2028-08-01", "2029-06-01")


@pytest.mark.parametrize(
    ("day", "name"),
    [
        ("2025-08-04", "2026"),
        ("2026-05-22", "2026"),
        # Summer school counts for the year that ended.
        ("2026-07-15", "2026"),
        ("2025-08-03", "2025"),
        # Years that the roster tells nothing of begin on the day of one it tells of.
        ("2026-08-04", "2027"),
        ("2024-08-04", "2024"),
        ("2021-01-10", "2021"),
        ("2031-12-01", "2032"),
    ],
)
def test_a_day_belongs_to_the_year_that_began_last(day: str, name: str) -> None:
    assert name == year_of([Y2025, Y2026], day).name


def test_without_any_year_one_begins_in_august() -> None:
    assert SchoolYear("2026", "2025-08-01", "2026-08-01") == year_of([], "2026-02-03")


@pytest.mark.parametrize("years", [[], [Y2026], [Y2025, Y2026], [Y2025, LATER]])
def test_every_day_is_in_exactly_one_year(years: list[SchoolYear]) -> None:
    day, seen = date(2019, 1, 1), {}
    while day < date(2035, 1, 1):
        year = year_of(years, day.isoformat())
        assert year.holds(day.isoformat())
        assert year == seen.setdefault(year.start, year)
        day += timedelta(days=1)
    in_order = sorted(seen.values(), key=lambda year: year.start)
    for before, after in itertools.pairwise(in_order):
        assert before.end == after.start
    assert len({year.name for year in in_order}) == len(in_order)
