"""The office's report: every student of the roster, who has answered what, and who hasn't."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine

from chalicelib import crypto
from chalicelib.storage import enrollment, imports
from chalicelib.storage.enrollment import EnrollmentAnswer
from tests import aws_stage, permissions
from tests.aws_stage import AwsStage
from tests.roster_sets import Office, RosterSet, district, guardian_id, student_id

Invoke = Callable[[str, Any], Any]
NOW, YEAR = datetime(2026, 3, 2, 17, 0, tzinfo=UTC), "2026-27"
ELM, ASH = crypto.opaque_id("school", "elm"), crypto.opaque_id("school", "ash")


@pytest.fixture(autouse=True)
def noon(stage: AwsStage) -> Iterator[Any]:
    with time_machine.travel(NOW) as clock:
        yield clock


@pytest.fixture
def office(stage: AwsStage) -> Office:
    return Office(stage)


def two_schools() -> RosterSet:
    """Return a district whose students s1 and s2 are at Elm School, s3 at Ash School."""
    roster = district()
    roster.files["orgs.csv"].append({"sourcedId": "ash", "name": "Ash School", "type": "school"})
    roster.row("users.csv", "s3")["orgSourcedIds"] = "d,ash"
    return roster


def answered(sourced_id: str, said: str, **more: Any) -> None:
    """Store an answer as a guardian's post does."""
    given = {"comment": None, "guardian": "ParentA Family1", "school_year": YEAR} | more
    one = EnrollmentAnswer(
        student_id=student_id(sourced_id),
        answer=said,
        guardian_id=guardian_id(f"g{sourced_id[1:]}a"),
        household="",
        answered_at=int(NOW.timestamp()),
        purge_at=int(NOW.timestamp()) + 86400,
        **given,
    )
    with permissions.as_function("api_handler"):
        assert enrollment.put(one, request_id="r", now=NOW)


def text_of(report: dict[str, Any]) -> str:
    """Return a report's CSV as it lies where its address points."""
    key = "exports/" + urlsplit(report["url"]).path.split("/exports/")[1]
    (bucket,) = (p["BucketName"] for p in aws_stage.resources("AWS::S3::Bucket").values())
    found = aws_stage.client("s3").get_object(Bucket=bucket, Key=key)
    assert found["ContentType"] == "text/csv; charset=utf-8"
    text: str = found["Body"].read().decode("utf-8")
    assert text.startswith("\ufeff")
    return text.removeprefix("\ufeff")


def lines(report: dict[str, Any]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text_of(report), newline="")))


# --- who has answered, and who hasn't -----------------------------------------------------


def test_schools_are_counted_and_every_student_is_listed(office: Office, invoke: Invoke) -> None:
    office.upload(two_schools())
    answered("s1", "returning")
    answered("s3", "corrections", comment="We moved,\nto 9 Elm Street")
    report = invoke("enrollment_report", {})
    assert report["school_year"] == YEAR
    assert report["schools"] == [
        {
            "school_id": ASH,
            "name": "Ash School",
            "students": 1,
            "unanswered": 0,
            "returning": 0,
            "not-returning": 0,
            "corrections": 1,
        },
        {
            "school_id": ELM,
            "name": "Elm School",
            "students": 2,
            "unanswered": 1,
            "returning": 1,
            "not-returning": 0,
            "corrections": 0,
        },
    ]
    third, first, second = lines(report)
    assert first == {
        "school": "Elm School",
        "student_number": "000001",
        "sourcedId": "s1",
        "family_name": "Family1",
        "given_name": "Kid1",
        "grade": "04",
        "answer": "returning",
        "answered_at": "2026-03-02T17:00:00Z",
        "answered_by": "ParentA Family1",
        "comment": "",
    }
    assert (third["sourcedId"], third["comment"]) == ("s3", "We moved,\nto 9 Elm Street")
    assert (second["sourcedId"], second["answer"], second["answered_at"]) == ("s2", "", "")


@pytest.mark.parametrize("school_id", [ASH, "ash", " ash "])
def test_one_school_is_named_by_our_id_or_the_rosters(
    office: Office, invoke: Invoke, school_id: str
) -> None:
    office.upload(two_schools())
    report = invoke("enrollment_report", {"school_id": school_id})
    assert [one["name"] for one in report["schools"]] == ["Ash School"]
    assert [one["sourcedId"] for one in lines(report)] == ["s3"]


@pytest.mark.parametrize("school_id", ["oak", "d", "s1"])
def test_a_school_that_is_not_there_is_said_and_nothing_is_written(
    office: Office, invoke: Invoke, stage: AwsStage, school_id: str
) -> None:
    office.upload(two_schools())
    answer = invoke("enrollment_report", {"school_id": school_id})
    assert answer["error"]["code"] == "no-such-school"
    kept = aws_stage.client("s3").list_objects_v2(Bucket=stage.bucket, Prefix="exports/")
    assert "Contents" not in kept


