"""The console: an event is checked to its last field, audited, then done; nothing happens unaudited.

What each function does for a family is tested with the journey; here is what holds for all of them.
"""

import json
from collections.abc import Callable
from typing import Any

import botocore.client
import pytest
import time_machine
from botocore.exceptions import ClientError

from chalicelib import admin, settings
from chalicelib.storage import accounts, district
from tests import aws_stage, factories
from tests.conftest import SentMail
from tests.portal_client import PortalClient

Invoke = Callable[[str, Any], Any]
Mailbox = Callable[[], list[SentMail]]


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def rosa(stage: object) -> factories.SomeAccount:
    return factories.account(factories.family(email="rosa@example.com"))


def items(*tables: str) -> str:
    """Return everything that stands in tables, as text that can be compared and searched."""
    client = aws_stage.client("dynamodb")
    found = {
        name: client.scan(TableName=settings.name(name))["Items"]
        for name in tables or ("accounts", "activation-keys", "sessions", "preferences", "roster")
    }
    return json.dumps(
        {name: sorted(map(json.dumps, rows)) for name, rows in found.items()}, sort_keys=True
    )


def entries() -> list[dict[str, Any]]:
    """Return the audit log, oldest first."""
    rows = aws_stage.client("dynamodb").scan(TableName=settings.name("audit"))["Items"]
    plain = [{name: next(iter(value.values())) for name, value in row.items()} for row in rows]
    return sorted(plain, key=lambda entry: str(entry["at_id"]))


# --- a good event, bad ones, a repeat (S82) --------------------------------------


def good_events(guardian: factories.SomeGuardian) -> dict[str, dict[str, Any]]:
    return {
        "find_guardian": {"email": "rosa@example.com"},
        "issue_activation_key": {"guardian_id": guardian.guardian_id, "deliver": "return"},
        "revoke_activation_key": {"guardian_id": guardian.guardian_id},
        "disable_account": {"username": "ROSA1"},
        "enable_account": {"username": "rosa1"},
        "delete_account": {"username": "Rosa1"},
        "unlock_account": {"username": "Rosa1"},
        "send_password_reset": {"username": "Rosa1"},
        "require_password_reset": {"username": "Rosa1", "reason": "a leak"},
        "clear_mail_state": {"email": "rosa@example.com"},
        "end_sessions": {"username": "Rosa1"},
        "approve_import": {"name": "no-such"},
        "enrollment_report": {},
        "show_preferences": {},
        "set_preferences": {"key_lifetime_days": 7},
        "list_change_requests": {"status": "pending"},
        "decide_change_request": {"request_id": "x", "decision": "deny", "comment": "no"},
        "export_changes": {"since": "2026-03-01"},
    }


def test_every_function_is_tried_here(rosa: factories.SomeAccount) -> None:
    assert set(good_events(rosa.guardian)) == set(admin.FUNCTIONS)


@pytest.mark.parametrize("name", sorted(admin.FUNCTIONS))
def test_a_good_event_is_audited_before_and_after_and_a_repeat_harms_nothing(
    invoke: Invoke, rosa: factories.SomeAccount, suppressed: set[str], name: str
) -> None:
    if name in ("issue_activation_key", "revoke_activation_key"):
        event = good_events(factories.family())[name]
    else:
        event = good_events(rosa.guardian)[name]
    first = invoke(name, {**event, "operator": "Kim of IT"})
    again = invoke(name, event)
    expected = {
        "approve_import": ("no-such-import", "no-such-import"),
        "delete_account": (None, "no-such-account"),
        "decide_change_request": ("no-such-request", "no-such-request"),
    }
    codes = tuple(answer.get("error", {}).get("code") for answer in (first, again))
    assert codes == expected.get(name, (None, None))
    told = entries()
    ends = ["done" if code is None else code for code in codes]
    assert sorted(e["outcome"] for e in told) == sorted(["begun", "begun", *ends])
    assert {e["action"] for e in told} == {name}
    assert [e.get("operator") for e in told].count("Kim of IT") == 2
    assert all(e["request_id"] for e in told)
    assert all(e["at"] == str(int(factories.NOW.timestamp())) for e in told)


