"""The household: what the school has, confirmed, asked to be changed; and whose eyes it reaches."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import time_machine

from chalicelib import settings
from tests import aws_stage, factories
from tests.conftest import SentMail
from tests.portal_client import HTML, PortalClient

Visitors = Callable[[], PortalClient]
Invoke = Callable[[str, Any], Any]
Mailbox = Callable[[], list[SentMail]]

HOME: dict[str, str | None] = {
    "address1": "12 Elm Street",
    "address2": None,
    "city": "Atlanta",
    "state": "GA",
    "post_code": "30303",
    "phone": "404-555-0100",
    "sms": "404-555-0101",
}
ASK = {
    "action": "change",
    "phone": "404-555-0177",
    "effective_date": "2026-03-10",
    "comment": "a new line",
}
NUMBERS = ("phone", "mobile")


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


def parent(
    new_visitor: Visitors, *children: factories.SomeStudent, name: str = "Rosa1", **data: Any
) -> PortalClient:
    """Return a signed-in parent of children who lives in the house of `HOME`, unless told otherwise."""
    how = {"email": f"{name.lower()}@example.com", **HOME, **data}
    who = factories.account(factories.guardian(*children, **how), username=name)
    return factories.signed_in(new_visitor, who)


@pytest.fixture
def rosa(new_visitor: Visitors) -> PortalClient:
    return parent(new_visitor, factories.student())


def profile_of(visitor: PortalClient, **change: Any) -> None:
    """Change a signed-in guardian's profile as an import would."""
    client, table = aws_stage.client("dynamodb"), settings.name("roster")
    sessions = client.scan(TableName=settings.name("sessions"))["Items"]
    names = client.scan(TableName=settings.name("accounts"))["Items"]
    assert sessions
    username = visitor.get("/account").json()["username"]
    (guardian_id,) = (a["guardian_id"]["S"] for a in names if a["username"]["S"] == username)
    key = {"pk": {"S": f"guardian#{guardian_id}"}, "sk": {"S": "profile"}}
    item = client.get_item(TableName=table, Key=key)["Item"]
    item["data"] = {"S": json.dumps(json.loads(item["data"]["S"]) | change)}
    client.put_item(TableName=table, Item=item)


def faults(answer: Any) -> list[tuple[str, str]]:
    assert (answer.status, answer.code) == (422, "invalid"), answer.text
    return [(one["field"], one["code"]) for one in answer.json()["errors"]]


# --- what the school has ----------------------------------------------------------------


def test_the_page_shows_what_the_school_has(rosa: PortalClient) -> None:
    assert rosa.get("/household").json() == {
        "address1": "12 Elm Street",
        "address2": None,
        "city": "Atlanta",
        "state": "GA",
        "post_code": "30303",
        "phone": "404-555-0100",
        "mobile": "404-555-0101",
        "email": "rosa1@example.com",
        "verified_on": None,
        "requests": [],
    }
    page = rosa.get("/household", accept=HTML)
    assert page.status == 200
    assert page.header("cache-control") == "no-store"
    for value in ("12 Elm Street", "Atlanta, GA 30303", "404-555-0101", "rosa1@example.com"):
        assert value in page.text


def test_without_a_session_there_is_no_household(portal: PortalClient) -> None:
    for method in ("GET", "POST"):
        assert portal.request(method, "/household").code == "sign-in-required"


def test_three_calls_make_the_page_and_a_fourth_only_for_others(
    new_visitor: Visitors, aws_calls: list[tuple[str, str, str]]
) -> None:
    child = factories.student()
    rosa, juan = parent(new_visitor, child), parent(new_visitor, child, name="Juan1")
    assert rosa.post("/household", ASK).status == 200
    aws_calls.clear()
    assert len(rosa.get("/household").json()["requests"]) == 1
    assert [one for _, one, _ in aws_calls] == ["UpdateItem", "Query", "BatchGetItem"]
    aws_calls.clear()
    assert len(juan.get("/household").json()["requests"]) == 1
    assert [one for _, one, _ in aws_calls] == ["UpdateItem", "Query", *["BatchGetItem"] * 2]