def test_before_the_first_roster_there_is_nobody(invoke: Invoke) -> None:
    report = invoke("enrollment_report", {})
    assert report["schools"] == []
    assert lines(report) == []


def test_answers_of_another_year_and_students_who_left_do_not_count(
    office: Office, invoke: Invoke
) -> None:
    roster = two_schools()
    office.upload(roster)
    answered("s1", "returning", school_year="2025-26")
    answered("s3", "not-returning")
    gone = {**roster.row("users.csv", "s3"), "status": "tobedeleted"}
    office.upload(RosterSet({"users.csv": [gone | AT]}, mode="delta"))
    report = invoke("enrollment_report", {})
    assert [(one["name"], one["unanswered"]) for one in report["schools"]] == [("Elm School", 2)]
    assert {one["answer"] for one in lines(report)} == {""}


AT = {"dateLastModified": "2026-03-01T00:00:00.000Z"}


# --- the file -----------------------------------------------------------------------------


def test_no_cell_of_a_family_is_run_by_a_spreadsheet(office: Office, invoke: Invoke) -> None:
    roster = district(2)
    roster.row("users.csv", "s1")["givenName"] = "=HYPERLINK(A1)"
    roster.row("users.csv", "s1")["familyName"] = "@SUM(1)"
    office.upload(roster)
    answered("s1", "corrections", guardian="-2+3", comment="+1;=1+1")
    answered("s2", "corrections", guardian='a"b', comment="fine\n=2")
    first, second = sorted(lines(invoke("enrollment_report", {})), key=lambda one: one["sourcedId"])
    assert (first["given_name"], first["family_name"]) == ("'=HYPERLINK(A1)", "'@SUM(1)")
    assert (first["answered_by"], first["comment"]) == ("'-2+3", "'+1;=1+1")
    assert (second["answered_by"], second["comment"]) == ('a"b', "fine\n=2")


def test_every_cell_is_quoted_so_that_no_separator_begins_another(
    office: Office, invoke: Invoke
) -> None:
    office.upload(district(1))
    answered("s1", "corrections", comment="x;=1+1")
    for line in text_of(invoke("enrollment_report", {})).split("\r\n")[:-1]:
        assert line.startswith('"')
        assert line.endswith('"')


def test_the_address_is_good_for_an_hour_and_names_nobody(office: Office, invoke: Invoke) -> None:
    office.upload(district())
    report = invoke("enrollment_report", {})
    address = urlsplit(report["url"])
    query = parse_qs(address.query)
    assert address.scheme == "https"
    assert query["X-Amz-Expires"] == ["3600"]
    # The clock runs on while the roster is imported.
    expires_at = datetime.fromisoformat(report["expires_at"])
    assert timedelta(0) <= expires_at - NOW - timedelta(hours=1) < timedelta(minutes=5)
    assert "/exports/enrollment-2026-27-" in address.path
    again = urlsplit(invoke("enrollment_report", {})["url"])
    assert again.path != address.path


def test_the_audit_says_that_it_was_made_and_holds_no_address(
    office: Office, invoke: Invoke
) -> None:
    office.upload(district())
    invoke("enrollment_report", {"school_id": "elm", "operator": "Kim"})
    rows = json.dumps(aws_stage.client("dynamodb").scan(TableName="parent-portal-local-audit"))
    assert "enrollment_report" in rows
    assert "X-Amz-Signature" not in rows


# --- what it costs ------------------------------------------------------------------------


def test_it_reads_one_file_and_a_hundred_answers_a_call_and_scans_no_family(
    office: Office, invoke: Invoke, aws_calls: list[tuple[str, str, str]]
) -> None:
    office.upload(district(120))
    aws_calls.clear()
    assert invoke("enrollment_report", {})["schools"][0]["students"] == 120
    made = [(operation, place) for service, operation, place in aws_calls if service == "dynamodb"]
    assert [operation for operation, _ in made if operation == "BatchGetItem"] == [
        "BatchGetItem"
    ] * 2
    scanned = {place for operation, place in made if operation in ("Scan", "Query")}
    assert scanned <= {"parent-portal-local-preferences"}
    read = [operation for service, operation, _ in aws_calls if service == "s3"]
    assert read.count("GetObject") == 1


def test_a_roster_that_is_replaced_while_it_is_fetched_is_fetched_anew(
    office: Office, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was the applied set a moment ago lies there no more when it is fetched."""
    office.upload(district(2))
    before = imports.applied()
    office.upload(district(3), "later")
    told = iter([before, imports.applied()])
    monkeypatch.setattr(imports, "applied", lambda: next(told))
    assert invoke("enrollment_report", {})["schools"][0]["students"] == 3
