"""The roster import as the district meets it: an upload goes in, families are found, a report says so.

Nothing of ours is patched; where AWS fails or the function is killed, the call itself does.
"""

import json
from collections.abc import Iterator
from typing import Any

import botocore.client
import pytest
import time_machine

from chalicelib.storage import imports, roster
from tests.aws_stage import AwsStage
from tests.roster_sets import (
    SHARED,
    Office,
    absence,
    delta,
    district,
    guardian_id,
    line_item,
    relationship,
    result,
    student_id,
)

NOON = "2026-03-02T17:00:00+00:00"
MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.fixture
def clock() -> Iterator[Any]:
    """Give a clock that a test moves."""
    with time_machine.travel(NOON) as traveller:
        yield traveller


@pytest.fixture
def office(clock: Any, stage: AwsStage) -> Office:
    """Give the office of a district that never uploaded anything."""
    return Office(stage)


def children_of(guardian: str) -> set[str]:
    """Return the students that a guardian may see, as every request reads them."""
    record = roster.guardian_partition(guardian_id(guardian))
    return set() if record is None else {link.student_id for link in record.students}


def families(office: Office) -> dict[tuple[str, str], Any]:
    """Return the families' items without `access`, which isn't the roster's."""
    return {key: item for key, item in office.items().items() if key[1] != "access"}


# --- what comes in -------------------------------------------------------------------------


def test_a_student_is_found_by_number_and_gtid_and_both_parents_see_the_child(
    office: Office,
) -> None:
    report = office.upload(district())
    assert (report["status"], report["reason"], report["mode"]) == ("applied", None, "bulk")
    (by_number,) = roster.find_student("000001")
    (by_gtid,) = roster.find_student("2134567011")
    assert by_number.student_id == by_gtid.student_id == student_id("s1")
    assert by_number.last4 != by_gtid.last4
    assert roster.find_student("1") == []
    links = roster.guardians_of(student_id("s1"))
    assert {link.guardian_id for link in links} == {guardian_id("g1a"), guardian_id("g1b")}
    assert children_of("g1a") == children_of("g1b") == {student_id("s1")}


def test_home_shows_class_absence_and_grade_of_the_child(office: Office) -> None:
    office.upload(district())
    (summary,) = roster.student_summaries([student_id("s1")])
    assert (summary.given_name, summary.grade, summary.school) == ("Kid1", "04", "Elm School")
    (taught,) = summary.classes
    assert (taught.title, taught.periods, taught.days) == ("Math c1", ("3",), ("Mon", "Wed"))
    assert (taught.teacher, taught.room, taught.start_time) == ("Tea Cher", "12", "09:00")
    # OneRoster's end dates are exclusive.
    assert (taught.term_start, taught.term_end) == ("2025-08-01", "2026-06-30")
    (event,) = summary.recent_attendance
    assert (event.date, event.status, event.excuse) == ("2026-02-03", "absent", "excused")
    assert (summary.totals.absent, summary.totals.excused) == (1, 1)
    (grade,) = summary.newest_grades
    assert (grade.title, grade.score, grade.max_score) == ("Quiz l1", 8.0, 10.0)


def test_the_report_counts_rows_by_file_and_is_kept_with_the_import(office: Office) -> None:
    version_id = office.put(district())
    office.announce(version_id)
    office.continue_imports()
    report = office.report()
    assert report["name"] == "nightly"
    assert report["version_id"] == version_id
    assert report["received_at"] == "2026-03-02T17:00:00Z"
    assert report["oneroster"] == "1.1"
    assert report["files"]["users.csv"] == {
        "added": 10,
        "changed": 0,
        "removed": 0,
        "unchanged": 0,
        "bad": 0,
    }


@pytest.mark.parametrize(
    "name",
    [
        "grandbend-v1p1",
        "grandbend-v1p2",
        "grandbend-v1p1-attendance",
        "grandbend-v1p2-attendance",
        "grandbend-v1p1-streamed",
    ],
)
def test_the_real_district_imports_whole(office: Office, name: str) -> None:
    path = SHARED / "edfi-grandbend-derived" / f"{name}.zip"
    if not path.is_file():
        pytest.skip("the shared folder with real rosters isn't beside the project")
    report = office.upload(path)
    assert report["status"] == "applied"
    assert sum(file["bad"] for file in report["files"].values()) == 0
    kinds = [(pk.split("#")[0], sk.split("#")[0]) for pk, sk in office.items()]
    assert kinds.count(("student", "profile")) == 960
    assert kinds.count(("guardian", "profile")) == 1873
    assert kinds.count(("student", "grade")) == 250
    assert kinds.count(("student", "attendance")) == (1983 if "attendance" in name else 0)
    with_address = [item for item in office.items().values() if "address_hash" in item]
    assert 90 < len(with_address) <= 100


