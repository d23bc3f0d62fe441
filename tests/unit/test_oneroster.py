"""What the data clerk is told of each fault in a set, and what is read of a good one."""

import io
import re
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chalicelib.domain import oneroster, oneroster_faults
from chalicelib.domain.oneroster import Fault, RosterSet, Row, SetRejected

PROJECT = Path(__file__).parents[2]
ROSTER = PROJECT.parent / "shared" / "roster"
GRAND_BEND = ROSTER / "edfi-grandbend-derived"

needs_samples = pytest.mark.skipif(
    not ROSTER.is_dir(), reason="the folder ../shared with real roster files isn't here"
)

# --- a small district -------------------------------------------------------------------

MANIFEST = """propertyName,value
manifest.version,1.0
oneroster.version,{version}
file.academicSessions,{mode}
file.categories,{mode}
file.classes,{mode}
file.classResources,absent
file.courses,{mode}
file.courseResources,absent
file.demographics,{mode}
file.enrollments,{mode}
file.lineItems,{mode}
file.orgs,{mode}
file.resources,absent
file.results,{mode}
file.users,{mode}
"""
SHARED = {
    "orgs.csv": """sourcedId,status,dateLastModified,name,type,identifier,parentSourcedId
D1,,,District,district,,
S1,,,School,school,,D1
""",
    "academicSessions.csv": (
        "sourcedId,status,dateLastModified,title,type,startDate,endDate,parentSourcedId,schoolYear"
        """
Y1,,,Year,schoolYear,2026-08-01,2027-06-01,,2027
T1,,,Fall,semester,2026-08-01,2026-12-20,Y1,2027
"""
    ),
    "courses.csv": (
        "sourcedId,status,dateLastModified,schoolYearSourcedId,title,courseCode,grades,"
        """orgSourcedId,subjects,subjectCodes
C1,,,Y1,Algebra,ALG,09,S1,,
"""
    ),
    "classes.csv": (
        "sourcedId,status,dateLastModified,title,grades,courseSourcedId,classCode,classType,"
        "location,schoolSourcedId,termSourcedIds,subjects,subjectCodes,periods,"
        """metadata.meetingDays,metadata.startTime,metadata.endTime
K1,,,Algebra 1,09,C1,A1,scheduled,12,S1,"T1,Y1",,,"1,3","M,W",8:05,09:00
"""
    ),
    "enrollments.csv": (
        "sourcedId,status,dateLastModified,classSourcedId,schoolSourcedId,userSourcedId,role,"
        """primary,beginDate,endDate
E1,,,K1,S1,U1,student,,2026-08-01,
E2,,,K1,S1,U4,teacher,true,,
"""
    ),
    "demographics.csv": (
        "sourcedId,status,dateLastModified,birthDate,sex,americanIndianOrAlaskaNative,asian,"
        "blackOrAfricanAmerican,nativeHawaiianOrOtherPacificIslander,white,"
        "demographicRaceTwoOrMoreRaces,hispanicOrLatinoEthnicity,countryOfBirthCode,"
        """stateOfBirthAbbreviation,cityOfBirth,publicSchoolResidenceStatus
U1,,,2012-02-29,female,false,true,false,false,false,false,false,US,GA,Atlanta,
"""
    ),
    "relationships.csv": (
        "sourcedId,status,dateLastModified,studentSourcedId,guardianSourcedId,relationship,"
        """guardian,portalAccess,livesWith,primaryContact,emergencyContact,contactOrder
R1,,,U1,U2,mother,true,true,true,true,false,1
R2,,,U1,U3,father,true,false,false,,,2
"""
    ),
    "attendance.csv": (
        "sourcedId,status,dateLastModified,studentSourcedId,schoolSourcedId,classSourcedId,date,"
        """type,period,attendanceStatus,excuse,code,reason,minutes,arrivalTime
A1,,,U1,S1,K1,2026-11-02,section,1,tardy,unexcused,T,Bus,12,8:17
"""
    ),
}
USER_START_1_1 = (
    "sourcedId,status,dateLastModified,enabledUser,orgSourcedIds,role,username,userIds,givenName,"
    "familyName,middleName,identifier,email,sms,phone,agentSourcedIds,grades,password"
)
USER_END = (
    ",metadata.gtid,metadata.ssnLast4,metadata.ssnKind,metadata.householdId,metadata.street,"
    "metadata.city,metadata.state,metadata.postCode,metadata.portalAccess\n"
)
SETS: Mapping[str, Mapping[str, str]] = {
    "1.1": {
        **SHARED,
        "users.csv": (
            USER_START_1_1
            + USER_END
            + """U1,,,true,S1,student,ann,,Ann,Lee,,0042,,,,"U2,U3",09,pw,1234567891,0199,ssn,H1,\
1 Elm St,Atlanta,GA,30303,
U2,,,true,S1,parent,may,,May,Lee,,,may@example.com,,555,U1,,,,,,H1,1 Elm St,Atlanta,GA,30303-1234,
U3,,,true,S1,parent,tom,,Tom,Roe,,,tom@example.com,,,U1,,,,,,,,,,,false
U4,,,true,S1,teacher,tea,,Tea,Cher,,123456789,tea@example.com,,,,,,,,,,,,,,
"""
        ),
        "categories.csv": "sourcedId,status,dateLastModified,title\nG1,,,Tests\n",
        "lineItems.csv": (
            "sourcedId,status,dateLastModified,title,description,assignDate,dueDate,"
            "classSourcedId,categorySourcedId,gradingPeriodSourcedId,resultValueMin,"
            """resultValueMax,metadata.gradeType
L1,,,Test 1,,2026-09-01,2026-09-08,K1,G1,T1,0,100,
"""
        ),
        "results.csv": (
            "sourcedId,status,dateLastModified,lineItemSourcedId,studentSourcedId,scoreStatus,"
            """score,scoreDate,comment
X1,,,L1,U1,fully graded,87.5,2026-09-09,Well done
"""
        ),
        "manifest.csv": MANIFEST.format(version="1.1", mode="bulk"),
    },
    "1.2": {
        **SHARED,
        "users.csv": (
            "sourcedId,status,dateLastModified,enabledUser,username,userIds,givenName,familyName,"
            "middleName,identifier,email,sms,phone,agentSourcedIds,grades,password,"
            "userMasterIdentifier,preferredGivenName,preferredMiddleName,preferredFamilyName,"
            "primaryOrgSourcedId,pronouns"
            + USER_END
            + """U1,,,true,ann,,Ann,Lee,,0042,,,,"U2,U3",09,pw,,Annie,,,S1,she,1234567891,0199,ssn,\
H1,1 Elm St,Atlanta,GA,30303,
U2,,,true,may,,May,Lee,,,may@example.com,,555,U1,,,,,,,,,,,,H1,1 Elm St,Atlanta,GA,30303-1234,
U3,,,true,tom,,Tom,Roe,,,tom@example.com,,,U1,,,,,,,,,,,,,,,,,false
U4,,,true,tea,,Tea,Cher,,123456789,tea@example.com,,,,,,,,,,S1,,,,,,,,,,
"""
        ),
        "roles.csv": (
            "sourcedId,status,dateLastModified,userSourcedId,roleType,role,beginDate,endDate,"
            """orgSourcedId,userProfileSourcedId
O1,,,U1,primary,student,,,S1,
O2,,,U2,primary,parent,,,S1,
O3,,,U3,primary,parent,,,S1,
O4,,,U4,primary,teacher,,,S1,
"""
        ),
        "categories.csv": "sourcedId,status,dateLastModified,title,weight\nG1,,,Tests,60\n",
        "lineItems.csv": (
            "sourcedId,status,dateLastModified,title,description,assignDate,dueDate,"
            "classSourcedId,categorySourcedId,academicSessionSourcedId,resultValueMin,"
            """resultValueMax,schoolSourcedId,metadata.gradeType
L1,,,Test 1,,2026-09-01,2026-09-08,K1,G1,T1,0,100,S1,
"""
        ),
        "results.csv": (
            "sourcedId,status,dateLastModified,lineItemSourcedId,studentSourcedId,scoreStatus,"
            "score,scoreDate,comment,textScore,classSourcedId,inProgress,incomplete,late,missing"
            """
X1,,,L1,U1,fully graded,87.5,2026-09-09,Well done,B+,K1,,,true,false
"""
        ),
        "manifest.csv": MANIFEST.format(version="1.2", mode="bulk") + "file.roles,bulk\n",
    },
}
STAMP = "2026-11-01T10:00:00.000Z"


