"""An import that is killed, starved or refused by AWS half-way ends as if nothing had happened.

A kill is an exception that no `except Exception` sees, raised by a call to AWS, as Lambda would end
the function there.
"""

import json
from collections.abc import Iterator
from typing import Any

import botocore.client
import pytest
import time_machine
from botocore.exceptions import ClientError

from chalicelib.storage import imports, roster
from tests.aws_stage import AwsStage
from tests.roster_sets import (
    Office,
    RosterSet,
    district,
    guardian_id,
    relationship,
    student_id,
)

LEASE = imports.LEASE_SECONDS + 1


class Killed(BaseException):
    """The function's process is gone."""


class Aws:
    """Every call to AWS passes here; a test says which of them fails, and how."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.writes = 0
        self.kill_at: int | None = None
        self.fault: tuple[str, Exception, int] | None = None
        self.before_write: Any = None
        make = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]

        def call(client: Any, operation: str, parameters: Any) -> Any:
            self._judge(operation)
            return make(client, operation, parameters)

        monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", call)

    def _judge(self, operation: str) -> None:
        if self.fault and self.fault[0] == operation and self.fault[2] > 0:
            self.fault = (operation, self.fault[1], self.fault[2] - 1)
            raise self.fault[1]
        if operation not in ("BatchWriteItem", "TransactWriteItems"):
            return
        self.writes += 1
        if self.before_write:
            self.before_write()
        if self.writes == self.kill_at:
            raise Killed


@pytest.fixture
def clock() -> Iterator[Any]:
    """Give a clock that a test moves."""
    with time_machine.travel("2026-03-02T17:00:00+00:00") as traveller:
        yield traveller


@pytest.fixture
def office(clock: Any, stage: AwsStage) -> Office:
    """Give the office of a district that never uploaded anything."""
    return Office(stage)


@pytest.fixture
def aws(office: Office, monkeypatch: pytest.MonkeyPatch) -> Aws:
    """Give the hand that makes AWS fail."""
    return Aws(monkeypatch)


def before() -> RosterSet:
    """Return the set that is applied first."""
    return district(4, relationships=True)


def after() -> RosterSet:
    """Return a set with something of every phase of a change.

    g1a loses s1, g2a gains s1, g3a has another address, s4's names change, s3 has a new absence.
    """
    roster_set = district(4, relationships=True)
    roster_set.row("relationships.csv", "rel-s1-g1a")["portalAccess"] = "false"
    roster_set.remove("relationships.csv", "rel-s1-g1b")
    roster_set.files["relationships.csv"].append(relationship("s1", "g2a"))
    roster_set.row("users.csv", "g3a")["email"] = "elsewhere@example.com"
    roster_set.row("users.csv", "s4")["givenName"] = "Renamed"
    return roster_set


def families(office: Office) -> dict[tuple[str, str], Any]:
    """Return the families' items; how often keys ended is no matter of the roster."""
    return {key: item for key, item in office.items().items() if key[1] != "access"}


def seen_by(guardian: str) -> set[str]:
    """Return the ids of the students that a guardian sees."""
    record = roster.guardian_partition(guardian_id(guardian))
    return set() if record is None else {link.student_id for link in record.students}


GUARDIANS = [f"g{n}{side}" for n in range(1, 5) for side in "ab"]


def test_killed_at_any_write_and_run_again_it_ends_the_same(
    office: Office, aws: Aws, clock: Any
) -> None:
    office.upload(before())
    start = aws.writes
    office.upload(after())
    wanted, needed = families(office), aws.writes - start
    assert needed > 3
    for kill_at in range(1, needed + 1):
        office.upload(before())
        start_sight = {guardian: seen_by(guardian) for guardian in GUARDIANS}
        aws.writes, aws.kill_at = 0, kill_at
        office.announce(office.put(after()))
        (body,) = office.messages()
        with pytest.raises(Killed):
            office.deliver(body)
        aws.kill_at = None
        between = {guardian: seen_by(guardian) for guardian in GUARDIANS}
        # SQS delivers again after a while; the dead function's lease has ended by then.
        clock.shift(LEASE)
        office.deliver(body)
        office.continue_imports()
        assert families(office) == wanted
        for guardian in GUARDIANS:
            assert between[guardian] <= start_sight[guardian] | seen_by(guardian)


