"""OneRoster's files and columns as data, with our own side files and extension columns.

Source: 1EdTech OneRoster 1.1 and 1.2 CSV bindings; contract section 3. What a column is called,
what may stand in it and what it refers to is said here once; `oneroster.py` reads by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Version = Literal["1.1", "1.2"]
Mode = Literal["bulk", "delta"]
Kind = Literal[
    "text",
    "list",
    "ref",  # one sourcedId of another file
    "refs",  # a list of them
    "date",
    "year",
    "boolean",
    "float",
    "integer",
    "enum",
    "email",
    "digits4",
    "gtid",
    "guid",
    "state",
    "post-code",
    "days",
    "time",
]
# What a cell that can't be read costs: its row, or only itself (it counts as blank; a warning).
Cost = Literal["row", "cell"]


@dataclass(frozen=True)
class Column:
    """One column: its canonical name and how a cell is read.

    `extensible` enumerations also take 1.2's own `ext:` tokens. `dropped` columns are never read:
    passwords, and of demographics all but the birth date. `unreadable` is what
    a cell counts as where only itself is lost. `most` is the length a text is cut to.
    """

    name: str
    kind: Kind = "text"
    required: bool = False
    values: tuple[str, ...] = ()
    target: str = ""
    extensible: bool = False
    dropped: bool = False
    cost: Cost = "row"
    unreadable: object = None
    most: int = 255

    @property
    def bars(self) -> bool:
        """Whether its `false` keeps people out."""
        return self.unreadable is False


@dataclass(frozen=True)
class Table:
    """One file: its columns in the standard's order, then ours, which may stand in any order."""

    file: str
    standard: tuple[Column, ...]
    extensions: tuple[Column, ...] = ()
    aliases: Mapping[str, str] | None = None
    # A side file is ours, not OneRoster's: its columns have no order, and it isn't in the manifest.
    side: bool = False

    def columns(self) -> Mapping[str, Column]:
        """Return all columns by canonical name."""
        return {column.name: column for column in self.standard + self.extensions}


def _text(name: str, *, required: bool = False, most: int = 255) -> Column:
    return Column(name, required=required, most=most)


def _list(name: str) -> Column:
    return Column(name, "list")


def _ref(name: str, target: str, *, required: bool = False) -> Column:
    return Column(name, "ref", required=required, target=target)


def _refs(name: str, target: str, *, required: bool = False) -> Column:
    return Column(name, "refs", required=required, target=target)


def _date(name: str, *, required: bool = False) -> Column:
    return Column(name, "date", required=required)


def _enum(
    name: str, *values: str, required: bool = False, extensible: bool = False, cost: Cost = "row"
) -> Column:
    return Column(name, "enum", required=required, values=values, extensible=extensible, cost=cost)


def _boolean(name: str, *, required: bool = False, cost: Cost = "row") -> Column:
    return Column(name, "boolean", required=required, cost=cost)


def _access(name: str) -> Column:
    """Return a column that decides who gets in: what can't be read counts as false.

    If it cost the row instead, a delta's `no` would leave a barred parent as they were: in.
    """
    return Column(name, "boolean", cost="cell", unreadable=False)


def _dropped(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, dropped=True) for name in names)


ORGS, SESSIONS, COURSES, USERS = "orgs.csv", "academicSessions.csv", "courses.csv", "users.csv"
ROLES, CLASSES, ENROLLMENTS = "roles.csv", "classes.csv", "enrollments.csv"
DEMOGRAPHICS, CATEGORIES, LINE_ITEMS = "demographics.csv", "categories.csv", "lineItems.csv"
RESULTS, RELATIONSHIPS, ATTENDANCE = "results.csv", "relationships.csv", "attendance.csv"
MANIFEST = "manifest.csv"

# Each file after those it refers to (binding 1.2, appendix A; the side files are placed by us).
ORDER = (
    ORGS, SESSIONS, COURSES, USERS, ROLES, CLASSES, ENROLLMENTS, DEMOGRAPHICS, RELATIONSHIPS,
    CATEGORIES, LINE_ITEMS, ATTENDANCE, RESULTS,
)  # fmt: skip
SIDE_FILES = (RELATIONSHIPS, ATTENDANCE)
# Without these a bulk set is no roster (roles.csv is one of them since 1.2).
ROSTERING: Mapping[Version, tuple[str, ...]] = {
    "1.1": (ORGS, SESSIONS, COURSES, USERS, CLASSES, ENROLLMENTS),
    "1.2": (ORGS, SESSIONS, COURSES, USERS, ROLES, CLASSES, ENROLLMENTS),
}
# Standard files that the portal has no use for.
IGNORED = (
    "resources.csv", "classResources.csv", "courseResources.csv", "userResources.csv",
    "userProfiles.csv", "scoreScales.csv", "lineItemScoreScales.csv", "resultScoreScales.csv",
    "lineItemLearningObjectiveIds.csv", "resultLearningObjectiveIds.csv",
)  # fmt: skip

