"""A child's attendance: a school year's events, their totals, and the year month by month."""

import calendar
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from chalicelib.domain import family
from chalicelib.domain.family import Child
from chalicelib.storage import district, school_records
from chalicelib.storage.school_records import RecordYear
from chalicelib.storage.values import AttendanceEvent, Totals

# In the order in which they are shown.
STATUSES = ("absent", "tardy", "earlyDeparture", "partial")
_MONTHS = 12
# Weeks as calendars in the United States have them.
_WEEKS = calendar.Calendar(firstweekday=calendar.SUNDAY)


@dataclass(frozen=True)
class Attendance:
    """What the page of attendance shows.

    Attributes:
        years: the school years to choose from, the newest first.
        year: the one shown, None where none is known or none has the name that was asked for.
        class_id: the class that the events were filtered by.
        classes: (id, title) of each class that the year's events name, by title.
        events: the newest first; of a day by period.
        totals: of these events.
        today: the district's day.
    """

    child: Child
    years: tuple[RecordYear, ...]
    year: RecordYear | None
    class_id: str | None
    classes: tuple[tuple[str, str], ...]
    events: tuple[AttendanceEvent, ...]
    totals: Totals
    today: date


@dataclass(frozen=True)
class MonthCounts:
    """How often what happened in a month (`YYYY-MM`)."""

    month: str
    counts: dict[str, int]


@dataclass(frozen=True)
class Noted:
    """Events of a day that differ in nothing but class and period."""

    date: str
    status: str
    excuse: str | None
    reason: str | None
    minutes: int | None
    events: tuple[AttendanceEvent, ...]


def attendance(
    token: str | None,
    student_id: str,
    *,
    school_year: str | None,
    class_id: str | None,
    now: datetime,
) -> Attendance:
    """Return a child's attendance of a school year, in three calls.

    A year or class that nobody knows has no events: it may be one that a sibling has.

    Args:
        token: the session's.
        student_id: whose.
        school_year: the year's name, None for the newest with events.
        class_id: only this class's events, None for all.
        now: this moment.

    Raises:
        SignInRequired: no session that stands.
        NotFound: no student whom this guardian may see.
    """
    child = family.child(token, student_id, now=now, more=(school_records.RECORD,))
    years = school_records.record_from(child.more.get(school_records.RECORD)).school_years
    year = _chosen(years, school_year)
    of_year = school_records.events(student_id, year) if year else []
    titles = {one.class_id: one.class_title or "" for one in of_year if one.class_id}
    events = [one for one in of_year if class_id is None or one.class_id == class_id]
    return Attendance(
        child=child,
        years=years,
        year=year,
        class_id=class_id,
        classes=tuple(sorted(titles.items(), key=lambda one: (one[1], one[0]))),
        events=tuple(_newest_first(events)),
        totals=totals((one.status, one.excuse) for one in events),
        today=district.preferences().day(now),
    )


def _chosen(years: Sequence[RecordYear], name: str | None) -> RecordYear | None:
    if name is not None:
        return next((year for year in years if year.name == name), None)
    return next((year for year in years if year.events), next(iter(years), None))


def totals(marks: Iterable[tuple[str, str | None]]) -> Totals:
    """Count events, each given by its status and excuse; a `partial` one only by its excuse."""
    counts: Counter[str | None] = Counter()
    for status, excuse in marks:
        counts.update((status, excuse))
    return Totals(
        absent=counts["absent"],
        tardy=counts["tardy"],
        early_departure=counts["earlyDeparture"],
        excused=counts["excused"],
        unexcused=counts["unexcused"],
    )


def _newest_first(events: Sequence[AttendanceEvent]) -> list[AttendanceEvent]:
    def place(one: AttendanceEvent) -> tuple[int, str]:
        period = one.period or ""
        return int(period) if period.isascii() and period.isdigit() else 0, period

    return sorted(sorted(events, key=place), key=lambda one: one.date, reverse=True)


# --- month by month -----------------------------------------------------------


def months(seen: Attendance) -> list[MonthCounts]:
    """Return the months of the year shown, the first one first, also those without an event.

    They end with the last event, or with the month that runs.
    """
    if seen.year is None:
        return []
    today = seen.today.isoformat()
    ends = [one.date for one in seen.events]
    if seen.year.start <= today < seen.year.end:
        ends.append(today)
    counts: dict[str, Counter[str]] = {}
    for one in seen.events:
        counts.setdefault(one.date[:7], Counter())[one.status] += 1
    return [
        MonthCounts(month, {status: counts.get(month, Counter())[status] for status in STATUSES})
        for month in (_months(seen.year.start[:7], max(ends)[:7]) if ends else ())
    ]


def _months(first: str, last: str) -> list[str]:
    start, end = _number(first), _number(last)
    return [f"{n // _MONTHS:04}-{n % _MONTHS + 1:02}" for n in range(start, end + 1)]


def _number(month: str) -> int:
    return int(month[:4]) * _MONTHS + int(month[5:7]) - 1


def weeks(month: str) -> list[list[int]]:
    """Return the days of a month (`YYYY-MM`) by week, Sunday first; 0 is a day of another month."""
    return _WEEKS.monthdayscalendar(int(month[:4]), int(month[5:7]))


def noted(events: Iterable[AttendanceEvent]) -> list[Noted]:
    """Return events with those of a day that say the same in one, in the order they came."""
    together: dict[tuple[object, ...], list[AttendanceEvent]] = {}
    for one in events:
        key = (one.date, one.status, one.excuse, one.reason, one.minutes)
        together.setdefault(key, []).append(one)
    return [
        Noted(first.date, first.status, first.excuse, first.reason, first.minutes, tuple(same))
        for same in together.values()
        for first in same[:1]
    ]
