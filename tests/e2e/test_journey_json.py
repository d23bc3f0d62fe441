"""The whole journey as a JSON client walks it, from roster files of three districts, in one year.

The tests stand in the order of that year and share one stage: the sample district comes first (its
import is killed half-way), changes, is put aside for the real one in OneRoster 1.1 and 1.2, and comes
back.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import local
import sample_district
from chalicelib import crypto
from local import LocalStack
from sample_district import SampleFamily
from tests.aws_stage import ROOT
from tests.e2e import journeys
from tests.e2e.journeys import Key, Seeker, get_in, items, of_the_roster, sees

pytestmark = pytest.mark.e2e

STUDENTS, SEED = 160, 1
REAL = ROOT.parent / "shared" / "roster" / "edfi-grandbend-derived"


# --- the stage and its districts ------------------------------------------------------------


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stage of this module's own, without a district."""
    with journeys.fresh_stack(tmp_path_factory.mktemp("journeys")) as started:
        yield started
        assert waiting_dead(started) == 0


def waiting_dead(stack: LocalStack) -> int:
    """Return how many messages of mails and imports nobody could work off."""
    sqs = stack.client("sqs")
    count = 0
    for url in sqs.list_queues()["QueueUrls"]:
        if "dead" in url:
            wanted = ["ApproximateNumberOfMessages"]
            told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=wanted)["Attributes"]
            count += int(told["ApproximateNumberOfMessages"])
    return count


@pytest.fixture(scope="module")
def today() -> date:
    return datetime.now(UTC).date()


@pytest.fixture(scope="module")
def families() -> list[SampleFamily]:
    return list(sample_district.families(students=STUDENTS, seed=SEED))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, today: date) -> Path:
    """The sample district as a zip."""
    path = tmp_path_factory.mktemp("sets") / "whole.zip"
    sample_district.write_district(path, students=STUDENTS, seed=SEED, today=today)
    return path


@pytest.fixture(scope="module")
def killed(office: LocalStack, whole: Path) -> dict[str, Any]:
    """The sample district's first import, whose function is killed half-way; its report."""
    with whole.open("rb") as body:
        office.client("s3").put_object(Bucket=office.bucket, Key="imports/sis.zip", Body=body)
    kill_while_applying(office)
    assert local.read_report(office, "sis") is None
    # Who was killed keeps the place for a while; then the hourly check finds the import.
    office.move_clock(timedelta(minutes=17))
    office.invoke("check_imports", hourly())
    report = journeys.wait_for_status(office, "sis")
    office.move_clock(timedelta())
    return report


def kill_while_applying(stack: LocalStack) -> None:
    """Kill `continue_import` as Lambda's timeout would, between the first chunk and the last."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        running = [
            item
            for item in notes(stack)
            if item.get("step", {}).get("S") == "applying" and int(item["chunk"]["N"]) >= 1
        ]
        if running:
            assert int(running[0]["chunk"]["N"]) < int(running[0]["chunks"]["N"])
            (pid,) = workers(stack, "continue_import")
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.02)
    raise AssertionError("the import never applied a chunk")


def notes(stack: LocalStack) -> list[Any]:
    """Return what is noted of the uploads that aren't through."""
    dynamodb = stack.client("dynamodb")
    found = []
    for sk in ("current",):
        key = {"pk": {"S": "imports"}, "sk": {"S": sk}}
        current = dynamodb.get_item(TableName=journeys.ROSTER_TABLE, Key=key).get("Item")
        if current:
            key = {"pk": {"S": f"import#{current['import_id']['S']}"}, "sk": {"S": "state"}}
            item = dynamodb.get_item(TableName=journeys.ROSTER_TABLE, Key=key).get("Item")
            found += [item] if item else []
    return found