_FIRST = (
    Column("sourcedId", "guid", required=True),
    Column("status"),
    Column("dateLastModified"),
)
_SESSION_TYPES = ("gradingPeriod", "semester", "schoolYear", "term")
_ORG_TYPES = ("department", "school", "district", "local", "state", "national")
_ROLES_1_1 = (
    "administrator", "aide", "guardian", "parent", "proctor", "relative", "student", "teacher",
)  # fmt: skip
_ROLES_1_2 = (
    "aide", "counselor", "districtAdministrator", "guardian", "parent", "principal", "proctor",
    "relative", "siteAdministrator", "student", "systemAdministrator", "teacher",
)  # fmt: skip
_SCORE_STATUSES = ("exempt", "fully graded", "not submitted", "partially graded", "submitted")
# SDS v2.1 says in relationshipRole what OneRoster says in users.role, and two more.
_RELATIONSHIPS = (
    "mother", "father", "stepparent", "grandparent", "guardian", "foster", "other",
    "parent", "relative", "doctor", "aide",
)  # fmt: skip

_USER_EXTENSIONS = (
    Column("metadata.gtid", "gtid"),
    Column("metadata.ssnLast4", "digits4"),
    _enum("metadata.ssnKind", "ssn", "assigned"),
    Column("metadata.householdId", "guid", cost="cell"),
    _text("metadata.address1"),
    _text("metadata.address2"),
    _text("metadata.city"),
    Column("metadata.state", "state", cost="cell"),
    Column("metadata.postCode", "post-code", cost="cell"),
    _text("metadata.language", most=35),
    _access("metadata.portalAccess"),
    _text("metadata.relationship"),
)
_USER_ALIASES = {
    "metadata.SDS_State_ID": "metadata.gtid",
    "metadata.street": "metadata.address1",
    "metadata.street1": "metadata.address1",
    "metadata.street2": "metadata.address2",
    "metadata.zip": "metadata.postCode",
}

