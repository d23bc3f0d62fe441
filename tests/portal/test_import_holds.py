"""When an import waits for an admin's yes, and what the yes does (contract section 3)."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import time_machine

from chalicelib.storage import imports, roster
from tests.aws_stage import AwsStage
from tests.roster_sets import Office, RosterSet, delta, district, guardian_id, student_id

MINUTE, HOUR, DAY = 60, 3600, 86400
MANY = 21


@pytest.fixture
def clock() -> Iterator[Any]:
    """Give a clock that a test moves."""
    with time_machine.travel("2026-03-02T17:00:00+00:00") as traveller:
        yield traveller


@pytest.fixture
def office(clock: Any, stage: AwsStage) -> Office:
    """Give the office of a district that never uploaded anything."""
    return Office(stage)


def everybody(office: Office) -> dict[tuple[str, str], Any]:
    """Return the families' items."""
    return office.items()


def held(office: Office, roster_set: RosterSet) -> str:
    """Upload a set that is held; return why. Nothing of the families may change."""
    before = everybody(office)
    report = office.upload(roster_set)
    assert everybody(office) == before
    assert report["status"] == "held"
    assert len(office.uploads()) == 1
    reason: str = report["reason"]
    (fault,) = [fault for fault in office.faults() if fault["code"] == f"held.{reason}"]
    assert fault["message"]
    return reason


# --- each limit, on both sides of it ---------------------------------------------------------


def without_students(roster_set: RosterSet, count: int) -> RosterSet:
    """Take students and all that refers to them out of a set."""
    for n in range(1, count + 1):
        student = f"s{n}"
        roster_set.remove("users.csv", student)
        roster_set.remove("demographics.csv", student)
        for file in ("enrollments.csv", "results.csv", "attendance.csv"):
            kept = [row for row in roster_set.files[file] if student not in row.values()]
            roster_set.files[file] = kept
    return roster_set


def test_a_bulk_set_that_drops_over_a_tenth_of_the_students_is_held(office: Office) -> None:
    office.upload(district(20))
    assert held(office, without_students(district(20), 3)) == "students-dropped"


def test_a_bulk_set_that_drops_a_tenth_is_applied(office: Office) -> None:
    office.upload(district(20))
    assert office.upload(without_students(district(20), 2))["status"] == "applied"
    assert roster.find_student("000001") == []


def test_a_bulk_set_that_drops_over_a_tenth_of_the_guardians_is_held(office: Office) -> None:
    office.upload(district(10))
    fewer = district(10)
    for n in (1, 2, 3):
        fewer.row("users.csv", f"s{n}")["agentSourcedIds"] = f"g{n}b"
        fewer.remove("users.csv", f"g{n}a")
    assert held(office, fewer) == "guardians-dropped"


def test_a_bulk_file_in_a_set_of_deltas_is_held_alike(office: Office) -> None:
    office.upload(district(20))
    fewer = without_students(district(20), 10)
    mixed = RosterSet(
        {"users.csv": fewer.files["users.csv"], "enrollments.csv": []},
        mode="delta",
        modes={"users.csv": "bulk"},
    )
    assert held(office, mixed) == "students-dropped"


def test_links_lost_by_many_guardians_are_held(office: Office) -> None:
    """As of a relationships.csv that was cut off: everybody is there, and nobody gets in."""
    office.upload(district(30, relationships=True))
    cut_off = district(30, relationships=True)
    cut_off.files["relationships.csv"] = cut_off.files["relationships.csv"][:-MANY]
    assert held(office, cut_off) == "guardians-dropped"


def test_links_lost_by_twenty_guardians_are_everyday(office: Office) -> None:
    office.upload(district(30, relationships=True))
    fewer = district(30, relationships=True)
    fewer.files["relationships.csv"] = fewer.files["relationships.csv"][: -(MANY - 1)]
    assert office.upload(fewer)["status"] == "applied"


def test_a_delta_may_remove_as_many_as_it_names(office: Office) -> None:
    office.upload(district(4))
    gone = [district(4).row("users.csv", f"s{n}") | {"status": "tobedeleted"} for n in (1, 2)]
    assert office.upload(delta(users=gone))["status"] == "applied"


def bad_rows(count: int) -> RosterSet:
    """Return a set of forty attendance rows of which some can't be used."""
    roster_set = district(40)
    for row in roster_set.files["attendance.csv"][:count]:
        row["date"] = "3/2/2026"
    return roster_set


def test_over_five_in_a_hundred_bad_rows_of_a_file_are_held(office: Office) -> None:
    assert held(office, bad_rows(3)) == "bad-rows"


def test_five_in_a_hundred_are_left_out_and_counted(office: Office) -> None:
    report = office.upload(bad_rows(2))
    assert report["status"] == "applied"
    assert report["files"]["attendance.csv"]["bad"] == 2
    assert report["errors"]["cell.date"] == 2


