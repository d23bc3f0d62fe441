"""The sample district: a made-up school district at any size, as the roster zip of its SIS.

The local stack loads it, tests import it; it isn't deployed. Students and guardians depend on the
seed alone, dates lie around the `today` that is handed in, and the zip is streamed.

    python sample_district.py OUT.zip --students 60 --seed 1 --today 2026-11-24 --version 1.2
"""

import argparse
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime

from sample.changes import Changes, Delta
from sample.families import (
    Home,
    SampleFamily,
    SampleGuardian,
    SampleLink,
    SampleStudent,
    families,
)
from sample.files import Mode, Row, Target, Version, write_set
from sample.records import Attendance, Gradebook
from sample.roster import Roster, Stamp
from sample.school_year import SchoolYear
from sample.schools import District

__all__ = [
    "Home",
    "SampleFamily",
    "SampleGuardian",
    "SampleLink",
    "SampleStudent",
    "families",
    "write_delta",
    "write_district",
]


def write_district(
    target: Target,
    *,
    students: int = 60,
    seed: int = 1,
    today: date,
    version: Version = "1.1",
    with_relationships: bool = True,
    with_attendance: bool = True,
    mode: Mode = "bulk",
    assignments_per_class: int = 6,
    attendance_per_student: int = 6,
    posted_grades: bool = True,
) -> dict[str, int]:
    """Write the whole district as one roster zip; return the rows of each file.

    Takes a path or a binary file to write to. `attendance_per_student` is an average.
    `mode="delta"` writes every record as a delta record of `today`. The same arguments give the
    same bytes.

    Raises: ValueError: where `students` isn't between 1 and 1,000,000.
    """
    district, year = District(students, seed), SchoolYear(today)
    stamp = Stamp(version, mode, today)
    roster = Roster(district, year, stamp)
    gradebook = Gradebook(district, year, stamp, assignments_per_class, posted_grades)
    tables: dict[str, Iterator[Row]] = {
        "orgs": roster.orgs(),
        "academicSessions": roster.academic_sessions(),
        "courses": roster.courses(),
        "users": roster.users(),
        "classes": roster.classes(),
        "enrollments": roster.enrollments(),
        "demographics": roster.demographics(),
    }
    if version == "1.2":
        tables["roles"] = roster.roles()
    if assignments_per_class or posted_grades:
        tables["categories"] = gradebook.categories()
        tables["lineItems"] = gradebook.line_items()
        tables["results"] = gradebook.results()
    if with_relationships:
        tables["relationships"] = roster.relationships()
    if with_attendance:
        tables["attendance"] = Attendance(district, year, stamp).events(attendance_per_student)
    return write_set(target, tables, version=version, mode=mode, today=today)


def write_delta(
    target: Target,
    *,
    students: int = 60,
    seed: int = 1,
    today: date,
    version: Version = "1.1",
    addresses: Mapping[str, str | None] | None = None,
    access: Mapping[tuple[str, str], bool] | None = None,
    scores: Mapping[str, float] | None = None,
    absences: Iterable[str] = (),
    removed: Iterable[str] = (),
    removed_links: Iterable[tuple[str, str]] = (),
) -> dict[str, int]:
    """Write a delta set over the district of the same `students` and `seed`; return rows per file.

    `addresses`: guardian id to the new address (None takes it away). `access`: (student id,
    guardian id) to portal access, in relationships.csv. `scores`: student id to the score of a new
    test. `absences`: students absent today. `removed`: students and guardians to delete;
    `removed_links`: (student id, guardian id) to delete. Nothing given: a set with a manifest
    alone, which says that nothing changed.

    Raises: ValueError: where somebody or a link isn't in this district.
    """
    district, year = District(students, seed), SchoolYear(today)
    stamp = Stamp(version, "delta", today)
    changes = Changes(
        addresses=addresses or {},
        access=access or {},
        scores=scores or {},
        absences=frozenset(absences),
        removed=frozenset(removed),
        removed_links=frozenset(removed_links),
    )
    delta = Delta(
        changes,
        Roster(district, year, stamp),
        Gradebook(district, year, stamp, assignments=0, posted=False),
        Attendance(district, year, stamp),
    )
    return write_set(target, delta.tables(), version=version, mode="delta", today=today)


def main() -> None:
    """Write a district to a file; say what is in it and whom to try."""
    parser = argparse.ArgumentParser(description="Write a made-up district as a OneRoster zip.")
    parser.add_argument("path", metavar="OUT.zip")
    parser.add_argument("--students", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--today", type=date.fromisoformat, metavar="YYYY-MM-DD")
    parser.add_argument("--version", choices=("1.1", "1.2"), default="1.1")
    parser.add_argument("--mode", choices=("bulk", "delta"), default="bulk")
    parser.add_argument("--no-relationships", action="store_true")
    parser.add_argument("--no-attendance", action="store_true")
    parser.add_argument("--no-posted-grades", action="store_true")
    parser.add_argument("--assignments-per-class", type=int, default=6)
    parser.add_argument("--attendance-per-student", type=int, default=6)
    told = parser.parse_args()
    began = time.perf_counter()
    counts = write_district(
        told.path,
        students=told.students,
        seed=told.seed,
        today=told.today or datetime.now(UTC).date(),
        version=told.version,
        with_relationships=not told.no_relationships,
        with_attendance=not told.no_attendance,
        mode=told.mode,
        assignments_per_class=told.assignments_per_class,
        attendance_per_student=told.attendance_per_student,
        posted_grades=not told.no_posted_grades,
    )
    for name, count in counts.items():
        print(f"{name:24}{count:>12,}")
    print(f"{told.path} written in {time.perf_counter() - began:.1f} s. To try:")
    first = next(families(students=told.students, seed=told.seed))
    for student in first.students:
        print(f"  student number {student.student_number}, last four {student.last_four}")
    print(f"  the key is mailed to {first.guardians[0].email}")


if __name__ == "__main__":
    main()
