"""Small roster sets as a school's system would export them, and the office that uploads them.

A set is plain rows by file, so that a test changes just the cell it is about.
"""

import csv
import gzip
import importlib
import io
import json
import sqlite3
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chalice.local import LambdaContext

from chalicelib import crypto
from chalicelib.domain.oneroster_tables import SIDE_FILES, TABLES
from tests import aws_stage, permissions
from tests.aws_stage import AwsStage

Row = dict[str, str]
SHARED = aws_stage.ROOT.parent / "shared" / "roster"
_RESOURCES = ("resources", "classResources", "courseResources")
_ONLY_1_2 = (
    *("lineItemLearningObjectiveIds", "lineItemScoreScales", "resultLearningObjectiveIds"),
    *("resultScoreScales", "roles", "scoreScales", "userProfiles", "userResources"),
)


# --- sets -------------------------------------------------------------------------------


@dataclass
class RosterSet:
    """A set by file; `modes` are the manifest's where they aren't `mode`."""

    files: dict[str, list[Row]]
    mode: str = "bulk"
    version: str = "1.1"
    modes: dict[str, str] = field(default_factory=dict)

    def row(self, file: str, sourced_id: str) -> Row:
        """Return one row, to be changed."""
        return next(row for row in self.files[file] if row["sourcedId"] == sourced_id)

    def remove(self, file: str, *sourced_ids: str) -> None:
        """Take rows out of a file."""
        kept = [row for row in self.files[file] if row["sourcedId"] not in sourced_ids]
        self.files[file] = kept

    def zipped(self) -> bytes:
        """Return the set as a zip."""
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
            made.writestr("manifest.csv", _csv(("propertyName", "value"), self._manifest()))
            for file, rows in self.files.items():
                made.writestr(file, _csv(*self._table(file, rows)))
        return out.getvalue()

    def _manifest(self) -> list[tuple[str, str]]:
        names = [file.removesuffix(".csv") for file in TABLES["1.1"] if file not in SIDE_FILES]
        names += [*_RESOURCES, *(_ONLY_1_2 if self.version == "1.2" else ())]
        lines = [("manifest.version", "1.0"), ("oneroster.version", self.version)]
        for name in dict.fromkeys(names):
            there = f"{name}.csv" in self.files
            mode = self.modes.get(f"{name}.csv", self.mode) if there else "absent"
            lines.append((f"file.{name}", mode))
        return lines

    def _table(self, file: str, rows: Iterable[Row]) -> tuple[list[str], list[list[str]]]:
        table = TABLES[self.version][file]  # type: ignore[index]
        header = [column.name for column in table.standard]
        header += sorted({name for row in rows for name in row} - set(header))
        return header, [[row.get(name, "") for name in header] for row in rows]