@dataclass
class Outcome:
    """What came of reading a set: its rows, or why it was rejected, and every fault on the way."""

    rows: list[Row] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    rejected: bool = False
    roster: RosterSet | None = None

    def of(self, file: str) -> dict[str, Row]:
        return {row.sourced_id: row for row in self.rows if row.file == file}

    def places(self) -> list[tuple[object, ...]]:
        return [(f.severity, f.code, f.file, f.line, f.column) for f in self.faults]

    def errors(self) -> list[tuple[str, str, int | None, str]]:
        return [(f.code, f.file, f.line, f.column) for f in self.faults if f.severity == "error"]

    def tally(self, file: str) -> tuple[int, int]:
        assert self.roster is not None
        return self.roster.tallies[file].rows, self.roster.tallies[file].bad


def zipped(files: Mapping[str, str | bytes]) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    out.seek(0)
    return out


def read(source: io.BytesIO, known: Mapping[str, set[str]] | None = None) -> Outcome:
    outcome = Outcome()
    try:
        outcome.roster = oneroster.open_set(source)
        rows = oneroster.read_rows(outcome.roster, known or {}, outcome.faults.append)
        outcome.rows.extend(rows)
    except SetRejected as rejected:
        outcome.rejected = True
        outcome.faults.extend(rejected.faults)
    return outcome


def read_with(
    *edits: tuple[str, str, str], version: str = "1.1", without: tuple[str, ...] = ()
) -> Outcome:
    """Read the small district after edits (file, old text, new text); a new file replaces nothing."""
    files = {name: text for name, text in SETS[version].items() if name not in without}
    for name, old, new in edits:
        assert old in files.get(name, ""), f"{old!r} isn't in {name}"
        files[name] = files.get(name, "").replace(old, new, 1) if old else new
    return read(zipped(files))


def delta(**files: str) -> Outcome:
    """Read a delta of the given files (names without .csv) over the small district."""
    manifest = MANIFEST.format(version="1.1", mode="absent")
    for name in files:
        manifest = manifest.replace(f"file.{name},absent", f"file.{name},delta")
    known = {
        "orgs.csv": {"D1", "S1"},
        "users.csv": {"U1", "U2", "U3", "U4"},
        "classes.csv": {"K1"},
        "courses.csv": {"C1"},
        "academicSessions.csv": {"Y1", "T1"},
    }
    content = {f"{name}.csv": text for name, text in files.items()}
    return read(zipped({"manifest.csv": manifest, **content}), known)


# --- a good set ---------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_a_good_set_is_read_whole_without_a_word(version):
    outcome = read_with(version=version)

    assert outcome.places() == []
    assert outcome.roster is not None
    assert (outcome.roster.version, outcome.roster.mode) == (version, "bulk")
    assert set(outcome.roster.files) == set(SETS[version]) - {"manifest.csv"}
    assert {name: outcome.tally(name)[0] for name in outcome.roster.files} == Counter(
        row.file for row in outcome.rows
    )


def test_files_come_in_the_order_of_what_refers_to_what():
    order = list(dict.fromkeys(row.file for row in read_with(version="1.2").rows))

    assert order == [
        "orgs.csv", "academicSessions.csv", "courses.csv", "users.csv", "roles.csv", "classes.csv",
        "enrollments.csv", "demographics.csv", "relationships.csv", "categories.csv",
        "lineItems.csv", "attendance.csv", "results.csv",
    ]  # fmt: skip


def test_cells_become_values():
    outcome = read_with()
    ann, tom = outcome.of("users.csv")["U1"], outcome.of("users.csv")["U3"]
    algebra = outcome.of("classes.csv")["K1"].values

    assert (ann.line, ann.active, ann.modified) == (2, True, None)
    assert ann.values["enabledUser"] is True
    assert ann.values["identifier"] == "0042"
    assert ann.values["agentSourcedIds"] == ["U2", "U3"]
    assert ann.values["metadata.ssnLast4"] == "0199"
    assert ann.values["metadata.address1"] == "1 Elm St"  # by its alias, street
    assert ann.values["metadata.address2"] is None  # not in the file at all
    assert (tom.values["metadata.portalAccess"], ann.values["metadata.portalAccess"]) == (
        False,
        None,
    )
    assert tom.values["grades"] == []
    assert algebra["termSourcedIds"] == ["T1", "Y1"]
    assert algebra["metadata.meetingDays"] == ["M", "W"]
    assert algebra["metadata.startTime"] == "08:05"
    assert outcome.of("results.csv")["X1"].values["score"] == 87.5
    assert outcome.of("attendance.csv")["A1"].values["minutes"] == 12


def test_passwords_and_all_of_demographics_but_the_birth_date_are_dropped():
    for version in ("1.1", "1.2"):
        outcome = read_with(version=version)

        assert outcome.of("demographics.csv")["U1"].values == {
            "sourcedId": "U1",
            "birthDate": "2012-02-29",
        }
        assert not {"password", "pronouns"} & set(outcome.of("users.csv")["U1"].values)
        assert "pw" not in str(outcome.rows).split("'")


def test_one_wrapper_folder_and_the_twins_of_finder_are_no_fault():
    files = {f"export/{name}": text for name, text in SETS["1.1"].items()}
    outcome = read(zipped({**files, "__MACOSX/export/._users.csv": b"\0\5\x16\7"}))

    assert outcome.places() == []
    assert outcome.of("users.csv")


# --- faults of the whole set ----------------------------------------------------------------

