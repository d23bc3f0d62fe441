"""Attendance and grades of a student as the import would have written them, from few words."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib import crypto
from chalicelib.domain import roster_record
from chalicelib.domain.school_years import SchoolYear
from chalicelib.storage import roster_writes
from tests.factories import SomeStudent

YEARS = [
    SchoolYear("2025", "2024-08-01", "2025-06-01"),
    SchoolYear("2026", "2025-08-01", "2026-06-01"),
]


def class_id(name: str) -> str:
    """Return the portal's id of a class."""
    return crypto.opaque_id("class", name)


def event(
    day: str, status: str = "absent", *, of: str | None = None, **data: Any
) -> dict[str, Any]:
    """Return an attendance event of a day, in the class `of` or of the whole day."""
    plain = {
        "date": day,
        "type": "section" if of else "daily",
        "status": status,
        "excuse": None,
        "period": None,
        "class_id": class_id(of) if of else None,
        "class": of,
        "reason": None,
        "minutes": None,
    }
    return plain | data


def result(day: str, *, of: str = "Math", title: str = "Quiz", **data: Any) -> dict[str, Any]:
    """Return a result in the class `of`, as the import knows it."""
    plain = {
        "id": crypto.opaque_id("result", f"{of}/{title}/{day}"),
        "class_id": class_id(of),
        "class": of,
        "term": "Fall",
        "title": title,
        "category": "Quizzes",
        "category_weight": None,
        "assigned": day,
        "due": day,
        "score": 8.0,
        "max_score": 10.0,
        "grade": None,
        "flags": [],
        "comment": None,
        "date": day,
        "grade_type": None,
        "grading_period": "Q1",
    }
    return plain | data


def put(
    child: SomeStudent,
    *,
    events: Sequence[Mapping[str, Any]] = (),
    results: Sequence[Mapping[str, Any]] = (),
    today: str = "2026-03-02",
    **more: Any,
) -> None:
    """Write a student's events, results and record; `more` are fields that no code knows."""
    ordered = sorted((dict(one) for one in results), key=lambda one: (one["date"], one["id"]))
    items = {"record": roster_record.record(ordered, [e["date"] for e in events], YEARS, today)}
    for number, one in enumerate(events):
        items[f"attendance#{one['date']}#{crypto.opaque_id('attendance', str(number))}"] = dict(one)
    for one in roster_record.assignments(ordered):
        items[f"grade#{one['date']}#{one['id']}"] = one
    roster_writes.write_items(
        (
            (f"student#{child.student_id}", sk, {"data": _json({**data, **more})})
            for sk, data in items.items()
        ),
        [],
    )


def remove(pk: str, sk: str) -> None:
    """Delete an item as the import does."""
    roster_writes.write_items([], [(pk, sk)])


def calls_of_page(calls: Sequence[tuple[str, str, str]]) -> list[str]:
    """Return a page's DynamoDB calls, but for the preferences, which are read once a minute."""
    return [
        operation
        for service, operation, table in calls
        if service == "dynamodb" and not table.endswith("-preferences")
    ]


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))