def with_addresses_changed(count: int, students: int) -> RosterSet:
    """Return a set in which some guardians have another address."""
    roster_set = district(students)
    for n in range(1, count + 1):
        roster_set.row("users.csv", f"g{n}a")["email"] = f"moved{n}@example.com"
    return roster_set


def test_new_addresses_for_many_guardians_are_held(office: Office) -> None:
    office.upload(district(30))
    assert held(office, with_addresses_changed(MANY, 30)) == "addresses-changed"


def test_twenty_new_addresses_are_everyday(office: Office) -> None:
    office.upload(district(30))
    assert office.upload(with_addresses_changed(MANY - 1, 30))["status"] == "applied"


def test_an_address_in_other_case_is_no_new_address(office: Office) -> None:
    office.upload(district(30))
    shouting = district(30)
    for n in range(1, 31):
        row = shouting.row("users.csv", f"g{n}a")
        row["email"] = row["email"].upper()
    assert office.upload(shouting)["status"] == "applied"


def with_one_address(count: int, students: int) -> RosterSet:
    """Return a set in which many guardians have the same address."""
    roster_set = district(students)
    for n in range(1, count + 1):
        roster_set.row("users.csv", f"g{n}a")["email"] = "office@example.com"
    return roster_set


def test_one_address_for_many_guardians_is_held(office: Office) -> None:
    assert held(office, with_one_address(MANY, MANY)) == "address-shared"


def test_twenty_guardians_may_share_an_address(office: Office) -> None:
    assert office.upload(with_one_address(MANY - 1, MANY))["status"] == "applied"


def test_a_shared_address_that_an_admin_approved_is_not_held_every_night(
    office: Office, invoke: Callable[[str, Any], Any]
) -> None:
    office.upload(with_one_address(MANY, MANY))
    invoke("approve_import", {"name": "nightly"})
    office.continue_imports()
    assert office.upload(with_one_address(MANY, MANY))["status"] == "applied"


def test_a_set_older_than_the_applied_one_is_held(office: Office) -> None:
    office.upload(district())
    row = district().row("users.csv", "s1")
    office.upload(delta(users=[row | {"dateLastModified": "2026-03-01T10:00:00.000Z"}]))
    older = row | {"givenName": "Old", "dateLastModified": "2026-02-01T10:00:00.000Z"}
    assert held(office, delta(users=[older])) == "older-than-applied"


def barred(count: int, students: int = 30) -> RosterSet:
    """Return a set with relationships that bar some guardians."""
    roster_set = district(students, relationships=True)
    for n in range(1, count + 1):
        row = roster_set.row("relationships.csv", f"rel-s{n}-g{n}a")
        row["portalAccess"] = "false"
    return roster_set


def test_access_for_many_who_were_denied_is_held(office: Office) -> None:
    office.upload(barred(MANY))
    assert held(office, barred(0)) == "access-granted"


def test_access_for_twenty_who_were_denied_is_given(office: Office) -> None:
    office.upload(barred(MANY - 1))
    assert office.upload(barred(0))["status"] == "applied"


# --- the yes -------------------------------------------------------------------------------------


@pytest.fixture
def approve(invoke: Callable[[str, Any], Any], office: Office) -> Callable[[], Any]:
    """Give a function that approves the held import and lets it run."""

    def run() -> Any:
        answer = invoke("approve_import", {"name": "nightly"})
        office.continue_imports()
        return answer

    return run


def test_a_set_over_another_district_is_held_until_it_is_approved(
    office: Office, approve: Callable[[], Any]
) -> None:
    office.upload(district(20))
    assert held(office, without_students(district(20), 10)) == "students-dropped"
    assert approve() == {"status": "approved", "name": "nightly"}
    assert office.report()["status"] == "applied"
    assert roster.find_student("000001") == []
    assert office.uploads() == []


def test_a_replaced_upload_is_not_what_was_approved(
    office: Office, clock: Any, approve: Callable[[], Any]
) -> None:
    office.upload(district(20))
    held(office, without_students(district(20), 10))
    before, waiting = everybody(office), office.report()
    clock.shift(MINUTE)
    replacement = office.put(without_students(district(20), 1))
    assert approve()["error"]["code"] == "changed-since"
    assert everybody(office) == before
    assert office.report() == waiting
    # The bucket's event of the replacement comes: it is judged on its own, without anybody's yes.
    office.announce(replacement)
    office.continue_imports()
    report = office.report()
    assert (report["status"], report["version_id"]) == ("applied", replacement)
    assert roster.find_student("000001") == []
    assert len(roster.find_student("000002")) == 1
    assert approve()["error"]["code"] == "superseded"
    assert len(roster.find_student("000010")) == 1