_ORGS = Table(
    ORGS,
    (
        *_FIRST,
        _text("name", required=True),
        _enum("type", *_ORG_TYPES, required=True, extensible=True),
        _text("identifier"),
        _ref("parentSourcedId", ORGS),
    ),
)
_ACADEMIC_SESSIONS = Table(
    SESSIONS,
    (
        *_FIRST,
        _text("title", required=True),
        _enum("type", *_SESSION_TYPES, required=True, extensible=True),
        _date("startDate", required=True),
        _date("endDate", required=True),
        _ref("parentSourcedId", SESSIONS),
        Column("schoolYear", "year", required=True),
    ),
)
_COURSES = Table(
    COURSES,
    (
        *_FIRST,
        _ref("schoolYearSourcedId", SESSIONS),
        _text("title", required=True),
        _text("courseCode"),
        _list("grades"),
        _ref("orgSourcedId", ORGS, required=True),
        _list("subjects"),
        _list("subjectCodes"),
    ),
)
_CLASSES = Table(
    CLASSES,
    (
        *_FIRST,
        _text("title", required=True),
        _list("grades"),
        _ref("courseSourcedId", COURSES, required=True),
        _text("classCode"),
        _enum("classType", "homeroom", "scheduled", required=True, extensible=True),
        _text("location"),
        _ref("schoolSourcedId", ORGS, required=True),
        _refs("termSourcedIds", SESSIONS, required=True),
        _list("subjects"),
        _list("subjectCodes"),
        _list("periods"),
    ),
    (
        Column("metadata.meetingDays", "days", cost="cell"),
        Column("metadata.startTime", "time", cost="cell"),
        Column("metadata.endTime", "time", cost="cell"),
    ),
)
_USERS_1_1 = Table(
    USERS,
    (
        *_FIRST,
        _boolean("enabledUser", required=True),
        _refs("orgSourcedIds", ORGS, required=True),
        _enum("role", *_ROLES_1_1, required=True),
        _text("username", required=True),
        _list("userIds"),
        _text("givenName", required=True),
        _text("familyName", required=True),
        _text("middleName"),
        _text("identifier"),
        Column("email", "email", cost="cell"),
        _text("sms"),
        _text("phone"),
        _refs("agentSourcedIds", USERS),
        _list("grades"),
        *_dropped("password"),
    ),
    _USER_EXTENSIONS,
    _USER_ALIASES,
)
_USERS_1_2 = Table(
    USERS,
    (
        *_FIRST,
        _boolean("enabledUser", required=True),
        _text("username", required=True),
        _list("userIds"),
        _text("givenName", required=True),
        _text("familyName", required=True),
        _text("middleName"),
        _text("identifier"),
        Column("email", "email", cost="cell"),
        _text("sms"),
        _text("phone"),
        _refs("agentSourcedIds", USERS),
        _list("grades"),
        *_dropped("password"),
        _text("userMasterIdentifier"),
        # In 1.2, gone in 1.2.1; both say 1.2 in the manifest.
        *_dropped("resourceSourcedIds"),
        _text("preferredGivenName"),
        _text("preferredMiddleName"),
        _text("preferredFamilyName"),
        _ref("primaryOrgSourcedId", ORGS),
        *_dropped("pronouns"),
    ),
    _USER_EXTENSIONS,
    _USER_ALIASES,
)
_ROLES = Table(
    ROLES,
    (
        *_FIRST,
        _ref("userSourcedId", USERS, required=True),
        _enum("roleType", "primary", "secondary", required=True),
        _enum("role", *_ROLES_1_2, required=True, extensible=True),
        _date("beginDate"),
        _date("endDate"),
        _ref("orgSourcedId", ORGS, required=True),
        _text("userProfileSourcedId"),
    ),
)
_ENROLLMENTS = Table(
    ENROLLMENTS,
    (
        *_FIRST,
        _ref("classSourcedId", CLASSES, required=True),
        _ref("schoolSourcedId", ORGS, required=True),
        _ref("userSourcedId", USERS, required=True),
        _enum(
            "role", "administrator", "proctor", "student", "teacher",
            required=True, extensible=True,
        ),
        _boolean("primary"),
        _date("beginDate"),
        _date("endDate"),
    ),
)  # fmt: skip
_DEMOGRAPHICS = Table(
    DEMOGRAPHICS,
    (
        # The record's id is the user's.
        Column("sourcedId", "ref", required=True, target=USERS),
        *_FIRST[1:],
        _date("birthDate"),
        *_dropped(
            "sex", "americanIndianOrAlaskaNative", "asian", "blackOrAfricanAmerican",
            "nativeHawaiianOrOtherPacificIslander", "white", "demographicRaceTwoOrMoreRaces",
            "hispanicOrLatinoEthnicity", "countryOfBirthCode", "stateOfBirthAbbreviation",
            "cityOfBirth", "publicSchoolResidenceStatus",
        ),
    ),
)  # fmt: skip
_CATEGORIES_1_1 = Table(CATEGORIES, (*_FIRST, _text("title", required=True)))
_CATEGORIES_1_2 = Table(
    CATEGORIES, (*_CATEGORIES_1_1.standard, Column("weight", "float", cost="cell"))
)
_GRADE_TYPE = (_enum("metadata.gradeType", "gradingPeriod", "semester", "final"),)
# The 1.1 binding may want resultValueMin, resultValueMax and score filled; importers in use don't.
_LINE_ITEM_START = (
    *_FIRST,
    _text("title", required=True),
    _text("description", most=1000),
    _date("assignDate", required=True),
    _date("dueDate", required=True),
    _ref("classSourcedId", CLASSES, required=True),
    _ref("categorySourcedId", CATEGORIES, required=True),
)
_BOUNDS = (Column("resultValueMin", "float"), Column("resultValueMax", "float"))
_LINE_ITEMS_1_1 = Table(
    LINE_ITEMS,
    (*_LINE_ITEM_START, _ref("gradingPeriodSourcedId", SESSIONS, required=True), *_BOUNDS),
    _GRADE_TYPE,
)
_LINE_ITEMS_1_2 = Table(
    LINE_ITEMS,
    (
        *_LINE_ITEM_START,
        _ref("academicSessionSourcedId", SESSIONS, required=True),
        *_BOUNDS,
        _ref("schoolSourcedId", ORGS, required=True),
    ),
    _GRADE_TYPE,
)
_LETTER_GRADE = (_text("metadata.letterGrade", most=40),)
_RESULTS_1_1 = Table(
    RESULTS,
    (
        *_FIRST,
        _ref("lineItemSourcedId", LINE_ITEMS, required=True),
        _ref("studentSourcedId", USERS, required=True),
        _enum("scoreStatus", *_SCORE_STATUSES, required=True, extensible=True),
        Column("score", "float"),
        _date("scoreDate", required=True),
        _text("comment", most=1000),
    ),
    _LETTER_GRADE,
)
_RESULTS_1_2 = Table(
    RESULTS,
    (
        *_RESULTS_1_1.standard,
        _text("textScore", most=40),
        _ref("classSourcedId", CLASSES),
        _boolean("inProgress", cost="cell"),
        _boolean("incomplete", cost="cell"),
        _boolean("late", cost="cell"),
        _boolean("missing", cost="cell"),
    ),
    _LETTER_GRADE,
)
_RELATIONSHIPS_TABLE = Table(
    RELATIONSHIPS,
    (
        Column("sourcedId", "guid"),
        *_FIRST[1:],
        _ref("studentSourcedId", USERS, required=True),
        _ref("guardianSourcedId", USERS, required=True),
        # Only itself is lost, since the line may be the one that takes access away.
        Column("relationship", "enum", values=_RELATIONSHIPS, cost="cell", unreadable="other"),
        _access("guardian"),
        _access("portalAccess"),
        _boolean("livesWith", cost="cell"),
        _boolean("primaryContact", cost="cell"),
        _boolean("emergencyContact", cost="cell"),
        Column("contactOrder", "integer", cost="cell"),
    ),
    aliases={
        # Microsoft School Data Sync v2.1
        "userSourcedId": "studentSourcedId",
        "relationshipUserSourcedId": "guardianSourcedId",
        "relationshipRole": "relationship",
    },
    side=True,
)
_ATTENDANCE_TABLE = Table(
    ATTENDANCE,
    (
        Column("sourcedId", "guid"),
        *_FIRST[1:],
        _ref("studentSourcedId", USERS, required=True),
        _ref("schoolSourcedId", ORGS, required=True),
        _ref("classSourcedId", CLASSES),
        _date("date", required=True),
        _enum("type", "daily", "section", required=True),
        _text("period", most=40),
        _enum(
            "attendanceStatus", "present", "absent", "tardy", "earlyDeparture", "partial",
            required=True,
        ),
        _enum("excuse", "excused", "unexcused", "unknown", cost="cell"),
        _text("code", most=40),
        _text("reason"),
        Column("minutes", "integer", cost="cell"),
        Column("arrivalTime", "time", cost="cell"),
    ),
    side=True,
)  # fmt: skip

