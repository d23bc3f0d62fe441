"""What happens at a sample district's schools: the gradebook and attendance."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from random import Random

from sample.families import BLOCK, SampleStudent
from sample.files import Row
from sample.roster import Stamp, yes
from sample.school_year import CATEGORIES, Assignment, PostedGrade, SchoolYear, Session
from sample.schools import Class, District
from sample.streams import stream

# --- the gradebook --------------------------------------------------------------------


@dataclass(frozen=True)
class _Outcome:
    """How an assignment ended for a child: OneRoster's status, the share of the points, a flag."""

    status: str
    weight: int
    share: float = 0.0
    flag: str = ""
    comment: str = ""


_EXTRA = 1.05
_OUTCOMES = (
    _Outcome("fully graded", 78, 1.0),
    _Outcome("fully graded", 5, 0.8, "late", "Handed in late: 20 % off"),
    _Outcome("not submitted", 4, flag="missing", comment="Please hand in by Friday"),
    _Outcome("fully graded", 2, _EXTRA, comment='Extra credit for the "bonus" question'),
    _Outcome("exempt", 3, comment="Excused, was ill"),
    _Outcome("partially graded", 2, 0.5, "incomplete"),
    _Outcome("submitted", 4),
    _Outcome("not submitted", 2),
)
_OUTCOME_WEIGHTS = tuple(itertools.accumulate(outcome.weight for outcome in _OUTCOMES))
_LETTERS = ((90, "A"), (80, "B"), (70, "C"), (60, "D"), (0, "F"))


@dataclass(frozen=True)
class Gradebook:
    """The records of categories, lineItems and results, for so many assignments a class."""

    district: District
    year: SchoolYear
    stamp: Stamp
    assignments: int
    posted: bool

    def categories(self) -> Iterator[Row]:
        """The kinds of work, with their weight where the version has it."""
        for category in CATEGORIES:
            head = self.stamp.head(category.sourced_id)
            yield head | {"title": category.title, "weight": category.weight}

    def line_items(self) -> Iterator[Row]:
        """Assignments, and the posted grades of terms."""
        for c in self.district.classes():
            for work in self.year.assignments(c.subject, c.position, self.assignments):
                head = self.stamp.head(_work_id(c, work)) | {"title": work.title}
                place = self._place(c, work.category, work.session, work.most)
                yield head | place | _dates(work.assigned, work.due)
            for grade in self.year.posted(c.subject) if self.posted else ():
                yield self._posted(c, grade)

    def _posted(self, c: Class, grade: PostedGrade) -> Row:
        session = grade.session
        # Which period 1.1, that knows no other, files it under: the last begun one of its session.
        period = self.year.period_at(min(session.last, self.year.today))
        final = "Final grade" if grade.kind == "final" else f"{session.title} grade"
        item = self.stamp.head(_grade_id(c, grade)) | self._place(c, "CAT-TEST", session, 100)
        return item | {
            "title": final,
            **_dates(session.start, session.last),
            "gradingPeriodSourcedId": period.sourced_id,
            "metadata.gradeType": grade.kind,
        }

    def _place(self, c: Class, category: str, session: Session, most: int) -> Row:
        return {
            "classSourcedId": c.sourced_id,
            "schoolSourcedId": c.school.sourced_id,
            "categorySourcedId": category,
            "academicSessionSourcedId": session.sourced_id,
            "gradingPeriodSourcedId": session.sourced_id,
            "resultValueMin": "0.0",
            "resultValueMax": f"{most}.0",
        }

    def results(self) -> Iterator[Row]:
        """Every child's scores and posted grades."""
        for student in self.district.people():
            rng = stream(self.district.seed, "results", student.index)
            ability = rng.randrange(62, 99)
            for c in self.district.classes_of(student):
                for work in self._begun(c):
                    yield self._score(rng, student, c, work, ability)
                for grade in self.year.posted(c.subject) if self.posted else ():
                    yield self._grade(rng, student, c, grade, ability)

    def _begun(self, c: Class) -> list[Assignment]:
        work = self.year.assignments(c.subject, c.position, self.assignments)
        return [each for each in work if each.assigned <= self.year.today]

    def _score(
        self, rng: Random, student: SampleStudent, c: Class, work: Assignment, ability: int
    ) -> Row:
        # The README's children show every outcome, the others a lifelike mix.
        turn = _OUTCOMES[(work.number + c.position) % len(_OUTCOMES)]
        drawn = rng.choices(_OUTCOMES, cum_weights=_OUTCOME_WEIGHTS)[0]
        outcome = turn if student.index < BLOCK else drawn
        percent = 100 if outcome.share == _EXTRA else min(100, ability + rng.randrange(-10, 8))
        # 1.1 wants a number in every row; what has none is known by its status.
        none = "0.0" if self.stamp.version == "1.1" else ""
        score = f"{work.most * outcome.share * percent / 100:.1f}" if outcome.share else none
        day = min(work.due, self.year.today)
        result = self._result(
            _work_id(c, work), student, c, status=outcome.status, score=score, day=day
        )
        if outcome.flag:
            result[outcome.flag] = "true"
        return result | {"comment": outcome.comment}

    def _grade(
        self, rng: Random, student: SampleStudent, c: Class, grade: PostedGrade, ability: int
    ) -> Row:
        over = grade.session.last < self.year.today
        score = min(100, max(40, ability + rng.randrange(-6, 7)))
        letter = next(letter for least, letter in _LETTERS if score >= least)
        status = "fully graded" if over else "partially graded"
        day = min(grade.session.last, self.year.today)
        result = self._result(
            _grade_id(c, grade), student, c, status=status, score=f"{score}.0", day=day
        )
        return result | {
            "textScore": letter,
            "metadata.letterGrade": letter,
            "inProgress": yes(not over),
        }

    def _result(
        self, item: str, student: SampleStudent, c: Class, *, status: str, score: str, day: date
    ) -> Row:
        return self.stamp.head(f"RES{item.removeprefix('LI')}-{student.sourced_id}") | {
            "lineItemSourcedId": item,
            "studentSourcedId": student.sourced_id,
            "classSourcedId": c.sourced_id,
            "scoreStatus": status,
            "score": score,
            "scoreDate": day.isoformat(),
        }

    def extra_test(self, student: SampleStudent, score: float) -> tuple[Row, Row]:
        """Make a test of one child today, in the first class that has grades: line item, result."""
        today = self.year.today
        c = next(c for c in self.district.classes_of(student) if c.subject.graded)
        item = f"LI-{c.sourced_id}-{student.sourced_id}-{today:%Y%m%d}"
        place = self._place(c, "CAT-TEST", self.year.period_at(today), 100)
        line = self.stamp.head(item) | {"title": "Make-up test", **place, **_dates(today, today)}
        return line, self._result(
            item, student, c, status="fully graded", score=str(score), day=today
        )


