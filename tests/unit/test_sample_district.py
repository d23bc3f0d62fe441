"""The sample district is what a SIS would export: judged by tables of its own, not the writer's.

The tables below hold the columns, required cells, vocabularies and references of OneRoster 1.1 and
1.2 and of the two side files, as the bindings have them.
"""

import csv
import functools
import io
import re
import zipfile
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import islice
from typing import Any, get_args

import pytest

from chalicelib.domain import oneroster
from sample_district import (
    SampleFamily,
    SampleGuardian,
    SampleStudent,
    families,
    write_delta,
    write_district,
)

TODAY = date(2026, 11, 24)
VERSIONS = ("1.1", "1.2")
Rows = list[dict[str, str]]

# --- the checker ----------------------------------------------------------------------

_BOOL = "true false"
_SUBJECTS = "subjects subjectCodes"
_USER_11 = """enabledUser! orgSourcedIds!>orgs* role! username! userIds givenName! familyName!
    middleName identifier email sms phone agentSourcedIds>users* grades password"""
_USER_12 = """enabledUser! username! userIds givenName! familyName! middleName identifier email sms
    phone agentSourcedIds>users* grades password userMasterIdentifier preferredGivenName
    preferredMiddleName preferredFamilyName primaryOrgSourcedId>orgs pronouns"""
_WORK = """title! description assignDate! dueDate! classSourcedId!>classes
    categorySourcedId!>categories"""
_RESULT = "lineItemSourcedId!>lineItems studentSourcedId!>users scoreStatus!"
# Name, `!` where required, `>` what it refers to, `*` where that is a list.
BOTH = {
    "orgs": "name! type! identifier parentSourcedId>orgs",
    "academicSessions": """title! type! startDate! endDate! parentSourcedId>academicSessions
        schoolYear!""",
    "courses": f"""schoolYearSourcedId>academicSessions title! courseCode grades
        orgSourcedId!>orgs {_SUBJECTS}""",
    "classes": f"""title! grades courseSourcedId!>courses classCode classType! location
        schoolSourcedId!>orgs termSourcedIds!>academicSessions* {_SUBJECTS} periods""",
    "enrollments": """classSourcedId!>classes schoolSourcedId!>orgs userSourcedId!>users role!
        primary beginDate endDate""",
    "demographics": """birthDate sex americanIndianOrAlaskaNative asian blackOrAfricanAmerican
        nativeHawaiianOrOtherPacificIslander white demographicRaceTwoOrMoreRaces
        hispanicOrLatinoEthnicity countryOfBirthCode stateOfBirthAbbreviation cityOfBirth
        publicSchoolResidenceStatus""",
    "relationships": """studentSourcedId!>users guardianSourcedId!>users relationship! guardian!
        portalAccess! livesWith primaryContact emergencyContact contactOrder""",
    "attendance": """studentSourcedId!>users schoolSourcedId!>orgs classSourcedId>classes date!
        type! period attendanceStatus! excuse code reason minutes arrivalTime""",
}
OF_VERSION = {
    "1.1": {
        "users": _USER_11,
        "categories": "title!",
        "lineItems": f"""{_WORK} gradingPeriodSourcedId!>academicSessions resultValueMin!
            resultValueMax!""",
        "results": f"{_RESULT} score! scoreDate! comment",
    },
    "1.2": {
        "users": _USER_12,
        "roles": """userSourcedId!>users roleType! role! beginDate endDate orgSourcedId!>orgs
            userProfileSourcedId""",
        "categories": "title! weight",
        "lineItems": f"""{_WORK} academicSessionSourcedId!>academicSessions resultValueMin
            resultValueMax schoolSourcedId!>orgs""",
        "results": f"""{_RESULT} score scoreDate! comment textScore classSourcedId>classes
            inProgress incomplete late missing""",
    },
}
VOCABULARIES = {
    "orgs.type": "department school district local state national",
    "academicSessions.type": "gradingPeriod semester schoolYear term",
    "classes.classType": "homeroom scheduled",
    "enrollments.role": "administrator proctor student teacher",
    "enrollments.primary": _BOOL,
    "users.enabledUser": _BOOL,
    "users.role": "administrator aide guardian parent proctor relative student teacher",
    "users.grades": "IT PR PK TK KG 01 02 03 04 05 06 07 08 09 10 11 12 13 PS UG Other",
    "users.metadata.ssnKind": "ssn assigned",
    "users.metadata.portalAccess": _BOOL,
    "roles.roleType": "primary secondary",
    "roles.role": """aide counselor districtAdministrator guardian parent principal proctor relative
        siteAdministrator student systemAdministrator teacher""",
    "demographics.sex": "female male",
    "demographics.hispanicOrLatinoEthnicity": _BOOL,
    "lineItems.metadata.gradeType": "gradingPeriod semester final",
    "results.inProgress": _BOOL,
    "results.late": _BOOL,
    "results.missing": _BOOL,
    "results.incomplete": _BOOL,
    "relationships.relationship": "mother father stepparent grandparent guardian foster other",
    "relationships.guardian": _BOOL,
    "relationships.portalAccess": _BOOL,
    "relationships.livesWith": _BOOL,
    "relationships.primaryContact": _BOOL,
    "relationships.emergencyContact": _BOOL,
    "attendance.type": "daily section",
    "attendance.attendanceStatus": "present absent tardy earlyDeparture partial",
    "attendance.excuse": "excused unexcused unknown",
}
SCORE_STATUSES = ("exempt", "fully graded", "not submitted", "partially graded", "submitted")
MANIFEST_11 = """
    academicSessions categories classes classResources courses courseResources
    demographics enrollments lineItems orgs resources results users"""