def test_access_is_taken_before_anything_is_given(office: Office, aws: Aws) -> None:
    office.upload(before())
    sights: list[tuple[bool, bool]] = []
    aws.before_write = lambda: sights.append(
        (student_id("s1") in seen_by("g1a"), student_id("s1") in seen_by("g2a"))
    )
    office.upload(after())
    assert sights[0] == (True, False)
    assert (True, True) not in sights


def test_while_a_dead_function_holds_the_lease_nobody_else_writes(
    office: Office, aws: Aws, clock: Any
) -> None:
    office.announce(office.put(before()))
    (body,) = office.messages()
    aws.kill_at = 1
    with pytest.raises(Killed):
        office.deliver(body)
    aws.kill_at = None
    office.deliver(body)
    assert aws.writes == 1
    clock.shift(LEASE)
    office.deliver(body)
    assert office.report()["status"] == "applied"


def test_an_import_goes_on_in_the_next_function_where_time_runs_out(
    office: Office, aws: Aws
) -> None:
    office.announce(office.put(before()))
    (body,) = office.messages()
    office.deliver(body, seconds=60)
    assert aws.writes == 0
    assert seen_by("g1a") == set()
    office.continue_imports()
    assert seen_by("g1a") == {student_id("s1")}


def test_an_upload_that_kills_the_function_again_and_again_frees_the_place(
    office: Office, clock: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    office.announce(office.put(before(), "deadly"), "deadly")
    clock.shift(60)
    office.announce(office.put(before(), "good"), "good")
    bodies = office.messages()
    kill_reads = monkeypatch.context()
    with kill_reads as patch:
        make = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]

        def call(client: Any, operation: str, parameters: Any) -> Any:
            if operation == "GetObject" and parameters["Key"] == "imports/deadly.zip":
                raise Killed
            return make(client, operation, parameters)

        patch.setattr(botocore.client.BaseClient, "_make_api_call", call)
        for _ in range(3):
            with pytest.raises(Killed):
                office.deliver(bodies[0])
            clock.shift(LEASE)
        office.deliver(bodies[0])
    office.continue_imports()
    report = office.report("deadly")
    assert (report["status"], report["reason"]) == ("rejected", "import.dead")
    assert '"event": "import-dead"' in capfd.readouterr().err
    assert office.report("good")["status"] == "applied"


def test_an_upload_deleted_before_its_turn_is_rejected(office: Office) -> None:
    version_id = office.put(before())
    office.announce(version_id)
    office.s3.delete_object(
        Bucket=office.stage.bucket, Key="imports/nightly.zip", VersionId=version_id
    )
    office.continue_imports()
    assert office.report()["reason"] == "upload.gone"


def test_a_fault_of_aws_is_tried_again(office: Office, aws: Aws, clock: Any) -> None:
    denied = ClientError({"Error": {"Code": "InternalServerError"}}, "BatchWriteItem")
    office.announce(office.put(before()))
    (body,) = office.messages()
    aws.fault = ("BatchWriteItem", denied, 1)
    with pytest.raises(ClientError):
        office.deliver(body)
    # Nobody has to wait for the lease of a function that could say that it failed.
    office.deliver(body)
    assert office.report()["status"] == "applied"


def test_a_held_import_is_not_read_again_by_its_own_message(office: Office) -> None:
    office.upload(district(20))
    fewer = district(20)
    for n in range(1, 6):
        fewer.remove("users.csv", f"s{n}")
    for file in ("demographics.csv", "enrollments.csv", "results.csv", "attendance.csv"):
        gone = {f"s{n}" for n in range(1, 6)}
        fewer.files[file] = [r for r in fewer.files[file] if not gone & set(r.values())]
    version_id = office.put(fewer)
    office.announce(version_id)
    (body,) = office.messages()
    office.deliver(body)
    report = office.report()
    assert report["status"] == "held"
    office.deliver(body)
    office.announce(version_id)
    assert office.messages() == []
    assert office.report() == report
    assert json.loads(body)["import_id"]