LONG = "x" * 301
BAD: dict[str, list[Any]] = {
    "find_guardian": [{}, {"email": 1}, {"email": "a", "name": "b"}, {"email": LONG}, {"id": "x"}],
    "issue_activation_key": [
        *({}, {"guardian_id": "x"}, {"guardian_id": "x", "deliver": "fax"}),
        *({"guardian_id": ["x"], "deliver": "mail"},),
        {"guardian_id": "x", "deliver": "mail", "to": "thief@example.com"},
    ],
    "revoke_activation_key": [{}, {"guardian_id": ""}, {"guardian_id": None}, {"username": "x"}],
    "disable_account": [{}, {"username": ""}, {"username": {}}, {"username": "Rosa1", "all": True}],
    "enable_account": [{}, {"username": " "}, {"username": 7}, {"username": "Rosa1", "state": "x"}],
    "delete_account": [{}, {"username": LONG}, {"Username": "Rosa1"}, {"username": "Rosa1\x00"}],
    "unlock_account": [{}, {"username": ""}, {"username": 7}, {"username": "Rosa1", "all": True}],
    "send_password_reset": [{}, {"username": []}, {"email": "x"}, {"username": "Rosa1", "to": "x"}],
    "require_password_reset": [
        *({}, {"username": "Rosa1"}, {"username": "Rosa1", "reason": ""}),
        *(
            {"username": "Rosa1", "reason": 1},
            {"username": "Rosa1", "reason": "x", "password": "y"},
        ),
    ],
    "clear_mail_state": [{}, {"email": ""}, {"email": 1}, {"email": "a@b.example", "all": True}],
    "end_sessions": [
        *({}, {"all": False}, {"all": "true"}, {"all": 1}),
        *({"all": True, "username": "Rosa1"}, {"all": True, "except": "Rosa1"}),
    ],
    "approve_import": [{}, {"name": 1}, {"name": ""}, {"name": "a", "force": True}],
    "enrollment_report": [{"school_id": ""}, {"school_id": 7}, {"school_id": "x", "to": "y"}],
    "show_preferences": [{"name": "x"}, {"": ""}, {"key_delivery": "screen"}],
    "set_preferences": [
        *({}, {"no_such": 1}, {"session_hours": 25}, {"session_hours": "many"}),
        *({"time_zone": "Mars/Olympus"}, {"session_hours": 1, "key_delivery": "fax"}),
        {"session_hours": [1]},
    ],
    "list_change_requests": [{"status": "open"}, {"status": 1}, {"status": ""}, {"since": "x"}],
    "decide_change_request": [
        *({}, {"request_id": "x", "decision": "deny"}, {"request_id": "x", "comment": "no"}),
        *(
            {"request_id": "x", "decision": "maybe", "comment": "no"},
            {"request_id": "x", "decision": "deny", "comment": " "},
        ),
        *(
            {"request_id": "x", "decision": "deny", "comment": LONG},
            {"request_id": "x", "decision": "deny", "comment": "no", "status": "denied"},
        ),
    ],
    "export_changes": [
        *({"since": ""}, {"since": 1}, {"since": "yesterday"}, {"since": "2026-02-30"}),
        *({"since": "2026-03-01T00:00:00"}, {"until": "2026-03-01"}),
    ],
}
NO_EVENTS: list[Any] = ["text", ["list"], 7, None, {"operator": 7}, {"operator": LONG}]


@pytest.mark.parametrize("name", sorted(admin.FUNCTIONS))
def test_an_event_that_does_not_fit_changes_nothing_and_is_audited(
    invoke: Invoke, new_visitor: Callable[[], PortalClient], rosa: factories.SomeAccount, name: str
) -> None:
    factories.signed_in(new_visitor, rosa)
    before = items()
    misfits = [*BAD[name], *NO_EVENTS, {**good_events(rosa.guardian)[name], "operator": ""}]
    for event in misfits:
        answer = invoke(name, event)
        assert set(answer) == {"error"}, event
        assert set(answer["error"]) == {"code", "detail"}
        assert answer["error"]["code"] == "invalid", event
        assert answer["error"]["detail"]
    assert items() == before
    told = entries()
    assert [e["outcome"] for e in told] == ["invalid"] * len(misfits)
    assert {e["subject"] for e in told} == {f"function#{name}"}
    assert {e["details"] for e in told} == {"{}"}


def test_who_is_not_there_is_said_and_audited(invoke: Invoke, stage: object) -> None:
    for name in ("disable_account", "enable_account", "delete_account", "end_sessions"):
        assert invoke(name, {"username": "Nobody1"})["error"]["code"] == "no-such-account"
    nobody = {"guardian_id": "nobody"}
    assert invoke("revoke_activation_key", nobody)["error"]["code"] == "no-such-guardian"
    issued = invoke("issue_activation_key", {**nobody, "deliver": "mail"})
    assert issued["error"]["code"] == "no-such-guardian"
    assert sum(e["outcome"].startswith("no-such-") for e in entries()) == 6


# --- without the audit entry nothing is changed (S82) ----------------------------


