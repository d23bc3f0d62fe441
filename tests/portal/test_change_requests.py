"""What admins do with requests: list, decide once, tell the family by one mail, export."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine

from chalicelib import settings
from chalicelib.domain import change_requests as rules
from chalicelib.storage import change_requests
from tests import aws_stage, factories
from tests.aws_stage import AwsStage
from tests.conftest import _sent as sent_mail
from tests.conftest import send_mail_to_worker
from tests.portal.test_household import ASK, Invoke, Mailbox, Visitors, parent
from tests.portal_client import PortalClient

NO = {"decision": "deny", "comment": "Please bring a proof."}
YES = {"decision": "approve", "comment": "Entered today."}


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def child(stage: object) -> factories.SomeStudent:
    return factories.student(family_name="Rivera")


@pytest.fixture
def rosa(new_visitor: Visitors, child: factories.SomeStudent, mailbox: Mailbox) -> PortalClient:
    visitor = parent(new_visitor, child)
    mailbox()
    return visitor


def ask(visitor: PortalClient, **change: Any) -> str:
    """File a request; return its id."""
    before = {one["id"] for one in visitor.get("/household").json()["requests"]}
    answer = visitor.post("/household", {**ASK, **change})
    assert answer.status == 200, answer.text
    (made,) = {one["id"] for one in answer.json()["requests"]} - before
    return str(made)


# --- listed -----------------------------------------------------------------------------


def test_requests_are_listed_the_newest_first(
    rosa: PortalClient, invoke: Invoke, monday: Any
) -> None:
    first = ask(rosa)
    monday.shift(60)
    second = ask(rosa, phone="404-555-0178")
    rosa.post("/household", {"action": "confirm"})
    invoke("decide_change_request", {"request_id": first, **NO})
    listed = invoke("list_change_requests", {})
    assert [one["id"] for one in listed["requests"]] == [second, first]
    assert listed["total"] == 2
    assert listed["requests"][1] == {
        "id": first,
        "status": "denied",
        "guardian_id": listed["requests"][0]["guardian_id"],
        "guardian": "Rosa Rivera",
        "changes": {"phone": "404-555-0177"},
        "effective_date": "2026-03-10",
        "comment": "a new line",
        "decision_comment": "Please bring a proof.",
        "created_at": "2026-03-02T15:00:00Z",
        "decided_at": "2026-03-02T15:01:00Z",
    }
    for status, ids in (("pending", [second]), ("denied", [first]), ("approved", [])):
        found = invoke("list_change_requests", {"status": status})["requests"]
        assert [one["id"] for one in found] == ids


def test_where_there_are_very_many_the_newest_are_listed(
    rosa: PortalClient, invoke: Invoke, monday: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MOST_LISTED", 1)
    ask(rosa)
    monday.shift(60)
    newest = ask(rosa)
    listed = invoke("list_change_requests", {"status": "pending"})
    assert ([one["id"] for one in listed["requests"]], listed["total"]) == ([newest], 2)


# --- decided ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decision", "state"), [(YES, "approved"), (NO, "denied")], ids=["approved", "denied"]
)
def test_a_decision_is_shown_and_mailed(
    rosa: PortalClient, invoke: Invoke, mailbox: Mailbox, decision: dict[str, str], state: str
) -> None:
    words = {"approved": "has approved", "denied": "has not approved"}[state]
    request_id = ask(rosa, mobile="404-555-0178")
    answer = invoke("decide_change_request", {"request_id": request_id, **decision})
    assert (answer["status"], answer["decision_comment"]) == (state, decision["comment"])
    (shown,) = rosa.get("/household").json()["requests"]
    assert (shown["status"], shown["decision_comment"]) == (state, decision["comment"])
    (mail,) = mailbox()
    assert mail.recipient == "rosa1@example.com"
    for said in (words, "Monday, March 2, 2026", "Home phone", "Mobile phone", decision["comment"]):
        assert said in mail.html
    # The new values stay in the portal: a mail is read by whoever reads the mailbox.
    assert "0177" not in mail.html
    assert "0178" not in mail.html


def test_the_mail_goes_to_the_address_on_record_in_the_guardians_language(
    new_visitor: Visitors, child: factories.SomeStudent, invoke: Invoke, mailbox: Mailbox
) -> None:
    juan = parent(new_visitor, child, name="Juan1", language="es")
    client, table = aws_stage.client("dynamodb"), settings.name("accounts")
    client.update_item(
        TableName=table,
        Key={"username_key": {"S": "juan1"}},
        UpdateExpression="SET email = :e",
        ExpressionAttributeValues={":e": {"S": "juan.own@example.net"}},
    )
    mailbox()
    invoke("decide_change_request", {"request_id": ask(juan), **YES})
    (mail,) = mailbox()
    assert mail.recipient == "juan.own@example.net"
    assert "ha aprobado" in mail.html
    assert "has approved" not in mail.html


def test_the_mail_speaks_the_language_that_the_guardian_chose(
    rosa: PortalClient, invoke: Invoke, mailbox: Mailbox
) -> None:
    """The roster says English."""
    rosa.post("/preferences", {"language": "es"})
    invoke("decide_change_request", {"request_id": ask(rosa), **YES})
    (mail,) = mailbox()
    assert "ha aprobado" in mail.html
    assert "has approved" not in mail.html


def test_the_same_decision_again_is_answered_alike_and_mails_nothing(
    rosa: PortalClient, invoke: Invoke, mailbox: Mailbox, monday: Any
) -> None:
    event = {"request_id": ask(rosa), **YES}
    first = invoke("decide_change_request", event)
    assert len(mailbox()) == 1
    monday.shift(900)
    assert invoke("decide_change_request", event | {"comment": "twice"}) == first
    assert mailbox() == []
    refused = invoke("decide_change_request", event | NO)
    assert refused["error"]["code"] == "already-decided"
    assert rosa.get("/household").json()["requests"][0]["status"] == "approved"
    assert mailbox() == []


@pytest.mark.parametrize("request_id", ["no-such", "guardian#", "household#x", "../x"])
def test_an_id_that_is_no_requests_is_refused(
    rosa: PortalClient, invoke: Invoke, mailbox: Mailbox, request_id: str
) -> None:
    ask(rosa)
    if request_id == "guardian#":
        (one,) = invoke("list_change_requests", {})["requests"]
        request_id += one["guardian_id"]
    answer = invoke("decide_change_request", {"request_id": request_id, **YES})
    assert answer["error"]["code"] == "no-such-request"
    assert rosa.get("/household").json()["requests"][0]["status"] == "pending"
    assert mailbox() == []


def test_the_import_that_brings_a_change_leaves_the_request_approved(
    rosa: PortalClient, invoke: Invoke
) -> None:
    invoke("decide_change_request", {"request_id": ask(rosa), **YES})
    client, table = aws_stage.client("dynamodb"), settings.name("roster")
    for item in client.scan(TableName=table)["Items"]:
        if item["pk"]["S"].startswith("guardian#") and item["sk"]["S"] == "profile":
            item["data"]["S"] = json.dumps(
                json.loads(item["data"]["S"]) | {"phone": "404-555-0177", "address1": "9 Oak Lane"}
            )
            client.put_item(TableName=table, Item=item)
    shown = rosa.get("/household").json()
    assert (shown["phone"], shown["requests"][0]["status"]) == ("404-555-0177", "approved")


def test_decided_requests_die_and_the_page_keeps_the_newest(
    rosa: PortalClient, invoke: Invoke, monday: Any
) -> None:
    waiting = ask(rosa)
    ids = []
    for place in range(10):
        monday.shift(60)
        ids.append(ask(rosa, comment=f"line {place}"))
        invoke("decide_change_request", {"request_id": ids[-1], **NO})
    shown = [one["id"] for one in rosa.get("/household").json()["requests"]]
    assert shown == [*reversed(ids[2:]), waiting]
    rows = aws_stage.client("dynamodb").scan(TableName=settings.name("requests"))["Items"]
    dies = {row["request_id"]["S"]: row.get("purge_at") for row in rows if "status" in row}
    assert dies.pop(waiting) is None
    assert len(dies) == 10
    assert all(dies.values())
    monday.shift(401 * 86_400)
    rosa.post("/sign-in", {"username": "Rosa1", "password": factories.PASSWORD})
    assert [one["id"] for one in rosa.get("/household").json()["requests"]] == [waiting]


# --- the mail's way ---------------------------------------------------------------------


def test_a_mail_queued_for_what_was_never_decided_is_not_sent(
    rosa: PortalClient, invoke: Invoke, mailbox: Mailbox, monday: Any
) -> None:
    request_id = ask(rosa)
    message = {
        "kind": "change-request-decided",
        "request_id": request_id,
        "status": "approved",
        "queued_at": int(factories.NOW.timestamp()),
    }
    # The decision may still be on its way: the mail waits.
    assert send_mail_to_worker(message) == ["m0"]
    monday.shift(61)
    assert send_mail_to_worker(message) == []
    assert mailbox() == []
    # Then it was denied: the mail of the approval that broke off says nothing.
    invoke("decide_change_request", {"request_id": request_id, **NO})
    assert send_mail_to_worker(message) == []
    assert [m.html.count("has not approved") for m in mailbox()] == [1]


def test_a_mail_delivered_twice_is_one(
    rosa: PortalClient, invoke: Invoke, queued_mail: Callable[[], list[dict[str, Any]]]
) -> None:
    invoke("decide_change_request", {"request_id": ask(rosa), **YES})
    messages = queued_mail()
    assert len(messages) == 1
    before = len(sent_mail())
    for _ in range(3):
        assert send_mail_to_worker(*messages) == []
    assert len(sent_mail()) == before + 1


@pytest.mark.parametrize("gone", ["account", "address", "guardian"])
def test_nobody_is_mailed_where_nobody_is_there(
    rosa: PortalClient, invoke: Invoke, mailbox: Mailbox, gone: str
) -> None:
    request_id = ask(rosa)
    client = aws_stage.client("dynamodb")
    if gone == "account":
        invoke("delete_account", {"username": "Rosa1"})
    elif gone == "address":
        client.update_item(
            TableName=settings.name("accounts"),
            Key={"username_key": {"S": "rosa1"}},
            UpdateExpression="REMOVE email",
        )
    else:
        for item in client.scan(TableName=settings.name("roster"))["Items"]:
            client.delete_item(
                TableName=settings.name("roster"), Key={"pk": item["pk"], "sk": item["sk"]}
            )
    assert invoke("decide_change_request", {"request_id": request_id, **YES})["status"]
    assert mailbox() == []


# --- exported ---------------------------------------------------------------------------


def exported(stage: AwsStage, answer: dict[str, Any]) -> list[dict[str, str]]:
    """Return the rows of the file that an answer's address names."""
    key = urlsplit(answer["url"]).path.split("/exports/")[1]
    body = aws_stage.client("s3").get_object(Bucket=stage.bucket, Key=f"exports/{key}")["Body"]
    raw = body.read()
    assert raw.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline="")))
    assert len(rows) == answer["count"]
    return rows