HEADER_ONLY = "sourcedId,status,dateLastModified,name,type,identifier,parentSourcedId\n"


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        # the manifest
        (("manifest.csv", "propertyName,value", "name,value"),
         ("manifest.malformed", "manifest.csv", 1, "")),
        (("manifest.csv", "file.users,bulk", "file.users"),
         ("manifest.malformed", "manifest.csv", 16, "")),
        (("manifest.csv", "version,1.1", "version,1.0"),
         ("manifest.version", "manifest.csv", 3, "")),
        (("manifest.csv", "oneroster.version,1.1\n", ""),
         ("manifest.version", "manifest.csv", None, "")),
        (("manifest.csv", "file.users,bulk", "file.users,full"),
         ("manifest.mode", "manifest.csv", 16, "value")),
        (("manifest.csv", "file.users,bulk", "file.users,Bulk"),
         ("manifest.mode", "manifest.csv", 16, "value")),
        (("manifest.csv", "file.users,bulk", "file.users,bulk\nfile.users,delta"),
         ("manifest.duplicate", "manifest.csv", 17, "")),
        (("manifest.csv", "file.users,bulk", "file.users,absent"),
         ("manifest.contradiction", "users.csv", None, "")),
        (("manifest.csv", "file.users,bulk\n", ""),
         ("manifest.row-missing", "users.csv", None, "")),
        # side files need no line in it, but what it says of them counts
        (("manifest.csv", "file.users,bulk", "file.users,bulk\nfile.relationships,Delta"),
         ("manifest.mode", "manifest.csv", 17, "value")),
        (("manifest.csv", "file.users,bulk", "file.users,bulk\nfile.relationships,absent"),
         ("manifest.contradiction", "relationships.csv", None, "")),
        # headers
        (("orgs.csv", HEADER_ONLY, ""), ("header.missing", "orgs.csv", 1, "name")),
        (("users.csv", ",role,", ",Role,"), ("header.missing", "users.csv", 1, "role")),
        (("users.csv", ",orgSourcedIds,", ",orgs,"),
         ("header.missing", "users.csv", 1, "orgSourcedIds")),
        (("academicSessions.csv", "schoolYear\n", "schoolYearId\n"),
         ("header.missing", "academicSessions.csv", 1, "schoolYear")),
        (("enrollments.csv", ",userSourcedId,", ",userId,"),
         ("header.missing", "enrollments.csv", 1, "userSourcedId")),
        (("users.csv", "givenName,familyName", "familyName,givenName"),
         ("header.order", "users.csv", 1, "givenName")),
        (("users.csv", ",userIds,", ",role,"), ("header.duplicate", "users.csv", 1, "role")),
        # columns that keep people out
        (("users.csv", "metadata.portalAccess", "metadata.PortalAccess"),
         ("header.unknown", "users.csv", 1, "metadata.PortalAccess")),
        (("users.csv", "metadata.portalAccess", "portalAccess"),
         ("header.unknown", "users.csv", 1, "portalAccess")),
        (("relationships.csv", ",portalAccess,", ",portalAcess,"),
         ("header.unknown", "relationships.csv", 1, "portalAcess")),
        (("relationships.csv", ",guardian,", ",Guardian,"),
         ("header.unknown", "relationships.csv", 1, "Guardian")),
        # bytes and lines
        (("courses.csv", "Algebra", "Alg\udce9bra"),
         ("encoding.not-utf-8", "courses.csv", 2, "")),
        (("courses.csv", "Algebra", '"Algebra'), ("row.unclosed-quote", "courses.csv", 2, "")),
        (("courses.csv", "Algebra", "A" * 70_000), ("row.too-long", "courses.csv", 2, "")),
    ],
)  # fmt: skip
def test_what_rejects_the_whole_set(edit, expected):
    name, old, new = edit
    files: dict[str, str | bytes] = dict(SETS["1.1"])
    assert old in SETS["1.1"][name]
    text = SETS["1.1"][name].replace(old, new, 1)
    files[name] = text.encode("utf-8", "surrogateescape")

    outcome = read(zipped(files))

    assert outcome.rejected
    assert expected in outcome.errors()
    assert "Ann" not in str(outcome.faults)


@pytest.mark.parametrize(
    ("version", "missing"),
    [
        *(("1.1", name) for name in ("orgs", "academicSessions", "courses", "users", "classes")),
        ("1.1", "enrollments"),
        ("1.2", "roles"),
    ],
)
def test_a_bulk_set_without_a_rostering_file_is_rejected(version, missing):
    """Whether the manifest promises the file or says that it is absent."""
    for edits in ((), (("manifest.csv", f"file.{missing},bulk", f"file.{missing},absent"),)):
        outcome = read_with(*edits, version=version, without=(f"{missing}.csv",))

        assert outcome.errors() == [("file.missing", f"{missing}.csv", None, "")]


def test_files_of_utf_16_are_rejected():
    files = {**SETS["1.1"], "users.csv": SETS["1.1"]["users.csv"].encode("utf-16")}

    assert read(zipped(files)).errors() == [("encoding.not-utf-8", "users.csv", 1, "")]


def test_a_file_without_header_is_rejected_and_nothing_of_its_first_person_is_told():
    text = SETS["1.1"]["users.csv"]
    files = {**SETS["1.1"], "users.csv": text.partition("\n")[2]}

    outcome = read(zipped(files))

    assert ("header.missing", "users.csv", 1, "givenName") in outcome.errors()
    for told in ("Ann", "Lee", "Elm", "0199", "1234567891"):
        assert told not in str(outcome.faults)


@pytest.mark.parametrize(("between", "named"), [(";", "semicolons"), ("\t", "tabs")])
def test_a_file_without_commas_is_told_what_separates_its_columns(between, named):
    text = SHARED["orgs.csv"]
    outcome = read_with(("orgs.csv", text, text.replace(",", between)))
    missing = next(fault for fault in outcome.faults if fault.code == "header.missing")

    assert outcome.rejected
    assert missing.message.endswith(f"Its columns are separated by {named}; export with commas.")


def test_a_manifest_that_names_a_side_file_needs_it():
    said = ("manifest.csv", "file.users,bulk", "file.users,bulk\nfile.relationships,bulk")
    outcome = read_with(said, without=("relationships.csv",))

    assert outcome.errors() == [("file.missing", "relationships.csv", None, "")]
    assert read_with(said).places() == []


