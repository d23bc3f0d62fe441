"""The portal's items, made of the roster's rows: students, guardians, links, classes, grades.

The shapes are those of `docs/architecture.md`. Each item is compared with the hash of the one
applied before, so only what differs becomes a change; their order is `roster_changes`' matter.
"""

import functools
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

from chalicelib import crypto
from chalicelib.domain import (
    addresses,
    attendance,
    roster_changes,
    roster_record,
    roster_state,
    school_years,
)
from chalicelib.domain.names import name_key
from chalicelib.domain.oneroster_faults import SetRejected, fault
from chalicelib.domain.roster_changes import GIVES, NAMES, TAKES, Chunks, line_of
from chalicelib.domain.roster_links import Pair, Person, Relation, flag

Data = dict[str, Any]
RECENT_EVENTS, NEWEST_GRADES = 20, 5
_BATCH = 5_000
# Assignments kept in memory, about 1 KB each: all that a district has at a time.
_ASSIGNMENTS = 250_000
# Made once: `json.dumps` makes an encoder a call, and there are millions.
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
# DynamoDB's limit of an item is 400 KiB, with its keys and index attributes.
_DATA_BYTES_MOST = 400_000
# 132 bits: enough to tell that an item changed.
_HASH_SYMBOLS = 22

# Later than every day.
_NO_END = "~"

_DAYS = {
    "M": "Mon",
    "T": "Tue",
    "W": "Wed",
    "R": "Thu",
    "TH": "Thu",
    "F": "Fri",
    "S": "Sat",
    "U": "Sun",
}
# A result's status, where it stands for a score that isn't there (roster-format section 6).
_STATUS_FLAGS = {"exempt": "exempt", "not submitted": "not-submitted"}
_RESULT_FLAGS = {
    "late": "late",
    "missing": "missing",
    "incomplete": "incomplete",
    "inProgress": "in-progress",
}


@dataclass(frozen=True)
class Family:
    """What was found out about people before items are made of them."""

    people: Mapping[str, Person]
    links: Mapping[Pair, Relation]
    households: Mapping[str, str | None]


def derive(
    state: sqlite3.Connection,
    family: Family,
    contents: Chunks,
    *,
    keyring: crypto.Keyring,
    today: date,
) -> list[str]:
    """Make every item of the new state; note hashes in it, and what differs as changes.

    Args:
        state: the merged new state, with `base` and `spool` attached.
        family: people, links and households of the new state.
        contents: takes the changes of contents; links and guardians wait in the spool.
        keyring: the keyed hashes' secret; a new version rewrites the addresses' hashes.
        today: the district's day, which decides the current school year.

    Returns:
        the sourcedIds of students who share a student number or GTID, which then finds none of them.

    Raises:
        SetRejected: more is said of one person than an item can hold.
    """
    roster_changes.make_tables(state)
    writer = _Writer(state, contents)
    state.execute("BEGIN")
    shared = _shared_numbers(state, family.people)
    _derive_students(state, writer, family, today, set(shared))
    _derive_guardians(state, writer, family, keyring)
    writer.flush()
    state.execute("COMMIT")
    return sorted({sourced_id for sharing in shared.values() for sourced_id in sharing})