def test_approved_changes_are_exported_as_the_roster_names_them(
    new_visitor: Visitors, invoke: Invoke, stage: AwsStage, mailbox: Mailbox
) -> None:
    child = factories.student(household="h1")
    elsewhere = factories.student(household="h2")
    rosa = parent(new_visitor, child, elsewhere)
    changes = {
        "address1": "9 Oak Lane",
        "state": "SC",
        "post_code": "294011234",
        "mobile": None,
        "email": "rosa.new@example.com",
    }
    approved = ask(rosa, **changes)
    # Never one that a spreadsheet would run, and an office would copy with an apostrophe.
    assert approved.startswith("r")
    ask(rosa, comment="not decided")
    invoke("decide_change_request", {"request_id": ask(rosa, comment="no"), **NO})
    invoke("decide_change_request", {"request_id": approved, **YES})
    answer = invoke("export_changes", {})
    assert set(answer) == {"url", "expires_at", "count"}
    assert answer["expires_at"] == "2026-03-02T16:00:00Z"
    (row,) = exported(stage, answer)
    assert row.pop("sourcedId").startswith("g")
    assert row.pop("studentSourcedIds").startswith("s")
    assert row == {
        "requestId": approved,
        "decidedAt": "2026-03-02T15:00:00Z",
        "effectiveDate": "2026-03-10",
        "email": "rosa.new@example.com",
        "sms": "",
        "phone": "404-555-0177",
        "metadata.address1": "9 Oak Lane",
        "metadata.address2": "",
        "metadata.city": "",
        "metadata.state": "SC",
        "metadata.postCode": "29401-1234",
        "clear": "sms",
    }


