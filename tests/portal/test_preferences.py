"""Preferences: a row typed by hand that is no good counts as the default and breaks nothing (S97)."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import time_machine

from chalicelib import policy, settings
from chalicelib.storage import district
from tests import aws_stage, factories
from tests.conftest import SentMail, forget_caches
from tests.portal_client import HTML, PortalClient

Mailbox = Callable[[], list[SentMail]]
Invoke = Callable[[str, Any], Any]


@pytest.fixture(autouse=True)
def monday(stage: object) -> Any:
    with time_machine.travel(factories.NOW, tick=False) as clock:
        yield clock


def typed(name: str, value: dict[str, Any] | None) -> None:
    """Type a row as an admin would in the DynamoDB console."""
    item: dict[str, Any] = {"name": {"S": name}}
    if value is not None:
        item["value"] = value
    aws_stage.client("dynamodb").put_item(TableName=settings.name("preferences"), Item=item)


def events(capsys: pytest.CaptureFixture[str], code: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    return [line for line in lines if line["event"] == code]


def whole_journey(portal: PortalClient, mailbox: Mailbox) -> None:
    child = factories.student(number="007", last4="4321")
    factories.guardian(child, email="rosa@example.com")
    numbers = {"student_number": "007", "ssn_last4": "4321"}
    assert portal.post("/activation-key", numbers).status == 202
    (mail,) = mailbox()
    fields = {"username": "Rosa1", "password": factories.PASSWORD}
    key = {"activation_key": mail.activation_key}
    assert portal.post("/activate", key).status == 200
    made = portal.post("/create-account", {**key, **fields, "verify_password": fields["password"]})
    assert made.status == 201
    assert portal.post("/sign-in", fields).status == 200
    for path in ("/", "/students", "/session", "/sign-in", "/activate", "/nowhere"):
        assert portal.get(path, accept=HTML).status in (200, 404)
    assert portal.post("/session").status == 204
    assert portal.post("/sign-out").status == 204


# What a hand can type; as numbers DynamoDB keeps 38 digits and exponents up to 125.
VALUES: dict[str, dict[str, Any] | None] = {
    "text": {"S": "no such value"},
    "text with control characters": {"S": "x\r\ny\x00"},
    "long text": {"S": "x" * 5000},
    "empty": {"S": ""},
    "-1": {"N": "-1"},
    "0": {"N": "0"},
    "10^9": {"N": "1000000000"},
    "10^125": {"N": "1e125"},
    "a half": {"N": "10.5"},
    "a flag": {"BOOL": True},
    "null": {"NULL": True},
    "a list": {"L": [{"N": "30"}]},
    "a map": {"M": {"value": {"N": "30"}}},
    "bytes": {"B": b"30"},
    "a set": {"NS": ["30"]},
    "nothing": None,
}
# What of these is a value for a preference after all.
GOOD = {
    ("district_name", "text"),
    ("notice_en", "text"),
    ("notice_es", "text"),
    ("sso_client_id", "text"),
    ("strong_password", "a flag"),
    ("reject_common_passwords", "a flag"),
}


@pytest.mark.parametrize("kind", VALUES)
def test_whatever_stands_in_the_table_the_journey_works_by_the_default(
    portal: PortalClient, mailbox: Mailbox, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    for name in policy.DEFAULTS:
        typed(name, VALUES[kind])
    forget_caches()
    capsys.readouterr()
    in_force = district.preferences()
    told = events(capsys, "preference-invalid")
    bad = {name for name in policy.DEFAULTS if (name, kind) not in GOOD}
    assert {line["preference"] for line in told} == bad
    assert {line["level"] for line in told} == {"error"}
    for name in bad:
        assert getattr(in_force, name) == policy.DEFAULTS[name]
    if kind == "a flag":
        # That one is meant, and asks for more than the journey's password.
        typed("strong_password", {"BOOL": False})
        forget_caches()
    whole_journey(portal, mailbox)


def test_a_name_that_nobody_knows_is_told_but_not_quoted(
    portal: PortalClient, capsys: pytest.CaptureFixture[str]
) -> None:
    typed("x\n{'event':'forged'}", {"S": "rosa@example.com"})
    forget_caches()
    assert portal.get("/sign-in", accept=HTML).status == 200
    (line,) = events(capsys, "preference-invalid")
    assert line["preference"] == "unknown"
    assert "rosa" not in str(line)


def test_a_bad_row_never_weakens_a_limit(portal: PortalClient) -> None:
    typed("lookups_per_ip_hour", {"N": "1000000000"})
    forget_caches()
    numbers = [{"student_number": str(1000 + i), "ssn_last4": "4321"} for i in range(61)]
    statuses = [portal.post("/activation-key", one).status for one in numbers]
    assert statuses == [202] * 60 + [429]


def test_a_change_works_within_a_minute(
    portal: PortalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal.accept = HTML
    assert "Mail is slow" not in portal.get("/sign-in").text
    typed("notice_en", {"S": "Mail is slow today."})
    real = time.monotonic
    with monkeypatch.context() as a_minute_later:
        a_minute_later.setattr("time.monotonic", lambda: real() + 60)
        assert "Mail is slow today." in portal.get("/sign-in").text


# --- the console's two functions -------------------------------------------------

EVERY = {
    "strong_password": True,
    "reject_common_passwords": False,
    "password_min_length": 12,
    "key_delivery": "screen",
    "key_lifetime_days": 14,
    "lookups_per_ip_hour": 99,
    "sign_in_failures_per_ip_hour": 77,
    "forgot_username_limit": 3,
    "lockout_scope": "recovery",
    "reset_link_minutes": 10,
    "session_idle_minutes": 15,
    "session_hours": 8,
    "time_zone": "America/Chicago",
    "district_name": "Elm County Schools",
    "trusted_networks": "203.0.113.0/24,2001:db8:1::/48",
    "notice_en": "Mail is slow today.",
    "notice_es": "El correo está lento hoy.",
    "support_url": "https://support.example.org/tickets",
    "sso_issuer": "https://id.example.org/",
    "sso_client_id": "portal",
}


def test_every_preference_is_set_shown_and_set_back(invoke: Invoke) -> None:
    assert invoke("show_preferences", {}) == dict(policy.DEFAULTS)
    assert set(EVERY) == set(policy.DEFAULTS)
    assert invoke("set_preferences", EVERY) == EVERY
    assert invoke("show_preferences", {}) == EVERY
    assert invoke("set_preferences", dict.fromkeys(EVERY)) == dict(policy.DEFAULTS)


def test_one_bad_value_of_many_changes_none(invoke: Invoke) -> None:
    answer = invoke("set_preferences", {**EVERY, "session_hours": 25})
    assert answer["error"]["code"] == "invalid"
    assert "session_hours" in answer["error"]["detail"]
    assert "1–24" in answer["error"]["detail"]
    assert invoke("show_preferences", {}) == dict(policy.DEFAULTS)


def test_stage_prod_takes_no_http_address(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    event = {"support_url": "http://support.example.org/"}
    assert invoke("set_preferences", event)["support_url"] == event["support_url"]
    monkeypatch.setattr(settings, "STAGE", "prod")
    assert invoke("set_preferences", event)["error"]["code"] == "invalid"