class _Writer:
    """Takes items one by one, in batches into the state, and into the changes where they differ."""

    def __init__(self, state: sqlite3.Connection, contents: Chunks) -> None:
        self._state = state
        self._contents = contents
        self._first = state.execute("SELECT 1 FROM base.items LIMIT 1").fetchone() is None
        self._items: list[tuple[str, str, str]] = []
        self._pk = ""
        self._before: dict[str, str] = {}
        # Whose items come now.
        self.sourced_id = ""

    def content(self, pk: str, sk: str, data: Data) -> None:
        """Take an item that neither gives nor takes access."""
        attributes = {"data": _json(data)}
        if self._differs(pk, sk, attributes):
            self._contents.add(line_of(pk, sk, attributes))

    def link(self, pk: str, sk: str, data: Data) -> None:
        """Take a link: one without access is a taking."""
        attributes = {"data": _json(data)}
        if self._differs(pk, sk, attributes):
            phase = GIVES if data["portal_access"] else TAKES
            line = line_of(pk, sk, attributes)
            self._state.execute(f"INSERT INTO spool.{phase} VALUES (?)", (line,))  # noqa: S608

    def names(self, guardian_id: str, students: Sequence[Data]) -> None:
        """Take the names that a guardian's pages offer to switch to; nobody's is no item.

        Where a student is gone the list of those who stay is a taking, so that the name goes with the
        access; what is gained comes after the links.
        """
        pk, sk = f"guardian#{guardian_id}", "students"
        if not students:
            return
        attributes = {"data": _json({"students": students})}
        if not self._differs(pk, sk, attributes):
            return
        had = {
            student_id
            for (student_id,) in self._state.execute(
                "SELECT student FROM base.links WHERE guardian = ? AND access", (guardian_id,)
            )
        }
        stay = [one for one in students if one["student_id"] in had]
        if len(stay) < len(had):
            kept = {"data": _json({"students": stay})} if stay else None
            self._state.execute(f"INSERT INTO spool.{TAKES} VALUES (?)", (line_of(pk, sk, kept),))  # noqa: S608
        if len(stay) == len(had) or len(stay) < len(students):
            line = line_of(pk, sk, attributes)
            self._state.execute(f"INSERT INTO spool.{NAMES} VALUES (?)", (line,))  # noqa: S608

    def profile(self, guardian_id: str, data: Data, **index: str | None) -> None:
        """Take a guardian's profile; `index` are the sparse attributes beside `data`."""
        pk, sk = f"guardian#{guardian_id}", "profile"
        attributes = {"data": _json(data)} | {name: v for name, v in index.items() if v}
        if self._differs(pk, sk, attributes):
            line = line_of(pk, sk, attributes)
            self._state.execute("INSERT INTO spool.profiles VALUES (?, ?)", (guardian_id, line))

    def _differs(self, pk: str, sk: str, attributes: Mapping[str, str]) -> bool:
        self._judge_size(attributes["data"])
        item_hash = crypto.digest("\0".join(attributes.values()))[:_HASH_SYMBOLS]
        self._items.append((pk, sk, item_hash))
        if len(self._items) >= _BATCH:
            self.flush()
        if self._first:
            return True
        if pk != self._pk:
            self._pk = pk
            self._before = dict(
                self._state.execute("SELECT sk, hash FROM base.items WHERE pk = ?", (pk,))
            )
        return self._before.get(sk) != item_hash

    def _judge_size(self, data: str) -> None:
        """Refuse the set while nothing is written: an item too large could never be."""
        if 4 * len(data) > _DATA_BYTES_MOST and len(data.encode()) > _DATA_BYTES_MOST:
            raise SetRejected(
                fault("error", "user.too-large", file="users.csv", sourced_id=self.sourced_id)
            )

    def flush(self) -> None:
        """Write what waits."""
        self._state.executemany("INSERT OR REPLACE INTO main.items VALUES (?, ?, ?)", self._items)
        self._items.clear()


class _ByStudent:
    """Hands out a big file's rows student by student, in one pass sorted as the students are."""

    def __init__(self, state: sqlite3.Connection, name: str) -> None:
        rows = state.execute(f"SELECT key, id, data FROM main.{name} ORDER BY key, id")  # noqa: S608
        self._rows: Iterator[tuple[str | None, str, str]] = iter(rows)
        self._next = next(self._rows, None)

    def rows(self, student: str) -> Iterator[tuple[str, Data]]:
        """Yield (sourcedId, row) of a student; students must be asked for in order."""
        while self._next is not None and (self._next[0] or "") < student:
            self._next = next(self._rows, None)
        while self._next is not None and self._next[0] == student:
            yield self._next[1], json.loads(self._next[2])
            self._next = next(self._rows, None)


# --- students ---------------------------------------------------------------------