def test_a_wrong_header_comes_with_the_column_that_was_meant():
    outcome = read_with(("users.csv", "dateLastModified", "dataLastModified"))
    old = read_with(("users.csv", ",orgSourcedIds,", ",orgs,"))
    missing = next(fault for fault in old.faults if fault.code == "header.missing")

    assert [f.message.endswith("Did you mean dateLastModified?") for f in outcome.faults] == [True]
    assert missing.message.endswith("Column 5 looks like it: orgs.")


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (("manifest.csv", "manifest.version,1.0", "manifest.version,1"),
         ("manifest.manifest-version", "manifest.csv", 2, "")),
        (("manifest.csv", "file.resources,absent\n", ""), None),
        (("users.csv", ",middleName,", ",middelName,"),
         ("header.optional-missing", "users.csv", 1, "middleName")),
        (("users.csv", ",middleName,", ",middelName,"),
         ("header.unknown", "users.csv", 1, "middelName")),
        (("users.csv", ",middleName,", ",,"), ("header.blank", "users.csv", 1, "#11")),
        (("users.csv", ",middleName,", ",locker,"), ("header.unknown", "users.csv", 1, "locker")),
        (("users.csv", "metadata.city", "metadata.town"),
         ("header.unknown", "users.csv", 1, "metadata.town")),
        (("users.csv", "sourcedId,", "\ufeffsourcedId,"), ("encoding.bom", "users.csv", 1, "")),
        (("userprofiles.csv", "", "a\n"), ("file.case", "userprofiles.csv", None, "")),
        (("userProfiles.csv", "", "a\n"), ("file.ignored", "userProfiles.csv", None, "")),
        (("notes.txt", "", "a\n"), ("file.unknown", "notes.txt", None, "")),
        (("demographics.csv", SHARED["demographics.csv"].partition("\n")[2], ""),
         ("file.empty", "demographics.csv", 1, "")),
        (("users.csv", "\nU4,", "\n\nU4,"), None),
        (("users.csv", "\nU4,", "\n" + "," * 26 + "\nU4,"), ("row.blank", "users.csv", 5, "")),
    ],
)  # fmt: skip
def test_what_is_accepted_with_a_word_of_warning(edit, expected):
    outcome = read_with(edit)

    assert outcome.errors() == []
    assert len(outcome.of("users.csv")) == 4
    if expected:
        assert ("warning", *expected) in outcome.places()
    else:
        assert {fault.code for fault in outcome.faults} <= {"manifest.row-missing"}


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_line_ends_and_a_missing_last_one_are_no_fault(end):
    files = {name: text.rstrip("\n").replace("\n", end) for name, text in SETS["1.1"].items()}

    outcome = read(zipped(files))

    assert outcome.places() == []
    assert len(outcome.of("users.csv")) == 4


def test_optional_columns_may_be_missing_at_the_end():
    outcome = read_with(
        ("results.csv", ",scoreDate,comment", ",scoreDate"), ("results.csv", ",Well done", "")
    )

    assert outcome.places() == [("warning", "header.optional-missing", "results.csv", 1, "comment")]
    assert outcome.of("results.csv")["X1"].values["comment"] is None


# --- faults of one row ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        # the shape of the row
        (("users.csv", "U4,,,true", "U4,,,,true"), ("row.width", "users.csv", 5, "")),
        (("users.csv", "U4,,,true", "U4,,true"), ("row.width", "users.csv", 5, "")),
        (("users.csv", "Cher,,", '"Cher"r,,'), ("row.malformed", "users.csv", 5, "")),
        (("users.csv", "tea@example.com", '"tea@example.com\n    "'),
         ("cell.line-break", "users.csv", 5, "email")),
        (("users.csv", "Cher", "Ch\0er"), ("cell.control-character", "users.csv", 5, "familyName")),
        (("users.csv", "Cher", "Ch\x1ber"),
         ("cell.control-character", "users.csv", 5, "familyName")),
        # the id
        (("users.csv", "U4,,,", ",,,"), ("cell.required", "users.csv", 5, "sourcedId")),
        (("users.csv", "U4,,,", "U#4,,,"), ("cell.guid", "users.csv", 5, "sourcedId")),
        (("users.csv", "U4,,,", "U" * 256 + ",,,"), ("cell.guid", "users.csv", 5, "sourcedId")),
        # cells
        (("users.csv", "Tea,Cher", ",Cher"), ("cell.required", "users.csv", 5, "givenName")),
        (("users.csv", "Tea,Cher", "  ,Cher"), ("cell.required", "users.csv", 5, "givenName")),
        (("users.csv", "teacher", "Teacher"), ("cell.enum", "users.csv", 5, "role")),
        (("users.csv", "teacher", "ext:coach"), ("cell.enum", "users.csv", 5, "role")),
        (("users.csv", "U4,,,true", "U4,,,yes"), ("cell.boolean", "users.csv", 5, "enabledUser")),
        (("enrollments.csv", "2026-08-01", "1/05/2023"),
         ("cell.date", "enrollments.csv", 2, "beginDate")),
        (("enrollments.csv", "2026-08-01", "2026-08-01T00:00:00.000Z"),
         ("cell.date", "enrollments.csv", 2, "beginDate")),
        (("enrollments.csv", "2026-08-01", "2026-02-30"),
         ("cell.date", "enrollments.csv", 2, "beginDate")),
        (("enrollments.csv", "2026-08-01,", "2026-08-01,0001-01-01"),
         ("cell.date", "enrollments.csv", 2, "endDate")),
        (("academicSessions.csv", "Y1,2027", "Y1,2026-2027"),
         ("cell.year", "academicSessions.csv", 3, "schoolYear")),
        (("results.csv", "87.5", "A+"), ("cell.number", "results.csv", 2, "score")),
        (("results.csv", "87.5", "nan"), ("cell.number", "results.csv", 2, "score")),
        (("results.csv", "fully graded", "graded"), ("cell.enum", "results.csv", 2, "scoreStatus")),
        (("attendance.csv", "tardy", "late"),
         ("cell.enum", "attendance.csv", 2, "attendanceStatus")),
        # numbers of students
        (("users.csv", "0042", "42a"), ("user.identifier.format", "users.csv", 2, "identifier")),
        (("users.csv", "0042", "1" * 21),
         ("user.identifier.format", "users.csv", 2, "identifier")),
        (("users.csv", "1234567891", "123"), ("user.gtid.format", "users.csv", 2, "metadata.gtid")),
        (("users.csv", "1234567891", "9.12E+09"),
         ("user.gtid.format", "users.csv", 2, "metadata.gtid")),
        (("users.csv", "0199", "199"),
         ("user.ssnLast4.format", "users.csv", 2, "metadata.ssnLast4")),
        (("users.csv", "0199", "12345678"),
         ("user.ssnLast4.format", "users.csv", 2, "metadata.ssnLast4")),
        # references
        (("enrollments.csv", "K1,S1,U1", "K9,S1,U1"),
         ("ref.dangling", "enrollments.csv", 2, "classSourcedId")),
        (("enrollments.csv", "K1,S1,U1", "K1,S1,U9"),
         ("ref.dangling", "enrollments.csv", 2, "userSourcedId")),
        (("users.csv", "U4,,,true,S1", "U4,,,true,S9"),
         ("ref.dangling", "users.csv", 5, "orgSourcedIds")),
        (("classes.csv", '"T1,Y1"', '"T1,T9"'),
         ("ref.dangling", "classes.csv", 2, "termSourcedIds")),
        (("demographics.csv", "U1,", "U9,"), ("ref.dangling", "demographics.csv", 2, "sourcedId")),
        (("relationships.csv", "U1,U2", "U1,U9"),
         ("ref.dangling", "relationships.csv", 2, "guardianSourcedId")),
        # links the wrong way round
        (("relationships.csv", "U1,U2", "U2,U1"),
         ("relationship.student", "relationships.csv", 2, "studentSourcedId")),
        (("relationships.csv", "U1,U2", "U1,U1"),
         ("relationship.self", "relationships.csv", 2, "guardianSourcedId")),
        (("users.csv", "U4,,,", "U4,gone,,"), ("status.value", "users.csv", 5, "status")),
    ],
)  # fmt: skip
def test_what_refuses_a_row(edit, expected):
    """The row at fault isn't there and is counted; every other row is as it was."""
    outcome = read_with(edit)
    code, file, line, _ = expected
    others = len(read_with().of(file)) - 1

    assert outcome.errors()[0] == expected
    assert not outcome.rejected
    assert len(outcome.of(file)) == others
    assert outcome.tally(file) == (others + 1, 1)
    assert line not in {row.line for row in outcome.of(file).values()}
    assert code in oneroster_faults.FAULTS