def test_a_zip_may_be_called_so_in_capitals(office: Office) -> None:
    key = "imports/Autumn.ZIP"
    put = office.s3.put_object(Bucket=office.stage.bucket, Key=key, Body=district().zipped())
    office.announce("", object={"key": key, "version-id": put["VersionId"]})
    office.continue_imports()
    assert (office.report("Autumn")["status"], office.uploads()) == ("applied", [])


def test_every_version_of_an_upload_is_gone_once_it_is_applied(office: Office, clock: Any) -> None:
    office.put(district())
    clock.shift(MINUTE)
    office.upload(district())
    assert office.uploads() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"bucket": {"name": "somebody-elses"}},
        {"object": {"key": "reports/nightly.zip", "version-id": "v"}},
        {"object": {"key": "imports/nightly.csv", "version-id": "v"}},
        {"object": {"key": "imports/.zip", "version-id": "v"}},
        {"object": {"key": "imports/nightly.zip"}},
        {"object": {}},
    ],
)
def test_an_event_that_is_no_uploads_is_ignored(
    office: Office, changes: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    office.announce("v", **changes)
    assert office.messages() == []
    assert "import-ignored" in capfd.readouterr().err


# --- again, late, at once --------------------------------------------------------------------


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the list of writes to families' items from now on."""
    calls: list[str] = []
    make = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]

    def record(client: Any, operation: str, parameters: Any) -> Any:
        if operation in ("BatchWriteItem", "TransactWriteItems"):
            calls.append(operation)
        return make(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", record)
    return calls


def test_the_same_set_uploaded_again_writes_nothing(office: Office, writes: list[str]) -> None:
    office.upload(district())
    assert writes
    writes.clear()
    report = office.upload(district())
    assert report["status"] == "applied"
    assert writes == []
    for counts in report["files"].values():
        assert (counts["added"], counts["changed"], counts["removed"]) == (0, 0, 0)
    assert report["files"]["users.csv"]["unchanged"] == 10


def test_an_event_delivered_twice_is_one_import(office: Office, writes: list[str]) -> None:
    version_id = office.put(district())
    office.announce(version_id)
    office.announce(version_id)
    office.continue_imports()
    report = office.report()
    done = len(writes)
    office.announce(version_id)
    office.continue_imports()
    assert office.report() == report
    assert len(writes) == done


def test_a_then_a_bad_b_then_a_again_ends_as_a(office: Office) -> None:
    office.upload(district())
    before = families(office)
    report = office.upload(b"PK no zip at all")
    assert (report["status"], families(office)) == ("rejected", before)
    assert office.upload(district())["status"] == "applied"
    assert families(office) == before


def test_a_set_that_came_late_is_superseded(office: Office, clock: Any) -> None:
    late = office.put(district(2), "older")
    clock.shift(MINUTE)
    office.upload(district(3), "newer")
    office.announce(late, "older")
    office.continue_imports()
    report = office.report("older")
    assert (report["status"], report["reason"]) == ("rejected", "superseded")
    assert children_of("g3a") == {student_id("s3")}
    assert office.uploads() == []


def test_two_uploads_at_once_end_as_one_after_the_other(office: Office, clock: Any) -> None:
    first = office.put(district(3), "first")
    clock.shift(MINUTE)
    second_set = district(3)
    second_set.row("users.csv", "s1")["givenName"] = "Renamed"
    second = office.put(second_set, "second")
    office.announce(first, "first")
    clock.shift(1)
    office.announce(second, "second")
    # The messages come in the other order, and twice.
    bodies = office.messages()
    for body in [*reversed(bodies), *bodies]:
        office.deliver(body)
    office.continue_imports()
    assert office.report("first")["status"] == office.report("second")["status"] == "applied"
    (summary,) = roster.student_summaries([student_id("s1")])
    assert summary.given_name == "Renamed"


def test_a_message_comes_back_while_another_import_has_the_place(office: Office) -> None:
    first, second = office.put(district(), "first"), office.put(district(), "second")
    office.announce(first, "first")
    office.announce(second, "second")
    one, other = (json.loads(body)["import_id"] for body in office.messages())
    waits = imports.find(one)
    assert waits is not None
    from datetime import UTC, datetime  # noqa: PLC0415 - only here

    assert imports.take_place(waits, now=datetime.now(UTC))
    office.deliver(json.dumps({"import_id": other}))
    attributes = office.sqs.get_queue_attributes(
        QueueUrl=office.stage.import_queue_url, AttributeNames=["All"]
    )["Attributes"]
    assert attributes["ApproximateNumberOfMessagesDelayed"] == "1"
    found = imports.find(other)
    assert found is not None
    assert found.step == imports.QUEUED


# --- deltas ----------------------------------------------------------------------------------


def test_a_delta_changes_only_its_rows(office: Office) -> None:
    office.upload(district())
    before = families(office)
    changed = district().row("users.csv", "s2") | {"givenName": "Renamed"}
    report = office.upload(delta(users=[changed]))
    assert (report["status"], report["mode"]) == ("applied", "delta")
    assert report["files"] == {
        "users.csv": {"added": 0, "changed": 1, "removed": 0, "unchanged": 0, "bad": 0}
    }
    after = families(office)
    differing = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    pk = f"student#{student_id('s2')}"
    parents = {(f"guardian#{guardian_id(f'g2{side}')}", "students") for side in "ab"}
    assert differing == {(pk, "profile"), (pk, "summary")} | parents


def test_a_number_that_a_delta_gives_to_a_second_student_is_told(office: Office) -> None:
    office.upload(district())
    second = district().row("users.csv", "s2") | {"identifier": "000001"}
    report = office.upload(delta(users=[second]))
    assert report["errors"] == {"user.number-shared": 2}
    told = [(fault["code"], fault["sourcedId"]) for fault in office.faults()]
    assert told == [("user.number-shared", "s1"), ("user.number-shared", "s2")]
    assert roster.find_student("000001") == []


def test_a_row_older_than_what_is_stored_is_skipped(office: Office) -> None:
    office.upload(district())
    row = district().row("users.csv", "s2")
    newer = row | {"givenName": "Newer", "dateLastModified": "2026-03-01T10:00:00.000Z"}
    # The set itself is newer than the applied one; only its row isn't.
    older = row | {"givenName": "Older", "dateLastModified": "2026-02-01T10:00:00.000Z"}
    other = district().row("users.csv", "s3") | {"dateLastModified": "2026-03-02T00:00:00.000Z"}
    office.upload(delta(users=[newer]))
    report = office.upload(delta(users=[older, other]))
    assert report["files"]["users.csv"]["unchanged"] == 2
    (summary,) = roster.student_summaries([student_id("s2")])
    assert summary.given_name == "Newer"


def test_a_delta_removes_what_it_marks(office: Office) -> None:
    office.upload(district())
    gone = district().row("users.csv", "s2") | {"status": "tobedeleted"}
    assert office.upload(delta(users=[gone]))["files"]["users.csv"]["removed"] == 1
    assert roster.find_student("000002") == []
    assert children_of("g2a") == set()
    assert children_of("g1a") == {student_id("s1")}


# --- attendance and gradebook ------------------------------------------------------------------


def test_a_bulk_file_of_attendance_never_removes_earlier_days(office: Office) -> None:
    office.upload(district())
    later = district()
    later.files["attendance.csv"] = [absence("later", "s1", "2026-03-01")]
    office.upload(later)
    (summary,) = roster.student_summaries([student_id("s1")])
    assert [event.date for event in summary.recent_attendance] == ["2026-03-01", "2026-02-03"]
    assert summary.totals.absent == 2


def test_present_takes_back_an_absence_and_is_not_stored(office: Office) -> None:
    office.upload(district())
    corrected = district()
    present = {"attendanceStatus": "present", "excuse": ""}
    corrected.files["attendance.csv"] = [
        absence("a1", "s1", "2026-02-03", **present),
        absence("new", "s2", "2026-02-04", **present),
    ]
    report = office.upload(corrected)
    assert report["files"]["attendance.csv"]["changed"] == 1
    assert report["files"]["attendance.csv"]["unchanged"] == 1
    one, two = roster.student_summaries([student_id("s1"), student_id("s2")])
    assert one.recent_attendance == ()
    assert [event.date for event in two.recent_attendance] == ["2026-02-03"]


def test_a_bulk_gradebook_replaces_only_the_classes_it_names(office: Office) -> None:
    first = district()
    first.files["results.csv"].append(result("other", "l2", "s1"))
    office.upload(first)
    second = district()
    second.files["lineItems.csv"] = [line_item("l9", "c1")]
    second.files["results.csv"] = [result("r9", "l9", "s1", scoreDate="2026-02-20")]
    office.upload(second)
    (summary,) = roster.student_summaries([student_id("s1")])
    assert [grade.title for grade in summary.newest_grades] == ["Quiz l9", "Quiz l2"]


def test_last_years_grades_keep_the_name_of_a_class_that_is_gone(office: Office) -> None:
    first = district()
    first.files["academicSessions.csv"].append(
        {
            **first.row("academicSessions.csv", "y26"),
            "sourcedId": "y25",
            "startDate": "2024-08-01",
            "endDate": "2025-07-01",
            "schoolYear": "2025",
        }
    )
    first.row("classes.csv", "c2")["termSourcedIds"] = "y25"
    first.files["results.csv"].append(result("old", "l2", "s1", scoreDate="2025-05-05"))
    office.upload(first)
    second = district()
    second.remove("classes.csv", "c2")
    second.remove("lineItems.csv", "l2")
    assert office.upload(second)["status"] == "applied"
    (summary,) = roster.student_summaries([student_id("s1")])
    assert [(g.class_title, g.title) for g in summary.newest_grades] == [
        ("Math c1", "Quiz l1"),
        ("Math c2", "Quiz l2"),
    ]


# --- what may not stay -------------------------------------------------------------------------


def test_the_last_four_digits_are_nowhere_once_a_set_is_applied(
    office: Office, capfd: pytest.CaptureFixture[str]
) -> None:
    roster_set = district()
    digits = "7349"
    roster_set.row("users.csv", "s1")["metadata.ssnLast4"] = digits
    office.upload(roster_set)
    (found,) = roster.find_student("000001")
    assert found.last4 is not None
    stored = office.everything_stored()
    assert f'"{digits}"' not in stored
    assert f":{digits}" not in stored
    assert digits not in capfd.readouterr().err.replace(found.last4, "")


def test_a_full_ssn_stops_the_import_and_is_quoted_nowhere(
    office: Office, capfd: pytest.CaptureFixture[str]
) -> None:
    roster_set = district()
    roster_set.row("users.csv", "s1")["metadata.ssnLast4"] = "219-09-9417"
    report = office.upload(roster_set)
    assert (report["status"], report["reason"]) == ("rejected", "ssn.full")
    assert office.items() == {}
    assert office.uploads() == []
    assert "219-09-9417" not in office.everything_stored() + capfd.readouterr().err


def test_a_report_holds_no_cell_of_a_person(office: Office) -> None:
    roster_set = district()
    for column in ("givenName", "familyName", "email", "metadata.address1", "phone"):
        roster_set.row("users.csv", "g1a")[column] = "Zanzibarbara\nQuux"
    roster_set.row("users.csv", "s2")["enabledUser"] = "Zanzibarbara"
    report = office.upload(roster_set)
    assert report["errors"]
    assert "Zanzibarbara" not in json.dumps(report) + json.dumps(office.faults())


# --- the secret is rotated ---------------------------------------------------------------------


def test_the_next_import_hashes_last_fours_under_the_new_secret(office: Office) -> None:
    import boto3  # noqa: PLC0415 - only here

    from chalicelib.storage import aws  # noqa: PLC0415

    office.upload(district())
    (before,) = roster.find_student("000001")
    boto3.client("secretsmanager").put_secret_value(
        SecretId="parent-portal-local-hash-secret", SecretString="another"
    )
    aws.forget_keyring()
    office.upload(delta(users=[district().row("users.csv", "s2")]))
    (old,), (new,) = roster.find_student("000001"), roster.find_student("000002")
    assert old == before
    assert new.secret == aws.keyring().current != old.secret
    assert new.last4 == aws.keyring().hash("last4", "000002#7002")


def test_relationship_rows_are_made_for_pairs(office: Office) -> None:
    roster_set = district(2, relationships=True)
    roster_set.files["relationships.csv"].append(relationship("s1", "g2a"))
    office.upload(roster_set)
    assert children_of("g2a") == {student_id("s1"), student_id("s2")}