def _derive_students(
    state: sqlite3.Connection, writer: _Writer, family: Family, today: date, shared: set[str]
) -> None:
    by_student: dict[str, list[tuple[str, Relation]]] = {}
    for (student, guardian), relation in sorted(family.links.items()):
        by_student.setdefault(student, []).append((guardian, relation))
    school = _School(state, today)
    births = state.cursor()
    for sourced_id, raw in state.execute("SELECT id, data FROM main.users ORDER BY id"):
        person = family.people[sourced_id]
        if not person.student:
            continue
        user = json.loads(raw)
        writer.sourced_id = sourced_id
        student_id = crypto.opaque_id("student", sourced_id)
        pk = f"student#{student_id}"
        birth = births.execute(
            "SELECT data FROM main.demographics WHERE id = ?", (sourced_id,)
        ).fetchone()
        profile = school.profile(sourced_id, user) | {
            "birth_date": json.loads(birth[0]).get("birthDate") if birth else None,
            "household_id": family.households[sourced_id],
        }
        state.execute("INSERT INTO main.students VALUES (?)", (student_id,))
        writer.content(pk, "profile", profile)
        for guardian, relation in by_student.get(sourced_id, ()):
            link = _link(student_id, guardian, relation)
            writer.link(pk, f"guardian#{link['guardian_id']}", link)
        classes = school.classes(sourced_id)
        for one in classes:
            writer.content(pk, f"class#{one['id']}", one)
        events = school.events(sourced_id)
        for event_id, event in events:
            writer.content(pk, f"attendance#{event['date']}#{event_id}", event)
        grades = school.grades(sourced_id)
        for grade in roster_record.assignments(grades):
            writer.content(pk, f"grade#{grade['date']}#{grade['id']}", grade)
        writer.content(pk, "record", school.record(grades, events))
        writer.content(pk, "summary", school.summary(profile, classes, events, grades))
        if person.enabled:
            _derive_numbers(writer, profile, user.get("last4") or {}, shared)


def _shared_numbers(
    state: sqlite3.Connection, people: Mapping[str, Person]
) -> dict[str, list[str]]:
    """Return the items of numbers that several students have, and whose: such a number finds none."""
    first: dict[str, str] = {}
    shared: dict[str, list[str]] = {}
    for sourced_id, raw in state.execute("SELECT id, data FROM main.users ORDER BY id"):
        if people[sourced_id].student and people[sourced_id].enabled:
            for pk in _number_items(json.loads(raw)):
                if pk in first:
                    shared.setdefault(pk, [first[pk]]).append(sourced_id)
                else:
                    first[pk] = sourced_id
    return shared


def _number_items(user: Mapping[str, Any]) -> Iterator[str]:
    if user.get("identifier"):
        yield f"number#{user['identifier']}"
    if user.get("metadata.gtid"):
        yield f"gtid#{user['metadata.gtid']}"


def _derive_numbers(
    writer: _Writer, profile: Data, last4: Mapping[str, str], shared: set[str]
) -> None:
    for kind, number in (("number", profile["student_number"]), ("gtid", profile["gtid"])):
        pk = f"{kind}#{number}"
        if not number or pk in shared:
            continue
        hashed = last4.get(kind)
        secret = last4.get("secret") if hashed else None
        data = {"student_id": profile["student_id"], "last4": hashed, "secret": secret}
        writer.content(pk, "student", data)


def _link(student_id: str, guardian: str, relation: Relation) -> Data:
    return {
        "student_id": student_id,
        "guardian_id": crypto.opaque_id("guardian", guardian),
        "relationship": relation.relationship,
        "portal_access": relation.access,
        "lives_with": relation.lives_with,
        "primary_contact": relation.primary_contact,
        "emergency_contact": relation.emergency_contact,
        "contact_order": relation.contact_order,
    }