@pytest.mark.parametrize(
    ("edit", "expected", "value"),
    [
        (("users.csv", "U4,,,true", "U4,,,TRUE"),
         ("cell.boolean-case", "users.csv", 5, "enabledUser"), True),
        (("users.csv", "Tea,Cher", "Tea ,Cher"),
         ("cell.blanks", "users.csv", 5, "givenName"), "Tea"),
        (("users.csv", "Tea,Cher", "Tea,Ch\ufffdr"),
         ("cell.damaged", "users.csv", 5, "familyName"), "Ch\ufffdr"),
        (("users.csv", "Tea,Cher", f"Tea,{'C' * 300}"),
         ("cell.too-long", "users.csv", 5, "familyName"), "C" * 255),
        (("users.csv", "tom@example.com", "tom at example.com"),
         ("user.email.format", "users.csv", 4, "email"), None),
        (("users.csv", "tom@example.com", "tom@example.com;may@example.com"),
         ("user.email.format", "users.csv", 4, "email"), None),
        (("users.csv", "tom@example.com", "tom@.example.com"),
         ("user.email.format", "users.csv", 4, "email"), None),
        (("users.csv", "tom@example.com", "May@Example.com"),
         ("user.email.shared", "users.csv", 4, "email"), "May@Example.com"),
        (("users.csv", "tom@example.com", ""), ("user.no-contact", "users.csv", 4, "email"), None),
        (("users.csv", "1234567891", "1112345678"),
         ("user.gtid.pattern", "users.csv", 2, "metadata.gtid"), "1112345678"),
        (("users.csv", "0199", "0000"),
         ("user.ssnLast4.zeros", "users.csv", 2, "metadata.ssnLast4"), "0000"),
        (("users.csv", "0042", ""),
         ("user.identifier.missing", "users.csv", 2, "identifier"), None),
        (("users.csv", ",GA,30303,\n", ",Georgia,30303,\n"),
         ("user.state.format", "users.csv", 2, "metadata.state"), None),
        (("users.csv", ",GA,30303,\n", ",GA,303,\n"),
         ("user.postCode.format", "users.csv", 2, "metadata.postCode"), None),
        (("users.csv", '"U2,U3"', '"U2,U9"'),
         ("ref.dangling", "users.csv", 2, "agentSourcedIds"), ["U2"]),
        (("academicSessions.csv", "2026-12-20,Y1", "2026-12-20,Y9"),
         ("ref.dangling", "academicSessions.csv", 3, "parentSourcedId"), None),
        (("academicSessions.csv", "2026-12-20,Y1", "2026-07-20,Y1"),
         ("session.dates", "academicSessions.csv", 3, "endDate"), "2026-07-20"),
        (("classes.csv", '"M,W"', '"M,X"'),
         ("cell.days", "classes.csv", 2, "metadata.meetingDays"), ["M"]),
        (("classes.csv", "8:05", "8 a.m."),
         ("cell.time", "classes.csv", 2, "metadata.startTime"), None),
        (("relationships.csv", "mother", "Stiefmutter"),
         ("cell.enum", "relationships.csv", 2, "relationship"), "other"),
        (("relationships.csv", "mother", "Relative"),
         ("cell.enum", "relationships.csv", 2, "relationship"), "relative"),
        (("relationships.csv", "mother,true,true", "mother,true,no"),
         ("cell.access", "relationships.csv", 2, "portalAccess"), False),
        (("relationships.csv", "mother,true,true", "mother,N,"),
         ("cell.access", "relationships.csv", 2, "guardian"), False),
        (("users.csv", ",,,,,,,,,,,false", ",,,,,,,,,,,no"),
         ("cell.access", "users.csv", 4, "metadata.portalAccess"), False),
        (("relationships.csv", "false,,,2", "maybe,,,2"),
         ("cell.boolean", "relationships.csv", 3, "livesWith"), None),
        (("attendance.csv", "K1,2026-11-02,section,1", ",2026-11-02,section,"),
         ("attendance.no-class", "attendance.csv", 2, "classSourcedId"), None),
        (("attendance.csv", "unexcused", "sick"),
         ("cell.enum", "attendance.csv", 2, "excuse"), None),
        (("results.csv", "87.5", "103"),
         ("result.score.bounds", "results.csv", 2, "score"), 103.0),
        (("results.csv", "87.5", "-1"), ("result.score.bounds", "results.csv", 2, "score"), -1.0),
    ],
)  # fmt: skip
def test_what_is_taken_with_a_warning(edit, expected, value):
    outcome = read_with(edit)
    _, file, line, column = expected
    row = next(row for row in outcome.of(file).values() if row.line == line)

    assert outcome.errors() == []
    assert ("warning", *expected) in outcome.places()
    assert row.values[column] == value


@pytest.mark.parametrize(
    ("cell", "score"),
    [("88.33333333333333", 88.33333333333333), (".5", 0.5), ("-.25", -0.25), ("90.", 90.0)],
)
def test_scores_are_read_as_databases_write_them(cell, score):
    outcome = read_with(("results.csv", "87.5", cell))

    assert outcome.errors() == []
    assert outcome.of("results.csv")["X1"].values["score"] == score


def test_both_rows_of_a_duplicate_id_are_refused():
    again = "U4,,,true,S1,teacher,two,,Two,Two,,,,,,,,,,,,,,,,,\n"
    outcome = read_with(("users.csv", "\nU4,", f"\n{again}U4,"))

    assert outcome.errors()[:2] == [
        ("row.duplicate", "users.csv", 5, "sourcedId"),
        ("row.duplicate", "users.csv", 6, "sourcedId"),
    ]
    assert "U4" not in outcome.of("users.csv")
    assert outcome.tally("users.csv") == (5, 2)


@pytest.mark.parametrize(
    ("number", "gtid", "code"),
    [("0042", "", "user.identifier.duplicate"), ("7", "1234567891", "user.gtid.duplicate")],
)
@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_two_students_with_one_number_are_both_refused(version, number, gtid, code):
    """A look-up by that number must not find one of them by chance."""
    if version == "1.1":
        bob = f"U5,,,true,S1,student,bob,,Bob,Oak,,{number},,,,,,,{gtid},,,,,,,,\n"
        edits = [("users.csv", "\nU4,", f"\n{bob}U4,")]
    else:
        bob = f"U5,,,true,bob,,Bob,Oak,,{number},,,,,,,,,,,,,{gtid},,,,,,,,\n"
        edits = [
            ("users.csv", "\nU4,", f"\n{bob}U4,"),
            ("roles.csv", "O4,", "O5,,,U5,primary,student,,,S1,\nO4,"),
        ]

    outcome = read_with(*edits, version=version)

    assert [error[:3] for error in outcome.errors()[:2]] == [
        (code, "users.csv", 2),
        (code, "users.csv", 5),
    ]
    assert not {"U1", "U5"} & set(outcome.of("users.csv"))


def test_a_teachers_number_is_no_student_number():
    """Staff numbers may be anything, and equal to a student's."""
    outcome = read_with(("users.csv", ",,123456789,", ",,0042,"))

    assert outcome.places() == []


