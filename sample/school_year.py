"""The school year around a day: sessions, school days, work due, grades posted."""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, cached_property

from sample.schools import Subject

_AUGUST = 8
_FRIDAY = 4
_ATTENDANCE_DAYS = 240
# Assignments reach from ten weeks back to ten days ahead.
_WORK_BACK, _WORK_SPAN = 70, 80
_SCHOOL_DAYS_A_WEEK = 5


@dataclass(frozen=True)
class Session:
    """An academic session. `end` is exclusive, as OneRoster has it."""

    sourced_id: str
    title: str
    kind: str
    start: date
    end: date
    parent: str
    school_year: int

    @property
    def last(self) -> date:
        """The last day that belongs to it."""
        return self.end - timedelta(days=1)


@dataclass(frozen=True)
class Category:
    """A category of the gradebook; the weight is in percent."""

    sourced_id: str
    title: str
    weight: str


CATEGORIES = (
    Category("CAT-HW", "Homework", "30"),
    Category("CAT-TEST", "Tests & Quizzes", "50"),
    Category("CAT-PROJ", "Projects", "20"),
)
_TITLES = (
    *("Homework {}", "Quiz {}", 'Project {}: "My Neighborhood"', "Worksheet {}, odd numbers"),
    "Unit Test {}",
)
_MOST = (10, 100, 20, 50)


@dataclass(frozen=True)
class Assignment:
    """A piece of work of every class at one place of the timetable. `most`: its points."""

    number: int
    title: str
    assigned: date
    due: date
    most: int
    category: str
    session: Session


@dataclass(frozen=True)
class PostedGrade:
    """A term's grade that is on view: its gradeType and the session it is for."""

    kind: str
    session: Session


class SchoolYear:
    """The school year that holds `today`, with the day itself.

    It runs from August to July without a summer break, so that a district made on any day of the
    year is in session.
    """

    def __init__(self, today: date) -> None:
        self.today = today
        # OneRoster names a school year by the calendar year it ends in.
        self.year = today.year + (today.month >= _AUGUST)
        # Asked once a child and class, and the same for all of a subject.
        self.assignments = cache(self._assignments)
        self.posted = cache(self._posted)

    @cached_property
    def sessions(self) -> tuple[Session, ...]:
        """The last school year, this one, and this one's semesters and grading periods."""
        year = self.year
        this, last = f"SY{year}", f"SY{year - 1}"
        fall, spring = f"{this}-FALL", f"{this}-SPRING"
        august, october, january = date(year - 1, 8, 1), date(year - 1, 10, 15), date(year, 1, 1)
        april, end = date(year, 4, 1), date(year, 8, 1)
        before = date(year - 2, 8, 1)
        return (
            Session(this, f"{year - 1}-{year}", "schoolYear", august, end, "", year),
            Session(last, f"{year - 2}-{year - 1}", "schoolYear", before, august, "", year - 1),
            Session(fall, f"Fall {year - 1}", "semester", august, january, this, year),
            Session(spring, f"Spring {year}", "semester", january, end, this, year),
            Session(f"{this}-Q1", "Quarter 1", "gradingPeriod", august, october, fall, year),
            Session(f"{this}-Q2", "Quarter 2", "gradingPeriod", october, january, fall, year),
            Session(f"{this}-Q3", "Quarter 3", "gradingPeriod", january, april, spring, year),
            Session(f"{this}-Q4", "Quarter 4", "gradingPeriod", april, end, spring, year),
        )

    @cached_property
    def whole(self) -> Session:
        """This school year."""
        return self.sessions[0]

    @cached_property
    def school_days(self) -> tuple[date, ...]:
        """The weekdays of the last 240 days with today, newest first; some are last year's."""
        days = (self.today - timedelta(days=back) for back in range(_ATTENDANCE_DAYS))
        return tuple(day for day in days if day.weekday() <= _FRIDAY)

    def period_at(self, day: date) -> Session:
        """The grading period that holds a day of this school year."""
        return next(
            s for s in self.sessions if s.kind == "gradingPeriod" and s.start <= day < s.end
        )

    def terms(self, subject: Subject) -> tuple[Session, ...]:
        """The semesters in which a subject is taught."""
        fall, spring = (s for s in self.sessions if s.kind == "semester")
        return {"": (fall, spring), "fall": (fall,), "spring": (spring,)}[subject.half]

    def meets(self, subject: Subject, day: date) -> bool:
        """Whether a subject's classes meet on a day."""
        letters = subject.days.split(",")
        in_term = any(term.start <= day < term.end for term in self.terms(subject))
        return in_term and day.weekday() <= _FRIDAY and "MTWRF"[day.weekday()] in letters

    def _assignments(self, subject: Subject, position: int, count: int) -> list[Assignment]:
        """`count` assignments around today, none for a subject that isn't taught now."""
        now = [term for term in self.terms(subject) if term.start <= self.today < term.end]
        if not subject.graded or not now:
            return []
        begin = self.terms(subject)[0].start
        return [self._assignment(begin, position, k, count) for k in range(1, count + 1)]

    def _assignment(self, begin: date, position: int, number: int, count: int) -> Assignment:
        # Subjects are a day apart, so that not every class has its test on one day.
        back = _WORK_BACK - _WORK_SPAN * number // count + position % _SCHOOL_DAYS_A_WEEK
        assigned = _weekday(self.today - timedelta(days=back))
        assigned = min(max(assigned, begin), self.whole.last)
        due = _weekday(assigned + timedelta(days=3 + number % _SCHOOL_DAYS_A_WEEK))
        return Assignment(
            number=number,
            title=_TITLES[number % len(_TITLES)].format(number),
            assigned=assigned,
            due=due,
            most=_MOST[number % len(_MOST)],
            category=CATEGORIES[number % len(CATEGORIES)].sourced_id,
            session=self.period_at(assigned),
        )

    def _posted(self, subject: Subject) -> list[PostedGrade]:
        """The term grades of a subject: of what has begun by today, and the final one so far."""
        terms = [term for term in self.terms(subject) if term.start <= self.today]
        if not subject.graded or not terms:
            return []
        parents = {term.sourced_id for term in terms}
        begun = [s for s in self.sessions if s.parent in parents and s.start <= self.today]
        final = terms[0] if subject.half else self.whole
        return [
            *(PostedGrade("gradingPeriod", period) for period in begun),
            *(PostedGrade("semester", term) for term in terms),
            PostedGrade("final", final),
        ]


def _weekday(day: date) -> date:
    """The day itself, or the Friday before a weekend's."""
    return day - timedelta(days=max(0, day.weekday() - _FRIDAY))
