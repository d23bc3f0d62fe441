"""Who has answered the enrollment verification and who hasn't: counts by school, and a CSV."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice

from chalicelib import crypto, errors
from chalicelib.domain import enrollment_year, roster_students
from chalicelib.domain.roster_report import safe_cell
from chalicelib.domain.roster_students import School, Student
from chalicelib.storage import district, enrollment, exports
from chalicelib.storage.enrollment import EnrollmentAnswer

_UNANSWERED = "unanswered"
_AT_A_TIME = 1000
_COLUMNS = (
    *("school", "student_number", "sourcedId", "family_name", "given_name", "grade"),
    *("answer", "answered_at", "answered_by", "comment"),
)
_Line = tuple[str, ...]


@dataclass
class SchoolCount:
    """How many of a school's students are answered for, by answer; `school` None: of no school."""

    school: School | None
    answers: Counter[str] = field(default_factory=Counter)

    @property
    def students(self) -> int:
        """Return how many students the school has."""
        return self.answers.total()

    @property
    def unanswered(self) -> int:
        """Return for how many nobody has answered."""
        return self.answers[_UNANSWERED]


@dataclass(frozen=True)
class Report:
    """A report: the year, counts by school in the order of their names, and where the CSV is."""

    school_year: str
    schools: tuple[SchoolCount, ...]
    url: str
    expires_at: datetime


def make(school_id: str | None, *, now: datetime) -> Report:
    """Make the report of the coming year, of one school or of all, and put its CSV into the bucket.

    Students are those of the roster as last applied, their answers as they stand in the table: one
    read a student, none of anything else. An answer of the last second may be missing.

    Args:
        school_id: our id of the school as this report shows it, or the roster's; None: every school.
        now: decides the coming year, and how long the CSV's address is good.

    Raises:
        NoSuchSchool: no student of the roster is at that school.
    """
    year = enrollment_year.after(district.preferences().day(now))
    counts: dict[School | None, SchoolCount] = {}
    lines: list[_Line] = []
    wanted = (one for one in roster_students.read() if school_id is None or _is_at(one, school_id))
    for student, answer in _with_answers(wanted, year.name):
        count = counts.setdefault(student.school, SchoolCount(student.school))
        count.answers[answer.answer if answer else _UNANSWERED] += 1
        lines.append(_line(student, answer))
    if school_id is not None and not counts:
        raise errors.NoSuchSchool
    name = f"enrollment-{year.name}-{crypto.new_id()}.csv"
    url = exports.hand_out(name, _csv(lines), "text/csv; charset=utf-8")
    return Report(
        school_year=year.name,
        schools=tuple(sorted(counts.values(), key=lambda count: _school_name(count.school))),
        url=url,
        expires_at=now + timedelta(seconds=exports.ADDRESS_SECONDS),
    )


def _is_at(student: Student, school_id: str) -> bool:
    school = student.school
    return school is not None and school_id in (school.school_id, school.sourced_id)


def _with_answers(
    students: Iterator[Student], school_year: str
) -> Iterator[tuple[Student, EnrollmentAnswer | None]]:
    while some := list(islice(students, _AT_A_TIME)):
        ids = [student.student_id for student in some]
        found = {one.student_id: one for one in enrollment.read_many(school_year, ids)}
        for student in some:
            yield student, found.get(student.student_id)


def _school_name(school: School | None) -> tuple[str, str]:
    return ("", "") if school is None else (school.name, school.school_id)


def _line(student: Student, answer: EnrollmentAnswer | None) -> _Line:
    who = (
        student.school.name if student.school else "",
        student.student_number or "",
        student.sourced_id,
        student.family_name,
        student.given_name,
        student.grade or "",
    )
    if answer is None:
        return (*who, "", "", "", "")
    at = datetime.fromtimestamp(answer.answered_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (*who, answer.answer, at, answer.guardian, answer.comment or "")


def _csv(lines: list[_Line]) -> bytes:
    """Return the lines by school and name, with a mark by which Excel knows UTF-8.

    Every cell is quoted, and one that a spreadsheet would run gets a quote in front (OWASP, CSV
    Injection): names and comments are anybody's.
    """
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    writer.writerow(_COLUMNS)
    lines.sort(key=lambda line: (line[0], line[3], line[4], line[2]))
    writer.writerows([safe_cell(cell) for cell in line] for line in lines)
    return out.getvalue().encode("utf-8-sig")