def test_rows_that_follow_from_a_refused_row_say_so():
    outcome = read_with(("orgs.csv", "S1,,,School,school", "S1,,,School,College"))
    codes = Counter((error[0], error[1]) for error in outcome.errors())

    assert outcome.errors()[0] == ("cell.enum", "orgs.csv", 3, "type")
    assert codes["ref.refused", "users.csv"] == 4
    assert {code for code, _ in codes} == {"cell.enum", "ref.refused"}


def test_five_thousand_rows_that_miss_one_record_are_one_story():
    lines = [f"N{n},,,K9,S1,U1,student,,,\n" for n in range(5000)]
    outcome = read_with(("enrollments.csv", "E1,", "".join(lines) + "E1,"))
    named = [fault for fault in outcome.faults if fault.code == "ref.dangling"]

    assert len(named) == 21
    assert sum(fault.count for fault in named) == 5000
    assert named[-1].message.endswith(
        "4980 more rows of this file have the same fault, from the same cause."
    )
    assert outcome.tally("enrollments.csv") == (5002, 5000)


def test_rows_that_a_stray_quotation_mark_swallows_are_counted_as_bad():
    """They would be missed otherwise, and a bulk set takes away what it misses."""
    lines = [f"N{n},,,K1,S1,U1,student,,,\n" for n in range(10)]
    lines[2] = 'N2,,,"K1,S1,U1,student,,,\n'
    lines[6] = 'N6,,,K1",S1,U1,student,,,\n'
    outcome = read_with(("enrollments.csv", "E1,", "".join(lines) + "E1,"))

    assert outcome.errors() == [("cell.line-break", "enrollments.csv", 4, "classSourcedId")]
    assert outcome.tally("enrollments.csv") == (12, 5)


def test_an_id_that_is_an_e_mail_address_is_not_in_the_report():
    outcome = read_with(("users.csv", "U4,,,true", "tea@example.com,,,yes"))
    fault = next(fault for fault in outcome.faults if fault.severity == "error")

    assert (fault.line, fault.sourced_id) == (5, "")


def test_no_fault_holds_a_cell_of_a_person():
    """Every cell of a row is spoilt in turn; nothing of the people around comes back."""
    header = SETS["1.1"]["users.csv"].partition("\n")[0].split(",")
    person = "U8,,,true,S1,student,zoey77,x,Zoey,Quirk,Xan,4711,z@qq.example,770,771,U2,09,pw9,\
1234567892,8642,ssn,H8,7 Oak Rd,Macon,GA,31201,true"
    cells = person.split(",")
    told = re.compile(
        "zoey|quirk|xan|4711|qq.ex|770|771|pw9|1234567892|8642|oak|macon|31201", re.IGNORECASE
    )
    for at, name in enumerate(header):
        for spoilt in ("~bad~", "", "x" * 300, "a\x01b", '"a\nb"', "\ufffd", "a,b"):
            row = ",".join([*cells[:at], spoilt, *cells[at + 1 :]])
            outcome = read_with(("users.csv", "\nU4,", f"\n{row}\nU4,"))
            assert not told.search(str(outcome.faults)), name


# --- 1.2 ---------------------------------------------------------------------------------


def test_extension_tokens_count_since_1_2():
    edit = ("roles.csv", "U4,primary,teacher", "U4,primary,ext:coach")

    assert read_with(edit, version="1.2").of("roles.csv")["O4"].values["role"] == "ext:coach"


def test_students_are_known_by_roles_in_1_2():
    outcome = read_with(("users.csv", "0042", "42a"), version="1.2")

    assert outcome.errors()[0] == ("user.identifier.format", "users.csv", 2, "identifier")


def test_flags_of_results_are_read_in_1_2():
    values = read_with(version="1.2").of("results.csv")["X1"].values

    assert (values["late"], values["missing"], values["inProgress"]) == (True, False, None)
    assert values["textScore"] == "B+"


# --- bulk and delta --------------------------------------------------------------------------


def test_a_bulk_file_with_status_filled_is_read_as_bulk():
    outcome = read_with(("users.csv", "U4,,,", f"U4,active,{STAMP},"))

    assert outcome.places() == [("warning", "status.in-bulk", "users.csv", 5, "status")]
    assert outcome.of("users.csv")["U4"].active
    assert outcome.of("users.csv")["U4"].modified == STAMP


def test_who_is_marked_deleted_in_a_bulk_file_is_gone():
    outcome = read_with(("relationships.csv", "R1,,,", f"R1,tobedeleted,{STAMP},"))
    removed = read_with(("users.csv", "U3,,,", f"U3,tobedeleted,{STAMP},"))

    assert not outcome.of("relationships.csv")["R1"].active
    assert not removed.of("users.csv")["U3"].active
    assert ("warning", "status.deleted-in-bulk", "users.csv", 4, "status") in removed.places()
    assert removed.errors()[0] == ("ref.dangling", "relationships.csv", 3, "guardianSourcedId")


ENROLLMENT_HEADER = SHARED["enrollments.csv"].partition("\n")[0] + "\n"


def test_a_delta_refers_to_what_is_applied():
    outcome = delta(enrollments=f"{ENROLLMENT_HEADER}E9,active,{STAMP},K1,S1,U1,student,,,\n")

    assert outcome.places() == []
    assert outcome.roster is not None
    assert (outcome.roster.mode, dict(outcome.roster.files)) == (
        "delta",
        {"enrollments.csv": "delta"},
    )
    assert outcome.of("enrollments.csv")["E9"].active


def test_a_delta_that_refers_to_nothing_known_is_dangling():
    outcome = delta(enrollments=f"{ENROLLMENT_HEADER}E9,active,{STAMP},K1,S1,U99,student,,,\n")

    assert outcome.errors() == [("ref.dangling", "enrollments.csv", 2, "userSourcedId")]


def test_what_a_delta_deletes_nothing_else_of_it_can_refer_to():
    users = f"{USER_START_1_1}\nU1,tobedeleted,{STAMP}{',' * 15}\n"
    rows = f"{ENROLLMENT_HEADER}E9,active,{STAMP},K1,S1,U1,student,,,\n"

    outcome = delta(users=users, enrollments=rows)

    assert not outcome.of("users.csv")["U1"].active
    assert outcome.errors() == [("ref.dangling", "enrollments.csv", 2, "userSourcedId")]


def test_a_deleted_row_needs_nothing_but_its_id():
    outcome = delta(enrollments=f"{ENROLLMENT_HEADER}E9,tobedeleted,{STAMP},K99,,,x,,1/2/3,\n")

    assert outcome.places() == []
    assert not outcome.of("enrollments.csv")["E9"].active


