"""The files of a roster set: their columns in OneRoster 1.1 and 1.2, and how they are zipped."""

import csv
import io
import itertools
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from os import PathLike
from typing import IO, Literal

Version = Literal["1.1", "1.2"]
Mode = Literal["bulk", "delta"]
Target = str | PathLike[str] | IO[bytes]
# A record: columns that aren't named are blank, columns of the other version are left out.
Row = dict[str, str]

_FIRST = "sourcedId status dateLastModified"
_PERSON = (
    "givenName familyName middleName identifier email sms phone agentSourcedIds grades password"
)
_USER_METADATA = """
    metadata.gtid metadata.ssnLast4 metadata.ssnKind metadata.householdId metadata.address1
    metadata.address2 metadata.city metadata.state metadata.postCode metadata.language
    metadata.portalAccess metadata.relationship"""
_LINE_ITEM = "title description assignDate dueDate classSourcedId categorySourcedId"
_RESULT = "lineItemSourcedId studentSourcedId scoreStatus score scoreDate comment"

_COLUMNS = {
    "orgs": "name type identifier parentSourcedId",
    "academicSessions": "title type startDate endDate parentSourcedId schoolYear",
    "courses": "schoolYearSourcedId title courseCode grades orgSourcedId subjects subjectCodes",
    "classes": """
        title grades courseSourcedId classCode classType location schoolSourcedId termSourcedIds
        subjects subjectCodes periods metadata.meetingDays metadata.startTime metadata.endTime""",
    "enrollments": "classSourcedId schoolSourcedId userSourcedId role primary beginDate endDate",
    "demographics": """
        birthDate sex americanIndianOrAlaskaNative asian blackOrAfricanAmerican
        nativeHawaiianOrOtherPacificIslander white demographicRaceTwoOrMoreRaces
        hispanicOrLatinoEthnicity countryOfBirthCode stateOfBirthAbbreviation cityOfBirth
        publicSchoolResidenceStatus""",
    "relationships": """
        studentSourcedId guardianSourcedId relationship guardian portalAccess livesWith
        primaryContact emergencyContact contactOrder""",
    "attendance": """
        studentSourcedId schoolSourcedId classSourcedId date type period attendanceStatus excuse
        code reason minutes arrivalTime""",
}
_COLUMNS_OF: Mapping[Version, dict[str, str]] = {
    "1.1": {
        "users": f"enabledUser orgSourcedIds role username userIds {_PERSON} {_USER_METADATA}",
        "categories": "title",
        "lineItems": f"""
            {_LINE_ITEM} gradingPeriodSourcedId resultValueMin resultValueMax
            metadata.gradeType""",
        "results": f"{_RESULT} metadata.letterGrade",
    },
    "1.2": {
        "users": f"""
            enabledUser username userIds {_PERSON} userMasterIdentifier preferredGivenName
            preferredMiddleName preferredFamilyName primaryOrgSourcedId pronouns
            {_USER_METADATA}""",
        "roles": "userSourcedId roleType role beginDate endDate orgSourcedId userProfileSourcedId",
        "categories": "title weight",
        "lineItems": f"""
            {_LINE_ITEM} academicSessionSourcedId resultValueMin resultValueMax schoolSourcedId
            metadata.gradeType""",
        "results": f"""
            {_RESULT} textScore classSourcedId inProgress incomplete late missing
            metadata.letterGrade""",
    },
}
_STANDARD = """
    academicSessions categories classes classResources courses courseResources demographics
    enrollments lineItems orgs resources results users"""
_STANDARD_OF: Mapping[Version, str] = {
    "1.1": _STANDARD,
    "1.2": f"""{_STANDARD}
    lineItemLearningObjectiveIds lineItemScoreScales resultLearningObjectiveIds resultScoreScales
    roles scoreScales userProfiles userResources""",
}


def columns(table: str, version: Version) -> list[str]:
    """Take a file's name without `.csv`; return its header in that version."""
    return f"{_FIRST} {(_COLUMNS | _COLUMNS_OF[version])[table]}".split()


def write_set(
    target: Target,
    tables: Mapping[str, Iterable[Row]],
    *,
    version: Version,
    mode: Mode,
    today: date,
) -> dict[str, int]:
    """Write the tables and the manifest as one zip, streaming; return the rows of each file.

    A table without rows is left out and `absent` in the manifest, since a file with a header alone
    is not permitted.
    """
    counts: dict[str, int] = {}
    with zipfile.ZipFile(target, "w") as archive:
        for table, rows in tables.items():
            header = columns(table, version)
            cells = ([row.get(column, "") for column in header] for row in rows)
            counts[f"{table}.csv"] = _write_file(archive, f"{table}.csv", header, cells, today)
        manifest = [["manifest.version", "1.0"], ["oneroster.version", version]]
        manifest += [
            [f"file.{table}", mode if counts.get(f"{table}.csv") else "absent"]
            for table in _STANDARD_OF[version].split()
        ]
        manifest += [["source.systemName", "Sample District"], ["source.systemCode", "sample"]]
        _write_file(archive, "manifest.csv", ["propertyName", "value"], iter(manifest), today)
    return {name: count for name, count in counts.items() if count}


def _write_file(
    archive: zipfile.ZipFile,
    name: str,
    header: list[str],
    rows: Iterator[list[str]],
    today: date,
) -> int:
    """Write one CSV file and return its rows; write nothing where there are none."""
    first = next(rows, None)
    if first is None:
        return 0
    # The entry's time is the district's day, not the clock's: equal arguments give equal bytes.
    entry = zipfile.ZipInfo(name, (today.year, today.month, today.day, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o600 << 16
    count = 0
    with archive.open(entry, "w") as raw, io.TextIOWrapper(raw, "utf-8", newline="") as text:
        out = csv.writer(text)
        out.writerow(header)
        for count, row in enumerate(itertools.chain((first,), rows), start=1):  # noqa: B007
            out.writerow(row)
    return count