def test_who_lost_every_child_has_no_household(rosa: PortalClient) -> None:
    client, table = aws_stage.client("dynamodb"), settings.name("roster")
    for item in client.scan(TableName=table)["Items"]:
        if item["pk"]["S"].startswith("guardian#") and item["sk"]["S"].startswith("student#"):
            client.delete_item(TableName=table, Key={"pk": item["pk"], "sk": item["sk"]})
    for answer in (rosa.get("/household"), rosa.post("/household", ASK)):
        assert (answer.status, answer.code) == (404, "not-found")
    assert client.scan(TableName=settings.name("requests"))["Items"] == []


# --- confirmed --------------------------------------------------------------------------


def test_confirming_counts_for_the_districts_day(rosa: PortalClient, monday: Any) -> None:
    monday.move_to("2026-03-03T03:30:00Z")
    rosa.cookies.clear()
    rosa.post("/sign-in", {"username": "Rosa1", "password": factories.PASSWORD})
    answer = rosa.post("/household", {"action": "confirm"})
    assert (answer.status, answer.json()["verified_on"]) == (200, "2026-03-02")
    page = rosa.get("/household", accept=HTML)
    assert "Last confirmed: Monday, March 2, 2026" in page.text


def test_a_browser_comes_back_to_the_page_with_a_note(rosa: PortalClient) -> None:
    answer = rosa.post("/household", {"action": "confirm"}, accept=HTML, form=True)
    assert (answer.status, answer.header("location")) == (303, "./household?done=confirmed")
    assert (
        "We have recorded that you confirmed"
        in rosa.get("/household?done=confirmed", accept=HTML).text
    )
    asked = rosa.post("/household", ASK, accept=HTML, form=True)
    assert asked.header("location") == "./household?done=requested"
    assert "Waiting for the school" in rosa.get("/household?done=requested", accept=HTML).text
    assert 'class="note' not in rosa.get("/household?done=bogus", accept=HTML).text


def test_an_address_that_the_school_changed_since_is_not_confirmed(rosa: PortalClient) -> None:
    rosa.post("/household", {"action": "confirm"})
    profile_of(rosa, phone="404-555-0199", address1="12  ELM street")
    assert rosa.get("/household").json()["verified_on"] == "2026-03-02"
    profile_of(rosa, address1="9 Oak Lane")
    assert rosa.get("/household").json()["verified_on"] is None


@pytest.mark.parametrize("action", ["", None, "delete", 7])
def test_another_action_is_none(rosa: PortalClient, action: object) -> None:
    (fault,) = faults(rosa.post("/household", {**ASK, "action": action}))
    assert fault[0] == "action"


# --- asked to be changed ----------------------------------------------------------------


def test_a_request_holds_only_what_differs(rosa: PortalClient) -> None:
    shown = rosa.get("/household").json()
    form = {name: shown[name] or "" for name in (*HOME, "mobile", "email") if name != "sms"}
    changed = {"address1": "9 Oak Lane", "post_code": "303031234", "mobile": "", "state": " ga "}
    answer = rosa.post(
        "/household",
        {**form, **changed, "action": "change", "effective_date": "2026-03-02", "comment": "moved"},
        form=True,
    )
    assert answer.status == 200
    (request,) = answer.json()["requests"]
    assert isinstance(request.pop("id"), str)
    assert request == {
        "status": "pending",
        "changes": {"address1": "9 Oak Lane", "post_code": "30303-1234", "mobile": None},
        "effective_date": "2026-03-02",
        "comment": "moved",
        "decision_comment": None,
        "created_at": "2026-03-02T15:00:00Z",
    }
    # Nothing changes before the roster brings it.
    assert {k: v for k, v in answer.json().items() if k != "requests"} == {
        k: v for k, v in shown.items() if k != "requests"
    }