def _csv(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def district(students: int = 3, *, relationships: bool = False) -> RosterSet:
    """Return a bulk set: students `s1`…, each with the parents `g1a` and `g1b`, in class `c1`."""
    numbers = range(1, students + 1)
    users = [_student(n) for n in numbers]
    users += [_parent(n, side) for n in numbers for side in "ab"]
    users.append(_user("t1", "teacher", "Tea", "Cher"))
    files = {
        "orgs.csv": [
            {"sourcedId": "d", "name": "Elm District", "type": "district"},
            {"sourcedId": "elm", "name": "Elm School", "type": "school"},
        ],
        "academicSessions.csv": [
            _session("y26", "schoolYear", "2025-08-01", "2026-07-01", "2026"),
            _session("q3", "gradingPeriod", "2026-01-05", "2026-04-01", "2026"),
        ],
        "courses.csv": [{"sourcedId": "math", "title": "Mathematics", "orgSourcedId": "elm"}],
        "classes.csv": [_class("c1"), _class("c2")],
        "users.csv": users,
        "enrollments.csv": [
            *(_enrollment(f"s{n}", class_id, "student") for n in numbers for class_id in ("c1",)),
            _enrollment("t1", "c1", "teacher"),
        ],
        "demographics.csv": [{"sourcedId": f"s{n}", "birthDate": "2016-05-04"} for n in numbers],
        "categories.csv": [{"sourcedId": "quiz", "title": "Quiz"}],
        "lineItems.csv": [line_item("l1", "c1"), line_item("l2", "c2")],
        "results.csv": [result(f"r{n}", "l1", f"s{n}") for n in numbers],
        "attendance.csv": [absence(f"a{n}", f"s{n}", "2026-02-03") for n in numbers],
    }
    if relationships:
        files["relationships.csv"] = [
            relationship(f"s{n}", f"g{n}{side}") for n in numbers for side in "ab"
        ]
    return RosterSet(files)


def delta(**files: list[Row]) -> RosterSet:
    """Return a delta set of some files' rows; status and time are filled in where blank."""
    filled = {
        f"{name}.csv": [
            {"status": "active", "dateLastModified": "2026-03-01T00:00:00.000Z"} | row
            for row in rows
        ]
        for name, rows in files.items()
    }
    return RosterSet(filled, mode="delta")


def _user(sourced_id: str, role: str, given: str, family: str, **cells: str) -> Row:
    return {
        "sourcedId": sourced_id,
        "enabledUser": "true",
        "orgSourcedIds": "elm",
        "role": role,
        "username": sourced_id,
        "givenName": given,
        "familyName": family,
    } | cells


def _student(n: int) -> Row:
    cells = {
        "identifier": f"00{n:04}",
        "grades": "04",
        "agentSourcedIds": f"g{n}a,g{n}b",
        "metadata.ssnLast4": f"{7000 + n}",
        "metadata.gtid": f"{2134567010 + n}",
    }
    return _user(f"s{n}", "student", f"Kid{n}", f"Family{n}", **cells)


def _parent(n: int, side: str) -> Row:
    cells = {"email": f"parent{n}{side}@example.com", "metadata.address1": f"{n} Elm Street"}
    return _user(f"g{n}{side}", "parent", f"Parent{side.upper()}", f"Family{n}", **cells)


def _session(sourced_id: str, kind: str, start: str, end: str, year: str) -> Row:
    return {
        "sourcedId": sourced_id,
        "title": sourced_id.upper(),
        "type": kind,
        "startDate": start,
        "endDate": end,
        "schoolYear": year,
    }


def _class(sourced_id: str) -> Row:
    return {
        "sourcedId": sourced_id,
        "title": f"Math {sourced_id}",
        "courseSourcedId": "math",
        "classType": "scheduled",
        "location": "12",
        "schoolSourcedId": "elm",
        "termSourcedIds": "y26",
        "periods": "3",
        "metadata.meetingDays": "M,W",
        "metadata.startTime": "09:00",
        "metadata.endTime": "09:50",
    }


def _enrollment(user: str, class_id: str, role: str) -> Row:
    return {
        "sourcedId": f"e-{user}-{class_id}",
        "classSourcedId": class_id,
        "schoolSourcedId": "elm",
        "userSourcedId": user,
        "role": role,
    }


def line_item(sourced_id: str, class_id: str, **cells: str) -> Row:
    """Return an assignment."""
    return {
        "sourcedId": sourced_id,
        "title": f"Quiz {sourced_id}",
        "assignDate": "2026-02-01",
        "dueDate": "2026-02-05",
        "classSourcedId": class_id,
        "categorySourcedId": "quiz",
        "gradingPeriodSourcedId": "q3",
        "resultValueMin": "0",
        "resultValueMax": "10",
    } | cells


def result(sourced_id: str, item: str, student: str, **cells: str) -> Row:
    """Return a score."""
    return {
        "sourcedId": sourced_id,
        "lineItemSourcedId": item,
        "studentSourcedId": student,
        "scoreStatus": "fully graded",
        "score": "8",
        "scoreDate": "2026-02-06",
    } | cells


def absence(sourced_id: str, student: str, day: str, **cells: str) -> Row:
    """Return a day's absence."""
    return {
        "sourcedId": sourced_id,
        "studentSourcedId": student,
        "schoolSourcedId": "elm",
        "date": day,
        "type": "daily",
        "attendanceStatus": "absent",
        "excuse": "excused",
    } | cells


def relationship(student: str, guardian: str, **cells: str) -> Row:
    """Return a relationship of relationships.csv, with portal access."""
    return {
        "sourcedId": f"rel-{student}-{guardian}",
        "studentSourcedId": student,
        "guardianSourcedId": guardian,
        "relationship": "mother",
        "guardian": "true",
        "portalAccess": "true",
    } | cells


def student_id(sourced_id: str) -> str:
    """Return the portal's id of a student."""
    return crypto.opaque_id("student", sourced_id)


def guardian_id(sourced_id: str) -> str:
    """Return the portal's id of a guardian."""
    return crypto.opaque_id("guardian", sourced_id)


# --- the office -------------------------------------------------------------------------


class Office:
    """Uploads sets as the district does, and runs the functions that AWS would start."""

    def __init__(self, stage: AwsStage) -> None:
        self.stage = stage
        self.s3 = aws_stage.client("s3")
        self.sqs = aws_stage.client("sqs")
        self.dynamodb = aws_stage.client("dynamodb")

    def put(self, roster: RosterSet | bytes | Path, name: str = "nightly") -> str:
        """Upload a set; return its version id. Nothing notices yet."""
        body = roster.zipped() if isinstance(roster, RosterSet) else roster
        body = body.read_bytes() if isinstance(body, Path) else body
        answer = self.s3.put_object(Bucket=self.stage.bucket, Key=f"imports/{name}.zip", Body=body)
        return str(answer["VersionId"])

    def announce(self, version_id: str, name: str = "nightly", **changes: Any) -> None:
        """Send the bucket's event of an upload."""
        detail = {
            "bucket": {"name": self.stage.bucket},
            "object": {"key": f"imports/{name}.zip", "version-id": version_id},
        } | changes
        event = {
            "version": "0",
            "id": "e",
            "source": "aws.s3",
            "account": aws_stage.ACCOUNT,
            "detail-type": "Object Created",
            "region": aws_stage.REGION,
            "resources": [],
            "time": "2026-01-01T00:00:00Z",
            "detail": detail,
        }
        self._run("import_roster", event)

    def continue_imports(self, *, seconds: float = 900) -> None:
        """Hand every message of the import queue to its function, until there are none."""
        while messages := self.messages():
            for body in messages:
                self.deliver(body, seconds=seconds)

    def messages(self) -> list[str]:
        """Take what is in the import queue and isn't delayed."""
        bodies = []
        while found := self.sqs.receive_message(
            QueueUrl=self.stage.import_queue_url, MaxNumberOfMessages=10
        ).get("Messages"):
            for message in found:
                bodies.append(message["Body"])
                self.sqs.delete_message(
                    QueueUrl=self.stage.import_queue_url, ReceiptHandle=message["ReceiptHandle"]
                )
        return bodies

    def deliver(self, body: str, *, seconds: float = 900) -> None:
        """Hand one message to `continue_import`."""
        record = {"messageId": "m", "body": body, "eventSource": "aws:sqs", "attributes": {}}
        self._run("continue_import", {"Records": [record]}, seconds=seconds)

    def check(self) -> None:
        """Run the hourly check."""
        self._run("check_imports", _event("aws.events", "Scheduled Event", {}))

    def upload(self, roster: RosterSet | bytes | Path, name: str = "nightly") -> dict[str, Any]:
        """Upload a set and have it imported; return its report."""
        self.announce(self.put(roster, name), name)
        self.continue_imports()
        return self.report(name)

    def report(self, name: str = "nightly") -> dict[str, Any]:
        """Return the report of a name."""
        loaded: dict[str, Any] = json.loads(self._read(f"reports/{name}.json"))
        return loaded

    def faults(self, name: str = "nightly") -> list[dict[str, str]]:
        """Return the report's faults, as a spreadsheet reads them."""
        text = self._read(f"reports/{name}.errors.csv").decode()
        return list(csv.DictReader(io.StringIO(text)))

    def _read(self, key: str) -> bytes:
        answer = self.s3.get_object(Bucket=self.stage.bucket, Key=key)
        return bytes(answer["Body"].read())

    def _run(self, function: str, event: Mapping[str, Any], *, seconds: float = 900) -> None:
        context = LambdaContext(function, 3008, max_runtime_ms=int(seconds * 1000))
        with permissions.as_function(function):
            getattr(importlib.import_module("app"), function)(event, context)

    def uploads(self) -> list[str]:
        """Return every version that is still there below `imports/`, delete markers too."""
        found = self.s3.list_object_versions(Bucket=self.stage.bucket, Prefix="imports/")
        return [
            one["VersionId"]
            for kind in ("Versions", "DeleteMarkers")
            for one in found.get(kind, ())  # type: ignore[attr-defined]
        ]

    def items(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return the families' items of the table `roster`, by key."""
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName="parent-portal-local-roster", ConsistentRead=True
        )
        found = {}
        for page in pages:
            for item in page["Items"]:
                plain = {name: next(iter(value.values())) for name, value in item.items()}
                pk, sk = plain.pop("pk"), plain.pop("sk")
                if not pk.startswith("import"):
                    found[pk, sk] = plain
        return found

    def everything_stored(self) -> str:
        """Return all that lies in tables and bucket, every version, unpacked, as one text."""
        texts = [json.dumps(list(self.items().items())), *self._other_tables()]
        for version in self.s3.list_object_versions(Bucket=self.stage.bucket).get("Versions", ()):
            body = self.s3.get_object(
                Bucket=self.stage.bucket, Key=version["Key"], VersionId=version["VersionId"]
            )["Body"].read()
            texts.append(_readable(version["Key"], body))
        return "\n".join(texts)

    def _other_tables(self) -> Iterable[str]:
        for name in self.dynamodb.list_tables()["TableNames"]:
            yield json.dumps(self.dynamodb.scan(TableName=name)["Items"], default=str)


def _event(source: str, kind: str, detail: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": "0",
        "id": "e",
        "source": source,
        "account": aws_stage.ACCOUNT,
        "detail-type": kind,
        "region": aws_stage.REGION,
        "resources": [],
        "time": "2026-01-01T00:00:00Z",
        "detail": detail,
    }


def _readable(key: str, body: bytes) -> str:
    if key.endswith(".gz"):
        body = gzip.decompress(body)
    if key.endswith(".sqlite.gz"):
        state = sqlite3.connect(":memory:")
        state.deserialize(body)
        dumped = "\n".join(state.iterdump())
        state.close()
        return dumped
    if key.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(body)) as opened:
            return "\n".join(opened.read(name).decode() for name in opened.namelist())
    return body.decode()