_SHARED = (
    _ORGS, _ACADEMIC_SESSIONS, _COURSES, _CLASSES, _ENROLLMENTS, _DEMOGRAPHICS,
    _RELATIONSHIPS_TABLE, _ATTENDANCE_TABLE,
)  # fmt: skip
_ONLY_1_1 = (_USERS_1_1, _CATEGORIES_1_1, _LINE_ITEMS_1_1, _RESULTS_1_1)
_ONLY_1_2 = (_USERS_1_2, _ROLES, _CATEGORIES_1_2, _LINE_ITEMS_1_2, _RESULTS_1_2)
TABLES: Mapping[Version, Mapping[str, Table]] = {
    "1.1": {table.file: table for table in _SHARED + _ONLY_1_1},
    "1.2": {table.file: table for table in _SHARED + _ONLY_1_2},
}

# Statuses of a record that is gone; the second is OneRoster 1.0's word.
DELETED = frozenset(("tobedeleted", "inactive"))

# Headers of OneRoster 1.0 and other exports, and what they are called here; for hints only.
OLD_HEADERS: Mapping[str, str] = {
    "grade": "grades",
    "agents": "agentSourcedIds",
    "orgs": "orgSourcedIds",
    "userId": "userIds",
    "schoolYearId": "schoolYearSourcedId",
    "orgSourcedId": "orgSourcedIds",
    "courseId": "courseSourcedId",
    "classId": "classSourcedId",
    "userSourceId": "userSourcedId",
    "agentSourceIds": "agentSourcedIds",
    "period": "periods",
    "terms": "termSourcedIds",
    "lastModified": "dateLastModified",
    "firstName": "givenName",
    "lastName": "familyName",
}