def test_null_takes_a_value_away_as_a_blank_does(rosa: PortalClient) -> None:
    answer = rosa.post("/household", {**ASK, "phone": None, "address2": None})
    assert answer.json()["requests"][0]["changes"] == {"phone": None}


def test_the_account_keeps_its_address_whatever_is_asked(
    rosa: PortalClient, mailbox: Mailbox
) -> None:
    mailbox()
    assert rosa.post("/household", {**ASK, "email": "other@example.com"}).status == 200
    assert rosa.get("/account").json()["email"] == "rosa1@example.com"
    assert mailbox() == []


@pytest.mark.parametrize(
    "same",
    [
        {},
        {"phone": "(404) 555 0100", "mobile": "+1 404 555 0101"},
        {"address1": " 12  elm street", "state": "Ga", "post_code": "30303 "},
        {"email": "ROSA1@example.com", "address2": ""},
    ],
)
def test_a_request_without_any_change_is_refused(rosa: PortalClient, same: dict[str, str]) -> None:
    sent = {k: v for k, v in ASK.items() if k != "phone"} | same
    assert faults(rosa.post("/household", sent)) == [("action", "required")]
    page = rosa.post("/household", sent, accept=HTML, form=True)
    assert page.status == 422
    assert '<a href="#action">Nothing is different' in page.text


MISFITS: list[tuple[str, object, str]] = [
    ("address1", "", "required"),
    ("address1", "x" * 101, "too-long"),
    ("address1", "9 Oak\x07", "control-character"),
    ("address2", "x" * 101, "too-long"),
    ("city", " ", "required"),
    ("state", "", "required"),
    ("state", "XX", "format"),
    ("state", "Atlantis", "format"),
    ("post_code", "3030", "format"),
    ("post_code", "30303-12", "format"),
    ("post_code", "٣٠٣٠٣", "format"),
    *((name, "555-0100", "format") for name in NUMBERS),
    *((name, "104-555-0100", "format") for name in NUMBERS),
    *((name, "+1 555 0100", "format") for name in NUMBERS),
    *((name, "404-555-0100 ext 5", "format") for name in NUMBERS),
    ("email", "rosa@", "format"),
    ("email", "a@example.com, b@example.com", "format"),
    ("email", "rosa@example.com\r\nBcc: x@example.com", "format"),
    ("effective_date", "", "required"),
    ("effective_date", "03/10/2026", "format"),
    ("effective_date", "2026-02-30", "format"),
    ("effective_date", "2026-03-01", "out-of-bounds"),
    ("effective_date", "2027-03-03", "out-of-bounds"),
    ("comment", " ", "required"),
    ("comment", "x" * 501, "too-long"),
    ("comment", "a\x1b[31m", "control-character"),
    ("phone", ["404"], "format"),
    ("comment", {}, "format"),
]


def test_what_doesnt_fit_is_named(rosa: PortalClient) -> None:
    said = [faults(rosa.post("/household", {**ASK, field: value})) for field, value, _ in MISFITS]
    assert said == [[(field, code)] for field, _, code in MISFITS]
    assert rosa.get("/household").json()["requests"] == []


def test_what_the_school_has_may_be_odd_as_long_as_it_stays(new_visitor: Visitors) -> None:
    odd = {"state": None, "post_code": "303", "sms": "call work"}
    rosa = parent(new_visitor, factories.student(), **odd)
    shown = rosa.get("/household").json()
    form = {k: v or "" for k, v in shown.items() if k not in ("verified_on", "requests")}
    assert rosa.post("/household", {**form, **ASK}).status == 200
    # An address that is asked for is a whole one.
    assert faults(rosa.post("/household", {**form, **ASK, "city": "Rome"})) == [
        ("state", "required")
    ]