class _School:
    """Looks up what a student's rows refer to: schools, terms, classes, teachers, assignments."""

    def __init__(self, state: sqlite3.Connection, today: date) -> None:
        self._state = state
        self._orgs = _rows(state, "orgs")
        self._sessions = _rows(state, "academicSessions")
        self._courses = _rows(state, "courses")
        self._categories = _rows(state, "categories")
        self._today = today.isoformat()
        self._years = roster_state.known_years(state)
        self._year = school_years.year_of(self._years, self._today)
        teachers = self._teachers()
        self._classes = {
            sourced_id: self._class(sourced_id, row, teachers.get(sourced_id))
            for sourced_id, row in _rows(state, "classes").items()
        }
        # Last year's grades still name classes that left.
        self._former = {
            sourced_id: self._class(sourced_id, row, None)
            for sourced_id, row in _rows(state, "retired").items()
        }
        everywhere = {**self._former, **self._classes}
        self._titles = {sourced_id: one["title"] for sourced_id, one in everywhere.items()}
        self._enrollments = _ByStudent(state, "enrollments")
        self._attendance = _ByStudent(state, "attendance")
        self._results = _ByStudent(state, "results")
        self._assignment = functools.lru_cache(maxsize=_ASSIGNMENTS)(self._read_assignment)

    def _title(self, row: Data) -> str:
        course = self._courses.get(row.get("courseSourcedId", ""), {})
        return str(row.get("title") or course.get("title") or "")

    def _teachers(self) -> dict[str, str]:
        """Return the name of each class's teacher: of those who teach today the primary one.

        Who taught it before is named where nobody does today.
        """
        found: dict[str, tuple[tuple[bool, bool], str]] = {}
        for raw, enrolled in self._state.execute(
            "SELECT u.data, e.data FROM main.enrollments e JOIN main.users u ON u.id = e.key "
            "WHERE json_extract(e.data, '$.role') = 'teacher' ORDER BY e.id"
        ):
            teacher, row = json.loads(raw), json.loads(enrolled)
            last = _day_before(row.get("endDate"))
            rank = (
                _holds(row.get("beginDate"), last, self._today),
                flag(row.get("primary")) is True,
            )
            class_id = row["classSourcedId"]
            if class_id not in found or rank > found[class_id][0]:
                name = f"{teacher.get('givenName', '')} {teacher.get('familyName', '')}".strip()
                found[class_id] = (rank, name)
        return {class_id: name for class_id, (_, name) in found.items()}

    def profile(self, sourced_id: str, user: Data) -> Data:
        """Return a student's profile, but for birth date and household."""
        school = school_of(self._state, self._orgs, sourced_id, user)
        return {
            "student_id": crypto.opaque_id("student", sourced_id),
            "sourced_id": sourced_id,
            "given_name": user.get("givenName", ""),
            "family_name": user.get("familyName", ""),
            "grade": grade_of(user),
            "school": self._orgs.get(school or "", {}).get("name"),
            "school_id": crypto.opaque_id("school", school) if school else None,
            "gtid": user.get("metadata.gtid"),
            "student_number": user.get("identifier"),
            **_postal(user),
        }

    def _class(self, sourced_id: str, row: Data, teacher: str | None) -> Data:
        terms = sorted(
            (
                self._sessions[term]
                for term in row.get("termSourcedIds", ())
                if term in self._sessions
            ),
            key=lambda term: str(term.get("startDate", "")),
        )
        return {
            "id": crypto.opaque_id("class", sourced_id),
            "title": self._title(row),
            "periods": list(_list(row.get("periods"))),
            "start_time": row.get("metadata.startTime"),
            "end_time": row.get("metadata.endTime"),
            "days": [
                _DAYS.get(day.strip().upper(), day.strip())
                for day in _list(row.get("metadata.meetingDays"))
            ],
            "teacher": teacher,
            "room": row.get("location"),
            "term": ", ".join(str(term.get("title", "")) for term in terms) or None,
            "term_start": min((term["startDate"] for term in terms), default=None),
            "term_end": _day_before(max((term["endDate"] for term in terms), default=None)),
            "school": self._orgs.get(row.get("schoolSourcedId", ""), {}).get("name"),
        }

    def classes(self, student: str) -> list[Data]:
        """Return the classes a student is in, each once, within the days of the enrollment.

        Of several enrollments in one class (left and came back) the one of today counts, else the
        one that ends last.
        """
        found: dict[str, Data] = {}
        for _, row in self._enrollments.rows(student):
            taught = self._classes.get(row["classSourcedId"])
            if taught is None or row.get("role") != "student":
                continue
            clipped = _clipped(taught, row.get("beginDate"), _day_before(row.get("endDate")))
            if clipped is not None:
                other = found.get(taught["id"], clipped)
                found[taught["id"]] = max(other, clipped, key=self._standing)
        return sorted(found.values(), key=lambda one: (one["periods"], one["title"], one["id"]))

    def _standing(self, clipped: Data) -> tuple[bool, str]:
        start, last = clipped["term_start"], clipped["term_end"]
        return _holds(start, last, self._today), last or _NO_END

    def events(self, student: str) -> list[tuple[str, Data]]:
        """Return a student's attendance events with their ids, the oldest first."""
        found = []
        for sourced_id, row in self._attendance.rows(student):
            class_id = row.get("classSourcedId")
            event = {
                "date": row["date"],
                "type": row["type"],
                "status": row["attendanceStatus"],
                "excuse": row.get("excuse"),
                "period": row.get("period"),
                "class_id": crypto.opaque_id("class", class_id) if class_id else None,
                "class": self._titles.get(class_id or ""),
                "reason": row.get("reason") or row.get("code"),
                "minutes": _number(row.get("minutes")),
            }
            found.append((crypto.opaque_id("attendance", sourced_id), event))
        return sorted(found, key=lambda one: (one[1]["date"], one[0]))

    def grades(self, student: str) -> list[Data]:
        """Return a student's results with the assignments they belong to, the oldest first."""
        found = []
        for sourced_id, row in self._results.rows(student):
            assignment = self._assignment(row["lineItemSourcedId"])
            if assignment is not None:
                found.append(self._grade(sourced_id, row, assignment))
        return sorted(found, key=lambda one: (one["date"], one["id"]))

    def _read_assignment(self, sourced_id: str) -> Data | None:
        """Return what a line item says, as a grade's item repeats it."""
        found = self._state.execute(
            "SELECT data FROM main.lineItems WHERE id = ?", (sourced_id,)
        ).fetchone()
        if found is None:
            return None
        row = json.loads(found[0])
        class_id = row["classSourcedId"]
        taught = self._classes.get(class_id) or self._former.get(class_id, {})
        category = self._categories.get(row.get("categorySourcedId", ""), {})
        period = row.get("gradingPeriodSourcedId") or row.get("academicSessionSourcedId") or ""
        return {
            "class_id": crypto.opaque_id("class", class_id),
            "class": self._titles.get(class_id, ""),
            "term": taught.get("term"),
            "title": row.get("title", ""),
            "category": category.get("title"),
            "category_weight": category.get("weight"),
            "assigned": row.get("assignDate"),
            "due": row.get("dueDate"),
            "max_score": row.get("resultValueMax"),
            "grade_type": row.get("metadata.gradeType"),
            "grading_period": self._sessions.get(period, {}).get("title"),
        }

    def _grade(self, sourced_id: str, row: Data, assignment: Data) -> Data:
        status = row.get("scoreStatus")
        flags = [flags for column, flags in _RESULT_FLAGS.items() if flag(row.get(column))]
        if status in _STATUS_FLAGS:
            flags.append(_STATUS_FLAGS[status])
        score = row.get("score")
        if status == "exempt" or (status == "not submitted" and not score):
            # OneRoster 1.1 wants a score there too, and exports fill in nought.
            score = None
        return {
            **assignment,
            "id": crypto.opaque_id("result", sourced_id),
            "score": score,
            "grade": row.get("textScore") or row.get("metadata.letterGrade"),
            "flags": flags,
            "comment": row.get("comment"),
            "date": row["scoreDate"],
        }

    def record(self, grades: list[Data], events: Sequence[tuple[str, Data]]) -> Data:
        """Return what pages of attendance and grades show of a student whatever part is open."""
        days = (event["date"] for _, event in events)
        return roster_record.record(grades, days, self._years, self._today)

    def summary(
        self,
        profile: Data,
        classes: list[Data],
        events: Sequence[tuple[str, Data]],
        grades: list[Data],
    ) -> Data:
        """Return what home shows of a child."""
        shown = ("student_id", "given_name", "family_name", "grade", "school", "gtid")
        newest = [event for _, event in reversed(events[-RECENT_EVENTS:])]
        columns = ("class", "title", "score", "max_score", "grade", "date")
        return {
            **{name: profile[name] for name in shown},
            "student_number": profile["student_number"],
            "classes": classes,
            "recent_attendance": newest,
            "totals": self._totals(event for _, event in events),
            "newest_grades": [
                {name: grade[name] for name in columns}
                for grade in reversed(grades[-NEWEST_GRADES:])
            ],
        }

    def _totals(self, events: Iterable[Data]) -> dict[str, int]:
        """Count the events of the current school year."""
        of_year = (event for event in events if self._year.holds(event["date"]))
        return asdict(attendance.totals((event["status"], event["excuse"]) for event in of_year))


