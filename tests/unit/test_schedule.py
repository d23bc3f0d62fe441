"""When classes meet, and in which order they are told."""

from datetime import date
from typing import Any

import pytest

from chalicelib.domain import schedule
from chalicelib.storage.values import SchoolClass

MONDAY, SATURDAY = date(2026, 3, 2), date(2026, 3, 7)


def a_class(title: str = "Art", **more: Any) -> SchoolClass:
    blank = dict.fromkeys(("start_time", "end_time", "teacher", "room", "term", "school"))
    values = {"id": title, "title": title, "periods": (), "days": ()} | blank
    return SchoolClass(**(values | {"term_start": None, "term_end": None} | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("more", "monday", "saturday"),
    [
        ({}, True, False),
        ({"days": ("Mon", "Wed")}, True, False),
        ({"days": ("Tue", "Sat")}, False, True),
        ({"term_start": "2026-03-02", "term_end": "2026-03-02"}, True, False),
        ({"term_start": "2026-03-03"}, False, False),
        ({"term_end": "2026-03-01"}, False, False),
    ],
)
def test_a_class_meets_on_its_days_within_its_term(
    more: dict[str, Any], monday: bool, saturday: bool
) -> None:
    one = a_class(**more)
    assert schedule.meets_on(one, MONDAY) is monday
    assert schedule.meets_on(one, SATURDAY) is saturday


def test_a_day_runs_by_the_clock_and_a_list_of_periods_by_their_numbers() -> None:
    classes = [
        a_class("No period"),
        a_class("Tenth", periods=("10",), start_time="08:00"),
        a_class("Advisory", periods=("A",)),
        a_class("Second", periods=("2",), start_time="09:00"),
        a_class("Second too", periods=("2",), start_time="08:30"),
    ]
    day = [one.title for one in schedule.in_order(classes)]
    assert day == ["Tenth", "Second too", "Second", "Advisory", "No period"]
    periods = [one.title for one in schedule.by_period(classes)]
    assert periods == ["Second too", "Second", "Tenth", "Advisory", "No period"]


def test_a_week_names_only_days_on_which_something_meets() -> None:
    classes = [a_class("Club", days=("Sat",)), a_class("Art", days=("Mon", "Sat"))]
    week = schedule.of_classes(classes, MONDAY).week
    assert [(day, [one.title for one in meeting]) for day, meeting in week] == [
        ("Mon", ["Art"]),
        ("Sat", ["Art", "Club"]),
    ]
    assert schedule.of_classes([a_class()], MONDAY).week == ()
