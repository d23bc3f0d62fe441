"""Reading a student's attendance and grades in the table `roster`: the record, events, assignments.

The record is one item and comes with the page's other items (`family.child`); the rows come by one
query of the student's partition.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from chalicelib import errors
from chalicelib.storage import roster
from chalicelib.storage.values import AttendanceEvent

RECORD = "record"
_ATTENDANCE, _GRADE = "attendance#", "grade#"
# The character after `#`: behind every key that begins with a prefix.
_END = "$"
# Of our own making, since they come into keys: a day and a result's id; a class's id.
_CURSOR = re.compile(r"(\d{4}-\d{2}-\d{2})\.([A-Za-z0-9_-]{1,40})", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII)


@dataclass(frozen=True)
class RecordYear:
    """A school year in which the student has attendance `events`, or the current one.

    `start` is its first day, `end` the day after its last.
    """

    name: str
    start: str
    end: str
    events: bool


@dataclass(frozen=True)
class PostedGrade:
    """A grade that the school posted for a term; `type` is gradingPeriod, semester or final."""

    grading_period: str | None
    type: str
    grade: str | None
    score: float | None


@dataclass(frozen=True)
class CategoryAverage:
    """A category's average in percent, None without a score; the weight is the roster's."""

    category: str
    weight: float
    average: float | None


@dataclass(frozen=True)
class ScoredMonth:
    """A month (`YYYY-MM`) with scores: the mean of their percents, and how many there were."""

    month: str
    average: float
    count: int


@dataclass(frozen=True)
class ClassRecord:
    """What is known of a student's grades in one class, whatever assignments are shown."""

    id: str
    title: str
    term: str | None
    posted: tuple[PostedGrade, ...]
    category_averages: tuple[CategoryAverage, ...]
    months: tuple[ScoredMonth, ...]


@dataclass(frozen=True)
class StudentRecord:
    """A student's record: school years, the newest first, and classes with grades."""

    school_years: tuple[RecordYear, ...] = ()
    classes: tuple[ClassRecord, ...] = ()


@dataclass(frozen=True)
class Assignment:
    """A student's result of an assignment; `class_title` and `category` are the roster's words."""

    id: str
    class_id: str
    class_title: str
    title: str
    category: str | None
    assigned: str | None
    due: str | None
    score: float | None
    max_score: float | None
    grade: str | None
    flags: tuple[str, ...]
    comment: str | None
    date: str


@dataclass(frozen=True)
class AssignmentPage:
    """The newest assignments before a cursor, and the cursor of those that follow."""

    assignments: tuple[Assignment, ...]
    following: str | None


def record_from(data: Mapping[str, Any] | None) -> StudentRecord:
    """Return a record from its item's data; an empty one where the student has none yet."""
    if data is None:
        return StudentRecord()
    return StudentRecord(
        tuple(
            RecordYear(one["name"], one["start"], one["end"], one["events"])
            for one in data["school_years"]
        ),
        tuple(_class(one) for one in data["classes"]),
    )


def _class(data: Mapping[str, Any]) -> ClassRecord:
    return ClassRecord(
        id=data["id"],
        title=data["title"],
        term=data["term"],
        posted=tuple(
            PostedGrade(one["grading_period"], one["type"], one["grade"], one["score"])
            for one in data["posted"]
        ),
        category_averages=tuple(
            CategoryAverage(one["category"], one["weight"], one["average"])
            for one in data["category_averages"]
        ),
        months=tuple(
            ScoredMonth(one["month"], one["average"], one["count"]) for one in data["months"]
        ),
    )


def events(student_id: str, year: RecordYear) -> list[AttendanceEvent]:
    """Return a student's attendance events of a school year, the oldest first."""
    first, last = _ATTENDANCE + year.start, _ATTENDANCE + year.end
    return [roster.event_from(data) for data in roster.student_items(student_id, first, last)]


def assignments(
    student_id: str, *, before: str | None, class_id: str | None, most: int
) -> AssignmentPage:
    """Return up to `most` assignments, the newest first.

    Args:
        student_id: whose; the caller has checked that it may be seen.
        before: the cursor of an earlier page, None for the newest.
        class_id: only this class's. Then the query looks at all assignments up to the last one
            shown, in answers of 1 MB.
        most: how many at most.

    Raises:
        NotFound: `before` has not the shape of a cursor.
    """
    if class_id is not None and not _ID.fullmatch(class_id):
        return AssignmentPage((), None)
    last = _GRADE[:-1] + _END if before is None else _key(before)
    # The cursor's own assignment, where it is still there, and one more to know whether any follow.
    looked_at = most + 2
    items = roster.student_items(
        student_id,
        _GRADE,
        last,
        newest_first=True,
        holding=None if class_id is None else f'"class_id":"{class_id}"',
        limit=looked_at if class_id is None else None,
    )
    wanted = (one for one in map(_assignment, items) if _cursor(one) != before)
    found = list(islice(wanted, most + 1))
    following = _cursor(found[most - 1]) if len(found) > most else None
    return AssignmentPage(tuple(found[:most]), following)


def _cursor(one: Assignment) -> str:
    return f"{one.date}.{one.id}"


def _key(cursor: str) -> str:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise errors.NotFound
    return f"{_GRADE}{match[1]}#{match[2]}"


def _assignment(data: dict[str, Any]) -> Assignment:
    return Assignment(
        id=data["id"],
        class_id=data["class_id"],
        class_title=data["class"],
        title=data["title"],
        category=data["category"],
        assigned=data["assigned"],
        due=data["due"],
        score=data["score"],
        max_score=data["max_score"],
        grade=data["grade"],
        flags=tuple(data["flags"]),
        comment=data["comment"],
        date=data["date"],
    )