@pytest.mark.parametrize(
    ("status", "changed", "expected"),
    [
        ("", STAMP, ("status.blank", "enrollments.csv", 2, "status")),
        ("active", "", ("status.blank", "enrollments.csv", 2, "dateLastModified")),
        ("active", "yesterday", ("cell.datetime", "enrollments.csv", 2, "dateLastModified")),
        ("active", "2026-13-01T00:00:00Z",
         ("cell.datetime", "enrollments.csv", 2, "dateLastModified")),
        ("Active", STAMP, ("status.value", "enrollments.csv", 2, "status")),
    ],
)  # fmt: skip
def test_rows_of_a_delta_say_what_becomes_of_them_and_when(status, changed, expected):
    row = f"E9,{status},{changed},K1,S1,U1,student,,,\n"

    assert delta(enrollments=ENROLLMENT_HEADER + row).errors() == [expected]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("2026-11-01T10:00:00Z", STAMP),
        ("2026-11-01T10:00:00.000Z", STAMP),
        ("2026-11-01T06:00:00-04:00", STAMP),
        ("2026-11-01", "2026-11-01T00:00:00.000Z"),
    ],
)
def test_times_are_told_in_utc_whatever_zone_they_came_in(changed, expected):
    row = f"E9,active,{changed},K1,S1,U1,student,,,\n"

    outcome = delta(enrollments=ENROLLMENT_HEADER + row)

    assert outcome.of("enrollments.csv")["E9"].modified == expected


def test_a_delta_file_needs_its_status_column():
    outcome = delta(orgs="sourcedId,name,type,identifier,parentSourcedId\nS1,School,school,,\n")

    assert outcome.errors() == [
        ("header.missing", "orgs.csv", 1, "status"),
        ("header.missing", "orgs.csv", 1, "dateLastModified"),
    ]


def test_a_manifest_alone_says_that_nothing_changed():
    outcome = delta()

    assert (outcome.rejected, outcome.rows, outcome.places()) == (False, [], [])


# --- side files ------------------------------------------------------------------------------

SDS = "userSourcedId,relationshipUserSourcedId,relationshipRole\nU1,U2,guardian\nU1,U3,relative\n"


def test_relationships_of_school_data_sync_are_read_without_ids_of_their_own():
    rows = read_with(("relationships.csv", SHARED["relationships.csv"], SDS))
    again = read_with(
        ("relationships.csv", SHARED["relationships.csv"], SDS.replace("U1,U2", "U1,U3", 1))
    )
    first, second = rows.of("relationships.csv").values()

    assert rows.places() == []
    assert first.values["studentSourcedId"] == "U1"
    assert (first.values["guardianSourcedId"], first.values["relationship"]) == ("U2", "guardian")
    assert (second.values["relationship"], second.values["portalAccess"]) == ("relative", None)
    assert set(rows.of("relationships.csv")) == set(
        read_with(("relationships.csv", SHARED["relationships.csv"], SDS)).of("relationships.csv")
    )
    assert [error[0] for error in again.errors()] == ["row.duplicate", "row.duplicate"]


def test_columns_of_side_files_stand_in_any_order():
    text = "portalAccess,guardianSourcedId,studentSourcedId\nfalse,U2,U1\n"
    outcome = read_with(("relationships.csv", SHARED["relationships.csv"], text))
    (row,) = outcome.of("relationships.csv").values()

    assert outcome.places() == []
    assert row.values["portalAccess"] is False


def test_attendance_without_ids_is_known_by_student_day_type_and_class():
    event = SHARED["attendance.csv"].splitlines()[1]
    blank = event.replace("A1,", ",", 1)
    other = blank.replace("section,1", "section,2")
    outcome = read_with(("attendance.csv", event, f"{blank}\n{other}"))
    twice = read_with(("attendance.csv", event, f"{blank}\n{blank}"))
    changed = read_with(("attendance.csv", event, blank.replace("tardy", "absent")))

    assert outcome.places() == []
    assert len(outcome.of("attendance.csv")) == 2
    assert set(changed.of("attendance.csv")) < set(outcome.of("attendance.csv"))
    assert [error[0] for error in twice.errors()] == ["row.duplicate", "row.duplicate"]


def test_students_without_guardian_and_links_from_one_side_are_told():
    alone = read_with(("users.csv", '"U2,U3"', ""), ("users.csv", ",U1,,,,,,H1", ",,,,,,,H1"),
                      ("users.csv", ",,,U1,", ",,,,"), without=("relationships.csv",))  # fmt: skip
    one_sided = read_with(("users.csv", '"U2,U3"', ""), without=("relationships.csv",))

    assert alone.places() == [("warning", "link.no-guardian", "users.csv", 2, "")]
    assert [(f.code, f.count) for f in one_sided.faults] == [("link.one-sided", 2)]


# --- full Social Security numbers ---------------------------------------------------------------

PLAIN, DASHED = "219099998", "219-09-9998"


def with_column(name: str, cell: str) -> Outcome:
    """Read the small district with one more column in users.csv, filled in one row."""
    text = SETS["1.1"]["users.csv"]
    lines = text.splitlines()
    lines[0] += f",{name}"
    lines[1:] = [f"{line}," for line in lines[1:]]
    lines[2] += cell
    return read_with(("users.csv", text, "\n".join(lines) + "\n"))


@pytest.mark.parametrize(
    ("column", "cell", "stops"),
    [
        ("metadata.ssn", PLAIN, True),
        ("metadata.ssn", DASHED, True),
        ("metadata.ssn", "219 09 9998", True),
        ("metadata.ssn", "219.09.9998", True),
        ("metadata.ssn", "SSN 219/09/9998", True),
        ("metadata.ssn", "\u0662\u0661\u0669099998", True),
        ("metadata.studentSSN", PLAIN, True),
        ("ssnLast4", PLAIN, True),
        ("metadata.socialSecurity", PLAIN, True),
        ("SocialNumber", PLAIN, True),
        ("metadata.ssn", "9998", False),
        ("metadata.ssn", "1234567891", False),
        ("metadata.other", PLAIN, False),
        ("metadata.other", DASHED, True),
        ("metadata.other", f" {DASHED} ", True),
        ("metadata.other", "219\u201309\u20139998", True),
        ("metadata.other", f"call {DASHED}", False),
        ("metadata.other", "219-099-998", False),
        # names that hold the three letters by accident
        ("metadata.classNumber", PLAIN, False),
        ("metadata.addressNumber", PLAIN, False),
    ],
)
def test_a_full_ssn_in_a_column_that_nobody_reads_stops_the_import(column, cell, stops):
    outcome = with_column(column, cell)

    assert outcome.rejected == stops
    if stops:
        assert outcome.errors() == [("ssn.full", "users.csv", 3, "")]
    assert PLAIN not in str(outcome.faults)
    assert DASHED not in str(outcome.faults)


COLUMNS = SETS["1.1"]["users.csv"].partition("\n")[0].split(",")


@pytest.mark.parametrize("at", range(len(COLUMNS)), ids=COLUMNS)
def test_a_full_ssn_stops_in_every_column(at):
    lines = SETS["1.1"]["users.csv"].splitlines()
    cells = lines[4].split(",")
    cells[at] = DASHED
    lines[4] = ",".join(cells)

    outcome = read_with(("users.csv", SETS["1.1"]["users.csv"], "\n".join(lines)))

    assert outcome.errors() == [("ssn.full", "users.csv", 5, "")]


@pytest.mark.parametrize(
    ("edit", "column"),
    [
        (("users.csv", "0042", PLAIN), "identifier"),
        (("users.csv", ",,555,", f",,{PLAIN},"), "phone"),
        (("users.csv", "30303-1234", "303031234"), "metadata.postCode"),
    ],
)
def test_nine_digits_in_an_ordinary_column_are_no_ssn(edit, column):
    outcome = read_with(edit)

    assert outcome.places() == []
    assert any(row.values[column] == edit[2].strip(",") for row in outcome.of("users.csv").values())


