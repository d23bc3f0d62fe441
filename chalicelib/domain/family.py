"""What a signed-in guardian sees of their children; each question starts from their own links."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from chalicelib.domain import accounts, enrollment_year
from chalicelib.domain.enrollment_year import ComingYear
from chalicelib.storage import district, roster, signed_in
from chalicelib.storage.enrollment import EnrollmentAnswer
from chalicelib.storage.values import (
    Account,
    AttendanceEvent,
    GuardianRecord,
    SchoolClass,
    Session,
    StudentSummary,
)

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


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
        language=guardian.language if guardian else None,
        guardian=guardian,
        coming_year=coming_year,
        answers=page.answers,
    )


def _today(child: StudentSummary, today: date) -> ChildToday:
    return ChildToday(
        summary=child,
        date=today,
        classes=tuple(c for c in _in_order(child.classes) if meets_on(c, today)),
        attendance=tuple(e for e in child.recent_attendance if e.date == today.isoformat()),
    )


def meets_on(school_class: SchoolClass, day: date) -> bool:
    """Whether a class meets on a day: within its term, on its days (on school days where none say)."""
    iso = day.isoformat()
    if school_class.term_start and iso < school_class.term_start:
        return False
    if school_class.term_end and iso > school_class.term_end:
        return False
    days: Sequence[str] = school_class.days or _DAYS[:5]
    return _DAYS[day.weekday()] in days


def _in_order(classes: Sequence[SchoolClass]) -> list[SchoolClass]:
    """Order classes as a day runs: by start, then period (2 before 10), then title."""

    def place(one: SchoolClass) -> tuple[str, int, str, str]:
        period = one.periods[0] if one.periods else ""
        number = int(period) if period.isascii() and period.isdigit() else 99
        return one.start_time or "99:99", number, period, one.title

    return sorted(classes, key=place)