def test_a_refused_form_keeps_what_was_typed(rosa: PortalClient) -> None:
    evil = "<script>alert(1)</script>"
    sent = {**ASK, "city": evil, "comment": f"</textarea>{evil}", "post_code": "1"}
    page = rosa.post("/household", sent, accept=HTML, form=True)
    assert page.status == 422
    assert "A ZIP code has five digits" in page.text
    assert "&lt;/textarea&gt;&lt;script&gt;" in page.text
    assert evil not in page.text
    assert 'value="404-555-0177"' in page.text


def test_posted_twice_it_is_one_request(rosa: PortalClient, monday: Any) -> None:
    for _ in range(3):
        assert rosa.post("/household", {**ASK, "form_id": "f1"}).status == 200
    monday.shift(660)
    assert rosa.post("/household", {**ASK, "form_id": "f1"}).status == 200
    assert len(rosa.get("/household").json()["requests"]) == 1
    assert rosa.post("/household", {**ASK, "form_id": "f2"}).status == 200
    assert len(rosa.get("/household").json()["requests"]) == 2


def test_a_household_has_five_open_requests_at_most(new_visitor: Visitors, invoke: Invoke) -> None:
    child = factories.student()
    rosa, juan = parent(new_visitor, child), parent(new_visitor, child, name="Juan1")
    for place in range(5):
        asking = juan if place % 2 else rosa
        assert asking.post("/household", {**ASK, "comment": f"line {place}"}).status == 200
    for visitor in (rosa, juan):
        assert faults(visitor.post("/household", ASK)) == [("action", "out-of-bounds")]
        page = visitor.get("/household", accept=HTML).text
        assert "reached the limit of open requests" in page
        assert 'name="comment"' not in page
    decided = {"request_id": rosa.get("/household").json()["requests"][0]["id"]}
    invoke("decide_change_request", {**decided, "decision": "deny", "comment": "no"})
    assert juan.post("/household", ASK).status == 200
    assert faults(rosa.post("/household", ASK)) == [("action", "out-of-bounds")]


# --- two households, one child (S66, S68) -----------------------------------------------


def everything(visitor: PortalClient) -> str:
    """Return all that a guardian can see, in both faces."""
    paths = ("/", "/students", "/household", "/account")
    return "".join(visitor.get(p, accept=a).text for p in paths for a in (HTML, "application/json"))


THEIRS = {
    "address1": "77 Secret Pines Drive",
    "city": "Savannah",
    "post_code": "31401",
    "phone": "912-555-0142",
    "sms": "912-555-0143",
}


@pytest.mark.parametrize("household", ["h2", "h1", None])
def test_a_childs_other_household_learns_nothing(
    new_visitor: Visitors, mailbox: Mailbox, invoke: Invoke, household: str | None
) -> None:
    """Also where the roster gives both the same id: an address of their own parts them."""
    child = factories.student()
    rosa = parent(new_visitor, child)
    juan = parent(new_visitor, child, name="Juan1", household=household, **THEIRS)
    mailbox()
    juan.post("/household", {"action": "confirm"})
    wanted = {
        "address1": "5 Hidden Creek Road",
        "phone": "912-555-0199",
        "comment": "away from them",
        "effective_date": "2026-04-01",
    }
    answer = juan.post("/household", {"action": "change", **wanted})
    (request,) = answer.json()["requests"]
    decision = {"request_id": request["id"], "decision": "approve", "comment": "seen the lease"}
    invoke("decide_change_request", decision)
    mails = mailbox()
    assert [mail.recipient for mail in mails] == ["juan1@example.com"]

    seen = everything(rosa)
    values = [*THEIRS.values(), *wanted.values(), "juan1@example.com", "seen the lease"]
    for value in [*values, request["id"], "April 1", "912-555"]:
        assert value not in seen, value
    assert rosa.get("/household").json()["verified_on"] is None
    assert "5 Hidden Creek Road" in everything(juan)
    assert "12 Elm Street" not in everything(juan) + mails[0].html