def test_nine_digits_as_an_id_are_no_ssn():
    outcome = read_with(
        ("orgs.csv", "D1,,,D", f"{PLAIN},,,D"), ("orgs.csv", ",D1\n", f",{PLAIN}\n")
    )

    assert outcome.places() == []
    assert PLAIN in outcome.of("orgs.csv")


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("manifest.csv", f"{SETS['1.1']['manifest.csv']}source.systemCode,{DASHED}\n", 17),
        ("userProfiles.csv", f"sourcedId,password\nP1,{DASHED}\n", 2),
        ("extra.csv", f"name,ssn\nAnn,{PLAIN}\n", 2),
        ("Roster.CSV", f"name,ssn\nAnn,{PLAIN}\n", 2),
        ("orgs.csv", f"{SHARED['orgs.csv']}S2,,,{DASHED}\n", 4),
        ("orgs.csv", f'{SHARED["orgs.csv"]}S2,,,"{DASHED}"x,school,,\n', 4),
        ("orgs.csv", f"{SHARED['orgs.csv']}S2,tobedeleted,,{DASHED},school,,\n", 4),
        ("relationships.csv", f"{DASHED},{SHARED['relationships.csv']}", 1),
    ],
)
def test_a_full_ssn_stops_in_files_and_rows_that_are_not_taken(name, text, line):
    outcome = read(zipped({**SETS["1.1"], name: text}))

    assert [error[0] for error in outcome.errors()] == ["ssn.full"]
    assert outcome.errors()[0][1] == name
    assert outcome.errors()[0][2] in (line, None)
    assert DASHED not in str(outcome.faults)


# --- real sets -------------------------------------------------------------------------------


def read_folder(folder: Path, **replaced: str) -> Outcome:
    files: dict[str, str | bytes] = {path.name: path.read_bytes() for path in folder.glob("*.csv")}
    return read(zipped({**files, **{f"{name}.csv": text for name, text in replaced.items()}}))


@needs_samples
@pytest.mark.parametrize(
    ("name", "version", "attendance"),
    [
        ("grandbend-v1p1", "1.1", 0),
        ("grandbend-v1p1-attendance", "1.1", 1983),
        ("grandbend-v1p1-streamed", "1.1", 0),
        ("grandbend-v1p2", "1.2", 0),
        ("grandbend-v1p2-attendance", "1.2", 1983),
    ],
)
def test_the_real_district_is_read_whole(name, version, attendance):
    outcome = read(io.BytesIO((GRAND_BEND / f"{name}.zip").read_bytes()))
    rows = Counter(row.file for row in outcome.rows)

    assert outcome.errors() == []
    assert outcome.roster is not None
    assert outcome.roster.version == version
    assert rows["users.csv"] == 2901
    assert rows["classes.csv"] == 532
    assert rows["results.csv"] == 250
    assert rows["attendance.csv"] == attendance
    assert rows["roles.csv"] == (2901 if version == "1.2" else 0)


@needs_samples
def test_the_one_cell_with_a_line_break_is_named():
    users = (GRAND_BEND / "bad-embedded-linebreaks" / "users.csv").read_text()
    files: dict[str, str | bytes] = {
        path.name: path.read_bytes() for path in (GRAND_BEND / "v1p1").glob("*.csv")
    }
    outcome = read(zipped({**files, "users.csv": users}))

    assert outcome.errors()[0] == ("cell.line-break", "users.csv", 74, "email")
    assert {error[0] for error in outcome.errors()[1:]} == {"ref.refused"}
    assert outcome.tally("users.csv") == (2901, 1)


@needs_samples
def test_a_set_of_school_data_sync_has_no_manifest():
    outcome = read_folder(ROSTER / "ms-sds-v2.1")

    assert outcome.errors() == [("manifest.missing", "", None, "")]


@needs_samples
def test_school_data_sync_under_a_manifest_is_told_its_missing_columns():
    outcome = read_folder(
        ROSTER / "ms-sds-v2.1", manifest=SETS["1.2"]["manifest.csv"].replace(
            "file.categories,bulk", "file.categories,absent").replace(
            "file.lineItems,bulk", "file.lineItems,absent").replace(
            "file.results,bulk", "file.results,absent"),
    )  # fmt: skip

    assert outcome.rejected
    assert ("header.missing", "users.csv", 1, "enabledUser") in outcome.errors()
    assert ("header.missing", "classes.csv", 1, "termSourcedIds") in outcome.errors()
    assert "Craig" not in str(outcome.faults)


@needs_samples
def test_the_ragged_rows_of_the_toolkits_sample_are_named():
    outcome = read_folder(ROSTER / "canvas-edfi-lms-toolkit-or11")

    assert outcome.errors()[:2] == [
        ("row.width", "users.csv", 10, ""),
        ("row.width", "users.csv", 11, ""),
    ]
    assert {error[0] for error in outcome.errors()[2:]} == {"ref.refused"}
    assert outcome.tally("users.csv") == (10, 2)


@needs_samples
def test_the_mockers_template_contradicts_its_manifest():
    outcome = read_folder(ROSTER / "nicelion-mocker" / "oneroster-example-csv")

    assert outcome.errors() == [("manifest.contradiction", "demographics.csv", None, "")]


@needs_samples
def test_the_mockers_families_miss_their_organisation():
    """Its users name an organisation that is nowhere: one cause, told as one."""
    template = ROSTER / "nicelion-mocker" / "oneroster-example-csv"
    manifest = (template / "manifest.csv").read_text()
    users = (ROSTER / "nicelion-mocker" / "outputs" / "test-csv.csv").read_text()
    outcome = read_folder(
        template,
        manifest=manifest.replace('demographics","absent', 'demographics","bulk'),
        users=users,
    )
    dangling = [fault for fault in outcome.faults if fault.code == "ref.dangling"]

    assert outcome.tally("users.csv") == (1999, 1999)
    assert len(dangling) == 21
    assert sum(fault.count for fault in dangling) == 1999
    assert {fault.column for fault in dangling} == {"orgSourcedIds"}


# --- size ------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_rows_that_nothing_refers_to():
    def peak(rows: int) -> int:
        lines = "".join(f"N{n},,,K1,S1,U1,student,,2026-08-01,\n" for n in range(rows))
        source = zipped({**SETS["1.1"], "enrollments.csv": SHARED["enrollments.csv"] + lines})
        roster = oneroster.open_set(source)
        del lines
        tracemalloc.start()
        try:
            for _ in oneroster.read_rows(roster, {}, lambda _: None):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    small, large = peak(8_000), peak(24_000)

    # Eight bytes an id, and what one share of them takes to be compared.
    assert large - small < 16_000 * 16


# --- docs ------------------------------------------------------------------------------------


def test_the_docs_list_every_code_and_no_other():
    text = (PROJECT / "docs" / "roster.md").read_text().partition("## What becomes")[2]
    listed = set(re.findall(r"^\| `([a-z0-9]+(?:\.[A-Za-z0-9-]+)+)` \|", text, re.MULTILINE))

    assert listed == set(oneroster_faults.FAULTS)