def grade_of(user: Data) -> str | None:
    """Return a student's grade level, the first where several are named."""
    grades = user.get("grades")
    return grades[0] if isinstance(grades, list) and grades else grades or None


def school_of(
    state: sqlite3.Connection, orgs: Mapping[str, Data], sourced_id: str, user: Data
) -> str | None:
    """Return the org that is a student's school: the primary one, else the first of a kind.

    OneRoster 1.1 has orgs on the user, 1.2 on the user's roles.
    """
    named = [user.get("primaryOrgSourcedId"), *_list(user.get("orgSourcedIds"))]
    for (raw,) in state.execute(
        "SELECT data FROM main.roles WHERE key = ? ORDER BY id", (sourced_id,)
    ):
        named.append(json.loads(raw).get("orgSourcedId"))
    known = [str(org) for org in named if org in orgs]
    schools = [org for org in known if orgs[org].get("type") == "school"]
    return next(iter(schools or known), None)


def _rows(state: sqlite3.Connection, name: str) -> dict[str, Data]:
    """Return a small table whole, by sourcedId."""
    found = state.execute(f'SELECT id, data FROM main."{name}"')  # noqa: S608
    return {sourced_id: json.loads(data) for sourced_id, data in found}


def _list(value: object) -> Iterable[str]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [str(part) for part in value] if isinstance(value, list) else []


