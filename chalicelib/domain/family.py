"""What a signed-in guardian sees of their children; each question starts from their own links."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from chalicelib import errors
from chalicelib.domain import accounts, enrollment_year, schedule, who
from chalicelib.domain.enrollment_year import ComingYear
from chalicelib.storage import district, roster, signed_in
from chalicelib.storage.enrollment import EnrollmentAnswer
from chalicelib.storage.values import (
    Account,
    AttendanceEvent,
    ChildName,
    GuardianRecord,
    SchoolClass,
    Session,
    StudentSummary,
)

# The shape of our own ids (`crypto.opaque_id`); what has another never comes into a key.
_ID = re.compile(r"[A-Za-z0-9_-]{20}")
# What is looked up in its place, so that every id costs the same calls: an id that nobody has.
_NOBODY = "-"


@dataclass(frozen=True)
class ChildToday:
    """A child today: the classes that meet, the day's attendance, and what is new."""

    summary: StudentSummary
    date: date
    classes: tuple[SchoolClass, ...]
    attendance: tuple[AttendanceEvent, ...]


@dataclass(frozen=True)
class Home:
    """A guardian's home: account, session and children, in the order of their names.

    Attributes:
        language: the guardian's (`who.language_of`).
        guardian: who they are, None where the roster has nobody any more.
        coming_year: the school year of the enrollment verification.
        answers: what was answered for it, by student.
    """

    account: Account
    session: Session
    children: tuple[ChildToday, ...]
    language: str | None
    guardian: GuardianRecord | None
    coming_year: ComingYear
    answers: Mapping[str, EnrollmentAnswer]


@dataclass(frozen=True)
class Child:
    """One child's page: who asks, what is shown, and whom one can switch to.

    Attributes:
        language: the guardian's (`who.language_of`).
        siblings: every student of the guardian, this one too, in the order of their names.
        more: the data of the student's further items that were asked for, by sort key.
    """

    account: Account
    session: Session
    language: str | None
    summary: StudentSummary
    siblings: tuple[ChildName, ...]
    more: Mapping[str, Mapping[str, Any]]


def home(token: str | None, *, now: datetime) -> Home:
    """Return what a guardian's home shows, in three calls whatever the number of children.

    The links are read anew at each request, consistently: access that an import or an admin took is
    gone at the next one (security rows S66, S67).

    Raises:
        SignInRequired: no session that stands.
    """
    session = accounts.use_session(token, now=now)
    guardian = roster.guardian_partition(session.guardian_id)
    student_ids = [link.student_id for link in guardian.students] if guardian else []
    today = district.preferences().day(now)
    coming_year = enrollment_year.after(today)
    page = signed_in.read(session.username_key, student_ids, school_year=coming_year.name)
    account = accounts.refuse_ended(session, page.account, page.all_ended_at)
    children = sorted(page.summaries, key=lambda child: (child.given_name, child.student_id))
    return Home(
        account=account,
        session=session,
        children=tuple(_today(child, today) for child in children),
        language=who.language_of(account, guardian.language if guardian else None),
        guardian=guardian,
        coming_year=coming_year,
        answers=page.answers,
    )


def child(token: str | None, student_id: str, *, now: datetime, more: Sequence[str] = ()) -> Child:
    """Return one child of the guardian who asks, in two calls; `more` are further sort keys of it.

    The link is read anew at each request (security rows S66, S67). A student who is somebody else's,
    or isn't there, and an id that can be nobody's cost the same calls and are refused alike.

    Raises:
        SignInRequired: no session that stands; judged first.
        NotFound: no student whom this guardian may see.
    """
    session = accounts.use_session(token, now=now)
    known = student_id if _ID.fullmatch(student_id) else _NOBODY
    page = signed_in.read_child(session.username_key, session.guardian_id, known, more)
    account = accounts.refuse_ended(session, page.account, page.all_ended_at)
    if page.link is None or page.summary is None:
        raise errors.NotFound
    asked = page.summary
    names = {one.student_id: one for one in page.names}
    # Access that was given a moment ago may be there before its name in the list.
    names[asked.student_id] = ChildName(asked.student_id, asked.given_name, asked.family_name)
    siblings = sorted(names.values(), key=lambda one: (one.given_name, one.student_id))
    language = who.language_of(account, page.language)
    return Child(account, session, language, asked, tuple(siblings), page.more)


def today(summary: StudentSummary, *, now: datetime) -> ChildToday:
    """Return a child's day: the district's, not the clock's."""
    return _today(summary, district.preferences().day(now))


def schedule_of(summary: StudentSummary, *, now: datetime) -> schedule.Schedule:
    """Return a child's classes as they stand on the district's day."""
    return schedule.of_classes(summary.classes, district.preferences().day(now))


def _today(child: StudentSummary, today: date) -> ChildToday:
    return ChildToday(
        summary=child,
        date=today,
        classes=tuple(schedule.in_order(c for c in child.classes if schedule.meets_on(c, today))),
        attendance=tuple(e for e in child.recent_attendance if e.date == today.isoformat()),
    )
