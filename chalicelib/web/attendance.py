"""A student's attendance as an action: a client gets the year, a browser one month at a time."""

from collections.abc import Sequence
from dataclasses import asdict

from chalicelib.domain import attendance
from chalicelib.domain.attendance import Attendance, MonthCounts
from chalicelib.web import charts, students
from chalicelib.web.call import Call
from chalicelib.web.http import Answer
from chalicelib.web.links import same_page


def student_attendance(call: Call) -> Answer:
    """Events of a school year with their totals; `month` is which month a browser looks at."""
    seen = attendance.attendance(
        call.cookie("session"),
        call.path_parameters["id"],
        school_year=call.query.get("school_year"),
        class_id=call.query.get("class"),
        now=call.now,
    )
    totals = asdict(seen.totals)
    body = {
        "student_id": seen.child.summary.student_id,
        "events": [students.event_fields(one) for one in seen.events],
        "totals": totals,
    }
    data = {"totals": totals, **_choices(seen), **_months(seen, call.query.get("month"))}
    return students.page_of(
        call, seen.child, body, page="student-attendance", data=data, section="attendance"
    )


def _choices(seen: Attendance) -> dict[str, object]:
    name = seen.year.name if seen.year else None
    chosen = dict(seen.classes).get(seen.class_id or "")
    return {
        "year": _year(name) if name else None,
        "years": [
            {
                "title": _year(one.name),
                "href": same_page("attendance", school_year=one.name, class_=seen.class_id),
                "current": one.name == name,
            }
            for one in seen.years
        ],
        "filtered": seen.class_id is not None,
        "class_title": chosen,
        "all_href": same_page("attendance", school_year=name),
        "classes": [
            {
                "title": title,
                "href": same_page("attendance", school_year=name, class_=class_id),
                "current": class_id == seen.class_id,
            }
            for class_id, title in seen.classes
        ],
    }


def _months(seen: Attendance, asked: str | None) -> dict[str, object]:
    months = attendance.months(seen)
    names = [one.month for one in months]
    with_events = [one.month for one in months if any(one.counts.values())]
    month = asked if asked in names else next(reversed(with_events), None)
    kinds = [kind for kind in attendance.STATUSES if any(one.counts[kind] for one in months)]
    return {
        "kinds": kinds,
        "chart": charts.bars([(one.month, one.counts) for one in months]),
        "months": [_month(seen, one, kinds, month) for one in reversed(months)],
        "month": _open_month(seen, month) if month else None,
    }


def _month(
    seen: Attendance, one: MonthCounts, kinds: Sequence[str], shown: str | None
) -> dict[str, object]:
    year = seen.year.name if seen.year else None
    href = (
        same_page("attendance", school_year=year, class_=seen.class_id, month=one.month) + "#month"
    )
    return {
        "month": one.month,
        "counts": [one.counts[kind] for kind in kinds],
        "href": href if any(one.counts.values()) else None,
        "current": one.month == shown,
    }


def _open_month(seen: Attendance, month: str) -> dict[str, object]:
    events = [one for one in seen.events if one.date.startswith(month)]
    kinds: dict[str, list[str]] = {}
    for one in events:
        of_day = kinds.setdefault(one.date[8:], [])
        if one.status not in of_day:
            of_day.append(one.status)
    return {
        "month": month,
        "weeks": [
            [{"day": day, "kinds": kinds.get(f"{day:02}", ())} for day in week]
            for week in attendance.weeks(month)
        ],
        "noted": students.noted_fields(events),
    }


def _year(name: str) -> str:
    """Return a school year as people name it: `2025–2026` for the roster's 2026."""
    return f"{int(name) - 1}–{name}" if name.isdecimal() else name