def test_a_yes_to_what_was_held_is_no_yes_to_what_replaced_it(
    office: Office, clock: Any, approve: Callable[[], Any]
) -> None:
    office.upload(district(20))
    held(office, without_students(district(20), 10))
    before = everybody(office)
    clock.shift(MINUTE)
    replacement = office.put(without_students(district(20), 5))
    assert approve()["error"]["code"] == "changed-since"
    office.announce(replacement)
    office.continue_imports()
    assert everybody(office) == before
    report = office.report()
    assert (report["status"], report["version_id"]) == ("held", replacement)
    assert approve() == {"status": "approved", "name": "nightly"}
    assert roster.find_student("000005") == []
    assert len(roster.find_student("000006")) == 1


def test_a_held_set_is_superseded_by_what_was_applied_meanwhile(
    office: Office, clock: Any, approve: Callable[[], Any]
) -> None:
    office.upload(district(20))
    held(office, without_students(district(20), 10))
    clock.shift(MINUTE)
    office.upload(district(20), "other")
    assert approve()["error"]["code"] == "superseded"
    assert len(roster.find_student("000001")) == 1


@pytest.mark.parametrize("name", ["nothing", "../nightly", ""])
def test_what_is_not_held_can_not_be_approved(
    office: Office, invoke: Callable[[str, Any], Any], name: str
) -> None:
    office.upload(district())
    code = invoke("approve_import", {"name": name})["error"]["code"]
    assert code in ("no-such-import", "invalid")


def test_approved_twice_it_is_applied_once(
    office: Office, invoke: Callable[[str, Any], Any]
) -> None:
    office.upload(district(20))
    held(office, without_students(district(20), 10))
    invoke("approve_import", {"name": "nightly"})
    assert invoke("approve_import", {"name": "nightly"})["error"]["code"] == "no-such-import"
    office.continue_imports()
    assert office.report()["status"] == "applied"


def test_an_approval_that_was_cut_off_is_taken_up_by_the_hourly_check(
    office: Office, invoke: Callable[[str, Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    office.upload(district(20))
    held(office, without_students(district(20), 10))
    with monkeypatch.context() as cut_off:
        cut_off.setattr(imports, "await_turn", killed)
        with pytest.raises(KeyboardInterrupt):
            invoke("approve_import", {"name": "nightly"})
    office.check()
    office.continue_imports()
    assert office.report()["status"] == "applied"


def killed(_: object) -> None:
    """Be where the function's process ends."""
    raise KeyboardInterrupt


def test_a_newer_held_set_of_the_same_name_takes_the_older_ones_place(
    office: Office, clock: Any, approve: Callable[[], Any]
) -> None:
    office.upload(district(20))
    held(office, without_students(district(20), 10))
    clock.shift(MINUTE)
    office.upload(without_students(district(20), 5))
    assert len(office.uploads()) == 1
    approve()
    assert roster.find_student("000005") == []
    assert len(roster.find_student("000006")) == 1


# --- the hourly check ------------------------------------------------------------------------------


def test_a_held_upload_is_deleted_after_fourteen_days(
    office: Office, clock: Any, approve: Callable[[], Any]
) -> None:
    office.upload(district(20))
    held(office, without_students(district(20), 10))
    clock.shift(14 * DAY - HOUR)
    office.check()
    assert len(office.uploads()) == 1
    clock.shift(2 * HOUR)
    office.check()
    assert office.uploads() == []
    report = office.report()
    assert (report["status"], report["reason"]) == ("rejected", "held.expired")
    assert approve()["error"]["code"] == "no-such-import"


def test_two_days_without_an_applied_set_are_noticed(
    office: Office, clock: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    office.check()
    office.upload(district())
    clock.shift(47 * HOUR)
    office.check()
    assert "roster-stale" not in capfd.readouterr().err
    clock.shift(2 * HOUR)
    office.check()
    assert "roster-stale" in capfd.readouterr().err


def test_an_import_whose_message_was_lost_is_taken_up_again(office: Office) -> None:
    office.announce(office.put(district()))
    office.messages()
    office.check()
    office.continue_imports()
    assert office.report()["status"] == "applied"


@pytest.mark.parametrize(
    ("status", "event"),
    [("held", "import-held"), ("rejected", "import-rejected"), ("applied", "import-applied")],
)
def test_the_log_line_that_the_alarm_waits_for(
    office: Office, status: str, event: str, capfd: pytest.CaptureFixture[str]
) -> None:
    sets = {"held": bad_rows(3), "rejected": b"no zip", "applied": district()}
    assert office.upload(sets[status])["status"] == status  # type: ignore[arg-type]
    lines = capfd.readouterr().err
    assert f'"event": "{event}"' in lines
    assert guardian_id("g1a") not in lines
    assert student_id("s1") not in lines