def test_only_what_was_decided_since_then_is_exported_the_oldest_first(
    rosa: PortalClient, invoke: Invoke, stage: AwsStage, monday: Any
) -> None:
    ids = [ask(rosa, comment=f"line {place}") for place in range(3)]
    for request_id in ids:
        invoke("decide_change_request", {"request_id": request_id, **YES})
        monday.shift(86_400)

    def found(since: str) -> list[str]:
        return [r["requestId"] for r in exported(stage, invoke("export_changes", {"since": since}))]

    assert found("2026-03-02") == ids
    assert found("2026-03-02T15:00:01Z") == ids[1:]
    # A day begins at the district's midnight, five hours after UTC's.
    assert found("2026-03-03T10:00:00-05:00") == ids[1:]
    assert found("2026-03-04") == ids[2:]
    assert found("2026-03-05") == []


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "=cmd|' /C calc'!A0"])
def test_no_cell_runs_as_a_formula(
    rosa: PortalClient, invoke: Invoke, stage: AwsStage, begins: str
) -> None:
    request_id = ask(rosa, address1=f"{begins}1 Elm", city=f"{begins}x", mobile="+525512345678")
    invoke("decide_change_request", {"request_id": request_id, **YES})
    (row,) = exported(stage, invoke("export_changes", {}))
    assert row["metadata.address1"] == f"'{begins}1 Elm"
    assert row["metadata.city"] == f"'{begins}x"
    assert row["sms"] == "'+525512345678"
    assert not [cell for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]


