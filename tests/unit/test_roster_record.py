"""What the import says of a student's grades and school years in one item."""

from typing import Any

import pytest

from chalicelib.domain import roster_record
from chalicelib.domain.school_years import SchoolYear

YEARS = [
    SchoolYear("2025", "2024-08-01", "2025-06-01"),
    SchoolYear("2026", "2025-08-01", "2026-06-01"),
]


def grade(**changes: Any) -> dict[str, Any]:
    """Return a result as the import knows it."""
    plain = {
        "id": "r",
        "class_id": "c",
        "class": "Science",
        "term": "Fall",
        "title": "Lab",
        "category": "Labs",
        "category_weight": 40.0,
        "assigned": "2026-02-01",
        "due": "2026-02-02",
        "score": 8.0,
        "max_score": 10.0,
        "grade": None,
        "flags": [],
        "comment": None,
        "date": "2026-02-03",
        "grade_type": None,
        "grading_period": "Q3",
    }
    return plain | changes


def of_class(*grades: dict[str, Any]) -> dict[str, Any]:
    """Return the one class of a record of these results."""
    (found,) = roster_record.record(list(grades), [], YEARS, "2026-03-01")["classes"]
    return dict(found)


def test_an_average_is_points_got_of_points_possible_and_extra_credit_counts() -> None:
    found = of_class(
        grade(score=22.0, max_score=20.0), grade(), grade(category="Quizzes", score=5.0)
    )
    assert found["category_averages"] == [
        {"category": "Labs", "weight": 40.0, "average": 100.0},
        {"category": "Quizzes", "weight": 40.0, "average": 50.0},
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"score": None},
        {"score": 0.0, "flags": ["exempt"]},
        {"score": 0.0, "flags": ["not-submitted"]},
        {"max_score": None},
        {"max_score": 0.0},
    ],
)
def test_what_was_not_scored_counts_neither_way(changes: dict[str, Any]) -> None:
    found = of_class(grade(), grade(**changes))
    assert found["category_averages"][0]["average"] == 80.0
    assert found["months"] == [{"month": "2026-02", "average": 80.0, "count": 1}]
    alone = of_class(grade(**changes))
    assert alone["category_averages"][0]["average"] is None
    assert alone["months"] == []


def test_a_nought_that_was_given_counts() -> None:
    found = of_class(grade(), grade(score=0.0, flags=["missing"]))
    assert found["category_averages"][0]["average"] == 40.0


def test_without_weights_there_are_no_averages() -> None:
    assert of_class(grade(category_weight=None))["category_averages"] == []


def test_posted_grades_are_no_assignments_and_count_in_no_average() -> None:
    posted = grade(id="p", grade_type="semester", score=91.0, grade="A", category="Labs")
    first = grade(id="q", grade_type="gradingPeriod", grading_period="Q3", score=85.0)
    assert roster_record.assignments([posted]) == []
    found = of_class(grade(), posted, first)
    assert [one["type"] for one in found["posted"]] == ["gradingPeriod", "semester"]
    assert found["posted"][1] == {
        "grading_period": "Q3",
        "type": "semester",
        "grade": "A",
        "score": 91.0,
    }
    assert found["category_averages"][0]["average"] == 80.0


def test_a_month_is_the_mean_of_its_percents() -> None:
    found = of_class(
        grade(score=10.0), grade(score=50.0, max_score=100.0), grade(date="2026-03-01")
    )
    assert found["months"] == [
        {"month": "2026-02", "average": 75.0, "count": 2},
        {"month": "2026-03", "average": 80.0, "count": 1},
    ]


def test_the_years_are_those_with_events_and_the_current_one() -> None:
    found = roster_record.record(
        [], ["2024-09-01", "2024-09-01", "2022-09-01"], YEARS, "2026-03-01"
    )
    assert [(one["name"], one["events"]) for one in found["school_years"]] == [
        ("2026", False),
        ("2025", True),
        ("2023", True),
    ]
    assert found["school_years"][0]["start"] == "2025-08-01"
    assert found["school_years"][1]["end"] == "2025-08-01"
