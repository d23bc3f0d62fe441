"""The shape of a sample district: its schools, subjects, classes, sections and teachers.

A zone of three schools for every 1,500 students; in each school and grade sections of about 25
children, who sit in the same classes.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from sample.families import (
    BLOCK,
    GRADES,
    SampleFamily,
    SampleGuardian,
    SampleStudent,
    families,
)

_STUDENTS_A_ZONE = 1500
_STUDENTS_A_SECTION = 25
_LAST_ELEMENTARY, _LAST_MIDDLE = GRADES.index("05"), GRADES.index("08")


@dataclass(frozen=True)
class Subject:
    """A subject of a level; one class of it a grade and section.

    `half`: taught in one semester only. `track`: taken by children of even or of odd index.
    `own_teacher`: taught by a teacher of the subject, not by the section's.
    """

    code: str
    title: str
    periods: str
    start: str
    end: str
    days: str = "M,T,W,R,F"
    half: Literal["", "fall", "spring"] = ""
    track: int | None = None
    own_teacher: bool = True
    graded: bool = True


_ELEMENTARY = (
    Subject("HR", "Homeroom", "", "08:00", "08:20", own_teacher=False, graded=False),
    Subject("REA", "Reading", "1,2", "08:20", "09:50", own_teacher=False),
    Subject("MAT", "Mathematics", "3", "10:00", "11:00", own_teacher=False),
    Subject("SCI", "Science", "4", "12:00", "12:45", "M,W,F", own_teacher=False),
    Subject("SOC", "Social Studies", "4", "12:00", "12:45", "T,R", own_teacher=False),
    Subject("ART", "Art & Music", "5", "13:00", "13:45", "T,R"),
    Subject("PE", "Physical Education", "5", "13:00", "13:45", "M,W,F"),
)
_SECONDARY = (
    # Without period, days and times, as many a SIS exports what isn't on the timetable.
    Subject("ADV", "Advisory", "", "", "", "", graded=False),
    Subject("ENG", "English Language Arts", "1", "08:30", "09:20"),
    Subject("MAT", "Mathematics", "2", "09:25", "10:15"),
    Subject("SCI", "Science with Lab", "3,4", "10:20", "12:00", "M,W"),
    Subject("SOC", "Social Studies", "3", "10:20", "11:10", "T,R,F"),
    Subject("SPA", "Español para hispanohablantes", "5", "12:40", "13:30", track=0),
    Subject("FRE", "Français", "5", "12:40", "13:30", track=1),
    Subject("HEA", "Health & P.E.", "6", "13:35", "14:25", half="fall"),
    Subject("FIN", "Personal Finance", "6", "13:35", "14:25", half="spring"),
)


@dataclass(frozen=True)
class Level:
    """A kind of school: the letter in its ids, its name, its subjects."""

    letter: str
    name: str
    subjects: tuple[Subject, ...]


LEVELS = (
    Level("E", "Elementary School", _ELEMENTARY),
    Level("M", "Middle School", _SECONDARY),
    Level("H", "High School", _SECONDARY),
)
_ZONES = (
    *("Fairview", "Lakeside", "Piedmont", "Riverbend", "Magnolia", "Stone Ridge", "Westend"),
    "Cascade",
)


def level_of(grade: int) -> Level:
    """Take a grade, 0 (KG) to 12; return the kind of school that teaches it."""
    return LEVELS[(grade > _LAST_ELEMENTARY) + (grade > _LAST_MIDDLE)]


@dataclass(frozen=True)
class School:
    """A school. `number` counts from 1."""

    sourced_id: str
    name: str
    level: Level
    number: int


@dataclass(frozen=True)
class Class:
    """A class: a subject for one section of a grade. `position` is its place in the timetable."""

    sourced_id: str
    school: School
    grade: int
    section: int
    position: int
    subject: Subject
    teacher_id: str


class District:
    """The district of so many students and a seed.

    Remembers the classes of each section (some ten thousand in a district of 50,000 students), not
    the people.
    """

    def __init__(self, students: int, seed: int) -> None:
        self.students, self.seed = students, seed
        self.zones = max(1, round(students / _STUDENTS_A_ZONE))
        places = self.zones * len(GRADES) * _STUDENTS_A_SECTION
        self.sections = -(-students // places)
        self._sections: dict[tuple[int, int, int], tuple[Class, ...]] = {}

    def families(self) -> Iterator[SampleFamily]:
        """Walk through the families, making each again."""
        return families(students=self.students, seed=self.seed)

    def people(self) -> Iterator[SampleStudent]:
        """Walk through the students."""
        return itertools.chain.from_iterable(family.students for family in self.families())

    @cached_property
    def schools(self) -> tuple[School, ...]:
        """Every school, three a zone."""
        places = itertools.product(range(self.zones), LEVELS)
        return tuple(
            School(f"SCH{zone + 1:03d}{level.letter}", f"{_zone(zone)} {level.name}", level, number)
            for number, (zone, level) in enumerate(places, start=1)
        )

    def school_of(self, student: SampleStudent) -> School:
        """The school of a child: that of the family's zone and the child's grade."""
        zone = student.index // BLOCK % self.zones
        level = LEVELS.index(level_of(GRADES.index(student.grade)))
        return self.schools[zone * len(LEVELS) + level]

    def schools_of(self, family: SampleFamily, guardian: SampleGuardian) -> tuple[str, ...]:
        """The ids of the schools of the children a guardian is linked to, each once."""
        pairs = {(link.student_id, link.guardian_id) for link in family.links}
        children = [s for s in family.students if (s.sourced_id, guardian.sourced_id) in pairs]
        return tuple(dict.fromkeys(self.school_of(child).sourced_id for child in children))

    def classes(self) -> Iterator[Class]:
        """Every class of the district, school by school."""
        for school, grade in itertools.product(self.schools, range(len(GRADES))):
            if level_of(grade) is school.level:
                for section in range(self.sections):
                    yield from self._classes_in(school, grade, section)

    def classes_of(self, student: SampleStudent) -> list[Class]:
        """The classes a child sits in, in the order of the timetable."""
        family, place = divmod(student.index, BLOCK)
        section = (family // self.zones + place) % self.sections
        grade = GRADES.index(student.grade)
        found = self._classes_in(self.school_of(student), grade, section)
        track = student.index % 2
        return [c for c in found if c.subject.track in (None, track)]

    def teachers(self) -> Iterator[tuple[str, School]]:
        """Each teacher's id with the school, once."""
        for school, classes in itertools.groupby(self.classes(), lambda c: c.school):
            for teacher_id in dict.fromkeys(c.teacher_id for c in classes):
                yield teacher_id, school

    def _classes_in(self, school: School, grade: int, section: int) -> tuple[Class, ...]:
        at = (school.number, grade, section)
        if at not in self._sections:
            subjects = enumerate(school.level.subjects)
            self._sections[at] = tuple(_class(school, grade, section, *each) for each in subjects)
        return self._sections[at]


def _zone(number: int) -> str:
    turn, which = divmod(number, len(_ZONES))
    return _ZONES[which] + (f" {turn + 1}" if turn else "")


def _class(school: School, grade: int, section: int, position: int, subject: Subject) -> Class:
    stem = f"{school.sourced_id}-{GRADES[grade]}"
    teacher_id = f"T-{stem}-{subject.code if subject.own_teacher else section + 1}"
    sourced_id = f"C-{stem}-{section + 1}-{subject.code}"
    return Class(sourced_id, school, grade, section, position, subject, teacher_id)
