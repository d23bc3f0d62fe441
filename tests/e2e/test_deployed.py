"""What is deployed, under the roles it is deployed with: each function does its work, none is refused.

The embedded AWS checks every call against the policy of the function's own role. The journey's many
branches are tested elsewhere; here each function of the template is called once as AWS calls it.
"""

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import sample_district
from local import SAMPLE_SEED, SAMPLE_STUDENTS, LocalStack, load_roster, read_report
from tests.e2e.conftest import DeployedClient, District, wait_for_mail

pytestmark = pytest.mark.e2e

USERNAME, PASSWORD = "deployed1", "blue42horses"


@pytest.fixture(scope="module")
def signed_in(stack: LocalStack, district: District) -> DeployedClient:
    """A guardian after the whole journey, from the roster file to the session."""
    portal = DeployedClient(stack)
    child, guardian = district.family.students[0], district.family.guardians[0]
    sent_before = len(stack.mails())
    asked = portal.post(
        "/activation-key",
        {"student_number": child.student_number, "ssn_last4": child.last_four},
    )
    assert asked.status == 202, asked.text
    mail = wait_for_mail(stack, str(guardian.email), after=sent_before)
    key = activation_key(mail)
    assert portal.post("/activate", {"activation_key": key}).json()["status"] == "valid"
    made = portal.post(
        "/create-account",
        {
            "activation_key": key,
            "username": USERNAME,
            "password": PASSWORD,
            "verify_password": PASSWORD,
        },
    )
    assert made.status == 201, made.text
    assert sign_in(portal).status == 200
    return portal


def activation_key(mail: dict[str, Any]) -> str:
    found = re.search(r"\b(?:[2-9A-HJKMNP-TV-Z]{4}-){3}[2-9A-HJKMNP-TV-Z]{4}\b", mail["BodyText"])
    assert found, mail
    return found[0]


def sign_in(portal: DeployedClient) -> Any:
    return portal.post("/sign-in", {"username": USERNAME, "password": PASSWORD})


def test_a_guardian_gets_from_the_roster_file_to_their_children(signed_in, district):
    expected = [child.student_number for child in district.family.students]
    students = signed_in.get("/students").json()
    assert sorted(one["student_number"] for one in students) == sorted(expected)
    assert signed_in.get("/", accept="text/html").status == 200
    assert signed_in.get("/session").status == 200


def test_a_family_sees_no_stage_in_the_address(portal):
    answer = portal.get("/students", accept="text/html")
    assert answer.status == 303
    assert answer.header("location") == "./sign-in?next=%2Fstudents"


def test_every_answer_of_an_unknown_path_is_ours(portal):
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        answer = portal.request(method, "/no/such/page", accept="text/html")
        assert answer.status in {404, 405, 415}, (method, answer.status)
        assert answer.header("strict-transport-security"), method


def test_no_admin_function_can_be_reached_through_the_portal(portal):
    for name in ("find_guardian", "delete_account", "send_mail", "api_handler"):
        assert portal.get(f"/{name}").status == 404


def test_an_upload_is_gone_once_it_is_applied(stack, district):
    versions = stack.client("s3").list_object_versions(Bucket=stack.bucket, Prefix="imports/")
    left = [one["Key"] for one in versions.get("Versions", [])]
    assert "imports/sample.zip" not in left


def test_the_clock_moves_at_once(signed_in, stack, clock):
    visitor = DeployedClient(stack)
    assert sign_in(visitor).status == 200
    clock(timedelta(minutes=31))
    assert visitor.get("/students").code == "sign-in-required"


def test_admins_find_a_guardian_by_each_of_the_four(signed_in, stack, district):
    child, guardian = district.family.students[0], district.family.guardians[0]
    for event in (
        {"email": guardian.email},
        {"student_number": child.student_number},
        {"username": USERNAME},
        {"name": guardian.family_name},
    ):
        answer = stack.invoke("find_guardian", event)
        accounts = [one["account"] for one in answer["guardians"]]
        assert USERNAME in [one["username"] for one in accounts if one], (event, answer)