@pytest.mark.parametrize("name", sorted(admin.FUNCTIONS))
def test_where_the_audit_can_not_be_written_nothing_is_changed(
    invoke: Invoke,
    new_visitor: Callable[[], PortalClient],
    rosa: factories.SomeAccount,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    factories.signed_in(new_visitor, rosa)
    before = items()
    make = botocore.client.BaseClient._make_api_call

    def no_audit(client: Any, operation: str, parameters: Any) -> Any:
        if parameters.get("TableName") == settings.name("audit"):
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, operation)
        return make(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", no_audit)
    with pytest.raises(Exception, match="AccessDenied"):
        invoke(name, good_events(rosa.guardian)[name])
    assert items() == before


def test_an_act_that_breaks_off_is_audited_as_failed(
    invoke: Invoke, rosa: factories.SomeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = botocore.client.BaseClient._make_api_call

    def no_accounts(client: Any, operation: str, parameters: Any) -> Any:
        if parameters.get("TableName") == settings.name("accounts"):
            raise ClientError({"Error": {"Code": "InternalServerError"}}, operation)
        return make(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", no_accounts)
    with pytest.raises(Exception, match="InternalServerError"):
        invoke("disable_account", {"username": "Rosa1"})
    assert sorted(e["outcome"] for e in entries()) == ["begun", "failed"]


# --- the audit is only added to (S83) --------------------------------------------


def test_an_entry_is_never_replaced(stage: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chalicelib.crypto.new_id", lambda: "the same id")

    def write(outcome: str) -> None:
        district.audit(
            "account#rosa1", "x", outcome, operator=None, request_id="r", details={},
            now=factories.NOW,
        )  # fmt: skip

    write("done")
    with pytest.raises(Exception, match="ConditionalCheckFailed"):
        write("forged")
    assert [e["outcome"] for e in entries()] == ["done"]


def test_the_audit_says_whom_a_call_was_about_and_holds_no_key(
    invoke: Invoke, rosa: factories.SomeAccount
) -> None:
    guardian = factories.family()
    event = {"guardian_id": guardian.guardian_id, "deliver": "return"}
    key = invoke("issue_activation_key", event)["activation_key"]
    invoke("disable_account", {"username": "ROSA1"})
    assert {e["subject"] for e in entries()} == {
        f"guardian#{guardian.guardian_id}",
        "account#rosa1",
    }
    assert key not in json.dumps(entries())


# --- what an answer may hold (S13, S22) ------------------------------------------

ACCOUNT = {"username", "state", "locked_until", "created_at", "last_sign_in"}
GUARDIAN = {"guardian_id", "name", "email", "students", "account", "key", "mail"}


def test_answers_hold_the_contracts_fields_and_no_secret(
    invoke: Invoke, rosa: factories.SomeAccount, mailbox: Mailbox
) -> None:
    (found,) = invoke("find_guardian", {"username": "rosa1"})["guardians"]
    assert set(found) == GUARDIAN
    assert set(found["account"]) == ACCOUNT
    assert set(found["key"]) == {"state", "issued_at", "expires_at"}
    assert found["key"]["state"] == "used"
    assert {frozenset(student) for student in found["students"]} == {
        frozenset({"student_number", "name", "school"})
    }
    other = factories.family(email="luis@example.com")
    mailed = invoke("issue_activation_key", {"guardian_id": other.guardian_id, "deliver": "mail"})
    assert set(mailed) == {"state", "expires_at"}
    (mail,) = (one for one in mailbox() if one.recipient != "rosa@example.com")
    assert (mail.recipient, bool(mail.activation_key)) == ("luis@example.com", True)
    (told,) = invoke("find_guardian", {"email": "LUIS@example.com"})["guardians"]
    assert told["mail"] == {"state": "sent", "at": "2026-03-02T15:00:00Z"}
    assert set(invoke("disable_account", {"username": "rosa1"})) == ACCOUNT
    everything = json.dumps([found, told, mailed])
    stored = accounts.read_account("rosa1")
    assert stored is not None
    for secret in (stored.password_hash, "argon2", "4321"):
        assert secret not in everything


def test_no_event_takes_a_password(stage: object) -> None:
    for name, function in admin.FUNCTIONS.items():
        for field in ("password", "activation_key", "token", "ssn_last4"):
            assert function.check({field: "x"}), (name, field)


def test_a_key_is_refused_where_there_is_an_account_and_mailed_only_to_an_address(
    invoke: Invoke, rosa: factories.SomeAccount
) -> None:
    event = {"guardian_id": rosa.guardian.guardian_id, "deliver": "return"}
    assert invoke("issue_activation_key", event)["error"]["code"] == "account-exists"
    nowhere = factories.family(email=None)
    event = {"guardian_id": nowhere.guardian_id, "deliver": "mail"}
    assert invoke("issue_activation_key", event)["error"]["code"] == "no-address"
    barred = factories.family(portal_access=False)
    event = {"guardian_id": barred.guardian_id, "deliver": "return"}
    assert invoke("issue_activation_key", event)["error"]["code"] == "no-such-guardian"


def test_a_guardian_without_an_address_gets_in_with_a_key_from_the_office(
    invoke: Invoke, portal: PortalClient
) -> None:
    nowhere = factories.family(email=None)
    event = {"guardian_id": nowhere.guardian_id, "deliver": "return"}
    issued = invoke("issue_activation_key", event)
    assert set(issued) == {"state", "expires_at", "activation_key"}
    fields = {"username": "Noemail1", "password": factories.PASSWORD}
    made = portal.post(
        "/create-account",
        {
            **fields,
            "verify_password": factories.PASSWORD,
            "activation_key": issued["activation_key"],
        },
    )
    assert made.status == 201
    assert portal.post("/sign-in", fields).status == 200


# --- deleting an account (S94) ---------------------------------------------------


def test_deleting_an_account_leaves_nothing_of_it(
    invoke: Invoke, new_visitor: Callable[[], PortalClient], stage: object
) -> None:
    guardian = factories.family(email="zoe@example.com", given_name="Zoe")
    who = factories.account(guardian, username="Zoe12345")
    browser = factories.signed_in(new_visitor, who)
    invoke("delete_account", {"username": "Zoe12345"})
    assert browser.get("/").status == 401
    left = items("accounts", "sessions", "recovery-counters").lower()
    assert "zoe" not in left
    assert guardian.guardian_id.lower() not in left
    (found,) = invoke("find_guardian", {"email": "zoe@example.com"})["guardians"]
    assert found["account"] is None


# --- what an admin types, and what they read -------------------------------------


def test_blanks_around_a_pasted_value_are_none_of_it(
    invoke: Invoke, rosa: factories.SomeAccount
) -> None:
    assert invoke("disable_account", {"username": " Rosa1\t"})["state"] == "disabled"
    event = {"guardian_id": f"{rosa.guardian.guardian_id} "}
    assert invoke("revoke_activation_key", event) == {"revoked": 0}
    assert invoke("set_preferences", {"district_name": " "})["error"]["code"] == "invalid"
    assert {e["subject"] for e in entries()} == {
        *("account#rosa1", f"guardian#{rosa.guardian.guardian_id}"),
        "function#set_preferences",
    }


@pytest.mark.parametrize(
    ("name", "event", "told"),
    [
        ("find_guardian", {"emial": "x"}, "email, student_number, username, name"),
        ("find_guardian", {"email": "a", "name": "b"}, "email, student_number, username, name"),
        ("disable_account", {"username": "Rosa1", "resaon": "x"}, "resaon: There is no such field"),
        ("set_preferences", {"sesion_hours": 8}, "sesion_hours: There is no such field"),
    ],
)
def test_a_misspelled_field_is_told_so(
    invoke: Invoke, stage: object, name: str, event: dict[str, Any], told: str
) -> None:
    assert told in invoke(name, event)["error"]["detail"]


def test_a_lockout_that_is_over_is_shown_as_none(
    invoke: Invoke, portal: PortalClient, rosa: factories.SomeAccount, mailbox: Mailbox, monday: Any
) -> None:
    for _ in range(6):
        portal.post("/forgot-username", {"email": "rosa@example.com"})
    mailbox()
    event = {"username": "Rosa1"}

    def locked_until() -> Any:
        (found,) = invoke("find_guardian", event)["guardians"]
        return found["account"]["locked_until"]

    assert locked_until() == "2026-03-03T05:00:00Z"
    # Midnight has come; the hourly function, which clears the item, has not.
    monday.move_to("2026-03-03T05:00:00+00:00")
    assert locked_until() is None
    assert invoke("enable_account", event)["locked_until"] is None


# --- states that follow one another ----------------------------------------------

RIGHT = {"username": "Rosa1", "password": factories.PASSWORD}
LEAK = {"username": "Rosa1", "reason": "a leak"}


def test_disabling_and_enabling_does_not_let_the_old_password_in_again(
    invoke: Invoke, portal: PortalClient, rosa: factories.SomeAccount
) -> None:
    assert invoke("require_password_reset", LEAK)["state"] == "reset-required"
    for _ in range(2):
        assert invoke("disable_account", {"username": "Rosa1"})["state"] == "disabled"
    assert invoke("enable_account", {"username": "Rosa1"})["state"] == "reset-required"
    assert portal.post("/sign-in", RIGHT).code == "password-reset-required"


def test_an_account_that_needed_no_new_password_opens_as_it_was(
    invoke: Invoke, portal: PortalClient, rosa: factories.SomeAccount
) -> None:
    invoke("disable_account", {"username": "Rosa1"})
    assert invoke("enable_account", {"username": "Rosa1"})["state"] == "active"
    assert portal.post("/sign-in", RIGHT).status == 200