def workers(stack: LocalStack, function: str) -> list[int]:
    """Return the processes of a function; each belongs to this stack."""
    assert stack.process is not None
    listed = subprocess.run(
        ["ps", "-eww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    lines = [line.split(None, 2) for line in listed]
    return [
        int(pid)
        for pid, parent, command in lines
        if int(parent) == stack.process.pid and f"parent-portal-local-{function}" in command
    ]


def hourly() -> dict[str, Any]:
    """Return the event of a schedule."""
    names = ("id", "account", "region", "time", "source")
    event: dict[str, Any] = dict.fromkeys(names, "test")
    return event | {"version": "0", "detail-type": "Scheduled", "resources": [], "detail": {}}


@pytest.fixture(scope="module")
def first(office: LocalStack, killed: dict[str, Any]) -> dict[Key, Any]:
    """What the sample district's first import left in the table."""
    assert killed["status"] == "applied", killed
    return items(office)


def seeker(families: list[SampleFamily], guardian: str) -> Seeker:
    """Return a guardian of the sample, by id, as they come to the portal."""
    family, one = next((f, g) for f in families for g in f.guardians if g.sourced_id == guardian)
    children = family.students_of(one)
    known = next(child for child in children if child.last_four)
    return Seeker(
        number=known.student_number,
        last4=str(known.last_four),
        email=one.email,
        family_name=one.family_name,
        children=tuple(child.student_number for child in children),
    )


def student_pk(sourced_id: str) -> str:
    return f"student#{crypto.opaque_id('student', sourced_id)}"


def guardian_pk(sourced_id: str) -> str:
    return f"guardian#{crypto.opaque_id('guardian', sourced_id)}"


# --- the sample district --------------------------------------------------------------------


def test_an_import_killed_half_way_ends_with_every_family(office, killed, first, families):
    assert killed["status"] == "applied"
    kinds = [(pk.split("#")[0], sk) for pk, sk in first]
    assert kinds.count(("student", "profile")) == STUDENTS
    assert kinds.count(("student", "summary")) == STUDENTS
    assert kinds.count(("student", "record")) == STUDENTS
    links = [key for key in first if key[0][:9] == "guardian#" and key[1][:8] == "student#"]
    expected = sum(link.portal_access for family in families for link in family.links)
    assert len(links) == expected


def test_the_same_zip_again_writes_nothing(office, first, whole):
    report = local.load_roster(office, whole, "sis-again")
    assert report["status"] == "applied"
    for file, counts in report["files"].items():
        assert counts["unchanged"] > 0, file
        assert {counts[what] for what in ("added", "changed", "removed", "bad")} == {0}, file
    assert items(office) == first


def test_a_guardian_with_an_address_gets_a_key_by_mail_and_gets_in(office, first, families):
    grace = seeker(families, "G000000-1")
    portal = get_in(office, journeys.mailed_key(office, grace), "grace1")
    assert sees(portal) == set(grace.children)
    assert len(grace.children) == 2
    # Made: the guardian is told, and asking again brings a mail that says so instead of a key.
    before = len(office.mails())
    journeys.ask_for_key(office, grace)
    mail = journeys.wait_for_mail(office, str(grace.email), after=before)
    assert "grace1" in mail["BodyText"]


def test_a_guardian_without_one_is_answered_alike_and_gets_in_with_a_key_from_school(
    office, first, families
):
    nobody = seeker(families, "G000005-1")
    assert nobody.email is None
    with_address = seeker(families, "G000012-1")
    before = len(journeys.mailed_keys(office))
    answer = journeys.ask_for_key(office, nobody)
    journeys.wait_until_mail_is_worked_off(office, put_off=True)
    sent = len(office.mails())
    assert answer == journeys.ask_for_key(office, with_address)
    journeys.wait_for_mail(office, str(with_address.email), after=sent)
    assert len(journeys.mailed_keys(office)) == before + 1

    guardian = journeys.found(office, nobody, student_number=nobody.number)
    portal = get_in(office, journeys.returned_key(office, guardian), "nobody1")
    assert sees(portal) == set(nobody.children)
    assert portal.get("/session").status == 200


def test_admins_find_a_guardian_by_each_of_four_ways(office, first, families):
    grace = seeker(families, "G000000-1")
    ways = [
        {"email": str(grace.email)},
        {"student_number": grace.number},
        {"username": "grace1"},
        {"name": grace.family_name},
    ]
    for event in ways:
        one = journeys.found(office, grace, **event)
        assert one["account"]["username"] == "grace1", event


def test_admins_shut_open_and_remove_an_account(office, first, families):
    two = seeker(families, "G000001-2")
    guardian = journeys.found(office, two, email=str(two.email))
    portal = get_in(office, journeys.returned_key(office, guardian), "parent2")
    event = {"username": "parent2"}
    assert office.invoke("end_sessions", event)["ended"] == 1
    assert portal.get("/students").code == "sign-in-required"
    journeys.sign_in(portal, "parent2")
    assert office.invoke("disable_account", event)["state"] == "disabled"
    assert portal.get("/students").code == "sign-in-required"
    assert journeys.sign_in(portal, "parent2").code == "account-disabled"
    assert office.invoke("enable_account", event)["state"] == "active"
    assert journeys.sign_in(portal, "parent2").status == 200
    office.invoke("delete_account", event)
    assert portal.get("/students").code == "sign-in-required"
    assert journeys.sign_in(journeys.visitor(office), "parent2").code == "sign-in-failed"
    # The next key makes another account.
    get_in(office, journeys.returned_key(office, guardian), "parent2")


def test_a_delta_changes_only_what_it_names(office, first, families, today, tmp_path):
    before = items(office)
    path = tmp_path / "delta.zip"
    sample_district.write_delta(
        path,
        students=STUDENTS,
        seed=SEED,
        today=today,
        addresses={"G000010-1": "new.address@example.com"},
        scores={"S000002-1": 91.0},
        absences=["S000003-1"],
    )
    report = local.load_roster(office, path, "delta")
    assert (report["status"], report["mode"]) == ("applied", "delta")
    changed = {
        file: (counts["added"], counts["changed"], counts["removed"])
        for file, counts in report["files"].items()
        if counts["added"] or counts["changed"] or counts["removed"]
    }
    assert changed == {
        "users.csv": (0, 1, 0),
        "lineItems.csv": (1, 0, 0),
        "results.csv": (1, 0, 0),
        "attendance.csv": (1, 0, 0),
    }
    places = {(pk, sk.split("#")[0]) for pk, sk in journeys.differing(before, items(office))}
    # Home shows the five newest grades; on a day with posted grades the test isn't one of them. The
    # record says of a year only whether there was any absence.
    may = {(student_pk("S000002-1"), "summary"), (student_pk("S000003-1"), "record")}
    assert places - may == {
        (guardian_pk("G000010-1"), "profile"),
        (guardian_pk("G000010-1"), "access"),
        (student_pk("S000002-1"), "grade"),
        (student_pk("S000002-1"), "record"),
        (student_pk("S000003-1"), "attendance"),
        (student_pk("S000003-1"), "summary"),
    }
    # No account, no mail to the old address or the new one.
    journeys.wait_until_mail_is_worked_off(office, put_off=True)
    addresses = ("eva.oster10@example.com", "new.address@example.com")
    assert [mail for mail in office.mails() if {*addresses} & {*mail["To"]}] == []


def test_the_old_address_of_an_account_is_told_that_the_roster_changed_it(
    office, first, families, today, tmp_path
):
    path = tmp_path / "moved.zip"
    moved = {"G000000-1": "grace.new@example.com"}
    mails = len(office.mails())
    sample_district.write_delta(path, students=STUDENTS, seed=SEED, today=today, addresses=moved)
    assert local.load_roster(office, path, "moved")["status"] == "applied"
    journeys.wait_for_mail(office, "grace.carter@example.com", after=mails)
    (one,) = office.invoke("find_guardian", {"username": "grace1"})["guardians"]
    assert one["email"] == "grace.new@example.com"
    assert journeys.sign_in(journeys.visitor(office), "grace1").status == 200


def test_a_night_without_relationships_lets_no_barred_parent_in(
    office, first, families, today, tmp_path
):
    """The guardian miles (G000006-2) is named by the student's agents, and barred by the file."""
    links = {key for key in items(office) if "#" in key[1] and key[0].startswith("guardian#")}
    assert guardian_pk("G000006-2") not in {pk for pk, _ in links}
    path = tmp_path / "night.zip"
    how = {"students": STUDENTS, "seed": SEED, "today": today, "with_relationships": False}
    sample_district.write_district(path, **how, mode="delta")
    assert local.load_roster(office, path, "night")["status"] == "applied"
    after = {key for key in items(office) if "#" in key[1] and key[0].startswith("guardian#")}
    assert after == links

    sample_district.write_district(path, **how)
    before = items(office)
    report = local.load_roster(office, path, "night")
    assert (report["status"], report["reason"]) == ("held", "relationships-missing")
    assert any(
        row["code"] == "held.relationships-missing" for row in journeys.faults(office, "night")
    )
    assert items(office) == before


def test_a_bad_set_between_changes_nothing_and_the_first_set_again_is_the_end(
    office, first, whole, tmp_path
):
    """A, a bad B, then A again: under one name, as a nightly export would."""
    assert local.load_roster(office, whole, "nightly")["status"] == "applied"
    a = of_the_roster(items(office))
    bad = tmp_path / "bad.zip"
    bad.write_bytes(whole.read_bytes()[:-100])
    report = local.load_roster(office, bad, "nightly")
    assert (report["status"], report["files"]) == ("rejected", {})
    assert of_the_roster(items(office)) == a
    report = local.load_roster(office, whole, "nightly")
    assert report["status"] == "applied"
    assert all(counts["changed"] == 0 for counts in report["files"].values())
    assert of_the_roster(items(office)) == a
    uploads = office.client("s3").list_object_versions(Bucket=office.bucket, Prefix="imports/night")
    assert [one["Key"] for one in uploads.get("Versions", [])] == ["imports/night.zip"]  # held


# --- the real district over it --------------------------------------------------------------


@pytest.fixture(scope="module")
def real_1_1() -> Path:
    path = REAL / "grandbend-v1p1-attendance.zip"
    if not path.is_file():
        pytest.skip("the shared folder with real rosters isn't beside the project")
    return path


@pytest.fixture(scope="module")
def real_1_2() -> Path:
    path = REAL / "grandbend-v1p2-attendance.zip"
    if not path.is_file():
        pytest.skip("the shared folder with real rosters isn't beside the project")
    return path


@pytest.fixture(scope="module")
def on_1_1(office: LocalStack, first: Any, real_1_1: Path) -> list[Seeker]:
    """The real district in 1.1, approved over the sample; the guardians who can find themselves."""
    assert local.load_roster(office, real_1_1, "real")["status"] == "held"
    assert journeys.approved(office, "real")["status"] == "applied"
    return journeys.seekers(real_1_1)


@pytest.fixture(scope="module")
def on_1_2(office: LocalStack, on_1_1: Any, real_1_2: Path) -> dict[str, Any]:
    """The report of the real district in 1.2 over itself."""
    return local.load_roster(office, real_1_2, "real-1-2")


def test_another_district_is_held_and_the_report_says_why(office, first, real_1_1):
    before = items(office)
    report = local.load_roster(office, real_1_1, "other")
    assert (report["status"], report["reason"]) == ("held", "relationships-missing")
    told = [row for row in journeys.faults(office, "other") if row["code"].startswith("held.")]
    assert {"held.students-dropped", "held.guardians-dropped"} <= {row["code"] for row in told}
    assert all(row["message"] for row in told)
    assert items(office) == before


def test_approving_what_is_gone_or_replaced_or_late_is_refused(
    office, first, real_1_1, today, tmp_path
):
    s3 = office.client("s3")
    before = of_the_roster(items(office))
    assert local.load_roster(office, real_1_1, "gone")["status"] == "held"
    s3.delete_object(Bucket=office.bucket, Key="imports/gone.zip")
    assert approve_code(office, "gone") == "changed-since"

    assert local.load_roster(office, real_1_1, "late")["status"] == "held"
    path = tmp_path / "newer.zip"
    sample_district.write_delta(
        path, students=STUDENTS, seed=SEED, today=today, absences=["S000004-1"]
    )
    assert local.load_roster(office, path, "newer")["status"] == "applied"
    assert approve_code(office, "late") == "superseded"
    assert approve_code(office, "never") == "no-such-import"
    changed = journeys.differing(before, of_the_roster(items(office)))
    assert {pk for pk, _ in changed} == {student_pk("S000004-1")}


def approve_code(stack: LocalStack, name: str) -> str:
    return str(stack.invoke("approve_import", {"name": name})["error"]["code"])


def test_an_approved_district_takes_the_place_of_the_one_before(office, on_1_1):
    kinds = [(pk.split("#")[0], sk) for pk, sk in items(office)]
    assert kinds.count(("student", "profile")) == 960
    # Grace's children aren't in this district: she gets in and sees nobody.
    grace = journeys.visitor(office)
    assert journeys.sign_in(grace, "grace1").status == 200
    assert sees(grace) == set()


def test_a_real_guardian_gets_in_on_1_1(office, on_1_1):
    one = next(seeker for seeker in on_1_1 if seeker.email)
    portal = get_in(office, journeys.mailed_key(office, one), "real11")
    assert sees(portal) == set(one.children)
    for event in (
        {"email": str(one.email)},
        {"student_number": one.number},
        {"username": "real11"},
        {"name": one.family_name},
    ):
        assert journeys.found(office, one, **event)["account"]["username"] == "real11"


def test_a_real_guardian_without_address_gets_in_on_1_1(office, on_1_1):
    without_address_gets_in(office, on_1_1, 0, "school11")


def without_address_gets_in(
    stack: LocalStack, people: list[Seeker], place: int, username: str
) -> None:
    one = [seeker for seeker in people if not seeker.email][place]
    before = len(journeys.mailed_keys(stack))
    status, answer = journeys.ask_for_key(stack, one)
    assert (status, answer["status"]) == (202, "accepted")
    journeys.wait_until_mail_is_worked_off(stack, put_off=True)
    assert len(journeys.mailed_keys(stack)) == before
    guardian = journeys.found(stack, one, student_number=one.number)
    portal = get_in(stack, journeys.returned_key(stack, guardian), username)
    assert sees(portal) == set(one.children)


def test_the_same_district_in_1_2_keeps_its_families_and_accounts(office, on_1_2, on_1_1):
    assert (on_1_2["status"], on_1_2["oneroster"]) == ("applied", "1.2")
    one = next(seeker for seeker in on_1_1 if seeker.email)
    portal = journeys.visitor(office)
    assert journeys.sign_in(portal, "real11").status == 200
    assert sees(portal) == set(one.children)


def test_a_real_guardian_gets_in_on_1_2(office, on_1_2, real_1_2):
    people = journeys.seekers(real_1_2)
    one = [seeker for seeker in people if seeker.email][1]
    portal = get_in(office, journeys.mailed_key(office, one), "real12")
    assert sees(portal) == set(one.children)
    without_address_gets_in(office, people, 1, "school12")


# --- and back -------------------------------------------------------------------------------


def test_the_killed_import_left_what_an_undisturbed_one_leaves(office, first, on_1_2, whole):
    """The sample comes back over the real district, written whole and without disturbance."""
    assert local.load_roster(office, whole, "back")["status"] == "held"
    assert journeys.approved(office, "back")["status"] == "applied"
    changed = journeys.differing(of_the_roster(first), of_the_roster(items(office)))
    # Attendance covers only what it names: the two absences of the year's deltas stay.
    assert {(pk, sk.split("#")[0]) for pk, sk in changed} == {
        (student_pk(absent), what)
        for absent in ("S000003-1", "S000004-1")
        for what in ("attendance", "summary")
    }
    grace = journeys.visitor(office)
    assert journeys.sign_in(grace, "grace1").status == 200
    assert len(sees(grace)) == 2