@pytest.mark.parametrize("begins", ["\t", "\r", "\n", "\0"])
def test_what_could_never_be_typed_runs_no_formula_either(begins: str) -> None:
    request = change_requests.ChangeRequest(
        request_id="r1",
        status="approved",
        guardian_id="g",
        guardian="x",
        sourced_id=f"{begins}=1+1",
        student_sourced_ids=(),
        household="h",
        changes={"city": 'a "quoted", city'},
        effective_date="2026-03-10",
        comment="",
        decision_comment=None,
        created_at=0,
        decided_at=0,
    )
    text = rules.as_csv([request]).decode("utf-8-sig")
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["sourcedId"] == f"'{begins}=1+1"
    assert row["metadata.city"] == 'a "quoted", city'


def test_the_file_is_private_and_its_address_good_for_an_hour(
    rosa: PortalClient, invoke: Invoke, stage: AwsStage
) -> None:
    url = urlsplit(invoke("export_changes", {})["url"])
    query = dict(part.split("=", 1) for part in url.query.split("&"))
    assert query["X-Amz-Expires"] == "3600"
    assert query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert "/exports/changes-20260302T150000Z-" in url.path
    policy = (aws_stage.ROOT / ".chalice" / "policy-export_changes.json").read_text()
    (statement,) = (s for s in json.loads(policy)["Statement"] if s["Sid"] == "Exports")
    # An address opens what its maker may read, and nothing else.
    assert "s3:GetObject" in statement["Action"]
    assert statement["Resource"] == [{"Fn::Sub": "${RosterBucket.Arn}/exports/*"}]
