"""A student's pages as actions, and what every page of a student is given: who it is, whom else.

The names of fields are the contract's (section 2, shapes); nothing but these goes out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from chalicelib.domain import attendance, family, schedule
from chalicelib.storage.values import AttendanceEvent, ChildName, SchoolClass, StudentSummary
from chalicelib.web.call import Call
from chalicelib.web.forms import session_shown
from chalicelib.web.http import Answer


def student(call: Call) -> Answer:
    """One student with today."""
    child = _asked(call)
    today = family.today(child.summary, now=call.now)
    return page_of(
        call,
        child,
        {**student_fields(child.summary), "today": today_fields(today)},
        page="student",
        data={"today": shown_today(today)},
    )


def student_schedule(call: Call) -> Answer:
    """A student's classes, by period and by day of the week."""
    child = _asked(call)
    seen = family.schedule_of(child.summary, now=call.now)
    body = {
        "student_id": child.summary.student_id,
        "classes": [class_fields(one) for one in schedule.by_period(child.summary.classes)],
    }
    parts = {
        name: [_shown_class(one) for one in getattr(seen, name)]
        for name in ("current", "later", "over")
    }
    week = [
        {"weekday": schedule.DAYS.index(day) + 1, "classes": [class_fields(one) for one in meeting]}
        for day, meeting in seen.week
    ]
    return page_of(
        call, child, body, page="student-schedule", data={**parts, "week": week}, section="schedule"
    )


def _asked(call: Call) -> family.Child:
    return family.child(call.cookie("session"), call.path_parameters["id"], now=call.now)


# --- for every page of a student ----------------------------------------------


def page_of(
    call: Call,
    child: family.Child,
    body: object,
    *,
    page: str,
    data: dict[str, object],
    section: str = "",
) -> Answer:
    """Return a student's page, with all that each of them shows beside its own `data`.

    `section` is what follows the student in the page's path; the switch between students leads to
    the same section of the other.
    """
    own = child.summary
    shown = {
        "student": student_fields(own),
        "section": section,
        "switcher": switcher(child.siblings, own.student_id, section),
        "session": session_shown(call, child.session),
    }
    return Answer(
        body,
        page=page,
        data={**data, **shown},
        language=child.language,
        signed_in=True,
    )


def shown_today(child: family.ChildToday) -> dict[str, object]:
    """Return a child's day as a page shows it: what was noted alike in several classes once."""
    return {**today_fields(child), "noted": noted_fields(child.attendance)}


def noted_fields(events: Iterable[AttendanceEvent]) -> list[dict[str, object]]:
    """Return events as pages list them: those of a day that say the same in one, with their places."""
    return [
        {
            "date": one.date,
            "status": one.status,
            "excuse": one.excuse,
            "reason": one.reason,
            "minutes": one.minutes,
            "places": [
                {"class": event.class_title, "period": event.period}
                for event in one.events
                if event.class_title or event.period
            ],
        }
        for one in attendance.noted(events)
    ]


def switcher(
    students: Sequence[ChildName | StudentSummary], current: str | None = None, section: str = ""
) -> list[dict[str, object]]:
    """Return the ways to each student; none where there is nobody to switch to."""
    if len(students) < 2:  # noqa: PLR2004 - nobody else
        return []
    return [
        {
            "name": f"{one.given_name} {one.family_name}".strip(),
            "path": "/".join(part for part in ("students", one.student_id, section) if part),
            "current": one.student_id == current,
        }
        for one in students
    ]


# --- the contract's shapes ----------------------------------------------------


def student_fields(child: StudentSummary) -> dict[str, object]:
    """Return a student as `/students` lists them."""
    return {
        "id": child.student_id,
        "given_name": child.given_name,
        "family_name": child.family_name,
        "grade": child.grade,
        "school": child.school,
        "gtid": child.gtid,
        "student_number": child.student_number,
    }


def today_fields(child: family.ChildToday) -> dict[str, object]:
    """Return a child's day as `/` shows it."""
    return {
        "student_id": child.summary.student_id,
        "date": child.date.isoformat(),
        "classes": [class_fields(one) for one in child.classes],
        "attendance": [event_fields(one) for one in child.attendance],
        "totals": asdict(child.summary.totals),
        "newest_grades": [
            {
                "class": grade.class_title,
                "title": grade.title,
                "score": grade.score,
                "max_score": grade.max_score,
                "grade": grade.grade,
                "date": grade.date,
            }
            for grade in child.summary.newest_grades
        ],
    }


def class_fields(one: SchoolClass) -> dict[str, object]:
    """Return a class as the schedule lists it."""
    return {
        "id": one.id,
        "title": one.title,
        "period": ", ".join(one.periods) or None,
        "start_time": one.start_time,
        "end_time": one.end_time,
        "days": list(one.days),
        "teacher": one.teacher,
        "room": one.room,
        "term": one.term,
        "school": one.school,
    }


def _shown_class(one: SchoolClass) -> dict[str, object]:
    return {**class_fields(one), "term_start": one.term_start, "term_end": one.term_end}


def event_fields(one: AttendanceEvent) -> dict[str, object]:
    """Return an event of attendance as answers list it."""
    return {
        "date": one.date,
        "type": one.type,
        "status": one.status,
        "excuse": one.excuse,
        "period": one.period,
        "class_id": one.class_id,
        "class": one.class_title,
        "reason": one.reason,
        "minutes": one.minutes,
    }
