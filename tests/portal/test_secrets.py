"""Where secrets are and aren't: everything that a journey writes is searched; sessions; rotation.

The values searched for occur nowhere else, so a find is a leak.
"""

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from typing import Any

import botocore.client
import pytest
import time_machine
from botocore.exceptions import EndpointConnectionError

from chalicelib import clock, crypto, policy, settings
from chalicelib.domain import addresses
from chalicelib.storage import accounts, aws, counters, district, roster
from tests import aws_stage, factories
from tests.conftest import SentMail, forget_caches
from tests.portal_client import HTML, JSON, Answer, PortalClient
from tests.roster_sets import Office
from tests.roster_sets import district as roster_set

Visitors = Callable[[], PortalClient]
Mailbox = Callable[[], list[SentMail]]
Invoke = Callable[[str, Any], Any]
NOON = "2026-03-02T17:00:00+00:00"


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def queued(stage: object, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the bodies of all messages that any queue gets from now on."""
    bodies: list[str] = []
    make = botocore.client.BaseClient._make_api_call

    def record(client: Any, operation: str, parameters: Any) -> Any:
        if operation == "SendMessage":
            bodies.append(parameters["MessageBody"])
        return make(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", record)
    return bodies


def stands_in(secret: str, text: str) -> bool:
    """Whether a secret stands in a text; four digits within a hash are none."""
    return bool(re.search(rf"(?<![\w-]){re.escape(secret)}(?![\w-])", text))


# --- everything is searched (S7, S22, S31, S54, S69, S74, S88) --------------------

LAST4, SSN, PASSWORD, WRONG = "7349", "219-09-9417", "quixotic Zebra 88", "nearly Zebra 8!"
# A password typed into the wrong field.
SLIPPED = "slipped Zebra 99"
ADDRESS, GIVEN, FAMILY, CHILD = "zanzibar@example.com", "Zanzibarbara", "Quuxworthy", "Xylophonia"


def test_a_whole_journey_leaves_no_secret_anywhere(
    new_visitor: Visitors,
    mailbox: Mailbox,
    invoke: Invoke,
    *,
    queued: list[str],
    stage: aws_stage.AwsStage,
    capfd: pytest.CaptureFixture[str],
) -> None:
    office, portal = Office(stage), new_visitor()
    families = roster_set()
    families.row("users.csv", "s1").update({"metadata.ssnLast4": LAST4, "givenName": CHILD})
    parent = {"email": ADDRESS, "givenName": GIVEN, "familyName": FAMILY}
    families.row("users.csv", "g1a").update(parent)
    assert office.upload(families)["status"] == "applied"

    answers: list[Answer] = []

    def post(path: str, **fields: str) -> Answer:
        answers.extend(portal.post(path, fields, accept=a, form=a == HTML) for a in (HTML, JSON))
        return answers[-1]

    assert post("/activation-key", student_number="000001", ssn_last4=LAST4).status == 202
    mails = mailbox()
    key = next(str(one.activation_key) for one in mails if one.recipient == ADDRESS)
    assert post("/activation-key", student_number="000001", ssn_last4="").status == 422
    assert post("/activate", activation_key=key).status == 200
    name = {"username": "Zanzi88", "password": PASSWORD}
    made = post("/create-account", activation_key=key, **name, verify_password=PASSWORD)
    assert made.status == 201
    mailbox()
    for _ in range(2):
        assert post("/sign-in", username="Zanzi88", password=WRONG).status == 401
    assert post("/sign-in", username=SLIPPED, password=WRONG).status == 401
    assert post("/sign-in", **name).status == 200
    session = portal.cookies["session"]
    answers.extend(portal.get(path, accept=a) for path in ("/", "/students") for a in (HTML, JSON))
    told = [
        invoke("find_guardian", {"email": ADDRESS}),
        invoke("end_sessions", {"all": True}),
        invoke("disable_account", {"username": "zanzi88"}),
        invoke("show_preferences", {}),
    ]
    families.row("users.csv", "s2")["metadata.ssnLast4"] = SSN
    assert office.upload(families, "second")["status"] == "rejected"

    stored, logged, queues = office.everything_stored(), capfd.readouterr(), "\n".join(queued)
    symbols = key.replace("-", "")
    secret = aws_stage.client("secretsmanager").get_secret_value(SecretId=settings.hash_secret_id())
    nowhere = (key, symbols, session, PASSWORD, WRONG, SSN, secret["SecretString"])
    for place in (stored, queues, logged.err, logged.out):
        assert [one for one in (*nowhere, SLIPPED) if one in place] == []
        assert not stands_in(LAST4, place)
    # Who somebody is stays in the tables and mails; nobody's log or queue tells it.
    for personal in (ADDRESS, GIVEN, FAMILY, CHILD, "zanzi88", "Zanzi88"):
        assert personal not in logged.err + logged.out, personal
        # A mail's message names the account, and the address that an event is told to.
        assert personal in ("zanzi88", ADDRESS) or personal not in queues, personal
    # The form that goes on with the key holds it, and no other answer anything.
    said = [answer.text for answer in answers if key not in answer.text]
    assert len(answers) - len(said) == 1
    text = "\n".join(said) + json.dumps(told)
    assert [one for one in (*nowhere, "argon2") if one in text] == []
    assert not stands_in(LAST4, text)
    assert not stands_in(LAST4, "".join(one.html for one in mails))
    report = json.dumps([office.report(), office.report("second"), office.faults("second")])
    assert not [one for one in (SSN, LAST4, ADDRESS, GIVEN, FAMILY, CHILD) if one in report]


def test_two_students_with_equal_digits_have_different_values(stage: object) -> None:
    stored = []
    for number in ("001", "002"):
        factories.student(number=number, last4="7349")
        (found,) = roster.find_student(number)
        stored.append(found.last4)
    assert len(set(stored)) == 2


@pytest.mark.parametrize("path", ["/activate", "/create-account", "/sign-in", "/sign-out"])
def test_the_last_four_digits_open_nothing_else(new_visitor: Visitors, path: str) -> None:
    who = factories.account(factories.family())
    plain = {"activation_key": "x", "username": who.username, "password": "wrong 1"}
    answers = [new_visitor().post(path, {**plain, **more}) for more in ({}, {"ssn_last4": "4321"})]
    assert answers[0].status == answers[1].status
    assert answers[0].text == answers[1].text


# --- what bad keys and lookups are told (S5, S10) ----------------------------------


@pytest.mark.parametrize("accept", [JSON, HTML])
def test_activate_answers_every_bad_key_alike(
    new_visitor: Visitors, monday: Any, invoke: Invoke, accept: str
) -> None:
    used_by, revoked_of = factories.family(), factories.family()
    used = factories.activation_key(used_by)
    revoked, expired = factories.activation_key(revoked_of), "22222222"
    fields = {"username": "Used1", "password": factories.PASSWORD}
    create = {"activation_key": used, **fields, "verify_password": factories.PASSWORD}
    assert new_visitor().post("/create-account", create).status == 201
    invoke("revoke_activation_key", {"guardian_id": revoked_of.guardian_id})
    expired = factories.activation_key(factories.family())
    monday.shift(31 * 86_400)
    unknown = crypto.new_activation_key()
    bad = [used, revoked, expired, unknown, unknown[:-1] + "Z" * (unknown[-1] != "Z") + "2"]
    said = set()
    for place, key in enumerate(bad):
        answer = new_visitor().post(
            "/activate", {"activation_key": key}, accept=accept, ip=f"198.51.100.{place}",
            form=accept == HTML,
        )  # fmt: skip
        without_what_was_typed = answer.text.replace(key, "").replace(key.lower(), "")
        form_id = re.compile(r'(name="form_id" value=")[^"]*|value="[^"]*"( name="form_id")')
        said.add((answer.status, form_id.sub("", without_what_was_typed)))
    assert len(said) == 1
    assert next(iter(said))[0] == 422


def test_lookups_past_the_limit_are_the_same_bytes_for_right_wrong_and_nobody(
    new_visitor: Visitors, mailbox: Mailbox
) -> None:
    factories.guardian(factories.student(number="007", last4="4321"))
    factories.guardian(factories.student(number="008", last4="4321"))
    ends = []
    for number, last4 in (("007", "4321"), ("008", "0000"), ("999", "4321")):
        asked = {"student_number": number, "ssn_last4": last4}
        answers = [
            new_visitor().post("/activation-key", asked, ip=f"192.0.2.{i}") for i in range(11)
        ]
        assert [answer.status for answer in answers] == [202] * 10 + [429]
        ends.append(answers[-1])
    assert ends[0] == ends[1] == ends[2]
    mailbox()
    right = {"student_number": "008", "ssn_last4": "4321"}
    assert new_visitor().post("/activation-key", right, ip="192.0.2.99").status == 429
    assert mailbox() == []


# --- one key, one account (S2, S3) --------------------------------------------------


def test_fifty_uses_of_one_key_at_once_from_one_ip_make_one_account(
    new_visitor: Visitors,
) -> None:
    key = factories.activation_key(factories.family())

    def use(place: int) -> int:
        name = {"activation_key": key, "username": f"Rosa{place}", "password": factories.PASSWORD}
        fields = {**name, "verify_password": factories.PASSWORD}
        return new_visitor().post("/create-account", fields).status

    with ThreadPoolExecutor(10) as pool:
        statuses = sorted(pool.map(use, range(50)))
    assert statuses[0] == 201
    assert set(statuses[1:]) <= {422, 429}
    assert sum(accounts.read_account(f"rosa{i}") is not None for i in range(50)) == 1


@pytest.mark.parametrize("ending", ["account", "revoked", "deleted"])
def test_keys_end_though_no_index_finds_them(
    new_visitor: Visitors, invoke: Invoke, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    guardian = factories.family()
    first, second = (factories.activation_key(guardian) for _ in range(2))
    make = botocore.client.BaseClient._make_api_call

    def blind(client: Any, operation: str, parameters: Any) -> Any:
        if operation == "Query" and "IndexName" in parameters:
            return {"Items": [], "Count": 0, "ScannedCount": 0}
        return make(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", blind)
    name = {"activation_key": first, "username": "Rosa1", "password": factories.PASSWORD}
    if ending == "revoked":
        assert invoke("revoke_activation_key", {"guardian_id": guardian.guardian_id}) == {
            "revoked": 0
        }
    else:
        made = {**name, "verify_password": factories.PASSWORD}
        assert new_visitor().post("/create-account", made).status == 201
    if ending == "deleted":
        assert invoke("delete_account", {"username": "Rosa1"})["state"] == "none"
    assert new_visitor().post("/activate", {"activation_key": second}).status == 422


# --- no session for who may not (S24, S30, S35) -------------------------------------


def shut(how: str) -> None:
    """Disable an account, or lock it out until tomorrow as the guide's rule does."""
    account = accounts.read_account("rosa1")
    assert account is not None
    if how == "locked":
        now, preferences = datetime.now(UTC), district.preferences()
        counters.lock(
            addresses.hashes(account.email or "")[0],
            day=preferences.day(now).isoformat(),
            until=preferences.next_midnight(now),
            now=now,
        )
    else:
        accounts.set_state(account, how)


@pytest.mark.parametrize("how", ["disabled", "reset-required", "locked"])
def test_a_shut_account_answers_a_wrong_password_as_a_name_that_nobody_has(
    new_visitor: Visitors, aws_calls: list[Any], how: str
) -> None:
    factories.account(factories.family())
    shut(how)
    district.preferences()
    answers, traces = [], []
    for name in ("Rosa1", "Nobody1"):
        aws_calls.clear()
        wrong = {"username": name, "password": "wrong 1"}
        answers.append(new_visitor().post("/sign-in", wrong))
        traces.append(list(aws_calls))
    assert answers[0] == answers[1]
    assert traces[0] == traces[1]


@pytest.mark.parametrize("how", ["disabled", "reset-required", "locked"])
def test_a_shut_account_gets_no_session(new_visitor: Visitors, how: str) -> None:
    who = factories.account(factories.family())
    browser = factories.signed_in(new_visitor, who)
    shut(how)
    if how != "locked":
        # A lockout leaves open sessions alone (contract: it shuts signing in).
        assert browser.get("/").status == 401
    right = {"username": who.username, "password": who.password}
    answer = new_visitor().post("/sign-in", right)
    assert answer.status == 403
    assert "set-cookie" not in answer.headers


def test_an_expired_lockout_needs_no_tidying(new_visitor: Visitors, monday: Any) -> None:
    who = factories.account(factories.family())
    shut("locked")
    right = {"username": who.username, "password": who.password}
    refused = new_visitor().post("/sign-in", right)
    assert (refused.code, bool(refused.json()["locked_until"])) == ("locked-out", True)
    monday.move_to("2026-03-03T05:00:00+00:00")
    forget_caches()
    assert new_visitor().post("/sign-in", right).status == 200


# --- sessions (S33, S36, S37, S58) ----------------------------------------------------


def test_the_oldest_session_ends_where_one_more_begins_than_an_account_may_have(
    new_visitor: Visitors, monday: Any
) -> None:
    who = factories.account(factories.family())
    browsers = []
    for _ in range(policy.SESSIONS_PER_ACCOUNT):
        browsers.append(factories.signed_in(new_visitor, who))
        monday.shift(1)
    assert browsers[0].get("/").status == 200
    factories.signed_in(new_visitor, who)
    assert [browser.get("/").status for browser in browsers[:3]] == [401, 200, 200]


def test_the_end_of_a_session_does_not_wait_for_its_item_to_go(
    new_visitor: Visitors, monday: Any
) -> None:
    browser = factories.signed_in(new_visitor, factories.account(factories.family()))
    monday.shift(30 * 60)
    table = settings.name("sessions")
    assert aws_stage.client("dynamodb").scan(TableName=table)["Count"] == 1
    assert browser.get("/").status == 401
    assert browser.get("/session").status == 401


@pytest.mark.parametrize(
    ("of_stage", "prefix"), [("local", ""), ("prod", "__Host-")], ids=["local", "prod"]
)
def test_every_cookie_of_the_journey_is_bound_to_the_host_and_out_of_scripts_reach(
    new_visitor: Visitors, monkeypatch: pytest.MonkeyPatch, of_stage: str, prefix: str
) -> None:
    who = factories.account(factories.family())
    monkeypatch.setattr(settings, "STAGE", of_stage)
    visitor = new_visitor()
    right = {"username": who.username, "password": who.password}
    answers = [
        visitor.get("/sign-in?lang=es", accept=HTML),
        visitor.post("/sign-in", right),
        visitor.get("/", accept=HTML),
        visitor.post("/sign-out"),
    ]
    lines = [line for answer in answers for line in answer.headers.get("set-cookie", [])]
    names = set()
    for line in lines:
        ((name, morsel),) = SimpleCookie(line).items()
        # A device's cookie is named after the account, so that two parents may share a computer.
        names.add(re.sub(r"device-.{10}$", "device", name))
        assert morsel["httponly"] is True
        assert morsel["samesite"] == "Lax"
        assert morsel["path"] == "/"
        assert morsel["domain"] == ""
        assert bool(morsel["secure"]) is (of_stage == "prod")
    assert names == {f"{prefix}{name}" for name in ("lang", "session", "arrived", "device")}


def test_no_get_changes_anything_but_when_a_session_was_last_seen(
    new_visitor: Visitors, monday: Any, portal_app: Any
) -> None:
    browser = factories.signed_in(new_visitor, factories.account(factories.family()))

    def tables() -> str:
        client = aws_stage.client("dynamodb")
        rows = [
            item
            for name in client.list_tables()["TableNames"]
            for item in client.scan(TableName=name)["Items"]
        ]
        for row in rows:
            row.pop("last_seen", None)
        return json.dumps(sorted(map(json.dumps, rows)))

    before = tables()
    gets = [path for path, methods in portal_app.routes.items() if "GET" in methods]
    assert len(gets) >= 10
    for path in gets:
        monday.shift(1)
        for query in ("", "?token=x&username=Rosa1&activation_key=x&state=active"):
            asked = path.replace("{name}", "x").replace("{code}", "x").replace("{proxy+}", "x")
            assert browser.get(asked + query).status in (200, 404)
            # 303: a mailed link's token moves out of the address.
            assert browser.get(asked + query, accept=HTML).status in (200, 303, 404)
    assert tables() == before


# --- the hashing secret is rotated (S11, S85) -------------------------------------------


def rotate() -> None:
    """Give the secret a new version; the last one lives on beside it, those before are gone."""
    secrets_manager = aws_stage.client("secretsmanager")
    made = secrets_manager.get_random_password(PasswordLength=64, ExcludePunctuation=True)
    secrets_manager.put_secret_value(
        SecretId=settings.hash_secret_id(), SecretString=made["RandomPassword"]
    )
    aws.forget_keyring()


def test_who_signs_in_between_two_rotations_is_still_found_by_address(
    new_visitor: Visitors, mailbox: Mailbox
) -> None:
    who = factories.account(factories.family(), now=factories.NOW)
    rotate()
    factories.signed_in(new_visitor, who)
    rotate()
    mailbox()
    asked = {"email": "parent@example.com"}
    assert new_visitor().post("/forgot-username", asked).status == 202
    assert [who.username in mail.html for mail in mailbox()] == [True]


def test_keys_and_sessions_go_on_over_a_rotation_and_end_with_the_old_version(
    new_visitor: Visitors,
) -> None:
    who = factories.account(factories.family(), now=factories.NOW)
    browser = factories.signed_in(new_visitor, who)
    guardian = factories.family()
    first, second = (factories.activation_key(guardian) for _ in range(2))
    rotate()
    assert len(aws.keyring().versions) == 2
    assert browser.get("/").status == 200
    assert browser.post("/session").status == 204
    assert new_visitor().post("/activate", {"activation_key": first}).status == 200
    later = factories.signed_in(new_visitor, who)
    rotate()
    assert browser.get("/").code == "sign-in-required"
    assert new_visitor().post("/activate", {"activation_key": second}).status == 422
    assert later.get("/").status == 200
    # Passwords hang on no secret of ours.
    assert factories.signed_in(new_visitor, who).get("/").status == 200


def test_a_key_of_the_old_version_still_makes_an_account(new_visitor: Visitors) -> None:
    key = factories.activation_key(factories.family())
    rotate()
    fields = {"username": "Rosa1", "password": factories.PASSWORD}
    made = {"activation_key": key, **fields, "verify_password": factories.PASSWORD}
    assert new_visitor().post("/create-account", made).status == 201
    assert new_visitor().post("/sign-in", fields).status == 200


def test_sign_out_ends_a_session_of_the_old_version(new_visitor: Visitors) -> None:
    browser = factories.signed_in(new_visitor, factories.account(factories.family()))
    kept = dict(browser.cookies)
    rotate()
    browser.post("/sign-out")
    browser.cookies = kept
    assert browser.get("/").status == 401


def test_the_lookup_works_before_and_after_the_next_import_and_without_the_old_version(
    new_visitor: Visitors, mailbox: Mailbox, stage: aws_stage.AwsStage, monday: Any
) -> None:
    office = Office(stage)
    nightly = roster_set()

    def mails(number: str, last4: str) -> int:
        asked = {"student_number": number, "ssn_last4": last4}
        assert new_visitor().post("/activation-key", asked).status == 202
        return len(mailbox())

    digits = nightly.row("users.csv", "s1")["metadata.ssnLast4"]
    office.upload(nightly)
    assert mails("000001", digits) == 2
    rotate()
    assert mails("000001", digits) == 2
    monday.shift(86_400)
    forget_caches()
    assert office.upload(nightly, "next")["status"] == "applied"
    assert mails("000001", digits) == 2
    (found,) = roster.find_student("000001")
    assert found.secret == aws.keyring().current
    rotate()
    monday.shift(86_400)
    assert mails("000001", digits) == 2
    assert mails("000001", "0000") == 0


def test_nothing_is_granted_where_the_secret_can_not_be_read(
    new_visitor: Visitors, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = factories.account(factories.family())
    browser = factories.signed_in(new_visitor, who)
    make = botocore.client.BaseClient._make_api_call

    def no_secret(client: Any, operation: str, parameters: Any) -> Any:
        if operation == "GetSecretValue":
            raise EndpointConnectionError(endpoint_url="https://secretsmanager.example")
        return make(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", no_secret)
    aws.forget_keyring()
    assert browser.get("/").status == 503
    right = {"username": who.username, "password": who.password}
    assert new_visitor().post("/sign-in", right).status == 503


# --- what is for stage local only (S98) -------------------------------------------------


@pytest.mark.parametrize(("of_stage", "moved"), [("local", True), ("prod", False), ("test", False)])
def test_the_clock_is_moved_on_stage_local_only(
    new_visitor: Visitors,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
    of_stage: str,
    moved: bool,
) -> None:
    browser = factories.signed_in(new_visitor, factories.account(factories.family()))
    ahead = tmp_path / "clock"
    ahead.write_text("86400")
    before = clock.now()
    monkeypatch.setenv("PARENT_PORTAL_CLOCK_FILE", str(ahead))
    if of_stage != "local":
        monkeypatch.setattr(settings, "STAGE", of_stage)
        browser.cookies = {f"__Host-{name}": value for name, value in browser.cookies.items()}
    assert (clock.now() != before) is moved
    assert browser.get("/").status == (401 if moved else 200)


@pytest.mark.parametrize("text", ["", "soon", "1e400", "1e300", "nan", "\x00"])
def test_a_clock_file_that_says_no_number_moves_nothing(
    new_visitor: Visitors, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, text: str
) -> None:
    ahead = tmp_path / "clock"
    ahead.write_text(text)
    before = clock.now()
    monkeypatch.setenv("PARENT_PORTAL_CLOCK_FILE", str(ahead))
    assert clock.now() == before