def test_who_shares_the_house_sees_requests_and_confirmations(new_visitor: Visitors) -> None:
    child = factories.student()
    rosa = parent(new_visitor, child)
    juan = parent(new_visitor, child, name="Juan1", address1="12 elm  street", phone=None)
    rosa.post("/household", {"action": "confirm"})
    rosa.post("/household", ASK)
    assert juan.get("/household").json()["verified_on"] == "2026-03-02"
    assert juan.get("/household").json()["requests"] == rosa.get("/household").json()["requests"]
    # What the school has is each one's own.
    assert juan.get("/household").json()["phone"] is None


def test_who_moves_out_takes_their_requests_along(new_visitor: Visitors) -> None:
    child = factories.student()
    rosa, juan = parent(new_visitor, child), parent(new_visitor, child, name="Juan1")
    asked = {**ASK, "address1": "5 Hidden Creek Road"}
    juan.post("/household", asked)
    assert "5 Hidden Creek Road" in everything(rosa)
    profile_of(juan, address1="5 Hidden Creek Road", household_id="h9")
    assert "5 Hidden Creek Road" not in everything(rosa)
    assert rosa.get("/household").json()["requests"] == []
    assert len(juan.get("/household").json()["requests"]) == 1


@pytest.mark.parametrize("without", ["household", "address"])
def test_without_household_id_or_address_everybody_is_alone(
    new_visitor: Visitors, without: str
) -> None:
    nothing = dict.fromkeys(("address1", "address2", "city", "state", "post_code"))
    how: dict[str, Any] = {"household": None} if without == "household" else nothing
    child = factories.student()
    rosa = parent(new_visitor, child, **how)
    juan = parent(new_visitor, child, name="Juan1", **how)
    rosa.post("/household", ASK)
    assert len(rosa.get("/household").json()["requests"]) == 1
    assert juan.get("/household").json()["requests"] == []


def test_ids_of_others_in_a_post_are_nothing(
    new_visitor: Visitors, rosa: PortalClient, invoke: Invoke
) -> None:
    juan = parent(new_visitor, factories.student(), name="Juan1", household="h2", **THEIRS)
    juan.post("/household", ASK)
    (theirs,) = invoke("list_change_requests", {})["requests"]
    before = juan.get("/household").json()
    ids = {"guardian_id": theirs["guardian_id"], "request_id": theirs["id"], "id": theirs["id"]}
    for act in ({"action": "confirm"}, ASK, {**ASK, "status": "approved"}):
        assert rosa.post("/household", {**act, **ids}).status == 200
    assert juan.get("/household").json() == before
    pending = invoke("list_change_requests", {"status": "pending"})["requests"]
    assert [one["guardian_id"] == theirs["guardian_id"] for one in pending].count(True) == 1
    assert len(pending) == 3


def test_only_listed_fields_go_out_of_what_is_stored(rosa: PortalClient) -> None:
    rosa.post("/household", ASK)
    client, table = aws_stage.client("dynamodb"), settings.name("requests")
    for item in client.scan(TableName=table)["Items"]:
        client.put_item(TableName=table, Item={**item, "note": {"S": "for the office only"}})
    profile_of(rosa, note="for the office only")
    assert "for the office only" not in everything(rosa)


def test_the_page_speaks_the_guardians_language(new_visitor: Visitors) -> None:
    rosa = parent(new_visitor, factories.student(), language="es")
    page = rosa.get("/household", accept=HTML)
    assert "Lo que la escuela tiene registrado" in page.text


def test_the_page_speaks_the_language_that_the_guardian_chose(rosa: PortalClient) -> None:
    """On a device that remembers no language, while the roster says English."""
    rosa.post("/preferences", {"language": "es"})
    rosa.cookies.pop("lang")
    page = rosa.get("/household", accept=HTML)
    assert "Lo que la escuela tiene registrado" in page.text
