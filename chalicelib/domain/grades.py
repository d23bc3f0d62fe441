"""A child's grades: each class with posted grades and averages, and a page of assignments."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from chalicelib.domain import family
from chalicelib.domain.family import Child
from chalicelib.storage import school_records
from chalicelib.storage.school_records import (
    Assignment,
    CategoryAverage,
    ClassRecord,
    PostedGrade,
    ScoredMonth,
)

ASSIGNMENTS_A_PAGE = 50


@dataclass(frozen=True)
class ClassGrades:
    """One class: all its posted grades and averages, and those of its assignments on the page.

    `enrolled` is whether the child is in it according to the roster.
    """

    id: str
    title: str
    term: str | None
    enrolled: bool
    posted: tuple[PostedGrade, ...]
    category_averages: tuple[CategoryAverage, ...]
    months: tuple[ScoredMonth, ...]
    assignments: tuple[Assignment, ...]


@dataclass(frozen=True)
class Grades:
    """What the page of grades shows; `following` is the cursor of older assignments."""

    child: Child
    classes: tuple[ClassGrades, ...]
    following: str | None


def grades(
    token: str | None,
    student_id: str,
    *,
    class_id: str | None,
    before: str | None,
    now: datetime,
) -> Grades:
    """Return a child's classes with grades and a page of assignments, in three calls.

    Args:
        token: the session's.
        student_id: whose.
        class_id: only this class, None for all; one that the child doesn't have is no class at all.
        before: the cursor of an earlier page, None for the newest assignments.
        now: this moment.

    Raises:
        SignInRequired: no session that stands.
        NotFound: no student whom this guardian may see, or a cursor that no page gave out.
    """
    child = family.child(token, student_id, now=now, more=(school_records.RECORD,))
    record = school_records.record_from(child.more.get(school_records.RECORD))
    page = school_records.assignments(
        student_id, before=before, class_id=class_id, most=ASSIGNMENTS_A_PAGE
    )
    classes = _classes(child, record.classes, page.assignments)
    return Grades(
        child=child,
        classes=tuple(one for one in classes if class_id is None or one.id == class_id),
        following=page.following,
    )


def _classes(
    child: Child, recorded: Iterable[ClassRecord], work: Iterable[Assignment]
) -> list[ClassGrades]:
    """Return every class that is anywhere: those of the schedule first, then the others by title."""
    records = {one.id: one for one in recorded}
    assignments: dict[str, list[Assignment]] = {}
    for one in work:
        assignments.setdefault(one.class_id, []).append(one)
    names: dict[str, tuple[str, str | None]] = {
        one.id: (one.title, one.term) for one in child.summary.classes
    }
    enrolled = set(names)
    others: dict[str, tuple[str, str | None]] = {
        one_id: (some[0].class_title, None) for one_id, some in assignments.items()
    }
    others |= {one.id: (one.title, one.term) for one in records.values()}
    for one_id, name in sorted(others.items(), key=lambda pair: (pair[1][0], pair[0])):
        names.setdefault(one_id, name)
    return [
        _class(one_id, name, one_id in enrolled, records.get(one_id), assignments.get(one_id, ()))
        for one_id, name in names.items()
    ]


def _class(
    class_id: str,
    name: tuple[str, str | None],
    enrolled: bool,  # noqa: FBT001
    record: ClassRecord | None,
    assignments: Sequence[Assignment],
) -> ClassGrades:
    return ClassGrades(
        id=class_id,
        title=name[0],
        term=name[1],
        enrolled=enrolled,
        posted=record.posted if record else (),
        category_averages=record.category_averages if record else (),
        months=record.months if record else (),
        assignments=tuple(assignments),
    )


def months(classes: Iterable[ClassGrades], *, most: int) -> list[ScoredMonth]:
    """Return the newest months with scores, the oldest first: the mean of all percents in each."""
    sums: dict[str, tuple[float, int]] = {}
    for one in classes:
        for month in one.months:
            total, count = sums.get(month.month, (0.0, 0))
            sums[month.month] = (total + month.average * month.count, count + month.count)
    return [
        ScoredMonth(month, round(total / count, 1), count)
        for month, (total, count) in sorted(sums.items())[-most:]
    ]