MANIFEST_12 = """
    lineItemLearningObjectiveIds lineItemScoreScales resultLearningObjectiveIds
    resultScoreScales roles scoreScales userProfiles userResources"""
SIDE_FILES = ("relationships", "attendance")
_FORMATS = {
    "Date": re.compile(r"\d{4}-\d\d-\d\d"),
    "sourcedId": re.compile(r"[0-9A-Za-z.\-_/@]{1,255}"),
    "DateTime": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
}


@dataclass
class Checker:
    """One zip, read strictly; every method that checks fails with what is wrong."""

    data: bytes
    version: str
    tables: dict[str, Rows] = field(default_factory=dict)
    headers: dict[str, list[str]] = field(default_factory=dict)
    manifest: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with zipfile.ZipFile(io.BytesIO(self.data)) as archive:
            assert archive.testzip() is None
            for entry in archive.infolist():
                assert entry.filename.endswith(".csv")
                assert "/" not in entry.filename
                header, rows = _read(archive.read(entry))
                self.headers[entry.filename[:-4]] = header
                self.tables[entry.filename[:-4]] = rows
        assert self.headers.pop("manifest") == ["propertyName", "value"]
        self.manifest = {r["propertyName"]: r["value"] for r in self.tables.pop("manifest")}

    def check(self, mode: str) -> "Checker":
        self._check_manifest(mode)
        for name, rows in self.tables.items():
            columns = self._check_header(name)
            ids = [row["sourcedId"] for row in rows]
            assert len(ids) == len(set(ids)), f"{name}: an id twice"
            for row in rows:
                self._check_row(name, row, columns, mode)
        return self

    def check_references(self) -> "Checker":
        ids = {name: {row["sourcedId"] for row in rows} for name, rows in self.tables.items()}
        for name, rows in self.tables.items():
            for column in self._columns(name):
                target = re.search(r">(\w+)", column)
                if not target:
                    continue
                plain = re.match(r"\w+", column)[0]
                for row in rows:
                    cell = row[plain]
                    found = cell.split(",") if column.endswith("*") else [cell]
                    missing = {one for one in found if one} - ids[target[1]]
                    assert not missing, f"{name}.{plain} of {row['sourcedId']}: {missing}"
        return self

    def _columns(self, name: str) -> list[str]:
        return (BOTH | OF_VERSION[self.version])[name].split()

    def _check_manifest(self, mode: str) -> None:
        known = f"{MANIFEST_11} {MANIFEST_12 if self.version == '1.2' else ''}".split()
        files = {k.removeprefix("file."): v for k, v in self.manifest.items() if "file." in k}
        assert list(files) == known
        assert self.manifest["manifest.version"] == "1.0"
        assert self.manifest["oneroster.version"] == self.version
        here = set(self.tables) - set(SIDE_FILES)
        assert files == {name: mode if name in here else "absent" for name in known}

    def _check_header(self, name: str) -> list[str]:
        standard = [re.match(r"\w+", column)[0] for column in self._columns(name)]
        first = ["sourcedId", "status", "dateLastModified"]
        header = self.headers[name]
        assert header[: len(standard) + 3] == first + standard, name
        extra = header[len(standard) + 3 :]
        assert all(column.startswith("metadata.") for column in extra)
        assert len(header) == len(set(header))
        assert self.tables[name], f"{name}: a header alone"
        return [re.match(r"\w+", column)[0] for column in self._columns(name) if "!" in column]

    def _check_row(self, name: str, row: dict[str, str], required: list[str], mode: str) -> None:
        assert _FORMATS["sourcedId"].fullmatch(row["sourcedId"])
        if mode == "bulk":
            assert (row["status"], row["dateLastModified"]) == ("", "")
        else:
            assert row["status"] in {"active", "tobedeleted"}
            assert _FORMATS["DateTime"].fullmatch(row["dateLastModified"])
        for column, cell in row.items():
            where = f"{name}.{column} of {row['sourcedId']}: {cell!r}"
            assert cell or column not in required, where
            assert not re.search(r"[\r\n\x00]", cell), where
            assert len(cell) <= 255 or column == "agentSourcedIds", where
            words = VOCABULARIES.get(f"{name}.{column}")
            assert not words or not cell or cell in words.split(), where
            if cell and (column == "date" or column.endswith("Date")):
                assert _FORMATS["Date"].fullmatch(cell), where
                date.fromisoformat(cell)
        if name == "results":
            assert row["scoreStatus"] in SCORE_STATUSES