def _day_before(day: str | None) -> str | None:
    """Return the last day of a span whose end date is exclusive, as OneRoster's are."""
    if not day:
        return None
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()


def _holds(first: str | None, last: str | None, day: str) -> bool:
    """Whether a span holds a day; both ends are included, and None is open."""
    return (first or day) <= day <= (last or day)


def _clipped(taught: Data, begin: str | None, end: str | None) -> Data | None:
    """Return a class within the days of an enrollment, None where no day is left."""
    starts = [day for day in (taught["term_start"], begin) if day]
    ends = [day for day in (taught["term_end"], end) if day]
    start, last = max(starts, default=None), min(ends, default=None)
    if start and last and last < start:
        return None
    return {**taught, "term_start": start, "term_end": last}


def _number(value: object) -> int | None:
    """Return a whole number of a cell, None where there is none."""
    try:
        return None if value is None else int(float(str(value)))
    except ValueError:
        return None


def _postal(user: Data) -> Data:
    return {
        "address1": user.get("metadata.address1"),
        "address2": user.get("metadata.address2"),
        "city": user.get("metadata.city"),
        "state": user.get("metadata.state"),
        "post_code": user.get("metadata.postCode"),
    }


# --- guardians --------------------------------------------------------------------


def _derive_guardians(
    state: sqlite3.Connection, writer: _Writer, family: Family, keyring: crypto.Keyring
) -> None:
    by_guardian: dict[str, list[tuple[str, Relation]]] = {}
    for (student, guardian), relation in sorted(family.links.items()):
        by_guardian.setdefault(guardian, []).append((student, relation))
    names = state.cursor()
    for sourced_id, raw in state.execute("SELECT id, data FROM main.users ORDER BY id"):
        if family.people[sourced_id].guardian is None and sourced_id not in by_guardian:
            continue
        user = json.loads(raw)
        writer.sourced_id = sourced_id
        guardian_id = crypto.opaque_id("guardian", sourced_id)
        pk = f"guardian#{guardian_id}"
        email = user.get("email")
        address = addresses.normalised(email or "") or ""
        profile = {
            "guardian_id": guardian_id,
            "sourced_id": sourced_id,
            "given_name": user.get("givenName", ""),
            "family_name": user.get("familyName", ""),
            "email": email,
            "phone": user.get("phone"),
            "sms": user.get("sms"),
            "language": user.get("metadata.language"),
            "household_id": family.households[sourced_id],
            **_postal(user),
        }
        writer.profile(
            guardian_id,
            profile,
            address_hash=keyring.hash("address", address) if address else None,
            name_key=name_key(profile["family_name"]),
        )
        state.execute("INSERT INTO main.guardians VALUES (?, ?, ?)", (guardian_id, email, address))
        children = []
        for student, relation in by_guardian.get(sourced_id, ()):
            student_id = crypto.opaque_id("student", student)
            state.execute(
                "INSERT OR REPLACE INTO main.links VALUES (?, ?, ?)",
                (guardian_id, student_id, int(relation.access)),
            )
            if relation.access:
                link = _link(student_id, sourced_id, relation)
                writer.link(pk, f"student#{student_id}", link)
                children.append(_child(names, student, student_id))
        children.sort(key=lambda one: (one["given_name"], one["student_id"]))
        writer.names(guardian_id, children)


def _child(names: sqlite3.Cursor, sourced_id: str, student_id: str) -> Data:
    """Return what the switch between a guardian's students shows of one."""
    (raw,) = names.execute("SELECT data FROM main.users WHERE id = ?", (sourced_id,)).fetchone()
    user = json.loads(raw)
    return {
        "student_id": student_id,
        "given_name": user.get("givenName", ""),
        "family_name": user.get("familyName", ""),
    }