def _work_id(c: Class, work: Assignment) -> str:
    return f"LI-{c.sourced_id}-{work.number}"


def _grade_id(c: Class, grade: PostedGrade) -> str:
    return f"LI-{c.sourced_id}-{grade.kind}-{grade.session.sourced_id}"


def _dates(assigned: date, due: date) -> Row:
    return {"assignDate": assigned.isoformat(), "dueDate": due.isoformat()}


# --- attendance -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Event:
    """A kind of attendance event. `in_class`: told of one class where one meets on the day."""

    status: str
    excuse: str
    code: str
    reason: str
    weight: int
    in_class: bool = False
    minutes: bool = False


_ABSENT = _Event("absent", "unexcused", "U", "", 15)
_LATE = _Event("tardy", "unexcused", "T", "Bus was late", 15, minutes=True)
_EVENTS = (
    _ABSENT,
    _LATE,
    _Event("absent", "excused", "E", "Doctor's appointment", 30),
    _Event("absent", "unknown", "", "", 5),
    _Event("absent", "unexcused", "U", "", 10, in_class=True),
    _Event("tardy", "excused", "TE", "Office pass", 10, in_class=True, minutes=True),
    _Event("earlyDeparture", "excused", "ED", "Picked up by family, 1st call", 5, minutes=True),
    _Event("partial", "unknown", "P", "", 3, minutes=True),
    _Event("present", "", "", "", 7),
)
_EVENT_WEIGHTS = tuple(itertools.accumulate(event.weight for event in _EVENTS))


@dataclass(frozen=True)
class Attendance:
    """The records of the side file attendance.csv: mostly exceptions, as a SIS exports them."""

    district: District
    year: SchoolYear
    stamp: Stamp

    def events(self, average: int) -> Iterator[Row]:
        """So many events a child on the average, no two on one day."""
        days = self.year.school_days
        for student in self.district.people():
            rng = stream(self.district.seed, "attendance", student.index)
            count = average if student.index < BLOCK else rng.randint(0, 2 * average)
            places = rng.sample(range(len(days)), min(count, len(days)))
            if student.index == 0 and average:
                places = [0, *(place for place in places[1:] if place)]
            for place in sorted(places):
                event = rng.choices(_EVENTS, cum_weights=_EVENT_WEIGHTS)[0]
                # The README's first child was late on the newest school day: home shows it.
                late = student.index == 0 and place == 0
                yield self._event(rng, student, days[place], _LATE if late else event)

    def absence(self, student: SampleStudent) -> Row:
        """An unexcused absence of a whole day, today."""
        return self._event(stream(0), student, self.year.today, _ABSENT)

    def _event(self, rng: Random, student: SampleStudent, day: date, event: _Event) -> Row:
        minutes = rng.randrange(5, 50)
        row = self.stamp.head(f"AT-{student.sourced_id}-{day:%Y%m%d}") | {
            "studentSourcedId": student.sourced_id,
            "schoolSourcedId": self.district.school_of(student).sourced_id,
            "date": day.isoformat(),
            "type": "daily",
            "attendanceStatus": event.status,
            "excuse": event.excuse,
            "code": event.code,
            "reason": event.reason,
            "minutes": str(minutes) if event.minutes else "",
            "arrivalTime": f"08:{minutes:02d}" if event.status == "tardy" else "",
        }
        meeting = [c for c in self.district.classes_of(student) if self.year.meets(c.subject, day)]
        if event.in_class and meeting:
            c = rng.choice(meeting)
            period = c.subject.periods.split(",")[0]
            row |= {"type": "section", "classSourcedId": c.sourced_id, "period": period}
        return row