def _read(data: bytes) -> tuple[list[str], Rows]:
    header, *lines = csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True)
    assert all(len(line) == len(header) for line in lines), "ragged"
    return header, [dict(zip(header, line, strict=True)) for line in lines]


@functools.cache
def written(version: str = "1.1", **wishes: Any) -> Checker:
    out = io.BytesIO()
    wishes.setdefault("today", TODAY)
    counts = write_district(out, version=version, **wishes)
    checker = Checker(out.getvalue(), version)
    assert counts == {f"{name}.csv": len(rows) for name, rows in checker.tables.items()}
    return checker


def delta(version: str = "1.1", **changes: Any) -> Checker:
    out = io.BytesIO()
    write_delta(out, version=version, today=TODAY, **changes)
    return Checker(out.getvalue(), version).check("delta")


def shaped(shape: str) -> SampleFamily:
    return next(family for family in families() if family.shape == shape)


# --- the files ------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("students", [1, 60, 333])
def test_a_district_of_any_size_is_conformant_and_complete(version: str, students: int) -> None:
    written(version, students=students).check("bulk").check_references()


@pytest.mark.parametrize(
    "today",
    [
        *(date(2026, 8, 1), date(2027, 7, 31), date(2026, 12, 31), date(2027, 1, 1)),
        *(date(2028, 2, 29), date(2026, 10, 15), date(2027, 5, 1)),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_district_of_any_day_is_conformant_and_in_session(version: str, today: date) -> None:
    sample = written(version, today=today).check("bulk").check_references()
    sessions = sample.tables["academicSessions"]
    running = {s["type"] for s in sessions if s["startDate"] <= str(today) < s["endDate"]}
    assert running == {"schoolYear", "semester", "gradingPeriod"}
    assert any(row["scoreDate"] <= str(today) for row in sample.tables["results"])
    assert all(row["date"] <= str(today) for row in sample.tables["attendance"])
    assert all(row["scoreDate"] <= str(today) for row in sample.tables["results"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("wishes", [{}, {"with_relationships": False}, {"mode": "delta"}])
def test_the_import_reads_it_without_a_bad_row(version: str, wishes: dict[str, Any]) -> None:
    out = io.BytesIO()
    counts = write_district(out, today=TODAY, version=version, **wishes)
    roster = oneroster.open_set(out)
    faults: list[oneroster.Fault] = []
    rows = sum(1 for _ in oneroster.read_rows(roster, {}, faults.append))
    assert not [fault for fault in faults if fault.severity == "error"]
    assert rows == sum(counts.values())


@pytest.mark.parametrize("version", VERSIONS)
def test_every_record_can_be_sent_as_a_delta(version: str) -> None:
    sample = written(version, mode="delta").check("delta").check_references()
    bulk = written(version)
    for name, rows in sample.tables.items():
        assert len(rows) == len(bulk.tables[name])
        assert {row["dateLastModified"] for row in rows} == {"2026-11-24T00:00:00.000Z"}


def test_equal_arguments_give_equal_bytes_and_another_seed_others() -> None:
    assert written.__wrapped__(seed=5).data == written(seed=5).data
    assert written(seed=5).tables["users"] != written(seed=6).tables["users"]


def test_what_is_not_wanted_is_left_out_and_absent() -> None:
    sample = written(
        with_relationships=False,
        with_attendance=False,
        assignments_per_class=0,
        posted_grades=False,
    ).check("bulk")
    assert not {"relationships", "attendance", "lineItems", "results"} & set(sample.tables)
    assert sample.manifest["file.results"] == "absent"
    assert "attendance" not in written(attendance_per_student=0).tables


def test_the_knobs_say_how_heavy_it_is() -> None:
    light, heavy = written(assignments_per_class=2), written(assignments_per_class=9)
    for name in ("lineItems", "results"):
        works = [[r for r in s.tables[name] if _is_work(r)] for s in (light, heavy)]
        assert len(works[1]) > 3 * len(works[0]) > 0
    few, many = written(attendance_per_student=2), written(attendance_per_student=20)
    assert len(many.tables["attendance"]) / 60 == pytest.approx(20, rel=0.25)
    assert len(few.tables["attendance"]) / 60 == pytest.approx(2, rel=0.35)


def _is_work(row: dict[str, str]) -> bool:
    return "grade" not in row.get("title", "") and not row.get("metadata.letterGrade", "")


def test_no_file_is_packed_so_tight_that_a_guard_refuses_it() -> None:
    with zipfile.ZipFile(io.BytesIO(written(students=333).data)) as archive:
        for entry in archive.infolist():
            assert entry.file_size < 50 * entry.compress_size


def test_a_district_without_students_is_refused() -> None:
    with pytest.raises(ValueError, match="1 to"):
        list(families(students=0))


# --- the people -----------------------------------------------------------------------


def test_the_first_family_is_one_guardian_with_an_address_and_two_children() -> None:
    for seed in range(20):
        family = next(families(seed=seed))
        (guardian,) = family.guardians
        assert guardian.email.endswith(("@example.com", "@example.org"))
        assert guardian.language == "en"
        assert family.students_of(guardian) == family.students
        assert len(family.students) == 2
        assert all(student.last_four and student.gtid for student in family.students)


@pytest.mark.parametrize("version", VERSIONS)
def test_families_tells_what_the_zip_holds(version: str) -> None:
    users = {row["sourcedId"]: row for row in written(version).tables["users"]}
    for family in families():
        for student in family.students:
            row = users.pop(student.sourced_id)
            assert row["identifier"] == student.student_number
            assert row["metadata.gtid"] == (student.gtid or "")
            assert row["metadata.ssnLast4"] == (student.last_four or "")
            assert (row["givenName"], row["familyName"]) == (
                *(student.given_name, student.family_name),
            )
        for guardian in family.guardians:
            row = users.pop(guardian.sourced_id)
            assert row["email"] == (guardian.email or "")
            assert row["metadata.language"] == (guardian.language or "")
    assert {row.get("role") for row in users.values()} <= {"teacher", "administrator", None}


def _access(sample: Checker, *, by_relationships: bool) -> set[tuple[str, str]]:
    """The (student, guardian) pairs with portal access, by the rules of the contract."""
    users = {row["sourcedId"]: row for row in sample.tables["users"]}
    roles = {row["userSourcedId"]: row["role"] for row in sample.tables.get("roles", [])}
    roles |= {i: row["role"] for i, row in users.items() if "role" in row}
    if by_relationships:
        links = {
            (row["studentSourcedId"], row["guardianSourcedId"])
            for row in sample.tables["relationships"]
            if row["portalAccess"] == "true"
        }
    else:
        ends = {
            frozenset((i, end))
            for i, row in users.items()
            for end in row["agentSourcedIds"].split(",")
            if end
        }
        pairs = (sorted(pair, key=lambda i: roles[i] != "student") for pair in ends)
        links = {
            (student, guardian)
            for student, guardian in pairs
            if roles[guardian] != "relative" or users[guardian]["metadata.portalAccess"] == "true"
        }
    return {x for x in links if users[x[1]]["metadata.portalAccess"] != "false"}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_same_adults_see_the_same_children_with_relationships_and_without(
    version: str,
) -> None:
    told = {
        (student.sourced_id, guardian.sourced_id)
        for family in families(students=333)
        for guardian in family.guardians
        for student in family.students_of(guardian)
    }
    with_file = written(version, students=333)
    without = written(version, students=333, with_relationships=False)
    assert _access(with_file, by_relationships=True) == told
    assert _access(without, by_relationships=False) == told


def test_people_are_the_same_on_any_day_and_in_a_larger_district() -> None:
    small, large = list(families(students=60)), families(students=5000)
    assert small[:-1] == list(islice(large, len(small) - 1))
    then = written(today=date(2030, 3, 3)).tables["users"]
    assert then == written().tables["users"]
    assert sum(len(family.students) for family in small) == 60


def test_numbers_are_unique_and_well_formed_at_scale() -> None:
    students = [s for family in families(students=20_000, seed=3) for s in family.students]
    numbers = [s.student_number for s in students]
    gtids = [s.gtid for s in students if s.gtid]
    addresses = {
        g.email.casefold(): g.sourced_id
        for family in families(students=20_000, seed=3)
        for g in family.guardians
        if g.email
    }
    assert len(students) == 20_000
    assert len(set(numbers)) == len(numbers)
    assert len(set(gtids)) == len(gtids) > 15_000
    assert not set(numbers) & set(gtids)
    assert all(re.fullmatch(r"\d{7,10}", number) for number in numbers)
    assert all(re.fullmatch(r"(?!.*(\d)\1\1)[1-9]\d{8}[1-9]", gtid) for gtid in gtids)
    assert all(re.fullmatch(r"[a-z.]+\d*@example\.(com|org)", address) for address in addresses)
    assert all(s.last_four is None or re.fullmatch(r"\d{4}", s.last_four) for s in students)


def test_sixty_students_hold_every_case() -> None:
    assert _emails("one address for two")[0] == _emails("one address for two")[1] is not None
    assert _emails("guardian without address") == [None]
    assert _emails("guardian without any contact") == [None]
    homes = {guardian.home for guardian in shaped("two households").guardians}
    assert len(homes) == 2
    assert not shaped("no guardian").guardians
    one, other = shaped("numbers a zero apart").students[:2]
    assert other.student_number == "0" + one.student_number
    everybody = [s for family in families() for s in family.students]
    adults = [g for family in families() for g in family.guardians]
    assert {s.last_four_kind for s in everybody} == {"ssn", "assigned", ""}
    assert any(s.gtid is None for s in everybody)
    assert any(s.last_four is None for s in everybody)
    assert any(s.student_number.startswith("0") for s in everybody)
    assert {g.language for g in adults} == {"en", "es", None}
    assert {g.role for g in adults} == {"parent", "guardian", "relative"}
    names = "".join(s.given_name + s.family_name for s in everybody)
    for kind in (r"[\u3041-\u30ff]", r"[à-ÿ]", r"['’]"):
        assert re.search(kind, names)


def _emails(shape: str) -> list[str | None]:
    return [guardian.email for guardian in shaped(shape).guardians]


def test_who_is_barred_sees_nobody_or_only_the_child_they_may() -> None:
    _, barred = shaped("barred parent").guardians
    assert not barred.portal_access
    assert shaped("barred parent").students_of(barred) == ()
    family = shaped("barred from one child")
    assert family.students_of(family.guardians[1]) == family.students[:1]
    family = shaped("barred on the user row alone")
    assert family.students_of(family.guardians[1]) == ()
    assert any(link.stated_access and not link.portal_access for link in family.links)
    relative = shaped("relative without portal").guardians[1]
    assert (relative.role, relative.portal_access) == ("relative", False)
    assert shaped("relative with portal").guardians[0].portal_access
    family = shaped("half siblings")
    _, first, second = family.guardians
    assert family.students_of(first) == family.students[:1]
    assert family.students_of(second) == family.students[1:]
    assert family.guardians_of(family.students[0]) == (family.guardians[0], first)


def test_no_cell_looks_like_a_full_social_security_number() -> None:
    for name, rows in written("1.2", students=333).tables.items():
        for column in rows[0]:
            for row in rows:
                assert not re.fullmatch(r"\d{3}-\d{2}-\d{4}", row[column]), (name, column)
                if "ssn" in column.lower():
                    assert len(row[column]) <= 8


# --- school ---------------------------------------------------------------------------


def test_the_timetable_has_what_a_schedule_page_shows() -> None:
    classes = written().tables["classes"]
    timed = [c for c in classes if c["metadata.startTime"]]
    assert all(c["metadata.startTime"] < c["metadata.endTime"] for c in timed)
    assert all(re.fullmatch(r"\d\d:\d\d", c["metadata.startTime"]) for c in timed)
    assert len(timed) < len(classes)
    assert {c["metadata.meetingDays"] for c in timed} >= {"M,T,W,R,F", "T,R", "M,W,F"}
    assert {c["periods"] for c in classes} >= {"", "1", "1,2", "3,4"}
    assert all(c["location"] for c in classes)


def test_every_class_has_one_primary_teacher_and_every_child_classes() -> None:
    sample = written("1.2")
    enrollments = sample.tables["enrollments"]
    taught = [e["classSourcedId"] for e in enrollments if e["primary"] == "true"]
    assert sorted(taught) == sorted(c["sourcedId"] for c in sample.tables["classes"])
    schools = {c["sourcedId"]: c["schoolSourcedId"] for c in sample.tables["classes"]}
    assert all(schools[e["classSourcedId"]] == e["schoolSourcedId"] for e in enrollments)
    learning = {e["userSourcedId"] for e in enrollments if e["role"] == "student"}
    assert learning == {s.sourced_id for family in families() for s in family.students}


def test_the_gradebook_has_every_outcome_and_every_kind_of_posted_grade() -> None:
    sample = written("1.2")
    items = {row["sourcedId"]: row for row in sample.tables["lineItems"]}
    results = sample.tables["results"]
    assert {item["metadata.gradeType"] for item in items.values()} == {
        *("", "gradingPeriod", "semester", "final"),
    }
    assert {row["scoreStatus"] for row in results} == set(SCORE_STATUSES)
    for flag in ("late", "missing", "incomplete", "inProgress"):
        assert any(row[flag] == "true" for row in results)
    over = [
        row
        for row in results
        if row["score"] and float(row["score"]) > float(_item(items, row)["resultValueMax"])
    ]
    assert over, "extra credit"
    for row in results:
        posted = bool(_item(items, row)["metadata.gradeType"])
        assert posted == bool(row["metadata.letterGrade"]) == bool(row["textScore"])
        assert row["score"] or row["scoreStatus"] in {"exempt", "not submitted", "submitted"}


def _item(items: dict[str, dict[str, str]], result: dict[str, str]) -> dict[str, str]:
    return items[result["lineItemSourcedId"]]


def test_results_belong_to_children_of_the_class() -> None:
    sample = written()
    sitting = {(e["classSourcedId"], e["userSourcedId"]) for e in sample.tables["enrollments"]}
    items = {row["sourcedId"]: row["classSourcedId"] for row in sample.tables["lineItems"]}
    for row in sample.tables["results"]:
        assert (items[row["lineItemSourcedId"]], row["studentSourcedId"]) in sitting


def test_some_work_is_due_after_today_and_has_no_result_yet() -> None:
    sample = written()
    coming = {
        row["sourcedId"]
        for row in sample.tables["lineItems"]
        if row["assignDate"] > str(TODAY) and not row["metadata.gradeType"]
    }
    assert coming
    assert not coming & {row["lineItemSourcedId"] for row in sample.tables["results"]}


def test_attendance_has_every_status_in_whole_days_and_in_classes() -> None:
    events = written().tables["attendance"]
    statuses = {row["attendanceStatus"] for row in events}
    assert statuses == {"present", "absent", "tardy", "earlyDeparture", "partial"}
    assert {row["excuse"] for row in events} == {"excused", "unexcused", "unknown", ""}
    assert {row["type"] for row in events} == {"daily", "section"}
    assert all((row["type"] == "section") == bool(row["classSourcedId"]) for row in events)
    assert all(date.fromisoformat(row["date"]).weekday() < 5 for row in events)
    years = {row["date"] < "2026-08-01" for row in events}
    assert years == {True, False}, "last school year's too"


def test_the_first_child_is_late_today() -> None:
    child = next(families()).students[0].sourced_id
    events = written().tables["attendance"]
    (today,) = [r for r in events if (r["studentSourcedId"], r["date"]) == (child, str(TODAY))]
    assert today["attendanceStatus"] == "tardy"


# --- deltas ---------------------------------------------------------------------------


def people() -> tuple[SampleStudent, SampleGuardian]:
    family = next(families())
    return family.students[0], family.guardians[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_delta_holds_the_changed_records_alone(version: str) -> None:
    student, guardian = people()
    pair = (student.sourced_id, guardian.sourced_id)
    sample = delta(
        version,
        addresses={guardian.sourced_id: "new@example.com"},
        access={pair: False},
        scores={student.sourced_id: 91.5},
        absences=[student.sourced_id],
    )
    assert set(sample.tables) == {"users", "relationships", "lineItems", "results", "attendance"}
    before = {row["sourcedId"]: row for row in written(version).tables["users"]}
    (user,) = sample.tables["users"]
    changed = {key for key, cell in user.items() if cell != before[guardian.sourced_id][key]}
    assert changed == {"email", "status", "dateLastModified"}
    assert user["email"] == "new@example.com"
    (link,) = sample.tables["relationships"]
    assert (link["studentSourcedId"], link["guardianSourcedId"]) == pair
    assert link["portalAccess"] == "false"
    (result,) = sample.tables["results"]
    assert result["score"] == "91.5"
    assert result["lineItemSourcedId"] == sample.tables["lineItems"][0]["sourcedId"]
    assert sample.tables["attendance"][0]["attendanceStatus"] == "absent"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_delta_can_remove_people_and_links(version: str) -> None:
    student, guardian = people()
    sample = delta(
        version,
        removed=[guardian.sourced_id],
        removed_links=[(student.sourced_id, guardian.sourced_id)],
    )
    removed = sample.tables["users"] + sample.tables["relationships"]
    assert len(removed) == 2
    assert {row["status"] for row in removed} == {"tobedeleted"}
    assert ("roles" in sample.tables) == (version == "1.2")


def test_a_delta_over_a_large_district_finds_its_people() -> None:
    last = list(families(students=2000))[-1].students[-1].sourced_id
    assert len(delta(students=2000, absences=[last]).tables["attendance"]) == 1


def test_an_empty_delta_says_that_nothing_changed() -> None:
    sample = delta()
    assert sample.tables == {}
    assert set(sample.manifest.values()) == {
        *("1.0", "1.1", "absent", "Sample District", "sample"),
    }


def test_a_delta_about_strangers_is_refused() -> None:
    student, guardian = people()
    for wrong in (
        {"absences": ["S999999-1"]},
        {"absences": [guardian.sourced_id]},
        {"addresses": {"nobody": None}},
        {"access": {(student.sourced_id, "G000001-1"): True}},
    ):
        with pytest.raises(ValueError, match="not in this district"):
            delta(**wrong)


def test_both_versions_tell_of_the_same_people() -> None:
    one, two = written("1.1").tables["users"], written("1.2").tables["users"]
    shared = set(one[0]) & set(two[0])
    assert [{k: row[k] for k in shared} for row in one] == [
        {k: row[k] for k in shared} for row in two
    ]
    assert get_args(oneroster.Version) == VERSIONS


def test_the_gradebook_reaches_from_weeks_ago_to_days_ahead() -> None:
    works = [row for row in written().tables["lineItems"] if not row["metadata.gradeType"]]
    assigned = [date.fromisoformat(row["assignDate"]) for row in works]
    assert min(assigned) < TODAY - timedelta(days=50)
    assert max(assigned) > TODAY
    assert all(row["assignDate"] <= row["dueDate"] for row in works)