def test_admins_issue_and_revoke_keys(stack, district, portal):
    other = next(
        (family, one)
        for family in district.families[1:]
        for one in family.guardians
        if one.portal_access and one.email
    )[1]
    (found,) = [
        one
        for one in stack.invoke("find_guardian", {"email": other.email})["guardians"]
        if one["name"].endswith(other.family_name) and other.given_name in one["name"]
    ]
    event = {"guardian_id": found["guardian_id"], "deliver": "return"}
    key = stack.invoke("issue_activation_key", event)["activation_key"]
    assert portal.post("/activate", {"activation_key": key}).status == 200

    sent = len(stack.mails())
    stack.invoke("issue_activation_key", {**event, "deliver": "mail"})
    mailed = activation_key(wait_for_mail(stack, str(other.email), after=sent))

    stack.invoke("revoke_activation_key", {"guardian_id": found["guardian_id"]})
    for dead in (key, mailed):
        answer = portal.post("/activate", {"activation_key": dead})
        assert answer.code == "activation-key-invalid"


def test_admins_end_sessions_of_one_and_of_all(signed_in, stack):
    for event in ({"username": USERNAME}, {"all": True}):
        visitor = DeployedClient(stack)
        sign_in(visitor)
        assert stack.invoke("end_sessions", event)["ended"] >= 1
        assert visitor.get("/students").code == "sign-in-required"


def test_admins_disable_and_enable_an_account(signed_in, stack):
    visitor = DeployedClient(stack)
    assert stack.invoke("disable_account", {"username": USERNAME})["state"] == "disabled"
    assert sign_in(visitor).code == "account-disabled"
    assert stack.invoke("enable_account", {"username": USERNAME})["state"] == "active"
    assert sign_in(visitor).status == 200


def test_admins_see_and_set_preferences(stack):
    before = stack.invoke("show_preferences", {})
    assert before["key_lifetime_days"] == 30
    assert stack.invoke("set_preferences", {"key_lifetime_days": 7})["key_lifetime_days"] == 7
    stack.invoke("set_preferences", {"key_lifetime_days": 30})
    assert stack.invoke("show_preferences", {}) == before


def test_a_held_import_waits_for_an_admin(stack, district, tmp_path):
    """Most of the district is missing, so nobody loses access until somebody says so."""
    zip_path = tmp_path / "part.zip"
    sample_district.write_district(zip_path, students=20, today=datetime.now(UTC).date())
    report = load_roster(stack, zip_path, "part")
    assert report["status"] == "held", report
    assert stack.invoke("approve_import", {"name": "no-such-import"})["error"]["code"]
    assert "error" not in stack.invoke("approve_import", {"name": "part"})
    assert load_report(stack, "part")["status"] == "applied"
    # The tests of other files need the families back.
    sample_district.write_district(
        zip_path,
        students=SAMPLE_STUDENTS,
        seed=SAMPLE_SEED,
        today=datetime.now(UTC).date(),
    )
    assert load_roster(stack, zip_path, "sample")["status"] == "applied"


def load_report(stack: LocalStack, name: str) -> dict[str, Any]:
    """Return the report once it no longer says that the import is held."""
    for _ in range(300):
        report = read_report(stack, name)
        if report and report["status"] != "held":
            return report
        time.sleep(0.2)
    raise AssertionError(f"{name} is still held")


def test_the_hourly_check_runs(stack):
    event = {
        "version": "0",
        "id": "check",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "000000000000",
        "time": "2026-11-24T12:00:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": {},
    }
    stack.invoke("check_imports", event)


def test_admins_delete_an_account(signed_in, stack):
    stack.invoke("delete_account", {"username": USERNAME})
    assert sign_in(DeployedClient(stack)).code == "sign-in-failed"
